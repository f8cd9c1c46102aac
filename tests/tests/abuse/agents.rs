//! Agents that are not there, do not speak, or do not finish.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use porthole_shared::token::SigningKey;
use porthole_tests::agent::Mint;
use porthole_tests::edge::{Edge, Node};
use porthole_tests::ports::free_port;
use porthole_tests::wait::PATIENCE;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::support::console::Console;
use super::support::stub::{Saying, Stub, Then, link, token};
use super::support::{CONSOLE, Ground, assert_unharmed, echo_through, stack};

const UNREACHABLE: (u16, &str) = (502, "agent_unreachable");

/// What became of opening a console there, and how long that took.
async fn opening(edge: &Edge, url: &str) -> ((u16, String), Duration) {
    let start = Instant::now();
    let refusal = edge.upgrade(url).protocols(&["binary"]).send().await.unwrap().refusal();
    (refusal, start.elapsed())
}

fn is_unreachable(((status, reason), _): &((u16, String), Duration)) -> bool {
    (*status, reason.as_str()) == UNREACHABLE
}

/// A listener that takes connections and says this first; then nothing, or the end.
async fn host(greeting: &'static [u8], ends: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _gone = stream.write_all(greeting).await;
            if !ends {
                held.push(stream);
            }
        }
    });
    address
}

/// A listener whose queue is full: to whoever comes now, it is as if the address led nowhere.
struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    async fn dig() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
            queued.push(stream.unwrap());
            assert!(queued.len() < 64, "the queue does not get full");
        }
        Self { address, _listener: listener, _queued: queued }
    }
}

#[tokio::test]
async fn a_dead_agent_is_reported_at_once_and_a_silent_one_in_time() {
    let ground = Ground::new().await;
    let key = SigningKey::generate().unwrap().0;
    let hole = BlackHole::dig().await;
    let dead = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let living = Stub::start("living", &ground.pki).await;

    // Those that fail by themselves do so at once, however long the edge would wait.
    let at_once = [
        ("closed-port", dead),
        ("hangs-up", host(b"", true).await),
        ("speaks-ssh", host(b"SSH-2.0-OpenSSH_9.9\r\n", false).await),
        ("speaks-http", host(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", false).await),
        ("sends-an-alert", host(b"\x15\x03\x03\x00\x02\x02\x28", false).await),
    ];
    let mut patient = ground.edge("patient").await.set("agents.connect_timeout", "25s").plain_http();
    for (name, address) in at_once {
        patient = patient.node(Node::new(name, address));
    }
    let patient = patient.start().await.unwrap();
    for (name, _) in at_once {
        let url = link(&patient, &token(name, &key));
        let opened = opening(&patient, &url).await;
        assert!(is_unreachable(&opened) && opened.1 < Duration::from_secs(20), "{name}: {opened:?}");
    }

    // Those that say nothing cost what the configuration says, and nobody else anything.
    let silent = [("silent", host(b"", false).await), ("black-hole", hole.address)];
    let mut brisk = ground.edge("brisk").await.set("agents.connect_timeout", "1s").plain_http().node(living.node());
    for (name, address) in silent {
        brisk = brisk.node(Node::new(name, address));
    }
    let brisk = brisk.start().await.unwrap();
    let attempts = silent.iter().cycle().take(40).map(|(name, _)| link(&brisk, &token(name, &key)));
    let attempts: Vec<String> = attempts.collect();
    let waiting = join_all(attempts.iter().map(|url| opening(&brisk, url)));
    let beside = async {
        let mut session = brisk.upgrade(&living.link(&brisk)).protocols(&["binary"]).open().await;
        session.send_binary(b"not held up").await.unwrap();
        session.next_frame().await.unwrap().unwrap()
    };
    let (opened, echoed) = tokio::join!(waiting, beside);
    assert_eq!(echoed.payload, b"not held up");
    for opened in opened {
        assert!(is_unreachable(&opened), "{opened:?}");
        // The second: one wait for its own turn, one for its keys.
        assert!(opened.1 >= Duration::from_millis(900) && opened.1 < Duration::from_secs(20), "{opened:?}");
    }
    // The keys were learned; then the agent died.
    let url = living.link(&brisk);
    drop(living);
    assert!(is_unreachable(&opening(&brisk, &url).await));
    assert!(brisk.log().contains("connect_timeout"), "the log names the setting");
    assert_unharmed(patient.process());
    assert_unharmed(brisk.process());
}

#[tokio::test]
async fn an_agent_that_never_finishes_costs_ten_seconds_and_nobody_else() {
    let ground = Ground::new().await;
    let switching = "HTTP/1.1 101 Switching Protocols\r\nX-Slow: ";
    let endings = [
        ("says-nothing", Saying::new("", Then::Hold)),
        ("stops-in-its-head", Saying::new(switching, Then::Hold)),
        ("drips", Saying::new(switching, Then::Drip(b"z"))),
        ("says-continue", Saying::new("", Then::Drip(b"HTTP/1.1 100 Continue\r\n\r\n"))),
    ];
    let mut edge = ground.edge("edge-1").await.plain_http();
    let mut stubs = Vec::new();
    for (name, saying) in endings {
        let stub = Stub::start(name, &ground.pki).await;
        stub.says(saying);
        edge = edge.node(stub.node());
        stubs.push(stub);
    }
    let keyless = Stub::start("keyless", &ground.pki).await;
    keyless.publishes(Saying::new("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", Then::Hold));
    let living = Stub::start("living", &ground.pki).await;
    let edge = edge.node(keyless.node()).node(living.node()).start().await.unwrap();
    stubs.push(keyless);

    let links: Vec<String> = stubs.iter().map(|stub| stub.link(&edge)).collect();
    let slow = join_all(links.iter().map(|url| opening(&edge, url)));
    let beside = async {
        for _ in 0..20 {
            let mut session = edge.upgrade(&living.link(&edge)).protocols(&["binary"]).open().await;
            session.send_binary(b"x").await.unwrap();
            session.next_frame().await.unwrap().unwrap();
        }
    };
    let (opened, ()) = tokio::join!(slow, beside);
    for (stub, opened) in stubs.iter().zip(opened) {
        let name = stub.node().name;
        assert!(is_unreachable(&opened), "{name}: {opened:?}");
        assert!(opened.1 >= Duration::from_secs(9) && opened.1 < PATIENCE, "{name}: {opened:?}");
    }

    assert_unharmed(edge.process());
}

#[tokio::test]
async fn an_agent_that_stands_still_for_a_while_loses_no_session_and_no_link() {
    let console = Console::echo().await;
    let stack = stack(&console).edge(|edge| edge.set("agents.connect_timeout", "1s")).start().await;
    let mut session = stack.open(CONSOLE).await;
    echo_through(&mut session, b"before").await;
    let link = stack.mint(Mint::of(CONSOLE).policy("once")).await;

    assert!(stack.agent.process().signal(Signal::SIGSTOP));
    session.send_binary(b"meanwhile").await.unwrap();
    let opened = opening(&stack.edge, &link.url).await;
    assert!(is_unreachable(&opened) && opened.1 < Duration::from_secs(20), "{opened:?}");
    assert!(stack.agent.process().signal(Signal::SIGCONT));

    assert_eq!(session.binary().await, b"meanwhile");
    let mut late = stack.upgrade(&link).open().await;
    echo_through(&mut late, b"after").await;
    assert_unharmed(stack.edge.process());
    assert_unharmed(stack.agent.process());
}
