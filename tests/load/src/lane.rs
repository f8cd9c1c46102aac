//! A thread with a runtime of its own that drives sessions, both ends of them.
//!
//! There are two, because a session that floods must not delay the keystrokes beside it where they are *measured*: the
//! kernel gives the processor to the quick lane as soon as it has something to do.

use std::future::Future;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use porthole_shared::token::SigningKey;
use porthole_tests::process::run_briefly;
use rustls::ServerConfig;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::backend::{Backend, Manner};

/// Drives sessions. Dropped, everything on it ends.
#[derive(Debug)]
pub struct Lane {
    runtime: Handle,
    /// The far end of sessions through edges and proxies.
    pub tunnel: Backend,
    /// The far end of sessions through agents.
    pub console: Backend,
    _end: oneshot::Sender<()>,
}

impl Lane {
    /// With both far ends. A quick one goes before all others on its processor.
    pub async fn start(quick: bool, config: Arc<ServerConfig>, key: &SigningKey) -> Result<Self> {
        let (end, ended) = oneshot::channel::<()>();
        let (started, starting) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Err(error) => drop(started.send(Err(error))),
                Ok(runtime) => {
                    let thread = nix::unistd::gettid();
                    drop(started.send(Ok((runtime.handle().clone(), thread))));
                    let _over = runtime.block_on(ended);
                    runtime.shutdown_background();
                }
            }
        });
        let (runtime, thread) = starting.await.context("a lane's thread ended")??;
        if quick {
            let mut renice = Command::new("renice");
            renice.args(["-n", "-19", "-p", &thread.to_string()]);
            ensure!(run_briefly(&mut renice, Duration::from_secs(5)), "renice failed: is this root?");
        }
        let key = key.clone();
        let backends =
            runtime.spawn(async move { anyhow::Ok((Backend::tunnel(config, &key).await?, Backend::console().await?)) });
        let (tunnel, console) = backends.await??;
        Ok(Self { runtime, tunnel, console, _end: end })
    }

    /// Runs it on this lane, and gives what it gave.
    pub async fn run<T: Send + 'static>(&self, what: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        self.runtime.spawn(what).await?
    }

    /// Starts it on this lane; it ends when its handle is aborted, or the lane ends.
    pub fn start_on(&self, what: impl Future<Output = Result<()>> + Send + 'static) -> Running {
        Running(self.runtime.spawn(what))
    }

    /// What both far ends do with connections from now on.
    pub fn be(&self, tunnel: &Manner, console: &Manner) {
        self.tunnel.be(tunnel.clone());
        self.console.be(console.clone());
    }
}

/// Something that goes on until this is dropped.
#[derive(Debug)]
pub struct Running(tokio::task::JoinHandle<Result<()>>);

impl Running {
    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
