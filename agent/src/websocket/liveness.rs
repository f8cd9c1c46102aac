//! Whether a client is still there: decided from times alone, without a clock or a socket.
//!
//! Two things make a client *stuck*, each after an interval and a timeout: it sent nothing, not even an answer to our
//! ping; or it took nothing of what was on its way to it. A client that sends much but reads nothing is stuck by the
//! second, one that has vanished (kernels along the way may still take pings for it) by the first. What has been held up
//! and then goes on counts as a sign of life: behind a slow line, a pong waits until all before it is through.
//!
//! While the console does not take what the client sent, nobody listens to the client, so its silence counts for nothing.

use tokio::time::Instant;

use super::Pings;

/// The times of one session's client.
#[derive(Debug)]
pub(super) struct Liveness {
    pings: Pings,
    /// When the next ping is due.
    ping_at: Instant,
    /// When the client last gave a sign of life; `None` while nobody listens to it.
    heard: Option<Instant>,
    /// Since when it has not taken what is on its way to it.
    blocked: Option<Instant>,
}

impl Liveness {
    pub(super) fn new(pings: Pings, now: Instant) -> Self {
        Self { pings, ping_at: now + pings.interval, heard: Some(now), blocked: None }
    }

    /// The client sent something.
    pub(super) const fn hear(&mut self, now: Instant) {
        self.heard = Some(now);
    }

    /// The client is listened to, or not, from now on.
    pub(super) fn listen(&mut self, now: Instant, listening: bool) {
        self.heard = listening.then(|| self.heard.unwrap_or(now));
    }

    /// The client has not taken all that is on its way to it, or now it has.
    pub(super) fn block(&mut self, now: Instant, blocked: bool) {
        if blocked {
            self.blocked.get_or_insert(now);
        } else if self.blocked.take().is_some() && self.heard.is_some() {
            self.heard = Some(now);
        }
    }

    /// Has it been silent, or in the way, for too long?
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Is a ping due? If so, the next one is an interval later.
    pub(super) fn take_ping(&mut self, now: Instant) -> bool {
        let due = self.ping_at <= now;
        if due {
            self.ping_at = now + self.pings.interval;
        }
        due
    }

    /// When to look again. That is at least once an interval, so what changes in between need not move it.
    pub(super) fn next_look(&self) -> Instant {
        self.deadline().map_or(self.ping_at, |deadline| deadline.min(self.ping_at))
    }

    fn deadline(&self) -> Option<Instant> {
        let limit = self.pings.interval + self.pings.timeout;
        let since = match (self.heard, self.blocked) {
            (Some(heard), Some(blocked)) => Some(heard.min(blocked)),
            (heard, blocked) => heard.or(blocked),
        };
        since.map(|since| since + limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const PINGS: Pings = Pings { interval: Duration::from_secs(30), timeout: Duration::from_secs(20) };

    fn start() -> (Liveness, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (Liveness::new(PINGS, start), move |seconds| start + Duration::from_secs(seconds))
    }

    #[test]
    fn a_silent_client_is_pinged_and_then_stuck() {
        let (mut client, at) = start();
        assert_eq!(client.next_look(), at(30));
        assert!(!client.take_ping(at(29)));
        assert!(client.take_ping(at(30)));
        assert!(!client.take_ping(at(31)));
        assert_eq!(client.next_look(), at(50));
        assert!(!client.is_stuck(at(49)));
        assert!(client.is_stuck(at(50)));
    }

    #[test]
    fn any_sign_of_life_counts() {
        let (mut client, at) = start();
        client.hear(at(40));
        assert!(!client.is_stuck(at(89)));
        assert!(client.is_stuck(at(90)));
    }

    #[test]
    fn a_client_that_sends_but_takes_nothing_is_stuck() {
        let (mut client, at) = start();
        client.block(at(10), true);
        for second in 11..60 {
            client.block(at(second), true);
            client.hear(at(second));
            assert!(!client.is_stuck(at(second)), "{second}");
        }
        assert!(client.is_stuck(at(60)));
    }

    #[test]
    fn a_slow_line_is_not_stuck() {
        let (mut client, at) = start();
        for second in (0..600).step_by(40) {
            client.block(at(second), true);
            assert!(!client.is_stuck(at(second + 39)), "{second}");
            client.block(at(second + 39), false);
        }
        assert!(client.is_stuck(at(700)));
    }

    #[test]
    fn silence_counts_only_while_somebody_listens() {
        let (mut client, at) = start();
        client.listen(at(10), false);
        assert!(!client.is_stuck(at(1000)));
        client.listen(at(1000), true);
        assert!(!client.is_stuck(at(1049)));
        client.listen(at(1049), true);
        assert!(client.is_stuck(at(1050)));
        // What it does not take counts all the same.
        client.listen(at(1050), false);
        client.block(at(1050), true);
        assert!(client.is_stuck(at(1100)));
    }
}
