//! `GET /tunnel/v1/console`.

use super::*;

#[tokio::test]
async fn a_token_opens_its_console() {
    let agent = Agent::start().await;
    let wanted = wanted(agent.mint(Policy::Once).await);
    let mut edge = agent.connect().await;
    let (response, accepted) = tokio::join!(send(&mut edge, console_request(&wanted)), agent.listener.accept());
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(response.headers()["sec-websocket-protocol"], "binary");
    let (mut client, mut console) = (upgrade(response).await, accepted.unwrap().0);

    console.write_all(b"RFB 003.008\n").await.unwrap();
    assert_eq!(next(&mut client).await, Message::binary(&b"RFB 003.008\n"[..]));
    client.send(Message::binary(&b"RFB 003.008\n"[..])).await.unwrap();
    let mut answer = [0; 12];
    console.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"RFB 003.008\n");

    let live = agent.services.sessions.list();
    assert_eq!(live.len(), 1);
    assert_eq!(live[0].facts.edge.as_str(), "edge-1");
    assert_eq!(live[0].facts.client_address, "[2001:db8::7]:40000");
    agent.services.sessions.kill(live[0].facts.id).unwrap();
    let frame = farewell(client).await;
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4413, "killed"));
    agent.quiet().await;
    agent.stop().await;
}

#[tokio::test]
async fn no_subprotocol_is_chosen_that_was_not_offered() {
    let agent = Agent::start().await;
    let wanted = ConsoleRequest { binary: false, ..wanted(agent.mint(Policy::Once).await) };
    let mut edge = agent.connect().await;
    let response = send(&mut edge, console_request(&wanted)).await;
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert!(!response.headers().contains_key("sec-websocket-protocol"));
    agent.stop().await;
}

#[tokio::test]
async fn frames_right_behind_the_request_are_not_lost() {
    let agent = Agent::start().await;
    let mut tls = agent.dial(&agent.edge("edge-1")).await.unwrap();
    let wanted = wanted(agent.mint(Policy::Once).await);
    let mut bytes = console_request_text(&wanted).into_bytes();
    for n in 0..100_u8 {
        // A masked binary frame of one byte; the mask is 0.
        bytes.extend([0x82, 0x81, 0, 0, 0, 0, n]);
    }
    tls.write_all(&bytes).await.unwrap();
    tls.flush().await.unwrap();
    let (mut console, _) = timeout(PATIENCE, agent.listener.accept()).await.unwrap().unwrap();
    let mut got = [0; 100];
    timeout(PATIENCE, console.read_exact(&mut got)).await.unwrap().unwrap();
    assert!(got.iter().copied().eq(0..100));
    agent.stop().await;
}

#[tokio::test]
async fn megabytes_come_through_whole() {
    let agent = Agent::start().await;
    let (mut client, mut console) = agent.open(&wanted(agent.mint(Policy::Once).await)).await;
    let sent: Vec<u8> = (0..8_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 4]).collect();
    let flood = sent.clone();
    let writer = tokio::spawn(async move {
        console.write_all(&flood).await.unwrap();
        console
    });
    let mut got = Vec::new();
    while got.len() < sent.len() {
        got.extend_from_slice(&next(&mut client).await.into_data());
    }
    assert!(got == sent, "bytes were changed");
    drop(writer.await.unwrap());
    let frame = farewell(client).await;
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4410, "console_closed"));
    agent.quiet().await;
    agent.stop().await;
}

#[tokio::test]
async fn refusals_come_before_any_answer_and_use_nothing_up() {
    let agent = Agent::start().await;
    let mut edge = agent.connect().await;

    let token = agent.mint(Policy::Once).await;
    let (rest, signature) = token.expose().rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let forged = Token::parse(&format!("{rest}.{flipped}{}", &signature[1..])).unwrap();
    assert_refused(send(&mut edge, console_request(&wanted(forged))).await, Reason::BadSignature).await;

    let elsewhere = {
        let (key, _) = porthole_shared::token::SigningKey::generate().unwrap();
        let now = SystemClock.now();
        key.sign(&porthole_shared::token::Claims {
            node: "elsewhere".parse().unwrap(),
            kind: "vnc".parse().unwrap(),
            jti: porthole_shared::names::TokenId::random(),
            iat: now,
            redeem_by: now.plus(60),
            exp: now.plus(60),
        })
    };
    assert_refused(send(&mut edge, console_request(&wanted(elsewhere.unwrap()))).await, Reason::WrongNode).await;

    let mut headers = HeaderMap::new();
    wanted(token.clone()).write(&mut headers);
    headers.remove("sec-websocket-key");
    assert_refused(send(&mut edge, request("GET", CONSOLE_PATH, headers, "")).await, Reason::BadRequest).await;
    // All of that on one connection, and the token is still good for its one use.
    let (client, _console) = agent.open(&wanted(token.clone())).await;
    assert_refused(send(&mut edge, console_request(&wanted(token.clone()))).await, Reason::Used).await;
    let mut old = console_request(&wanted(token));
    *old.version_mut() = http::Version::HTTP_10;
    assert_refused(send(&mut edge, old).await, Reason::BadRequest).await;
    drop(client);
    agent.quiet().await;
    agent.stop().await;
}

#[tokio::test]
async fn a_console_that_does_not_answer_leaves_the_token_unused() {
    let mut agent = Agent::start().await;
    let token = agent.mint(Policy::Once).await;
    let address = agent.listener.local_addr().unwrap();
    agent.listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut edge = agent.connect().await;
    assert_refused(send(&mut edge, console_request(&wanted(token.clone()))).await, Reason::Unreachable).await;
    assert!(agent.services.sessions.is_empty(), "its place is free again");

    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    agent.listener = socket.listen(8).unwrap();
    let (client, _console) = agent.open(&wanted(token)).await;
    drop(client);
    agent.quiet().await;
    agent.stop().await;
}

#[tokio::test]
async fn trying_again_and_again_does_not_fill_the_log() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let writer = Arc::new(log.reopen().unwrap());
    let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut agent = Agent::start().await;
    let (used, token) = (wanted(agent.mint(Policy::Once).await), wanted(agent.mint(Policy::Once).await));
    drop(agent.open(&used).await);
    agent.quiet().await;
    agent.listener = TcpListener::bind("127.0.0.1:0").await.unwrap();

    let before = fs::read_to_string(log.path()).unwrap();
    let mut edge = agent.connect().await;
    for _ in 0..3 {
        assert_refused(send(&mut edge, console_request(&used)).await, Reason::Used).await;
        assert_refused(send(&mut edge, console_request(&token)).await, Reason::Unreachable).await;
    }
    let after = fs::read_to_string(log.path()).unwrap();
    let new: Vec<_> = after[before.len()..].lines().collect();
    assert!(matches!(new[..], [line] if line.contains("WARN") && line.contains("cannot connect to")), "{new:#?}");
    agent.stop().await;
}

#[tokio::test]
async fn a_reconnecting_client_takes_over_and_a_stranger_does_not() {
    let agent = Agent::start().await;
    let mut mine = wanted(agent.mint(Policy::Bound).await);
    mine.presented.binding = Some(BindingSecret::random().unwrap());
    let (first, _console) = agent.open(&mine).await;
    let session = agent.services.sessions.list()[0].facts.id;

    let mut theirs = mine.clone();
    theirs.presented.binding = Some(BindingSecret::random().unwrap());
    let mut edge = agent.connect().await;
    assert_refused(send(&mut edge, console_request(&theirs)).await, Reason::NotYours).await;

    let (second, _console) = agent.open(&mine).await;
    let frame = farewell(first).await;
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4414, "superseded"));
    assert_eq!(agent.services.sessions.list()[0].facts.id, session, "it is the same session");
    drop(second);
    agent.quiet().await;
    agent.stop().await;
}

#[tokio::test]
async fn an_edge_that_vanishes_at_any_moment_leaves_nothing_behind() {
    let agent = Agent::start().await;
    let configs = agent.edge("edge-1");
    let wanted = wanted(agent.mint(Policy::Reusable).await);
    let text = console_request_text(&wanted);
    for length in [0, 1, text.len() - 1, text.len()] {
        let mut tls = agent.dial(&configs).await.unwrap();
        tls.write_all(&text.as_bytes()[..length]).await.unwrap();
        tls.flush().await.unwrap();
        if length == text.len() {
            // The console was opened for it; after that nobody reads the answer.
            agent.listener.accept().await.unwrap();
        }
        drop(tls);
        agent.quiet().await;
    }
    // The connections ended, too: nothing is left to wait for.
    agent.shutdown.soft.cancel();
    timeout(PATIENCE, agent.served).await.unwrap().unwrap();
}
