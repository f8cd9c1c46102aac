//! Waiting for a condition, always with a deadline. Nothing in the tests sleeps to let something happen.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

/// How long something may take that takes a fraction of a second on an idle machine: far more than it needs, so that
/// only a real failure runs into it.
pub const PATIENCE: Duration = Duration::from_secs(30);

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Waits until the condition holds; fails the test when it does not within the deadline.
///
/// # Panics
/// When the deadline passes: `what` is then in the message ("waited 5s for …").
pub async fn eventually(within: Duration, what: impl Display, mut condition: impl AsyncFnMut() -> bool) {
    eventually_some(within, what, async || condition().await.then_some(())).await;
}

/// Waits until there is a value; fails the test when there is none within the deadline.
///
/// # Panics
/// When the deadline passes.
pub async fn eventually_some<T>(within: Duration, what: impl Display, attempt: impl AsyncFnMut() -> Option<T>) -> T {
    match try_eventually(within, attempt).await {
        Some(value) => value,
        None => panic!("waited {within:?} for {what}"),
    }
}

/// As [`eventually_some`], with `None` when the deadline passes.
pub async fn try_eventually<T>(within: Duration, mut attempt: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    let mut pause = FIRST_PAUSE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // An attempt may itself hang (a command, a connection): it too ends with the deadline.
        match tokio::time::timeout(left, attempt()).await {
            Ok(Some(value)) => return Some(value),
            Ok(None) if Instant::now() + pause < deadline => tokio::time::sleep(pause).await,
            Ok(None) | Err(_) => return None,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Lets the future run for at most so long.
///
/// # Panics
/// When the deadline passes.
pub async fn within<F: Future>(limit: Duration, what: impl Display, future: F) -> F::Output {
    let output = tokio::time::timeout(limit, future).await;
    output.unwrap_or_else(|_elapsed| panic!("{what} took longer than {limit:?}"))
}

/// Watches a condition that must keep holding for so long ("nothing arrives").
///
/// # Panics
/// As soon as it does not hold.
pub async fn throughout(period: Duration, what: impl Display, mut condition: impl AsyncFnMut() -> bool) {
    let broken = try_eventually(period, async || (!condition().await).then_some(())).await;
    assert!(broken.is_none(), "{what} did not stay so for {period:?}");
}
