//! Whether a client is still there: decided from times alone, without a clock or a socket.
//!
//! Two things make a client *stuck*: it answered a ping with nothing, not even other data, until the timeout; or it took
//! nothing of what was on its way to it for an interval and a timeout. A client that sends much but reads nothing is
//! stuck by the second, one that has vanished (kernels along the way may still take pings for it) by the first. Behind a
//! slow line a pong waits until all before it is through, so the time for it begins anew when what was held up goes on.
//!
//! While the console does not take what the client sent, nobody listens to the client, so its silence counts for nothing.
//! Nor does silence count before it was asked: a process that was itself stopped for a while blames nobody.

use porthole_shared::moments;
use tokio::time::Instant;

use super::Pings;

/// The times of one session's client.
#[derive(Debug)]
pub(crate) struct Liveness {
    pings: Pings,
    /// When the next ping is due.
    ping_at: Instant,
    /// The first ping that nothing has come after.
    asked: Option<Instant>,
    /// Somebody reads what the client sends.
    listening: bool,
    /// Since when it has not taken what is on its way to it.
    blocked: Option<Instant>,
}

impl Liveness {
    pub(crate) fn new(pings: Pings, now: Instant) -> Self {
        Self { pings, ping_at: now + pings.interval, asked: None, listening: true, blocked: None }
    }

    /// Is a ping due? If so, the next one is an interval later, however late this one is found to be.
    pub(crate) fn take_ping(&mut self, now: Instant) -> bool {
        let due = self.ping_at <= now;
        if due {
            let next = self.ping_at + self.pings.interval;
            self.ping_at = if next > now { next } else { now + self.pings.interval };
        }
        due
    }

    /// The client was sent a ping.
    pub(crate) fn ask(&mut self, now: Instant) {
        if self.listening {
            self.asked.get_or_insert(now);
        }
    }

    /// The client sent something.
    pub(crate) const fn hear(&mut self) {
        self.asked = None;
    }

    /// The client is listened to, or not, from now on.
    pub(crate) const fn listen(&mut self, listening: bool) {
        if !listening {
            self.asked = None;
        }
        self.listening = listening;
    }

    /// The client has not taken all that is on its way to it, or now it has.
    pub(crate) fn block(&mut self, now: Instant, blocked: bool) {
        if blocked {
            self.blocked.get_or_insert(now);
        } else if self.blocked.take().is_some() && self.asked.is_some() {
            self.asked = Some(now);
        }
    }

    /// Is something on its way to it that it has not taken?
    pub(crate) const fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Has it been silent, or in the way, for too long?
    pub(crate) fn is_stuck(&self, now: Instant) -> bool {
        self.deadlines().any(|deadline| deadline <= now)
    }

    /// When to look again, at the latest. That is once an interval, so what changes in between need not move it.
    fn next_look(&self) -> Instant {
        self.deadlines().fold(self.ping_at, Instant::min)
    }

    /// When to wake for that: together with others.
    pub(crate) fn next_moment(&self) -> Instant {
        moments::at_or_after(self.next_look(), self.pings.interval)
    }

    fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let Pings { interval, timeout } = self.pings;
        let silent = self.asked.map(|asked| asked + timeout);
        let blocked = self.blocked.map(|blocked| blocked + interval + timeout);
        silent.into_iter().chain(blocked)
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
        client.ask(at(30));
        assert!(!client.take_ping(at(31)));
        assert_eq!(client.next_look(), at(50));
        assert!(!client.is_stuck(at(49)));
        assert!(client.is_stuck(at(50)));
    }

    #[test]
    fn later_pings_do_not_lengthen_its_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut client = Liveness::new(Pings { interval: Duration::from_secs(10), ..PINGS }, start);
        for second in [10, 20] {
            assert!(client.take_ping(at(second)));
            client.ask(at(second));
        }
        assert!(!client.is_stuck(at(29)));
        assert!(client.is_stuck(at(30)));
    }

    #[test]
    fn pings_that_are_late_do_not_move_those_after_them() {
        let (mut client, at) = start();
        let late = Duration::from_millis(200);
        for second in [30, 60, 90] {
            assert!(client.take_ping(at(second) + late));
            assert_eq!(client.next_look(), at(second + 30));
        }
        // This process was stopped for a while: one ping is enough.
        assert!(client.take_ping(at(1000)));
        assert_eq!(client.next_look(), at(1030));
    }

    #[test]
    fn any_answer_will_do() {
        let (mut client, at) = start();
        client.ask(at(30));
        client.hear();
        assert!(!client.is_stuck(at(1000)));
        client.ask(at(1000));
        assert!(client.is_stuck(at(1020)));
    }

    #[test]
    fn a_client_that_was_not_asked_is_not_stuck() {
        let (client, at) = start();
        // This process was stopped, or the machine slept.
        assert!(!client.is_stuck(at(3600)));
    }

    #[test]
    fn a_client_that_sends_but_takes_nothing_is_stuck() {
        let (mut client, at) = start();
        client.block(at(10), true);
        for second in 11..60 {
            client.block(at(second), true);
            client.hear();
            assert!(!client.is_stuck(at(second)), "{second}");
        }
        assert!(client.is_stuck(at(60)));
    }

    #[test]
    fn a_slow_line_is_not_stuck() {
        let (mut client, at) = start();
        client.ask(at(0));
        for second in (0..600).step_by(15) {
            client.block(at(second), true);
            assert!(!client.is_stuck(at(second + 14)), "{second}");
            client.block(at(second + 14), false);
        }
        assert!(client.is_stuck(at(700)));
    }

    #[test]
    fn silence_counts_only_while_somebody_listens() {
        let (mut client, at) = start();
        client.ask(at(5));
        client.listen(false);
        client.ask(at(35));
        assert!(!client.is_stuck(at(1000)));
        client.listen(true);
        client.ask(at(1001));
        assert!(!client.is_stuck(at(1020)));
        assert!(client.is_stuck(at(1021)));
        // What it does not take counts all the same.
        client.listen(false);
        client.block(at(1050), true);
        assert!(client.is_stuck(at(1100)));
    }
}
