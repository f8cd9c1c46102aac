//! The node's signing keys: one that signs, one that will, and those whose tokens are still about.
//!
//! ```text
//!  (made) ──► next: published, so that edges know it before they meet it
//!               │ rotate: by age, or by an operator
//!               ▼
//!            current: signs
//!               │ rotate
//!               ▼
//!            retired: its private half is gone; published until its last token has expired ──► (gone)
//! ```
//!
//! All of it is one file, written to one side, synchronised and renamed: a crash leaves the state before or after, never
//! between. The file holds private keys, so one that others may read is refused.

mod file;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use porthole_shared::clock::{Clock, UnixTime};
use porthole_shared::lifecycle::{Shutdown, chain};
use porthole_shared::token::{
    CLOCK_SKEW_SECONDS, Claims, KeyId, KeySet, KeySetError, MAX_KEYS, SigningKey, SigningKeyError, Token,
};
use tokio::time::{MissedTickBehavior, interval};

pub use self::file::KeyFileError;
use self::file::{KeyFile, Retired};
use super::Config;
use crate::store::{self, Store};

/// How often it is asked whether the keys are old.
const PERIOD: Duration = Duration::from_mins(1);

/// The most retired keys: the current and the next one are published beside them.
const MAX_RETIRED: usize = MAX_KEYS - 2;

/// The keys of this node. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct SigningKeys(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    rotation: i64,
    lead: i64,
    longest_token: i64,
    ring: ArcSwap<Ring>,
    /// Held while the file changes. Nobody awaits under it.
    changing: Mutex<()>,
}

/// What the file says, ready for use.
#[derive(Debug)]
struct Ring {
    file: KeyFile,
    current: SigningKey,
    verifying: Arc<KeySet>,
    published: Arc<[u8]>,
}

/// The keys cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Their file is of no use.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// A key is of no use.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    /// They cannot be published.
    #[error(transparent)]
    Set(#[from] KeySetError),
}

/// The keys cannot be changed now.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// Too many changes in too short a time.
    #[error("{MAX_RETIRED} earlier keys still have unexpired tokens; the next change is possible at {0}")]
    TooMany(UnixTime),
    /// The database does not say when the last token expires.
    #[error("cannot tell when the last token expires")]
    Store(#[from] store::Error),
    /// The new keys cannot be made or written.
    #[error("cannot change the keys")]
    Keys(#[from] KeysError),
}

impl SigningKeys {
    /// Reads the keys in `keys/` of the state directory, or makes the first ones. `longest_session` in seconds.
    pub fn open(state_dir: &Path, config: &Config, longest_session: i64, now: UnixTime) -> Result<Self, KeysError> {
        let path = file::place(state_dir)?;
        let kept = KeyFile::read(&path)?;
        let is_first = kept.is_none();
        let ring = Ring::new(kept.map_or_else(|| KeyFile::first(now), Ok)?)?;
        if is_first {
            ring.file.write(&path)?;
        }
        tracing::debug!(kid = %ring.current.kid(), retired = ring.file.retired.len(), "signing keys are ready");
        let longest_token =
            config.longest_ttl.as_seconds().saturating_add(longest_session).saturating_add(config.grace.as_seconds());
        Ok(Self(Arc::new(Shared {
            path,
            rotation: config.key_rotation.as_seconds(),
            lead: config.key_lead.as_seconds(),
            longest_token,
            ring: ArcSwap::from_pointee(ring),
            changing: Mutex::new(()),
        })))
    }

    /// Makes a token.
    pub fn sign(&self, claims: &Claims) -> Result<Token, SigningKeyError> {
        self.0.ring.load().current.sign(claims)
    }

    /// The keys that this node's tokens verify with.
    pub fn verifying(&self) -> Arc<KeySet> {
        Arc::clone(&self.0.ring.load().verifying)
    }

    /// The public halves as JSON (RFC 7517), for edges.
    pub fn jwks(&self) -> Arc<[u8]> {
        Arc::clone(&self.0.ring.load().published)
    }

    /// The key that signs now.
    pub fn current(&self) -> KeyId {
        self.0.ring.load().current.kid().clone()
    }

    /// Lets the next key sign from now on, and makes a new next one. Returns the id of the key that signs.
    pub async fn rotate(&self, store: &Store, now: UnixTime) -> Result<KeyId, RotateError> {
        // Settings may have been longer when the last tokens were made, so the rows are asked too.
        let last = store.last_expiry().await?.unwrap_or(now).max(now.plus(self.0.longest_token));
        let keys = self.clone();
        let until = last.plus(CLOCK_SKEW_SECONDS);
        // Writes and synchronises a file.
        let done = tokio::task::spawn_blocking(move || keys.change(|file| file.rotated(now, until))).await;
        let kid = done.unwrap_or_else(|_panicked| Err(KeysError::Key(SigningKeyError::Generate).into()))?;
        tracing::info!(%kid, "a new signing key signs from now on");
        Ok(kid)
    }

    /// Rotates when the current key is old and the next one has been published for long enough, and forgets retired keys
    /// whose tokens have expired, until the agent stops.
    pub async fn rotate_by_age(self, store: Store, clock: Arc<dyn Clock>, shutdown: Shutdown) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.soft.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(error) = self.look_after(&store, clock.now()).await {
                tracing::error!(error = chain(&error), "the signing keys could not be looked after");
            }
        }
    }

    async fn look_after(&self, store: &Store, now: UnixTime) -> Result<(), RotateError> {
        let (due, has_expired) = {
            let file = &self.0.ring.load().file;
            let due = now >= file.current.since.plus(self.0.rotation) && now >= file.next.since.plus(self.0.lead);
            (due, file.retired.iter().any(|retired| now >= retired.until))
        };
        if due {
            self.rotate(store, now).await?;
        } else if has_expired {
            let keys = self.clone();
            let done = tokio::task::spawn_blocking(move || keys.change(|file| Ok(file.without_expired(now)))).await;
            done.unwrap_or_else(|_panicked| Err(KeysError::Key(SigningKeyError::Generate).into()))?;
        }
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&KeyFile) -> Result<KeyFile, RotateError>) -> Result<KeyId, RotateError> {
        // The lock protects no data, only the order of two changes.
        let _one_at_a_time = self.0.changing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ring = Ring::new(change(&self.0.ring.load().file)?)?;
        ring.file.write(&self.0.path).map_err(KeysError::File)?;
        let kid = ring.current.kid().clone();
        self.0.ring.store(Arc::new(ring));
        Ok(kid)
    }
}

impl Ring {
    fn new(file: KeyFile) -> Result<Self, KeysError> {
        let current = file.current.key()?;
        let next = file.next.key()?;
        let own = [current.public(), next.public()].into_iter().map(serde_json::to_value);
        let retired = file.retired.iter().map(|key| Ok(key.public.clone()));
        let keys: Vec<_> = own.chain(retired).collect::<Result<_, _>>().map_err(KeySetError::Json)?;
        let published = serde_json::to_vec(&serde_json::json!({ "keys": keys })).map_err(KeySetError::Json)?;
        // What edges can read of it is what we go by ourselves.
        let verifying = Arc::new(KeySet::parse(&published)?);
        Ok(Self { verifying, published: published.into(), current, file })
    }
}

impl KeyFile {
    fn first(now: UnixTime) -> Result<Self, KeysError> {
        Ok(Self { current: file::Private::made(now)?, next: file::Private::made(now)?, retired: Vec::new() })
    }

    fn rotated(&self, now: UnixTime, until: UnixTime) -> Result<Self, RotateError> {
        let Self { current, next, mut retired } = self.without_expired(now);
        if retired.len() >= MAX_RETIRED {
            let first = retired.iter().map(|key| key.until).min().unwrap_or(now);
            return Err(RotateError::TooMany(first));
        }
        let public = current.key().map_err(KeysError::Key)?;
        let public = serde_json::to_value(public.public()).map_err(|error| KeysError::Set(KeySetError::Json(error)))?;
        retired.push(Retired { public, until });
        let current = next.since(now);
        Ok(Self { current, next: file::Private::made(now).map_err(KeysError::Key)?, retired })
    }

    fn without_expired(&self, now: UnixTime) -> Self {
        let mut kept = self.clone();
        kept.retired.retain(|retired| now < retired.until);
        kept
    }
}

#[cfg(test)]
mod tests;
