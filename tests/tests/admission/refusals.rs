//! The refusals that need no guest: of requests that are wrong in themselves, and of tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{StreamExt as _, stream};
use porthole_shared::clock::UnixTime;
use porthole_shared::names::NodeId;
use porthole_shared::token::Claims;
use porthole_tests::agent::{Mint, Minted};
use porthole_tests::stack::Stack;
use porthole_tests::ws::Upgrade;
use serde_json::Value;

use crate::support::{Forge, GREETING, NAME, Porthole, echo_stack, now, parts, refusal, refusal_to, refused, secret};

/// Asks the edge for what a token text is good for.
fn with_token(stack: &Stack, token: &str) -> Upgrade {
    stack.edge.upgrade(&format!("{}/vnc_auto.html?token={token}", stack.edge.url())).protocols(&["binary"])
}

/// Whatever was refused, the link itself is as good as before.
async fn still_opens(stack: &Stack, link: &Minted) {
    assert_eq!(stack.upgrade(link).open().await.binary().await, GREETING);
}

#[tokio::test]
async fn requests_that_are_no_upgrade_of_a_console_client() {
    let (stack, console) = echo_stack().await;
    let link = stack.mint(NAME).await;
    let good = stack.upgrade(&link);
    let bad_request = refused(400, "bad_request");

    for (what, request) in [
        ("an old version", good.clone().without("Sec-WebSocket-Version").header("Sec-WebSocket-Version", "8")),
        ("no version", good.clone().without("Sec-WebSocket-Version")),
        ("two versions", good.clone().header("Sec-WebSocket-Version", "8")),
        ("no key", good.clone().without("Sec-WebSocket-Key")),
        ("two keys", good.clone().header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")),
        ("a short key", good.clone().without("Sec-WebSocket-Key").header("Sec-WebSocket-Key", "c2hvcnQ=")),
        ("no Connection", good.clone().without("Connection")),
        ("Connection: close", good.clone().without("Connection").header("Connection", "close")),
        ("a body", good.clone().header("Content-Length", "2")),
        ("no Host", good.clone().without("Host")),
        ("two Hosts", good.clone().header("Host", "localhost")),
        ("a Host that is none", good.clone().without("Host").header("Host", "a b")),
        ("a malformed binding", good.clone().header("Sec-WebSocket-Protocol", "porthole.bind.short")),
        ("an empty binding", good.clone().header("Sec-WebSocket-Protocol", "porthole.bind.")),
        ("two bindings", good.clone().bound(&secret()).bound(&secret())),
    ] {
        assert_eq!(refusal(&request).await, bad_request, "{what}");
    }
    let head = String::from_utf8(good.head()).unwrap();
    for (what, head) in
        [("POST", head.replacen("GET", "POST", 1)), ("HTTP/1.0", head.replacen("HTTP/1.1", "HTTP/1.0", 1))]
    {
        assert_ne!(head.as_bytes(), good.head());
        assert_eq!(refusal_to(&good, head.as_bytes()).await, bad_request, "{what}");
    }

    assert_eq!(console.connections(), 0);
    still_opens(&stack, &link).await;
}

#[tokio::test]
async fn tokens_that_no_agent_made() {
    let (stack, console) = echo_stack().await;
    let link = stack.mint(NAME).await;
    let [header, payload, signature] = parts(&link.token);
    let foreign = stack.mint(NAME).await;

    assert_eq!(refusal(&stack.upgrade(&link).path("/vnc_auto.html")).await, refused(401, "missing_token"));
    for (what, token) in [
        ("empty", String::new()),
        ("a word", "token".to_owned()),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{}.{signature}", link.token)),
        ("no signature", format!("{header}.{payload}.")),
        ("too long", format!("{header}.{payload}.{}", "A".repeat(1024))),
        ("padded", format!("{}%3D", link.token)),
        ("a signature of another token", format!("{header}.{payload}.{}", parts(&foreign.token)[2])),
        ("the payload of another token", format!("{header}.{}.{signature}", parts(&foreign.token)[1])),
        ("the same signature, spelt otherwise", format!("{header}.{payload}.{}", respelt(signature))),
        ("no algorithm", format!("{}.{payload}.AA", with_field(header, "alg", "none"))),
        ("another algorithm", format!("{}.{payload}.{signature}", with_field(header, "alg", "HS256"))),
        ("no key id", format!("{}.{payload}.{signature}", with_field(header, "kid", ""))),
        ("a longer life", format!("{header}.{}.{signature}", with_field(payload, "exp", i64::MAX))),
        ("another kind", format!("{header}.{}.{signature}", with_field(payload, "kind", "vnc"))),
        ("an unknown key", Forge::of(&stack.agent).stranger().sign(&Forge::of(&stack.agent).claims())),
    ] {
        assert_eq!(refusal(&with_token(&stack, &token)).await, refused(401, "bad_signature"), "{what}");
    }

    // Every single character matters.
    let tampered = (0..link.token.len()).filter(|&at| link.token.as_bytes()[at] != b'.').map(|at| {
        let mut token = link.token.clone().into_bytes();
        token[at] = match token[at] {
            b'A' => b'B',
            b'-' => b'_',
            b'0' => b'1',
            other => other - 1,
        };
        let token = String::from_utf8(token).unwrap();
        (at, with_token(&stack, &token.replace(['@', '`', '^'], "Q")))
    });
    let asked = stream::iter(tampered.collect::<Vec<_>>());
    let answers = asked.map(async |(at, request)| (at, refusal(&request).await)).buffer_unordered(16);
    let answers: Vec<_> = answers.collect().await;
    assert_eq!(answers.len(), link.token.len() - 2);
    for (at, answer) in answers {
        let in_payload = (header.len()..link.token.len() - signature.len()).contains(&at);
        let unknown_node = in_payload && answer == refused(404, "unknown_node");
        assert!(unknown_node || answer == refused(401, "bad_signature"), "changed at {at}: {answer:?}");
    }

    assert_eq!(console.connections(), 0);
    still_opens(&stack, &link).await;
}

#[tokio::test]
async fn tokens_that_are_signed_and_yet_no_good() {
    let (stack, console) = echo_stack().await;
    let forge = Forge::of(&stack.agent);
    let (now, claims) = (now(), forge.claims());
    let ask = async |token: &str| refusal(&with_token(&stack, token)).await;
    let ask_bound = async |token: &str| {
        let url = format!("{}/?token={token}", stack.edge.url());
        refusal(&stack.edge.upgrade(&url).bound(&secret())).await
    };
    let claiming = |change: fn(&mut Claims, i64)| {
        let mut changed = claims.clone();
        change(&mut changed, now.0);
        forge.sign(&changed)
    };

    // Signed by the right key, but never written down by its agent.
    assert_eq!(ask(&forge.sign(&claims)).await, refused(404, "unknown_token"));
    // The edge itself refuses what is out of time, so that old links cost agents nothing: with a proof by `exp`, ...
    let late = claiming(|claims, now| claims.redeem_by = UnixTime(now - 120));
    assert_eq!(ask(&late).await, refused(401, "expired"));
    assert_eq!(ask_bound(&late).await, refused(404, "unknown_token"), "it may be a reconnection");
    let later = claiming(|claims, now| {
        claims.redeem_by = UnixTime(now - 240);
        claims.exp = UnixTime(now - 120);
    });
    assert_eq!(ask_bound(&later).await, refused(401, "expired"));
    let early = claiming(|claims, now| claims.iat = UnixTime(now + 120));
    assert_eq!(ask(&early).await, refused(401, "expired"));
    // ... allowing for clocks that differ by a minute.
    let skewed = claiming(|claims, now| {
        claims.iat = UnixTime(now + 30);
        claims.redeem_by = UnixTime(now - 30);
    });
    assert_eq!(ask(&skewed).await, refused(404, "unknown_token"));
    // A node that the edge does not know.
    let elsewhere = forge.sign(&Claims { node: "no-such-node".parse::<NodeId>().unwrap(), ..claims.clone() });
    assert_eq!(ask(&elsewhere).await, refused(404, "unknown_node"));

    // Withdrawn: by the API before its use, by the command line after it.
    let link = stack.mint(NAME).await;
    stack.agent.revoke(&link.id).await.unwrap();
    assert_eq!(refusal(&stack.upgrade(&link)).await, refused(403, "revoked"));
    assert_eq!(console.connections(), 0);
    let (link, mine) = (stack.mint(NAME).await, secret());
    let mut session = stack.edge.upgrade(&link.url).bound(&mine).open().await;
    assert_eq!(session.binary().await, GREETING);
    Porthole::of(&stack.agent).print(&["tokens", "revoke", &link.id]).await;
    let closed = session.closed().await;
    assert_eq!((closed.code, closed.reason.as_str()), (Some(4403), "revoked"));
    assert_eq!(refusal(&stack.edge.upgrade(&link.url).bound(&mine)).await, refused(403, "revoked"));

    // Used.
    let link = stack.mint(Mint::of(NAME).policy("once")).await;
    still_opens(&stack, &link).await;
    assert_eq!(refusal(&stack.upgrade(&link)).await, refused(403, "used"));
    assert_eq!(console.connections(), 2);
}

/// Other base64url for the same 64 bytes, where a reader does not look at the last character's unused bits.
fn respelt(signature: &str) -> String {
    let (rest, last) = signature.split_at(signature.len() - 1);
    let other = char::from(last.as_bytes()[0] + 1);
    assert!("AQgw".contains(last), "64 bytes end in one of these: {signature}");
    format!("{rest}{other}")
}

/// A part of a token that says something else.
fn with_field(part: &str, name: &str, value: impl Into<Value>) -> String {
    let mut json: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    json[name] = value.into();
    URL_SAFE_NO_PAD.encode(json.to_string())
}
