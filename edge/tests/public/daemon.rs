//! The daemon itself: its options, its life, its logs.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::support::{Client, Ground, Setup, upgrade, within};

const DAEMON: &str = env!("CARGO_BIN_EXE_porthole-edge");

async fn run(options: &[&str], config: &Path) -> Output {
    within(Command::new(DAEMON).args(options).arg("--config").arg(config).kill_on_drop(true).output()).await.unwrap()
}

/// A running daemon, and what it logged.
struct Daemon {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    log: String,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Daemon {
    async fn start(ground: &Ground) -> Self {
        let mut command = Command::new(DAEMON);
        command.arg("--config").arg(ground.config()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = String::new();
        loop {
            let line = within(lines.next_line()).await.unwrap().unwrap_or_else(|| panic!("it ended: {log}"));
            log.push_str(&line);
            log.push('\n');
            if line.contains("edge starts") {
                let fields: serde_json::Value = serde_json::from_str(&line).unwrap();
                let address = |name: &str| fields[name].as_str().unwrap().trim_matches(['[', ']']).parse().unwrap();
                let (public, admin) = (address("public"), address("admin"));
                return Self { child, lines, log, public, admin };
            }
        }
    }

    async fn admin(&self, path: &str) -> (u16, String) {
        let mut client = Client::plain(self.admin).await;
        let answer = client.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        (answer.status, client.body(&answer).await)
    }

    async fn terminate(&self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(within(Command::new("kill").args(["-TERM", &pid]).status()).await.unwrap().success());
    }

    /// Its exit code and everything that it logged.
    async fn end(mut self) -> (Option<i32>, String) {
        while let Some(line) = within(self.lines.next_line()).await.unwrap() {
            self.log.push_str(&line);
            self.log.push('\n');
        }
        (within(self.child.wait()).await.unwrap().code(), self.log)
    }
}

#[tokio::test]
async fn a_session_lives_through_the_drain_and_the_log_tells_of_it_without_secrets() {
    let ground = Ground::lay(&Setup::default()).await;
    let daemon = Daemon::start(&ground).await;
    assert_eq!(daemon.admin("/healthz").await, (200, "alive\n".to_owned()));
    assert_eq!(daemon.admin("/readyz").await, (200, "ready\n".to_owned()));

    let (good, bad) = (ground.agent.token(), ground.agent.token_from(porthole_shared::clock::UnixTime(0)));
    let binding = format!("{}A", "B".repeat(42));
    let more = format!("Sec-WebSocket-Protocol: porthole.bind.{binding}\r\nCookie: token=cookie.to.ken\r\n");
    let mut refused = Client::tls(daemon.public, ground.dir()).await;
    assert_eq!(refused.ask(&upgrade(&format!("/?token={}", bad.expose()), &more)).await.status, 401);
    let mut client = Client::tls(daemon.public, ground.dir()).await;
    assert_eq!(client.ask(&upgrade(&format!("/?token={}", good.expose()), &more)).await.status, 101);
    assert_eq!(client.exactly(5).await, b"hello");

    daemon.terminate().await;
    assert_eq!(client.exactly(3).await, b"bye");
    let (status, text) = daemon.admin("/readyz").await;
    assert_eq!((status, &*text), (503, "draining\n"));
    assert_eq!(daemon.admin("/healthz").await.0, 200);
    client.finish().await;

    let (code, log) = daemon.end().await;
    assert_eq!(code, Some(0), "{log}");
    for expected in ["session begins", "session ends", "\"reason\":\"expired\"", "nothing is left running"] {
        assert!(log.contains(expected), "{expected} is not in the log:\n{log}");
    }
    for secret in [good.expose(), bad.expose(), &binding, "cookie.to.ken", "token="] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

#[tokio::test]
async fn a_good_configuration_is_called_so_and_a_bad_one_explained() {
    let ground = Ground::lay(&Setup::default()).await;
    let good = run(&["--check-config"], &ground.config()).await;
    assert!(good.status.success() && String::from_utf8_lossy(&good.stdout).contains("is good"), "{good:?}");

    let text = std::fs::read_to_string(ground.config()).unwrap();
    for (from, to, expected) in [
        ("[public]", "[public]\nweb_root = \"/nonexistent\"", "/nonexistent"),
        ("[public]", "[public]\nbehind_load_balancer = true", "exactly one of"),
        ("ca.pem", "none.pem", "none.pem"),
        ("[edge]", "[egde]", "egde"),
    ] {
        std::fs::write(ground.config(), text.replace(from, to)).unwrap();
        for options in [&["--check-config"][..], &[]] {
            let bad = run(options, &ground.config()).await;
            let said = String::from_utf8_lossy(&bad.stderr).into_owned();
            assert!(!bad.status.success() && said.contains(expected), "{to}: {said}");
        }
    }
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let ground = Ground::lay(&Setup::default()).await;
    let first = Daemon::start(&ground).await;
    let text = std::fs::read_to_string(ground.config()).unwrap();
    let taken = first.public.to_string();
    std::fs::write(ground.config(), text.replacen("127.0.0.1:0", &taken, 1)).unwrap();
    let second = run(&[], &ground.config()).await;
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(1) && said.contains(&taken), "{said}");
}

#[tokio::test]
async fn its_help_and_its_version_are_there() {
    let help = within(Command::new(DAEMON).arg("--help").output()).await.unwrap();
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(text.contains("--check-config") && text.contains("/etc/porthole/edge.toml"), "{text}");
    let version = within(Command::new(DAEMON).arg("--version").output()).await.unwrap();
    assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let ground = Ground::lay(&Setup::default()).await;
    let daemon = Daemon::start(&ground).await;
    let mut client = Client::tls(daemon.public, ground.dir()).await;
    let target = format!("/?token={}", ground.agent.token().expose());
    assert_eq!(client.ask(&upgrade(&target, "")).await.status, 101);
    daemon.terminate().await;
    // The agent has closed; this client keeps its side open.
    assert_eq!(client.exactly(8).await, b"hellobye");
    daemon.terminate().await;
    let (code, log) = daemon.end().await;
    assert!(code == Some(0) && log.contains("\"end\":\"Stopped\""), "{log}");
}

#[tokio::test]
async fn a_new_certificate_is_served_without_a_restart_and_without_losing_a_session() {
    let ground = Ground::lay(&Setup::default()).await;
    let mut daemon = Daemon::start(&ground).await;
    let mut client = Client::tls(daemon.public, ground.dir()).await;
    let target = format!("/?token={}", ground.agent.token().expose());
    assert_eq!(client.ask(&upgrade(&target, "")).await.status, 101);
    assert_eq!(client.exactly(5).await, b"hello");

    let made = rcgen::generate_simple_self_signed(["edge.example".to_owned()]).unwrap();
    std::fs::write(ground.dir().join("public.pem"), made.cert.pem()).unwrap();
    std::fs::write(ground.dir().join("public.key"), made.signing_key.serialize_pem()).unwrap();
    let trusting = tempfile::tempdir().unwrap();
    std::fs::write(trusting.path().join("ca.pem"), made.cert.pem()).unwrap();
    // The first reading is that of the start.
    for _ in 0..2 {
        while !within(daemon.lines.next_line()).await.unwrap().unwrap().contains("public certificate read") {}
    }
    let mut other = Client::tls(daemon.public, trusting.path()).await;
    assert_eq!(other.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 404);
    client.send("there").await;
    assert_eq!(client.exactly(5).await, b"there");
}
