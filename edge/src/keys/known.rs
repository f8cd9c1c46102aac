//! What is known of one node's keys, and what follows from it. No I/O and no clock here.

use std::sync::Arc;
use std::time::Duration;

use porthole_shared::reason::Reason;
use porthole_shared::token::{KeyId, KeySet};
use tokio::time::Instant;

/// How long a key set is used without asking again. Beyond, it is used while the agent is asked.
pub(super) const FRESH_FOR: Duration = Duration::from_mins(10);

/// How long it is used while its agent cannot be asked. The agent's own row is asked before anybody sees a console.
pub(super) const KEPT_FOR: Duration = Duration::from_hours(24);

/// The pause after a fetch, before a key that it did not bring can cause another. Agents publish a key long before they
/// sign with it.
pub(super) const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The pause after a fetch that failed.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One node's keys.
#[derive(Debug, Default)]
pub(super) struct Known {
    keys: Option<(Arc<KeySet>, Instant)>,
    tried: Option<(Result<(), Reason>, Instant)>,
    asked: Option<Instant>,
}

/// What to do about a key.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Ask the agent.
    Fetch,
    /// Use these, and ask the agent meanwhile.
    Refresh(Arc<KeySet>),
    /// Use these, or refuse.
    Decided(Result<Arc<KeySet>, Reason>),
}

impl Verdict {
    /// What to tell who waits; `None`: nothing before the agent was asked.
    pub(super) fn answer(self) -> Option<Result<Arc<KeySet>, Reason>> {
        match self {
            Self::Fetch => None,
            Self::Refresh(keys) => Some(Ok(keys)),
            Self::Decided(answer) => Some(answer),
        }
    }
}

impl Known {
    /// Is this key there, is it not, or must the agent be asked?
    pub(super) fn look(&mut self, kid: &KeyId, now: Instant) -> Verdict {
        self.asked = Some(now);
        let having = self.keys.as_ref().filter(|(keys, fetched)| keys.contains(kid) && now < *fetched + KEPT_FOR);
        match (having, self.tried) {
            (Some((keys, fetched)), _) if now < *fetched + FRESH_FOR => Verdict::Decided(Ok(Arc::clone(keys))),
            (Some((keys, _)), Some((Err(_), tried))) if now < tried + RETRY_AFTER => {
                Verdict::Decided(Ok(Arc::clone(keys)))
            }
            (Some((keys, _)), _) => Verdict::Refresh(Arc::clone(keys)),
            (None, Some((Ok(()), tried))) if now < tried + ASK_AGAIN_AFTER => {
                Verdict::Decided(Err(Reason::BadSignature))
            }
            (None, Some((Err(reason), tried))) if now < tried + RETRY_AFTER => Verdict::Decided(Err(reason)),
            (None, _) => Verdict::Fetch,
        }
    }

    /// Notes what a fetch brought.
    pub(super) fn note(&mut self, fetched: Result<KeySet, Reason>, now: Instant) {
        self.tried = Some((fetched.as_ref().map(|_| ()).map_err(|reason| *reason), now));
        if let Ok(keys) = fetched {
            self.keys = Some((Arc::new(keys), now));
        }
    }

    pub(super) const fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    pub(super) const fn last_asked(&self) -> Option<Instant> {
        self.asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use porthole_shared::token::SigningKey;

    fn key() -> SigningKey {
        SigningKey::generate().unwrap().0
    }

    fn set(keys: &[&SigningKey]) -> KeySet {
        KeySet::parse(&KeySet::publish(keys.iter().copied()).unwrap()).unwrap()
    }

    /// What the verdict is, in a word.
    fn word(known: &mut Known, key: &SigningKey, now: Instant) -> &'static str {
        match known.look(key.kid(), now) {
            Verdict::Fetch => "fetch",
            Verdict::Refresh(keys) => {
                assert!(keys.contains(key.kid()));
                "refresh"
            }
            Verdict::Decided(Ok(keys)) => {
                assert!(keys.contains(key.kid()));
                "use"
            }
            Verdict::Decided(Err(reason)) => reason.code(),
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_known_key_is_used_and_refreshed_in_time() {
        let (ours, start) = (key(), Instant::now());
        let mut known = Known::default();
        assert_eq!(word(&mut known, &ours, start), "fetch");
        known.note(Ok(set(&[&ours])), start);
        assert_eq!(word(&mut known, &ours, start + FRESH_FOR - SECOND), "use");
        assert_eq!(word(&mut known, &ours, start + FRESH_FOR), "refresh");
    }

    #[test]
    fn random_keys_cost_one_fetch_in_a_while() {
        let (ours, other, start) = (key(), key(), Instant::now());
        let mut known = Known::default();
        known.note(Ok(set(&[&ours])), start);
        assert_eq!(word(&mut known, &other, start), "bad_signature");
        assert_eq!(word(&mut known, &other, start + ASK_AGAIN_AFTER - SECOND), "bad_signature");
        assert_eq!(word(&mut known, &other, start + ASK_AGAIN_AFTER), "fetch");
        // A failed fetch for the foreign key costs the known one nothing.
        known.note(Err(Reason::AgentUnreachable), start + ASK_AGAIN_AFTER);
        assert_eq!(word(&mut known, &other, start + ASK_AGAIN_AFTER), "agent_unreachable");
        assert_eq!(word(&mut known, &ours, start + ASK_AGAIN_AFTER), "use");
    }

    #[test]
    fn stale_keys_serve_while_the_agent_is_down_but_not_for_ever() {
        let (ours, start) = (key(), Instant::now());
        let mut known = Known::default();
        known.note(Ok(set(&[&ours])), start);
        known.note(Err(Reason::AgentUnreachable), start + FRESH_FOR);
        assert_eq!(word(&mut known, &ours, start + FRESH_FOR), "use");
        assert_eq!(word(&mut known, &ours, start + FRESH_FOR + RETRY_AFTER), "refresh");
        known.note(Err(Reason::AgentUnreachable), start + KEPT_FOR);
        assert_eq!(word(&mut known, &ours, start + KEPT_FOR), "agent_unreachable");
    }

    #[test]
    fn a_key_that_was_withdrawn_goes_with_the_next_fetch() {
        let (old, new, start) = (key(), key(), Instant::now());
        let mut known = Known::default();
        known.note(Ok(set(&[&old, &new])), start);
        known.note(Ok(set(&[&new])), start + FRESH_FOR);
        assert_eq!(word(&mut known, &old, start + FRESH_FOR), "bad_signature");
        assert_eq!(word(&mut known, &new, start + FRESH_FOR), "use");
    }
}
