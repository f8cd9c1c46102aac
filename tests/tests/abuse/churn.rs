//! Thirty thousand connections that come to nothing leave nothing behind.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use porthole_tests::agent::{Agent, Mint};
use porthole_tests::edge::Edge;
use porthole_tests::process::Process;
use porthole_tests::wait::{PATIENCE, eventually, try_eventually};
use porthole_tests::ws::Upgrade;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::support::console::Console;
use super::support::raw::{Raw, Tls, tcp};
use super::support::reply::replies;
use super::support::{assert_serves, assert_unharmed, stack};

const WARM_UP: usize = 2_000;
const CONNECTIONS: usize = 30_000;
const AT_ONCE: usize = 32;

/// What a process may have grown by afterwards: what the allocator does not give back, not what a connection takes.
const MAY_GROW: u64 = 4 << 20;

/// The same of the agent. Besides there is SQLite's cache, which fills while there is more in the database than in it
/// (under 4 MiB in all), and what the allocator keeps for more threads than an edge has.
const AGENT_MAY_GROW: u64 = MAY_GROW + (6 << 20);

/// The agent's readers of its database: a request that is given up takes its reader with it, and the next one opens
/// another. Each is a thread and two descriptors.
const READERS: usize = 4;

/// How a connection comes to nothing.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Connected and closed.
    Tcp(Target),
    /// Connected and reset.
    Reset(Target),
    /// A few bytes of TLS.
    HalfHello(Target),
    /// TLS, then nothing.
    TlsOnly,
    /// Half a request.
    HalfHead,
    /// An upgrade that the edge refuses.
    Refused,
    /// The same over TLS.
    RefusedOverTls,
    /// An upgrade that the agent refuses.
    Used,
    /// A good one, left before its answer.
    AfterTheHead,
    /// A good one, left as soon as it is open.
    AfterTheUpgrade,
    /// The same over TLS.
    AfterTheUpgradeOverTls,
    /// A good one, reset while bytes are under way.
    InTheMiddle,
    /// A good one, half-closed.
    HalfClosed,
    /// A good one, closed as it should be.
    Orderly,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Public,
    Plain,
    Tunnel,
}

impl Way {
    const fn is_opened(self) -> bool {
        match self {
            Self::AfterTheUpgrade
            | Self::AfterTheUpgradeOverTls
            | Self::InTheMiddle
            | Self::HalfClosed
            | Self::Orderly => true,
            Self::Tcp(_)
            | Self::Reset(_)
            | Self::HalfHello(_)
            | Self::TlsOnly
            | Self::HalfHead
            | Self::Refused
            | Self::RefusedOverTls
            | Self::Used
            | Self::AfterTheHead => false,
        }
    }
}

/// Of a hundred.
const MIX: [(Way, usize); 19] = [
    (Way::Tcp(Target::Public), 15),
    (Way::Tcp(Target::Plain), 3),
    (Way::Tcp(Target::Tunnel), 6),
    (Way::Reset(Target::Public), 3),
    (Way::Reset(Target::Plain), 2),
    (Way::Reset(Target::Tunnel), 2),
    (Way::HalfHello(Target::Public), 2),
    (Way::HalfHello(Target::Tunnel), 2),
    (Way::TlsOnly, 8),
    (Way::HalfHead, 5),
    (Way::Refused, 8),
    (Way::RefusedOverTls, 4),
    (Way::Used, 8),
    (Way::AfterTheHead, 8),
    (Way::AfterTheUpgrade, 9),
    (Way::AfterTheUpgradeOverTls, 4),
    (Way::InTheMiddle, 7),
    (Way::HalfClosed, 1),
    (Way::Orderly, 3),
];

/// What all of them need.
#[derive(Clone)]
struct Crowd {
    public: SocketAddr,
    plain: SocketAddr,
    tunnel: SocketAddr,
    tls: Tls,
    good: Vec<u8>,
    good_over_tls: Vec<u8>,
    forged: Vec<u8>,
    forged_over_tls: Vec<u8>,
    used: Vec<u8>,
}

impl Crowd {
    fn address(&self, target: Target) -> SocketAddr {
        match target {
            Target::Public => self.public,
            Target::Plain => self.plain,
            Target::Tunnel => self.tunnel,
        }
    }

    async fn go(&self, way: Way) {
        match way {
            Way::Tcp(target) => drop(tcp(self.address(target)).await),
            Way::Reset(target) => reset(tcp(self.address(target)).await),
            Way::HalfHello(target) => {
                Raw::plain(self.address(target)).await.send(b"\x16\x03\x01\x02\x00\x01\x00").await;
            }
            Way::TlsOnly => drop(self.tls.connect(self.public).await.unwrap()),
            Way::HalfHead => Raw::plain(self.plain).await.send(b"GET /console?token=").await,
            Way::Refused => {
                let reply = Raw::plain(self.plain).await.ask(&self.forged).await;
                assert_eq!(reply[0].refusal(), (401, "bad_signature"));
            }
            Way::RefusedOverTls => {
                let came = self.tls.connect(self.public).await.unwrap().exchange(&self.forged_over_tls).await;
                assert_eq!(replies(&came)[0].refusal(), (401, "bad_signature"));
            }
            Way::Used => {
                let reply = Raw::plain(self.plain).await.ask(&self.used).await;
                assert_eq!(reply[0].refusal(), (403, "used"));
            }
            Way::AfterTheHead => Raw::plain(self.plain).await.send(&self.good).await,
            Way::AfterTheUpgrade => drop(opened(Raw::plain(self.plain).await, &self.good).await),
            Way::AfterTheUpgradeOverTls => {
                drop(opened(self.tls.connect(self.public).await.unwrap(), &self.good_over_tls).await);
            }
            Way::InTheMiddle => {
                let mut stream = tcp(self.plain).await;
                stream.write_all(&self.good).await.unwrap();
                let mut one = [0];
                tokio::io::AsyncReadExt::read_exact(&mut stream, &mut one).await.unwrap();
                let _any = stream.write_all(&[0x82; 4096]).await;
                reset(stream);
            }
            Way::HalfClosed => {
                let mut client = opened(Raw::plain(self.plain).await, &self.good).await;
                client.0.shutdown().await.unwrap();
                client.rest().await;
            }
            Way::Orderly => {
                let mut client = opened(Raw::plain(self.plain).await, &self.good).await;
                // An empty close frame, masked with nothing.
                client.send(&[0x88, 0x80, 0, 0, 0, 0]).await;
                let last = client.rest().await;
                assert_eq!(last.first(), Some(&0x88), "{last:?}");
            }
        }
    }

    /// So many, one after the other from this one on, a few at a time.
    async fn come(&self, count: usize) {
        let ways: Vec<Way> = MIX.iter().flat_map(|(way, share)| std::iter::repeat_n(*way, *share)).collect();
        assert_eq!(ways.len(), 100);
        stream::iter(0..count)
            .map(|number| {
                // 37 and 100 have no common divisor: each way comes as often as it should, and no two rows are alike.
                let (way, crowd) = (ways[number * 37 % 100], self.clone());
                tokio::spawn(async move {
                    let going = tokio::time::timeout(2 * PATIENCE, crowd.go(way));
                    assert!(going.await.is_ok(), "{way:?} does not end");
                })
            })
            .buffer_unordered(AT_ONCE)
            .for_each(|ended| async { ended.unwrap() })
            .await;
    }
}

async fn opened(mut connection: Raw, request: &[u8]) -> Raw {
    connection.send(request).await;
    let head = connection.head().await;
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    connection
}

fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Level {
    descriptors: usize,
    threads: usize,
    memory: u64,
}

impl Level {
    fn of(process: &Process) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
        let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap().trim();
        let (descriptors, memory) = (process.open_descriptors(), process.resident_memory());
        Self { descriptors, threads: threads.parse().unwrap(), memory }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} descriptors, {} threads, {} KiB", self.descriptors, self.threads, self.memory >> 10)
    }
}

async fn no_sessions(agent: &Agent) {
    eventually(PATIENCE, "the last session's end", async || agent.sessions().await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_thousand_connections_leave_nothing_behind() {
    let console = Console::echo().await;
    let stack = stack(&console)
        .agent(|agent| agent.set("log.level", "info").set("sessions.max_per_console", 1000))
        .edge(|edge| edge.set("log.level", "info").set("public.head_timeout", "5s"))
        .start()
        .await;
    let plain = Edge::builder(&stack.directory().join("plain"), "edge-2", &stack.pki).await.unwrap();
    let plain = plain.plain_http().set("log.level", "info").set("public.head_timeout", "5s").node(&stack.agent);
    let plain = plain.start().await.unwrap();

    let good = stack.mint(Mint::of(super::support::CONSOLE).policy("reusable")).await;
    let used = stack.mint(Mint::of(super::support::CONSOLE).policy("once")).await;
    stack.upgrade(&used).open().await.close().await;
    let head = |edge: &Edge, token: &str| {
        Upgrade::to(&format!("{}/console?token={token}", edge.url())).protocols(&["binary"]).head()
    };
    let forged = format!("{}.{}", good.token.rsplit_once('.').unwrap().0, "A".repeat(86));
    let crowd = Crowd {
        public: stack.edge.address(),
        plain: plain.address(),
        tunnel: stack.agent.tunnel(),
        tls: Tls::trusting(stack.edge.ca(), "localhost"),
        good: head(&plain, &good.token),
        good_over_tls: head(&stack.edge, &good.token),
        forged: head(&plain, &forged),
        forged_over_tls: head(&stack.edge, &forged),
        used: head(&plain, &used.token),
    };

    let processes = [
        ("agent", stack.agent.process(), READERS, AGENT_MAY_GROW),
        ("edge", stack.edge.process(), 0, MAY_GROW),
        ("plain edge", plain.process(), 0, MAY_GROW),
    ];
    let at_rest = processes.map(|(_, process, ..)| Level::of(process).descriptors);
    crowd.come(WARM_UP).await;
    no_sessions(&stack.agent).await;
    for ((name, process, readers, _), at_rest) in processes.iter().zip(at_rest) {
        eventually(PATIENCE, format!("the {name} to close what it opened"), async || {
            Level::of(process).descriptors <= at_rest + 2 * readers
        })
        .await;
    }
    let before = processes.map(|(_, process, ..)| Level::of(process));

    let start = Instant::now();
    crowd.come(CONNECTIONS).await;
    println!("{CONNECTIONS} connections in {:?}", start.elapsed());
    // Those that were open at some time have reached the console; the others need not have.
    let open = MIX.iter().filter(|(way, _)| way.is_opened()).map(|(_, share)| share).sum::<usize>();
    assert!(console.connections_ever() >= (WARM_UP + CONNECTIONS) / 100 * open, "{}", console.connections_ever());
    assert!(start.elapsed() < Duration::from_secs(150));

    no_sessions(&stack.agent).await;
    for ((name, process, readers, may_grow), before) in processes.iter().zip(before) {
        let settled = try_eventually(PATIENCE, async || {
            let now = Level::of(process);
            let settled =
                now.descriptors <= before.descriptors + 2 * readers && now.threads <= before.threads + readers;
            settled.then_some(now)
        });
        let Some(after) = settled.await else { panic!("the {name} had {before}, and now has {}", Level::of(process)) };
        println!("the {name} had {before}, and now has {after}");
        assert!(after.memory < before.memory + may_grow, "the {name} had {before}, and now has {after}");
    }
    eventually(PATIENCE, "the console to be left alone", async || console.connections() == 0).await;
    assert_unharmed(plain.process());
    assert_serves(&stack).await;
}
