//! `porthole-edge`: the daemon on the public network.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use porthole_edge::config::Config;
use porthole_edge::reload::{self, Running};
use porthole_edge::serve::listen::Listeners;
use porthole_edge::serve::site::Site;
use porthole_edge::serve::{self, admin};
use porthole_shared::lifecycle::{Lifecycle, Outcome};
use porthole_shared::reload::Followed;
use porthole_shared::telemetry::{self, Logs};
use tokio::runtime;

/// Sessions come and go in thousands, and what they leave is to be given back. glibc keeps the holes that their bursts
/// leave between longer-lived neighbours: a session was 15 KiB larger after traffic than before it; here it is not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Porthole's public edge: ends TLS, admits by token, serves the pages, relays bytes.
#[derive(Debug, Parser)]
#[command(name = "porthole-edge", version)]
struct Options {
    /// The configuration file.
    #[arg(long, value_name = "PATH", default_value = "/etc/porthole/edge.toml")]
    config: PathBuf,
    /// Read the configuration and every file that it names, say whether they are good, and exit.
    #[arg(long)]
    check_config: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let (config, file) = reload::open(&options.config)?;
    if options.check_config {
        Site::build(&config, <_>::default(), <_>::default())?;
        writeln!(std::io::stdout(), "{} is good", options.config.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    let logs = telemetry::init(config.log)?;
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        // How many tasks run before the sockets are looked at again: a flooding session's neighbours wait that long.
        .event_interval(8)
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(run(&config, file, logs))
}

async fn run(config: &Config, file: Followed<Config>, logs: Logs) -> anyhow::Result<ExitCode> {
    let life = Lifecycle::start().context("signals cannot be handled")?;
    let site = Arc::new(Site::build(config, life.tasks(), life.shutdown())?);
    let public = Listeners::bind(&config.public.listen)?;
    let admin = Listeners::bind(&[config.admin.listen])?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        name = %config.edge.name,
        instance = %site.instance,
        public = ?public.addresses(),
        admin = ?admin.addresses(),
        "edge starts"
    );

    let health = site.health(file.report());
    site.watch_files(&life, health.clone());
    let running = Running { site: Arc::clone(&site), logs };
    drop(tokio::spawn(file.follow(life.reloads(), life.shutdown(), move |config| running.apply(&config))));
    drop(tokio::spawn(admin::run(admin, health)));
    let serving = serve::run(public, Arc::clone(&site));
    life.spawn_server("public listener", async {
        serving.await;
        Ok::<_, Infallible>(())
    });
    life.spawn(serve::drain_when_told(Arc::clone(&site)));
    life.ready("serving consoles");

    let failed = life.failed();
    match life.finish(config.drain.deadline.get()).await {
        Outcome::Drained => tracing::info!("edge stops: nothing is left running"),
        Outcome::Aborted => tracing::warn!("edge stops: what was left was cut off"),
    }
    Ok(if failed.is_cancelled() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
