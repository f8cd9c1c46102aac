//! `make demo`: the trial stack in the foreground, for a person at a terminal.
//!
//! ```text
//! up ─► words and a link ─► Enter: another link ─┐
//!  │                    ▲────────────────────────┘
//!  └─ fails             Ctrl-C, SIGTERM, the terminal closes ─► down
//!       └───────────────────────────────────────────────────────▲
//! ```
//!
//! Starting is never broken off half-way, because a half-started libvirtd is nobody's: a signal during it ends the stack
//! as soon as it stands. Output may be gone with the terminal, so that nothing here minds when writing fails.

use std::fs;
use std::io::Write as _;

use anyhow::{Context as _, Result, bail};
use nix::fcntl::FlockArg;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::words::{welcome, word};
use super::{DEMO_LOCK, Reach, Trial};
use crate::process::Identity;
use crate::wait::PATIENCE;

mod terminal;

use terminal::{Company, lines_of_input};

/// How often to look whether the stack or the terminal went away.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// Runs it until it is told to end.
pub async fn run(trial: &Trial, reach: &Reach) -> Result<()> {
    let Ok(_only_one) = trial.lock(DEMO_LOCK, FlockArg::LockExclusiveNonblock) else {
        bail!("`make demo` runs already, in another terminal: press Enter there for a link, or Ctrl-C to end it");
    };
    let mut stop = Stop::listen()?;
    say("Starting a private libvirtd, two guests, an agent and an edge …");
    let lived = match trial.up(reach).await {
        Ok(_) if stop.is_asked() => Ok(()),
        Ok(stack) => live(trial, reach, &stack, &mut stop).await,
        Err(error) => Err(error),
    };
    say("\nEnding everything …");
    let ended = trial.down().await;
    let _none = fs::remove_file(trial.directory.join(DEMO_LOCK));
    lived.and(ended.map(drop))?;
    say("Nothing is left running.");
    Ok(())
}

/// From the first words until it is to end.
async fn live(trial: &Trial, reach: &Reach, stack: &Value, stop: &mut Stop) -> Result<()> {
    let guest = word(stack, "/domains/0/name");
    say(&welcome(stack, reach, &link(stack, guest).await?));
    let mut typed = lines_of_input();
    let mut looking = tokio::time::interval(LOOK);
    let mut watch = Watch::of(stack);
    let company = Company::now();
    loop {
        tokio::select! {
            () = stop.asked() => return Ok(()),
            Some(words) = typed.recv() => {
                let guest = if words.trim().is_empty() { guest } else { words.trim() };
                match another(trial, stack, guest).await {
                    Ok(link) => say(&format!("\n  {link}\n")),
                    Err(error) => say(&format!("{error:#}")),
                }
            }
            _ = looking.tick() => {
                if company.has_left() {
                    return Ok(());
                }
                if trial.stack().is_none() {
                    say("\n`make down` has ended the stack.");
                    return Ok(());
                }
                if let Some(gone) = watch.newly_gone() {
                    say(&format!("\n{gone} has ended. Its log says why; `make up` in another terminal starts it again."));
                }
            }
        }
    }
}

/// A link, for which a guest that was shut off is started again.
async fn another(trial: &Trial, stack: &Value, guest: &str) -> Result<String> {
    let known = stack["domains"].as_array().into_iter().flatten().any(|domain| domain["name"] == guest);
    if known && trial.revive(guest).await? {
        say(&format!("The guest {guest} was shut off, and starts again."));
    }
    link(stack, guest).await
}

async fn link(stack: &Value, guest: &str) -> Result<String> {
    let mut porthole = tokio::process::Command::new(word(stack, "/bin/porthole"));
    porthole.args(["--socket", word(stack, "/agent/socket"), "url", "--", guest]).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, porthole.output()).await.context("porthole url does not end")?;
    let output = output.context("running porthole")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The ways in which a person or the system says that it is enough. From the first on these signals no longer end this
/// process by themselves, however often they come.
struct Stop([Signal; 3]);

impl Stop {
    fn listen() -> Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }

    /// Whether one has come already.
    fn is_asked(&mut self) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        self.0.iter_mut().any(|signal| signal.poll_recv(&mut context).is_ready())
    }
}

/// The daemons, each reported once when it has ended.
struct Watch(Vec<(&'static str, Identity)>);

impl Watch {
    fn of(stack: &Value) -> Self {
        let of = |name: &'static str, pid: &str| {
            let pid = i32::try_from(stack.pointer(pid)?.as_i64()?).ok()?;
            Some((name, Identity::of(pid)?))
        };
        Self([of("The agent", "/agent/pid"), of("The edge", "/edge/pid")].into_iter().flatten().collect())
    }

    fn newly_gone(&mut self) -> Option<&'static str> {
        let gone = self.0.iter().position(|(_, process)| !process.is_alive())?;
        Some(self.0.remove(gone).0)
    }
}

fn say(text: &str) {
    let mut output = std::io::stdout().lock();
    let _terminal_gone = writeln!(output, "{text}").and_then(|()| output.flush());
}
