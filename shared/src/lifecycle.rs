//! A daemon's life: ready, told to stop, drained, gone. The one place that knows signals and systemd.
//!
//! ```text
//!            SIGTERM, SIGINT, or a server failed         deadline, or a second signal
//!  running ─────────────────────────────────► draining ─────────────────────────────► aborted
//!    │ SIGHUP: reload                            │ every task ended
//!    └─ systemd: READY=1, WATCHDOG=1             └──────────────────► done
//! ```
//!
//! Servers get a [`Shutdown`] and stop taking work when its soft token fires; what they have begun may go on until the
//! hard token fires. What draining means is theirs.

use std::future::Future;
use std::io;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long tasks get to end after the hard token, before the process leaves anyway.
const AFTER_HARD: Duration = Duration::from_secs(2);

/// The two signals that a server listens to.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Take nothing new; finish.
    pub soft: CancellationToken,
    /// Drop everything.
    pub hard: CancellationToken,
}

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every task ended by itself.
    Drained,
    /// No clean end: the deadline or a second signal cut some off, or a server failed (see [`Lifecycle::failed`]).
    Aborted,
}

/// Owns signals, tasks and the service manager's socket.
#[derive(Debug)]
pub struct Lifecycle {
    shutdown: Shutdown,
    failed: CancellationToken,
    tasks: TaskTracker,
    reloads: watch::Receiver<u64>,
}

impl Lifecycle {
    /// Takes over SIGTERM, SIGINT and SIGHUP, and allows this process as many descriptors as the system lets it. Needs
    /// a Tokio runtime.
    pub fn start() -> io::Result<Self> {
        allow_descriptors();
        let shutdown = Shutdown::default();
        let (told, reloads) = watch::channel(0);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let tokens = shutdown.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => stop(&tokens, "SIGTERM"),
                    _ = interrupt.recv() => stop(&tokens, "SIGINT"),
                    _ = hangup.recv() => told.send_modify(|count| *count += 1),
                }
            }
        });
        Ok(Self { shutdown, failed: CancellationToken::new(), tasks: TaskTracker::new(), reloads })
    }

    /// The two signals, for a server.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Changes whenever SIGHUP asks for a reload.
    pub fn reloads(&self) -> watch::Receiver<u64> {
        self.reloads.clone()
    }

    /// Fires when a server fails or ends unasked. A process that stops because of that must say so with its exit code,
    /// or its service manager would not start it again.
    pub fn failed(&self) -> CancellationToken {
        self.failed.clone()
    }

    /// Runs a task that the end of the process waits for.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(self.tasks.spawn(task));
    }

    /// Runs a server that must not end before it is told to: if it does, with an error, without one or by a panic,
    /// everything stops.
    pub fn spawn_server<F, E>(&self, name: &'static str, server: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let (shutdown, failed) = (self.shutdown(), self.failed());
        self.spawn(async move {
            // Dropped by a panic, too: a daemon without one of its servers must not look alive. Whoever sees the
            // daemon stop must see why, so `failed` fires first.
            let _stop = shutdown.soft.clone().drop_guard();
            let failure = failed.drop_guard();
            match server.await {
                Ok(()) if shutdown.soft.is_cancelled() => drop(failure.disarm()),
                Ok(()) => tracing::error!(server = name, "ended unasked: stopping"),
                Err(error) => tracing::error!(server = name, error = chain(&error), "failed: stopping"),
            }
        });
    }

    /// A handle to run tasks from inside servers.
    pub fn tasks(&self) -> TaskTracker {
        self.tasks.clone()
    }

    /// Tells systemd that the service is up, and from now on that it is alive, if it asked for that.
    pub fn ready(&self, status: &str) {
        notify(&[NotifyState::Ready, NotifyState::Status(status)]);
        if let Some(limit) = sd_notify::watchdog_enabled() {
            let stop = self.shutdown.hard.clone();
            drop(tokio::spawn(async move {
                // Half the limit, as sd_watchdog_enabled(3) advises. A runtime that is stuck does not get here.
                let mut ticks = interval((limit / 2).max(Duration::from_millis(100)));
                while !stop.is_cancelled() {
                    ticks.tick().await;
                    notify(&[NotifyState::Watchdog]);
                }
            }));
        }
    }

    /// Waits until the process is told to stop, then until its tasks have ended or `deadline` has passed.
    pub async fn finish(self, deadline: Duration) -> Outcome {
        self.shutdown.soft.cancelled().await;
        notify(&[NotifyState::Stopping]);
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => {
                return if self.failed.is_cancelled() { Outcome::Aborted } else { Outcome::Drained };
            }
            () = self.shutdown.hard.cancelled() => {}
            () = tokio::time::sleep(deadline) => tracing::warn!(?deadline, "not drained in time: cutting off the rest"),
        }
        self.shutdown.hard.cancel();
        if timeout(AFTER_HARD, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "some tasks did not end");
        }
        Outcome::Aborted
    }
}

/// An error and its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn stop(shutdown: &Shutdown, signal: &str) {
    if shutdown.soft.is_cancelled() {
        tracing::warn!(signal, "told to stop again: not waiting any longer");
        shutdown.hard.cancel();
    } else {
        tracing::info!(signal, "told to stop: draining");
        shutdown.soft.cancel();
    }
}

/// A session costs two descriptors, and the usual limit of 1024 is there for programs that use `select`. The hard limit
/// stays what the operator made it.
fn allow_descriptors() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard));
    match raised {
        Ok(descriptors) => tracing::debug!(descriptors, "as many descriptors may be open"),
        Err(error) => tracing::warn!(%error, "the limit of open descriptors was not raised"),
    }
}

fn notify(state: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stopped_daemon_waits_for_its_tasks() {
        let life = Lifecycle::start().unwrap();
        let shutdown = life.shutdown();
        let (done, finished) = tokio::sync::oneshot::channel();
        let soft = shutdown.soft.clone();
        life.spawn(async move {
            soft.cancelled().await;
            done.send(()).unwrap();
        });
        shutdown.soft.cancel();
        assert_eq!(life.finish(Duration::from_mins(1)).await, Outcome::Drained);
        finished.await.unwrap();
    }

    #[tokio::test]
    async fn the_deadline_cuts_off_the_rest() {
        let life = Lifecycle::start().unwrap();
        let shutdown = life.shutdown();
        let hard = shutdown.hard.clone();
        life.spawn(async move { hard.cancelled().await });
        shutdown.soft.cancel();
        assert_eq!(life.finish(Duration::from_millis(20)).await, Outcome::Aborted);
    }

    /// How a daemon with this server ends, and whether it says that it failed.
    async fn end_of<F>(server: impl FnOnce(Shutdown) -> F) -> (Outcome, bool)
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let life = Lifecycle::start().unwrap();
        let failed = life.failed();
        life.spawn_server("test", server(life.shutdown()));
        let outcome = timeout(Duration::from_secs(5), life.finish(Duration::from_secs(5))).await.unwrap();
        (outcome, failed.is_cancelled())
    }

    #[tokio::test]
    async fn a_server_that_fails_ends_or_panics_stops_the_daemon_as_a_failure() {
        let failed = (Outcome::Aborted, true);
        assert_eq!(end_of(|_| async { Err(io::Error::other("out of descriptors")) }).await, failed);
        assert_eq!(end_of(|_| async { Ok(()) }).await, failed);
        assert_eq!(end_of(|_| async { panic!("as a test") }).await, failed);
    }

    #[tokio::test]
    async fn a_server_that_ends_when_told_is_no_failure() {
        let told = end_of(|shutdown| async move {
            shutdown.soft.cancel();
            Ok(())
        });
        assert_eq!(told.await, (Outcome::Drained, false));
    }

    #[tokio::test]
    async fn as_many_descriptors_may_be_open_as_the_system_allows() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(512), hard).unwrap();
        let _life = Lifecycle::start().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
    }

    #[test]
    fn a_chain_names_every_cause() {
        let error = crate::config::LoadError::Read { path: "/x".into(), source: io::Error::other("broken") };
        assert_eq!(chain(&error), "cannot read /x: broken");
    }
}
