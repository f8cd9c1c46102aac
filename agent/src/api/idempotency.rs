//! `Idempotency-Key`: a mint that is asked for again, because its answer got lost, is not done again.
//!
//! ```text
//!                   same key, same body             after five minutes, or redeem_by
//!  key ──► under way ──────────► 409 in progress
//!             │ made             same: the same answer again ──► 409 reused, with the token's id ──► (24 h) forgotten
//!             ├──────► answered ─┤
//!             │                  other body: 422
//!             └ not made: forgotten, so that asking again may succeed
//! ```
//!
//! An answer holds a token, which is never written down; so it is kept in memory only, and not for long. An agent that
//! restarts forgets all keys: whoever asks again then gets another token, and the first, which nobody knows, expires.
//! Keys of different callers have nothing to do with each other, and the oldest are forgotten where there are too many.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use http::{HeaderMap, StatusCode};
use porthole_shared::names::TokenId;

use super::problem::Problem;
use crate::callers::CallerName;

/// The header.
pub(super) const HEADER: &str = "idempotency-key";

/// Says that an answer is an earlier one.
pub(super) const REPLAYED: &str = "idempotency-replayed";

/// The longest key.
const LONGEST_KEY: usize = 255;

/// How many keys are known at once.
const MOST_KEYS: usize = 10_000;

/// How many answers are kept at once.
const MOST_ANSWERS: usize = 1000;

/// How long an answer is kept.
const KEEP_ANSWER: Duration = Duration::from_mins(5);

/// How long a key is known.
const KEEP_KEY: Duration = Duration::from_hours(24);

/// Whose key it is, and SHA-256 of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key(CallerName, [u8; 32]);

/// What is known of keys, with answers of type `A`. Clones are handles to the same.
pub(super) struct Keys<A>(Arc<Mutex<Known<A>>>);

impl<A> Clone for Keys<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A> Default for Keys<A> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Known {
            last: 0,
            entries: HashMap::new(),
            order: VecDeque::new(),
            answers: VecDeque::new(),
        })))
    }
}

impl<A> fmt::Debug for Keys<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

struct Known<A> {
    last: u64,
    entries: HashMap<Key, Entry<A>>,
    /// Oldest first; an entry that was forgotten meanwhile has no number of that kind any more.
    order: VecDeque<(Key, u64, Instant)>,
    /// Those with answers, oldest first.
    answers: VecDeque<(Key, u64)>,
}

struct Entry<A> {
    number: u64,
    body: [u8; 32],
    state: State<A>,
}

enum State<A> {
    UnderWay,
    Made { token: TokenId, answer: Option<A>, until: Instant },
}

/// What to do with a request.
pub(super) enum Turn<A> {
    /// Do it, and say what came of it.
    Do(Promise<A>),
    /// It was done: this was the answer.
    Again(A),
}

/// A key whose request is under way. Dropped without an answer, it is forgotten.
pub(super) struct Promise<A> {
    keys: Keys<A>,
    key: Option<(Key, u64)>,
}

/// The key that a request comes with.
pub(super) fn key_of(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim);
    let fits = |key: &&str| !key.is_empty() && key.len() <= LONGEST_KEY && values.next().is_none();
    let malformed =
        || Problem::bad_request(format!("Idempotency-Key: use one value of 1 to {LONGEST_KEY} printable characters"));
    key.filter(fits).map(Some).ok_or_else(malformed)
}

impl<A: Clone> Keys<A> {
    /// Whose turn it is, for this key of this caller and a request with this body.
    pub(super) fn turn(&self, caller: &CallerName, key: &str, body: &[u8]) -> Result<Turn<A>, Problem> {
        self.turn_at(caller, key, body, Instant::now())
    }

    fn turn_at(&self, caller: &CallerName, key: &str, body: &[u8], now: Instant) -> Result<Turn<A>, Problem> {
        let (key, body) = (Key(caller.clone(), sha256(key.as_bytes())), sha256(body));
        let mut known = self.known();
        known.forget_old(now);
        let Some(entry) = known.entries.get_mut(&key) else {
            let number = known.add(key.clone(), body, now);
            return Ok(Turn::Do(Promise { keys: self.clone(), key: Some((key, number)) }));
        };
        if entry.body != body {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_mismatch",
                "this Idempotency-Key came with another body before: use a new key for a new request",
            ));
        }
        match &mut entry.state {
            State::UnderWay => Err(Problem::new(
                StatusCode::CONFLICT,
                "idempotency_key_in_progress",
                "the first request with this Idempotency-Key is still under way: ask again in a moment",
            )),
            State::Made { answer: Some(answer), until, .. } if now < *until => Ok(Turn::Again(answer.clone())),
            State::Made { token, answer, .. } => {
                *answer = None;
                let words = "a token was made under this Idempotency-Key, and its text is not kept: withdraw it, and ask \
                             with a new key";
                Err(Problem::new(StatusCode::CONFLICT, "idempotency_key_reused", words).of_token(*token))
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known<A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Clone> Promise<A> {
    /// It was done, and this is the answer, of use for at most so long.
    pub(super) fn keep(self, token: TokenId, answer: A, useful: Duration) {
        self.keep_from(token, answer, useful, Instant::now());
    }

    fn keep_from(mut self, token: TokenId, answer: A, useful: Duration, now: Instant) {
        let Some((key, number)) = self.key.take() else { return };
        let until = now + useful.min(KEEP_ANSWER);
        let mut known = self.keys.known();
        let Some(entry) = known.entries.get_mut(&key).filter(|entry| entry.number == number) else { return };
        entry.state = State::Made { token, answer: Some(answer), until };
        known.answers.push_back((key, number));
        known.drop_answers();
    }
}

impl<A> Drop for Promise<A> {
    fn drop(&mut self) {
        let Some((key, number)) = self.key.take() else { return };
        let mut known = self.keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.entries.get(&key).is_some_and(|entry| entry.number == number) {
            known.entries.remove(&key);
        }
    }
}

impl<A> Known<A> {
    fn add(&mut self, key: Key, body: [u8; 32], now: Instant) -> u64 {
        self.last += 1;
        self.entries.insert(key.clone(), Entry { number: self.last, body, state: State::UnderWay });
        self.order.push_back((key, self.last, now));
        self.last
    }

    /// Forgets what is too old or too many, and answers that nobody may have any more.
    fn forget_old(&mut self, now: Instant) {
        while let Some((key, number, since)) = self.order.front() {
            if self.order.len() < MOST_KEYS && now.saturating_duration_since(*since) < KEEP_KEY {
                break;
            }
            if self.entries.get(key).is_some_and(|entry| entry.number == *number) {
                self.entries.remove(key);
            }
            self.order.pop_front();
        }
        for (key, number) in &self.answers {
            if let Some(Entry { state: State::Made { answer, until, .. }, .. }) =
                self.entries.get_mut(key).filter(|entry| entry.number == *number)
                && *until <= now
            {
                *answer = None;
            }
        }
        self.drop_answers();
    }

    /// Lets the oldest answers go: those that are dropped already, and those that are too many.
    fn drop_answers(&mut self) {
        while let Some((key, number)) = self.answers.front() {
            let entry = self.entries.get_mut(key).filter(|entry| entry.number == *number);
            if let Some(Entry { state: State::Made { answer, .. }, .. }) = entry {
                if answer.is_some() && self.answers.len() <= MOST_ANSWERS {
                    return;
                }
                *answer = None;
            }
            self.answers.pop_front();
        }
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(10);

    fn alice() -> CallerName {
        "token:alice".parse().unwrap()
    }

    fn code(problem: Problem) -> String {
        serde_json::to_value(problem).unwrap()["code"].as_str().unwrap().to_owned()
    }

    /// The answer, the code of the refusal, or nothing: it is to be done.
    fn asked(keys: &Keys<u32>, key: &str, body: &str, now: Instant) -> Result<Option<u32>, String> {
        match keys.turn_at(&alice(), key, body.as_bytes(), now).map_err(code)? {
            Turn::Do(_dropped) => Ok(None),
            Turn::Again(answer) => Ok(Some(answer)),
        }
    }

    fn promise(keys: &Keys<u32>, key: &str, now: Instant) -> Promise<u32> {
        match keys.turn_at(&alice(), key, b"body", now).map_err(code).unwrap() {
            Turn::Do(promise) => promise,
            Turn::Again(_) => panic!("done before"),
        }
    }

    #[test]
    fn an_answer_is_repeated_then_refused_then_forgotten() {
        let (keys, start) = (Keys::default(), Instant::now());
        let first = promise(&keys, "k", start);
        assert_eq!(asked(&keys, "k", "body", start), Err("idempotency_key_in_progress".to_owned()));
        let token = TokenId::random();
        first.keep_from(token, 7, LONG, start);
        assert_eq!(asked(&keys, "k", "body", start), Ok(Some(7)));
        assert_eq!(asked(&keys, "k", "other", start), Err("idempotency_key_mismatch".to_owned()));
        assert!(matches!(keys.turn_at(&"token:bob".parse().unwrap(), "k", b"body", start), Ok(Turn::Do(_))));
        let later = start + KEEP_ANSWER;
        let Err(problem) = keys.turn_at(&alice(), "k", b"body", later) else { panic!("repeated") };
        let problem = serde_json::to_value(problem).unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&"idempotency_key_reused".into(), &409.into()));
        assert_eq!(problem["token_id"], token.to_string());
        assert!(keys.known().answers.is_empty(), "the token is out of memory");
        assert_eq!(asked(&keys, "k", "body", start + KEEP_KEY), Ok(None));
    }

    #[test]
    fn an_answer_is_kept_no_longer_than_it_is_of_use() {
        let (keys, start) = (Keys::default(), Instant::now());
        let minute = Duration::from_mins(1);
        promise(&keys, "k", start).keep_from(TokenId::random(), 7, minute, start);
        assert_eq!(asked(&keys, "k", "body", start + minute), Err("idempotency_key_reused".to_owned()));
    }

    #[test]
    fn what_failed_may_be_tried_again() {
        let (keys, now) = (Keys::default(), Instant::now());
        drop(promise(&keys, "k", now));
        promise(&keys, "k", now).keep(TokenId::random(), 8, LONG);
        assert_eq!(asked(&keys, "k", "body", now), Ok(Some(8)));
    }

    #[test]
    fn there_are_bounds() {
        let (keys, now) = (Keys::default(), Instant::now());
        for number in 0..MOST_KEYS + 10 {
            promise(&keys, &number.to_string(), now).keep_from(TokenId::random(), 1, LONG, now);
        }
        assert_eq!(asked(&keys, "0", "body", now), Ok(None), "forgotten");
        assert_eq!(asked(&keys, "100", "body", now), Err("idempotency_key_reused".to_owned()));
        assert_eq!(asked(&keys, &(MOST_KEYS + 9).to_string(), "body", now), Ok(Some(1)));
        let known = keys.known();
        assert!(known.entries.len() <= MOST_KEYS && known.order.len() <= MOST_KEYS);
        assert!(known.answers.len() <= MOST_ANSWERS);
    }

    #[test]
    fn keys_are_short_and_one() {
        let header = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, value.parse().unwrap());
            }
            key_of(&headers).map(|key| key.map(str::to_owned)).map_err(drop)
        };
        assert_eq!(header(&[]), Ok(None));
        assert_eq!(header(&["8e03978e-40d5-43dd-bc93-6894a57f9324"]).unwrap().unwrap().len(), 36);
        assert!(header(&[""]).is_err() && header(&["a", "b"]).is_err() && header(&["x".repeat(256).as_str()]).is_err());
    }
}
