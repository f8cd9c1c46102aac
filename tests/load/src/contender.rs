//! Who stands between the two ends: started on a processor of its own, two ways in, one to each lane's far end.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_shared::clock::{Clock as _, SystemClock};
use porthole_shared::names::{ConsoleKind, NodeId, TokenId};
use porthole_shared::token::{Claims, SigningKey, Token};
use porthole_tests::agent::{Agent, Mint};
use porthole_tests::edge::{Edge, Node};
use porthole_tests::pki::{Files, Pki};
use porthole_tests::places;
use porthole_tests::ports::free_port;
use porthole_tests::process::{Lifetime, Process};
use porthole_tests::wait::try_eventually;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::client::{Asking, Client};
use crate::floor::Floor;
use crate::identity::{Identity, joined, rsa, trusting};
use crate::lane::Lane;

/// What starts a contender on its processor.
const PINNED: [&str; 3] = ["taskset", "--cpu-list", "0"];

/// More than any measurement opens.
const MANY: i64 = 20_000;

/// Nodes of the two stand-ins.
const NODES: [&str; 2] = ["stand-in-1", "stand-in-2"];

/// What kind of key the public certificate has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// P-256.
    Ecdsa,
    /// 2048 bits.
    Rsa,
}

/// What a contender leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Far {
    /// The agents' stand-ins: frames go through as they are.
    Tunnel,
    /// The consoles: frames end here.
    Console,
}

/// One who is compared.
#[derive(Debug)]
pub struct Contender {
    /// In the table.
    pub name: &'static str,
    /// What it leads to.
    pub far: Far,
    /// Its processes.
    pub pids: Vec<i32>,
    /// A way in for each lane.
    pub clients: [Client; 2],
}

/// All of them, the two ends and their files. Dropped, everything ends.
#[derive(Debug)]
pub struct Rig {
    /// Both ends: the first moves much, the second is quick.
    pub lanes: [Lane; 2],
    /// With public certificates of ECDSA keys.
    pub contenders: Vec<Contender>,
    /// With RSA keys; only those who end a browser's TLS.
    pub rsa: Vec<Contender>,
    _edges: Vec<Edge>,
    _agent: Agent,
    _processes: Vec<Process>,
    _directory: TempDir,
}

/// What all of them are made from.
struct Ground {
    directory: TempDir,
    pki: Pki,
    key: SigningKey,
    lanes: [Lane; 2],
    /// Everyone's certificate towards the stand-ins.
    internal: Files,
    processes: Vec<Process>,
}

impl Rig {
    /// Starts everybody.
    pub async fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("ph-load-").tempdir_in("/tmp")?;
        let pki = Pki::open(&directory.path().join("pki")).await?;
        let key = SigningKey::generate()?.0;
        let mut servers = Vec::new();
        for node in NODES {
            let files = pki.agent(node).await?;
            servers.push(Arc::new(Identity::load(&files)?.server(Some(&files.ca))?));
        }
        let lanes = [
            Lane::start(false, Arc::clone(&servers[0]), &key).await?,
            Lane::start(true, Arc::clone(&servers[1]), &key).await?,
        ];
        let internal = pki.edge("edge-1").await?;
        let mut ground = Ground { directory, pki, key, lanes, internal, processes: Vec::new() };

        let agent = ground.agent().await?;
        let mut links = Vec::new();
        for console in NODES {
            let mint = Mint::of(console).kind("tcp").policy("reusable").ttl(3600);
            links.push(Token::parse(&agent.mint(mint).await.token)?);
        }
        let (mut edges, mut ecdsa, mut with_rsa) = (Vec::new(), Vec::new(), Vec::new());
        for kind in [Key::Ecdsa, Key::Rsa] {
            let public = match kind {
                Key::Ecdsa => ground.pki.public().await?,
                Key::Rsa => rsa(&ground.path().join("rsa"))?,
            };
            let to = if kind == Key::Ecdsa { &mut ecdsa } else { &mut with_rsa };
            let edge = ground.edge(kind, &public, &agent).await?;
            let tokens = [ground.token(0)?, ground.token(1)?];
            to.push(Ground::through_edge("porthole-edge", Far::Tunnel, &edge, &public, &tokens, &[])?);
            if kind == Key::Ecdsa {
                let (name, pid) = ("edge + agent", agent.process().pid());
                let tokens = [links[0].clone(), links[1].clone()];
                to.push(Ground::through_edge(name, Far::Console, &edge, &public, &tokens, &[pid])?);
            }
            edges.push(edge);
            to.push(ground.haproxy(kind, &public).await?);
            to.push(ground.nginx(kind, &public).await?);
            to.push(ground.floor("floor: TLS relay", Some(&public)).await?);
        }
        ecdsa.push(ground.floor("floor: TCP relay", None).await?);
        ecdsa.push(ground.agent_alone(&agent, &links)?);
        ecdsa.push(ground.websockify().await?);
        ecdsa.push(ground.direct(Far::Tunnel)?);
        ecdsa.push(ground.direct(Far::Console)?);
        let Ground { directory, lanes, processes, .. } = ground;
        Ok(Self {
            lanes,
            contenders: ecdsa,
            rsa: with_rsa,
            _edges: edges,
            _agent: agent,
            _processes: processes,
            _directory: directory,
        })
    }

    /// The one of this name, and if need be with this kind of key.
    pub fn contender(&self, name: &str, key: Key) -> Result<&Contender> {
        let among = if key == Key::Ecdsa { &self.contenders } else { &self.rsa };
        among.iter().find(|contender| contender.name == name).with_context(|| format!("nobody is called {name}"))
    }
}

impl Ground {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    async fn agent(&self) -> Result<Agent> {
        let mut agent = Agent::builder(&self.path().join("agent"), "compute-1", &self.pki).await?;
        for (name, lane) in NODES.iter().zip(&self.lanes) {
            agent = agent.external(Uuid::new_v4(), name, "tcp", lane.console.address());
        }
        let agent = agent.set("log.level", "info").set("sessions.max", MANY).set("sessions.max_per_console", MANY);
        agent.url("tcp", "https://localhost/console").under(PINNED).start().await
    }

    async fn edge(&self, key: Key, public: &Files, agent: &Agent) -> Result<Edge> {
        let directory = self.path().join(format!("edge-{key:?}"));
        let mut edge = Edge::builder(&directory, "edge-1", &self.pki).await?.node(agent);
        for (name, lane) in NODES.iter().zip(&self.lanes) {
            edge = edge.node(Node::new(name, lane.tunnel.address()));
        }
        edge.set("log.level", "info")
            .set("public.tls.certificate", text(&public.certificate))
            .set("public.tls.key", text(&public.key))
            .set("public.max_connections", MANY)
            .set("public.max_connections_per_address", MANY)
            .under(PINNED)
            .start()
            .await
    }

    fn token(&self, lane: usize) -> Result<Token> {
        let now = SystemClock.now();
        let claims = Claims {
            node: NodeId::derived_from(&NODES[lane].parse()?),
            kind: ConsoleKind::Tcp,
            jti: TokenId::random(),
            iat: now,
            redeem_by: now.plus(6 * 3600),
            exp: now.plus(7 * 3600),
        };
        Ok(self.key.sign(&claims)?)
    }

    fn through_edge(
        name: &'static str,
        far: Far,
        edge: &Edge,
        public: &Files,
        tokens: &[Token; 2],
        others: &[i32],
    ) -> Result<Contender> {
        let client = |token: &Token| {
            let asking = Asking::Edge(token.clone());
            anyhow::Ok(Client { address: edge.address(), tls: Some(browser(public)?), asking })
        };
        let pids = [&[edge.process().pid()], others].concat();
        Ok(Contender { name, far, pids, clients: [client(&tokens[0])?, client(&tokens[1])?] })
    }

    fn agent_alone(&self, agent: &Agent, links: &[Token]) -> Result<Contender> {
        let config = Arc::new(trusting(&self.internal.ca, Some(&self.internal))?);
        let client = |link: &Token| {
            let tls = Some((Arc::clone(&config), ServerName::from(agent.tunnel().ip())));
            Client { address: agent.tunnel(), tls, asking: Asking::Agent(link.clone()) }
        };
        let (name, far, pids) = ("porthole-agent", Far::Console, vec![agent.process().pid()]);
        Ok(Contender { name, far, pids, clients: [client(&links[0]), client(&links[1])] })
    }

    /// Nobody between the ends.
    fn direct(&self, far: Far) -> Result<Contender> {
        let config = Arc::new(trusting(&self.internal.ca, Some(&self.internal))?);
        let client = |lane: &Lane| match far {
            Far::Tunnel => {
                let address = lane.tunnel.address();
                let tls = Some((Arc::clone(&config), ServerName::from(address.ip())));
                Client { address, tls, asking: Asking::Plainly }
            }
            Far::Console => Client { address: lane.console.address(), tls: None, asking: Asking::Nothing },
        };
        let name = if far == Far::Tunnel { "none: TLS" } else { "none: TCP" };
        Ok(Contender { name, far, pids: vec![], clients: [client(&self.lanes[0]), client(&self.lanes[1])] })
    }

    async fn haproxy(&mut self, key: Key, public: &Files) -> Result<Contender> {
        let mut config = String::from(
            "global\n nbthread 1\n maxconn 9000\n\
             defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n",
        );
        let ports = [free_port(), free_port()];
        for (lane, port) in self.lanes.iter().zip(ports) {
            let _ = write!(
                config,
                "listen at{port}\n bind 127.0.0.1:{port} ssl crt {}\n \
                 server far {} ssl verify required ca-file {} crt {}\n",
                joined(public)?.display(),
                lane.tunnel.address(),
                self.internal.ca.display(),
                joined(&self.internal)?.display(),
            );
        }
        let file = self.path().join(format!("haproxy-{key:?}.cfg"));
        std::fs::write(&file, config)?;
        let pid = self.spawn("haproxy", &["haproxy", "-q", "-f", &text(&file)], ports).await?;
        proxied("haproxy", pid, ports, Some(public))
    }

    async fn nginx(&mut self, key: Key, public: &Files) -> Result<Contender> {
        let directory = self.path().join(format!("nginx-{key:?}"));
        std::fs::create_dir(&directory)?;
        let ports = [free_port(), free_port()];
        let mut servers = String::new();
        for (lane, port) in self.lanes.iter().zip(ports) {
            // Its check of the far end's name cannot be by address, and is left out.
            let _ = writeln!(
                servers,
                "server {{ listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.3; ssl_certificate {}; \
                 ssl_certificate_key {}; proxy_pass {}; proxy_timeout 1h; proxy_ssl on; proxy_ssl_protocols TLSv1.3; \
                 proxy_ssl_certificate {}; proxy_ssl_certificate_key {}; }}",
                public.certificate.display(),
                public.key.display(),
                lane.tunnel.address(),
                self.internal.certificate.display(),
                self.internal.key.display(),
            );
        }
        let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
        let at = directory.display();
        let config = format!(
            "load_module {module};\nuser root;\ndaemon off;\nmaster_process off;\nworker_processes 1;\npid {at}/pid;\n\
             error_log {at}/error.log;\nevents {{ worker_connections 20000; }}\nstream {{\n{servers}}}\n"
        );
        let file = directory.join("nginx.conf");
        std::fs::write(&file, config)?;
        let pid = self.spawn("nginx", &["nginx", "-p", &text(&directory), "-c", &text(&file)], ports).await?;
        proxied("nginx", pid, ports, Some(public))
    }

    async fn floor(&mut self, name: &'static str, public: Option<&Files>) -> Result<Contender> {
        let bench = text(&std::env::current_exe()?);
        let (mut pids, ports) = (vec![], [free_port(), free_port()]);
        for (lane, port) in ports.into_iter().enumerate() {
            let to = match public {
                Some(_) => self.lanes[lane].tunnel.address(),
                None => self.lanes[lane].console.address(),
            };
            let tls = public.map(|public| (public.clone(), self.internal.clone()));
            let arguments = Floor { listen: local(port), to, tls }.arguments();
            let command: Vec<&str> = [bench.as_str()].into_iter().chain(arguments.iter().map(String::as_str)).collect();
            pids.push(self.spawn("floor", &command, [port]).await?);
        }
        let mut floor = proxied(name, 0, ports, public)?;
        floor.pids = pids;
        if public.is_none() {
            floor.far = Far::Console;
            for client in &mut floor.clients {
                client.asking = Asking::Nothing;
            }
        }
        Ok(floor)
    }

    async fn websockify(&mut self) -> Result<Contender> {
        let program = places::workspace().join("target/porthole-tests/peers/bin/websockify");
        ensure!(program.is_file(), "{} is missing: `make bench` installs it", program.display());
        let public = self.pki.public().await?;
        let (mut pids, ports) = (vec![], [free_port(), free_port()]);
        for (port, lane) in ports.into_iter().zip([0, 1]) {
            let far = self.lanes[lane].console.address().to_string();
            let (certificate, key) = (text(&public.certificate), text(&public.key));
            let command =
                [&text(&program), "--cert", &certificate, "--key", &key, "--ssl-only", &local(port).to_string(), &far];
            pids.push(self.spawn("websockify", &command, [port]).await?);
        }
        let mut websockify = proxied("websockify", 0, ports, Some(&public))?;
        (websockify.pids, websockify.far) = (pids, Far::Console);
        Ok(websockify)
    }

    /// Starts a program on the contenders' processor, and waits until it listens.
    async fn spawn(&mut self, name: &str, command: &[&str], ports: impl IntoIterator<Item = u16>) -> Result<i32> {
        let mut pinned = Command::new(PINNED[0]);
        pinned.args(&PINNED[1..]).args(command);
        let log = self.path().join(format!("{name}.log"));
        let process = Process::spawn(name, &pinned, &log, Lifetime::Attached, Stdio::null())?;
        for port in ports {
            let listens = try_eventually(Duration::from_secs(20), async || {
                let connected = TcpStream::connect(local(port)).await.is_ok();
                (connected || !process.is_running()).then_some(connected)
            });
            ensure!(listens.await == Some(true), "{name} does not listen; it said:\n{}", process.log());
        }
        let pid = process.pid();
        self.processes.push(process);
        Ok(pid)
    }
}

fn proxied(name: &'static str, pid: i32, ports: [u16; 2], public: Option<&Files>) -> Result<Contender> {
    let client = |port| {
        let tls = public.map(browser).transpose()?;
        anyhow::Ok(Client { address: local(port), tls, asking: Asking::Plainly })
    };
    Ok(Contender { name, far: Far::Tunnel, pids: vec![pid], clients: [client(ports[0])?, client(ports[1])?] })
}

/// What a browser's side of TLS is here: it trusts this certificate, and does not resume sessions.
fn browser(public: &Files) -> Result<(Arc<ClientConfig>, ServerName<'static>)> {
    let mut config = trusting(&public.ca, None)?;
    config.resumption = Resumption::disabled();
    Ok((Arc::new(config), ServerName::try_from("localhost")?))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
