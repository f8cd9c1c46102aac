//! The socket on which hooks are answered: one question to a connection, in bounded time and memory.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use porthole_hook::wire::{Answer, MOST, Message, Nonsense, Question, Verdict};
use porthole_shared::lifecycle::{Shutdown, chain};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::TaskTracker;

use super::{Spooled, Steps};
use crate::throttle::Throttle;
use crate::unix::Socket;

/// The most hooks that are answered at once. A host that starts all its guests has a few at a time.
const AT_ONCE: usize = 64;

/// How long a hook may take to put its question, and to hear the answer. It waits no longer itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often to look for what hooks could not tell, beside each question: they may have been too many, or too late.
const LOOK: Duration = Duration::from_secs(20);

/// A question that was not answered.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("the hook's connection broke")]
    Broken(#[from] io::Error),
    #[error("the hook's question makes no sense")]
    Nonsense(#[from] Nonsense),
}

/// Answers hooks until the agent stops. What it did not hear while it was away comes first.
pub async fn serve(mut socket: Socket, steps: Steps, spooled: Spooled, shutdown: Shutdown) -> Result<(), Infallible> {
    let spooled = Arc::new(spooled);
    let (connections, places) = (TaskTracker::new(), Arc::new(Semaphore::new(AT_ONCE)));
    let complaints = Arc::new(Throttle::default());
    let taking_up = async {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = spooled.awaited() => {}
            }
            spooled.take_up(&steps).await;
        }
    };
    let accepting = async {
        loop {
            // Never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            let (stream, _address) = Listener::accept(&mut socket.listener).await;
            let (steps, spooled, complaints) = (steps.clone(), Arc::clone(&spooled), Arc::clone(&complaints));
            let allowed = socket.allowed;
            drop(connections.spawn(async move {
                if !matches!(allowed.admit(&stream).await, Ok(Ok(_))) {
                    tracing::warn!("somebody who is neither root nor this user speaks to the hook's socket");
                    return;
                }
                if let Ok(Err(error)) = timeout(PATIENCE, converse(stream, &steps, &spooled)).await
                    && let Some(others) = complaints.pass()
                {
                    tracing::warn!(error = chain(&error), others, "a step of a domain's life was not understood");
                }
                drop(place);
            }));
        }
    };
    tokio::select! {
        () = accepting => {}
        () = taking_up => {}
        () = shutdown.soft.cancelled() => {}
    }
    drop(socket);
    connections.close();
    let _cut_off = shutdown.hard.run_until_cancelled(connections.wait()).await;
    Ok(())
}

async fn converse(mut stream: UnixStream, steps: &Steps, spooled: &Spooled) -> Result<(), Unanswered> {
    let mut text = Vec::new();
    (&mut stream).take(MOST as u64 + 1).read_to_end(&mut text).await?;
    let question = Question::decode(&text)?;
    drop(text);
    let answer = steps.answer(question).await.encode()?;
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    // Whoever could not tell something before this one waits no longer, and this one did not wait for them: what they
    // say counts as of when it happened.
    spooled.hurry();
    Ok(())
}

/// An answer without XML.
pub(super) const fn say(head: Verdict) -> Answer {
    Message { head, xml: Vec::new() }
}
