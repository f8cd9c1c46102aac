//! `porthole-agent`: serves the consoles of one node.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use porthole_agent::admin::{self, Admin, Answers};
use porthole_agent::api::{self, Api, Network};
use porthole_agent::audit::Audit;
use porthole_agent::callers::ApiTokens;
use porthole_agent::config::Config;
use porthole_agent::consoles::Consoles;
use porthole_agent::definitions::{self, Arrivals, Definitions};
use porthole_agent::hook::{self, Calls, Spooled, Steps};
use porthole_agent::hypervisor::Hypervisor;
use porthole_agent::ports::Ports;
use porthole_agent::reconcile;
use porthole_agent::reload::{self, Running};
use porthole_agent::serial::{self, Serial};
use porthole_agent::sessions::{self, Sessions};
use porthole_agent::store::{self, Store};
use porthole_agent::tokens::{Parts, SigningKeys, Tokens};
use porthole_agent::tunnel::{Services, Tunnel};
use porthole_agent::unix::Socket;
use porthole_agent::websocket::Pings;
use porthole_shared::clock::{Clock, SystemClock};
use porthole_shared::descriptors::Descriptors;
use porthole_shared::lifecycle::{Lifecycle, Outcome};
use porthole_shared::reload::Followed;
use porthole_shared::telemetry::{self, Logs};
use porthole_shared::tls::agent_server_config;
use tokio::runtime;

/// Sessions come and go in thousands, and what they leave is to be given back. glibc keeps the holes that their bursts
/// leave between longer-lived neighbours: a session was 15 KiB larger after traffic than before it; here it is not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long sessions and requests get to end when the agent stops.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves the consoles of this node's virtual machines to Porthole's edges.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "PATH", default_value = "/etc/porthole/agent.toml")]
    config: PathBuf,
    /// Read the configuration and the certificates that it names, say whether they are good, and exit.
    #[arg(long)]
    check_config: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        // How many tasks run before the sockets are looked at again: a flooding session's neighbours wait that long.
        .event_interval(8)
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(serve(&arguments))
}

async fn serve(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (config, file) = reload::open(&arguments.config)?;
    if arguments.check_config {
        agent_server_config(&config.tunnel.identity())
            .context("the certificate, key or ca of [tunnel] cannot be used")?;
        Network::check(&config.api, &config.tunnel)
            .context("the certificate, key or client_ca of [api] cannot be used")?;
        writeln!(std::io::stdout(), "{} is good", arguments.config.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    let logs = telemetry::init(config.log)?;
    Ok(match run(config, file, logs).await? {
        Outcome::Drained => ExitCode::SUCCESS,
        Outcome::Aborted => ExitCode::FAILURE,
    })
}

async fn run(config: Config, file: Followed<Config>, logs: Logs) -> anyhow::Result<Outcome> {
    // First, while nothing else has the numbers of these descriptors.
    let descriptors = Arc::new(Descriptors::receive(is_managed()));
    let life = Lifecycle::start()?;
    let (shutdown, clock): (_, Arc<dyn Clock>) = (life.shutdown(), Arc::new(SystemClock));
    let (node, id) = (config.node.name.clone(), config.node.id());

    let store = Store::open(&config.node.state_dir, clock.now()).await?;
    let audit = Audit::open(&config.audit, &config.node.state_dir, Arc::clone(&clock)).await?;
    audit.tell_left_open(store.left_open()).await;
    let longest = config.sessions.longest;
    let keys = SigningKeys::open(&config.node.state_dir, &config.tokens, longest.as_seconds(), clock.now())?;
    let hypervisor = Hypervisor::connect(&config.libvirt, shutdown.hard.clone())?;
    let events = hypervisor.events();
    let ports = Ports::new(config.ports, store.clone(), Arc::clone(&clock));
    let reconcile = reconcile::follow(ports.clone(), hypervisor.clone(), hypervisor.events(), shutdown.clone());
    let definitions = Definitions::new(hypervisor.clone(), ports.clone(), config.consoles);
    let consoles = Consoles::new(hypervisor.clone(), config.external, &config.libvirt.uri);
    let state_dir = &config.node.state_dir;
    let serial =
        Serial::new(&config.serial, state_dir, consoles.clone(), Arc::clone(&clock), descriptors, shutdown.clone());
    drop(tokio::spawn(serial::follow(serial.clone(), hypervisor.events(), shutdown.clone())));
    let tokens = Tokens::new(Parts {
        node: id.clone(),
        config: config.tokens,
        urls: config.urls,
        lengths: (&config.sessions).into(),
        consoles: consoles.clone(),
        keys: keys.clone(),
        store: store.clone(),
        clock: Arc::clone(&clock),
        audit: audit.clone(),
        tasks: life.tasks(),
    });
    let sessions = Sessions::new(&config.sessions);

    let socket = Socket::bind(&config.api.socket, config.api.group.as_deref(), "api")?;
    let hook_socket = Socket::bind(&config.hook.socket(&config.api.socket), None, "hook")?;
    let (network, tunnel) = (Network::bind(&config.api, &config.tunnel)?, Tunnel::bind(&config.tunnel)?);
    let admin = Admin::bind(&config.admin).await?;
    let pings = Pings::from(&config.sessions);
    let services = Services {
        consoles: consoles.clone(),
        tokens: tokens.clone(),
        sessions: sessions.clone(),
        audit: audit.clone(),
        serial: serial.clone(),
        pings,
    };
    tracing::info!(%node, %id, version = env!("CARGO_PKG_VERSION"), tunnel = ?tunnel.addresses()?,
        api = ?network.addresses()?, admin = %admin.address()?, "ready to serve");
    let trust = tunnel.trust().clone();
    let answers = Answers::new(admin::Parts {
        shutdown: shutdown.clone(),
        consoles: consoles.clone(),
        store: store.clone(),
        tokens: tokens.clone(),
        sessions: sessions.clone(),
        tunnel: tunnel.instruments().clone(),
        trust: trust.clone(),
        reloads: file.report(),
        clock: Arc::clone(&clock),
    });
    let running = Running {
        tokens: tokens.clone(),
        sessions: sessions.clone(),
        consoles: consoles.clone(),
        trust: trust.clone(),
        logs,
    };
    life.spawn(file.follow(life.reloads(), shutdown.clone(), move |config| running.apply(config)));
    let (calls, arrivals) = (Calls::default(), Arrivals::new(store.clone(), Arc::clone(&clock)));
    let steps = Steps::new(hook::Parts {
        definitions: definitions.clone(),
        arrivals: arrivals.clone(),
        calls: calls.clone(),
        ports: ports.clone(),
        tokens: tokens.clone(),
        taken_port: config.hook.taken_port,
        clock: Arc::clone(&clock),
        tasks: life.tasks(),
        shutdown: shutdown.clone(),
    });
    life.spawn(definitions::follow(
        arrivals,
        definitions.clone(),
        hypervisor.clone(),
        hypervisor.events(),
        shutdown.clone(),
    ));
    let api = Api::new(api::Parts {
        config: config.api,
        node,
        id,
        trust,
        consoles,
        tokens: tokens.clone(),
        sessions: sessions.clone(),
        serial,
        pings,
        ports,
        definitions,
        hook: calls,
        api_tokens: ApiTokens::new(store.clone(), Arc::clone(&clock)),
        feed: sessions.feed().clone(),
        audit: audit.clone(),
        clock: Arc::clone(&clock),
    });

    drop(tokio::spawn(admin.run(answers, shutdown.clone())));
    life.spawn_server("api", api::run(socket, network, api, shutdown.clone()));
    life.spawn_server("hook", hook::serve(hook_socket, steps, Spooled::at(config.hook.spool), shutdown.clone()));
    life.spawn_server("tunnel", tunnel.run(services, shutdown.clone()));
    life.spawn(keys.rotate_by_age(store.clone(), Arc::clone(&clock), shutdown.clone()));
    life.spawn(reconcile);
    life.spawn(store::sweep_now_and_then(store.clone(), clock, shutdown.clone()));
    let follow = sessions::follow(sessions.clone(), tokens, hypervisor, events, shutdown.clone());
    drop(tokio::spawn(follow));
    life.spawn(sessions::end_when_stopping(sessions, shutdown));
    life.ready("serving consoles");

    let outcome = life.finish(DRAIN).await;
    // In this order: what ends at the last moment is told of once its row is written.
    store.close().await;
    audit.close().await;
    tracing::info!(?outcome, "stopped");
    Ok(outcome)
}

/// Whether a service manager listens to this process.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
fn is_managed() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}
