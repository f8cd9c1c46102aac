//! API tokens: 256 random bits that make whoever shows them a caller. The row has their SHA-256 only, which is enough
//! because they have full entropy; and because they are looked up by that hash, how long it takes tells a guesser
//! nothing about how near the guess was.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use porthole_shared::clock::{Clock, UnixTime};
use porthole_shared::config::Duration;
use porthole_shared::lifecycle::chain;
use porthole_shared::names::{ApiTokenId, ApiTokenName};
use porthole_shared::secret::Secret;

use super::{Caller, CallerName, Role};
use crate::store::{self, Store};

/// What every API token starts with, so that people and scanners of leaked secrets recognise one.
pub const TOKEN_PREFIX: &str = "pth_";

/// The most API tokens that there can be.
pub const MAX_API_TOKENS: u32 = 1000;

/// How exactly it is kept when a token was last used, in seconds: a busy one costs one write in that time.
const LAST_USED_EVERY: i64 = 10 * 60;

/// For so long an expired token is still listed.
const KEEP_EXPIRED_SECONDS: i64 = 30 * 24 * 60 * 60;

/// The text of an API token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenText(Secret<String>);

/// SHA-256 of a [`TokenText`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ApiTokenHash(pub [u8; 32]);

impl TokenText {
    /// A new one.
    fn random() -> Result<Self, CreateError> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).map_err(|_| CreateError::NoRandomness)?;
        Ok(Self(Secret::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))))
    }

    /// From what somebody shows; `None` if it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let random = text.strip_prefix(TOKEN_PREFIX)?;
        let fits = random.len() == 43 && URL_SAFE_NO_PAD.decode(random).is_ok_and(|bytes| bytes.len() == 32);
        fits.then(|| Self(Secret::new(text.to_owned())))
    }

    /// The text itself: to be shown to whoever has just had it made.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    fn hash(&self) -> ApiTokenHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.0.expose().as_bytes()).as_ref());
        ApiTokenHash(hash)
    }
}

/// An API token's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id.
    pub id: ApiTokenId,
    /// Who uses it.
    pub name: ApiTokenName,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub created: UnixTime,
    /// Who had it made.
    pub created_by: CallerName,
    /// Until when it is good; for ever, if not said.
    pub expires: Option<UnixTime>,
    /// When it was last used, give or take ten minutes.
    pub last_used: Option<UnixTime>,
}

impl ApiToken {
    /// Whether it is good at this time.
    pub fn is_good(&self, now: UnixTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Whom it makes its holder.
    pub fn caller(&self) -> Caller {
        Caller { name: CallerName::Token(self.name.clone()), role: self.role }
    }
}

/// A new API token, with the only copy of its text.
#[derive(Debug)]
pub struct Created {
    /// Its row.
    pub token: ApiToken,
    /// Itself.
    pub text: TokenText,
}

/// No API token was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// It would expire at once.
    #[error("an API token that expires within a second is of no use: give it longer, or leave `expires_in` out")]
    TooShort,
    /// There are too many.
    #[error("there are {MAX_API_TOKENS} API tokens: withdraw some that nobody uses any more")]
    TooMany,
    /// The system has no randomness.
    #[error("the system gave no random bytes")]
    NoRandomness,
    /// The database failed.
    #[error("the API token was not made, because it could not be written down")]
    Store(#[from] store::Error),
}

/// What was shown is not good.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// There is no such token.
    #[error("there is no such API token: it may have been withdrawn")]
    Unknown,
    /// It has expired.
    #[error("the API token {name} has expired at {expires}: have a new one made (`porthole api-token create`)")]
    Expired {
        /// Who uses it.
        name: ApiTokenName,
        /// When it was good for the last time.
        expires: UnixTime,
    },
    /// The database failed.
    #[error("the API token could not be looked up")]
    Store(#[from] store::Error),
}

/// An API token could not be withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum RevokeApiTokenError {
    /// There is none.
    #[error("there is no API token of this id; `porthole api-token list` shows them")]
    Unknown,
    /// The database failed.
    #[error("the API token could not be withdrawn")]
    Store(#[from] store::Error),
}

/// The API tokens of this agent. Clones are handles to the same.
#[derive(Clone)]
pub struct ApiTokens {
    store: Store,
    clock: Arc<dyn Clock>,
    /// Those that were good when they were last shown, to this process; at most as many as there can be.
    proven: Arc<Mutex<HashSet<ApiTokenHash>>>,
}

impl fmt::Debug for ApiTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiTokens").finish_non_exhaustive()
    }
}

impl ApiTokens {
    /// Those of this database.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, proven: Arc::default() }
    }

    /// Makes one. Its text is in the answer and nowhere else.
    pub async fn create(
        &self,
        name: ApiTokenName,
        role: Role,
        expires_in: Option<Duration>,
        by: &CallerName,
    ) -> Result<Created, CreateError> {
        if expires_in.is_some_and(|length| length.as_seconds() < 1) {
            return Err(CreateError::TooShort);
        }
        let (text, now) = (TokenText::random()?, self.clock.now());
        let token = ApiToken {
            id: ApiTokenId::random(),
            name,
            role,
            created: now,
            created_by: by.clone(),
            expires: expires_in.map(|length| now.plus(length.as_seconds())),
            last_used: None,
        };
        let forgotten = now.plus(-KEEP_EXPIRED_SECONDS);
        if !self.store.insert_api_token(&token, text.hash(), MAX_API_TOKENS, forgotten).await? {
            return Err(CreateError::TooMany);
        }
        tracing::info!(id = %token.id, name = %token.name, %role, %by, "API token made");
        Ok(Created { token, text })
    }

    /// Whose token this is.
    pub async fn authenticate(&self, text: &TokenText) -> Result<ApiToken, AuthenticateError> {
        let (hash, now) = (text.hash(), self.clock.now());
        let Some(token) = self.store.api_token(hash).await? else {
            self.proven().remove(&hash);
            return Err(AuthenticateError::Unknown);
        };
        if let (false, Some(expires)) = (token.is_good(now), token.expires) {
            self.proven().remove(&hash);
            return Err(AuthenticateError::Expired { name: token.name, expires });
        }
        self.prove(hash);
        if token.last_used.is_none_or(|last| now >= last.plus(LAST_USED_EVERY)) {
            self.note_use(token.id, now);
        }
        Ok(token)
    }

    /// Whether this was a good one when it was last shown: then it is no guess. Costs no look at the database.
    pub fn is_proven(&self, text: &TokenText) -> bool {
        self.proven().contains(&text.hash())
    }

    fn prove(&self, hash: ApiTokenHash) {
        let mut proven = self.proven();
        // Those that were withdrawn and never shown again make room at once, for those that are shown.
        if proven.len() >= MAX_API_TOKENS as usize && !proven.contains(&hash) {
            proven.clear();
        }
        proven.insert(hash);
    }

    fn proven(&self) -> MutexGuard<'_, HashSet<ApiTokenHash>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the token of this id is still good.
    pub async fn is_good(&self, id: ApiTokenId) -> Result<bool, store::Error> {
        let token = self.store.api_token_by_id(id).await?;
        Ok(token.is_some_and(|token| token.is_good(self.clock.now())))
    }

    /// All, expired ones included, in the order in which they were made.
    pub async fn list(&self) -> Result<Vec<ApiToken>, store::Error> {
        self.store.api_tokens().await
    }

    /// Withdraws one, for ever.
    pub async fn revoke(&self, id: ApiTokenId, by: &CallerName) -> Result<(), RevokeApiTokenError> {
        let token = self.store.remove_api_token(id).await?.ok_or(RevokeApiTokenError::Unknown)?;
        tracing::info!(%id, name = %token.name, role = %token.role, %by, "API token withdrawn");
        Ok(())
    }

    /// Beside the request, which need not wait for the one writer of the database.
    fn note_use(&self, id: ApiTokenId, now: UnixTime) {
        let store = self.store.clone();
        drop(tokio::spawn(async move {
            if let Err(error) = store.note_api_token_use(id, now, now.plus(-LAST_USED_EVERY)).await {
                tracing::warn!(%id, error = chain(&error), "the last use of an API token was not written down");
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    const DAY: u64 = 24 * 60 * 60;

    fn root() -> CallerName {
        CallerName::User(0)
    }

    async fn create(tokens: &ApiTokens, name: &str, days: Option<u64>) -> Created {
        let length = days.map(|days| Duration::from_secs(days * DAY));
        tokens.create(name.parse().unwrap(), Role::Minter, length, &root()).await.unwrap()
    }

    #[tokio::test]
    async fn a_token_is_made_shown_once_used_and_withdrawn() {
        let fixture = Fixture::new().await;
        let tokens = ApiTokens::new(fixture.store.clone(), Arc::new(fixture.clock.clone()));
        let made = create(&tokens, "dashboard", None).await;
        assert!(made.text.expose().starts_with("pth_") && made.text.expose().len() == 47);
        assert!(!format!("{made:?}").contains(made.text.expose()));
        let shown = TokenText::parse(made.text.expose()).unwrap();
        let known = tokens.authenticate(&shown).await.unwrap();
        assert_eq!(known, made.token);
        assert_eq!(known.caller().name.to_string(), "token:dashboard");
        assert_eq!(tokens.list().await.unwrap().len(), 1);
        assert!(tokens.is_proven(&shown));

        let other = TokenText::random().unwrap();
        assert!(matches!(tokens.authenticate(&other).await, Err(AuthenticateError::Unknown)));
        assert!(tokens.is_good(made.token.id).await.unwrap());
        tokens.revoke(made.token.id, &root()).await.unwrap();
        assert!(!tokens.is_good(made.token.id).await.unwrap());
        assert!(matches!(tokens.authenticate(&shown).await, Err(AuthenticateError::Unknown)));
        assert!(!tokens.is_proven(&shown) && !tokens.is_proven(&other));
        assert!(matches!(tokens.revoke(made.token.id, &root()).await, Err(RevokeApiTokenError::Unknown)));
    }

    #[tokio::test]
    async fn one_that_expires_says_so_and_is_forgotten_later() {
        let fixture = Fixture::new().await;
        let tokens = ApiTokens::new(fixture.store.clone(), Arc::new(fixture.clock.clone()));
        let made = create(&tokens, "short", Some(1)).await;
        fixture.clock.advance(i64::try_from(DAY).unwrap() - 1);
        tokens.authenticate(&made.text).await.unwrap();
        fixture.clock.advance(1);
        let error = tokens.authenticate(&made.text).await.unwrap_err().to_string();
        assert!(error.contains("short") && error.contains("2027-01-16T08:00:00Z"), "{error}");
        assert!(!tokens.is_good(made.token.id).await.unwrap());
        create(&tokens, "a", None).await;
        assert_eq!(tokens.list().await.unwrap().len(), 2, "still shown");
        fixture.clock.advance(KEEP_EXPIRED_SECONDS + 1);
        create(&tokens, "b", None).await;
        let names: Vec<_> = tokens.list().await.unwrap().into_iter().map(|token| token.name.to_string()).collect();
        assert_eq!(names, ["a", "b"]);
        let nothing = tokens.create("c".parse().unwrap(), Role::Admin, Some(Duration::from_millis(10)), &root()).await;
        assert!(matches!(nothing, Err(CreateError::TooShort)));
    }

    #[tokio::test]
    async fn its_last_use_is_known_coarsely() {
        let fixture = Fixture::new().await;
        let tokens = ApiTokens::new(fixture.store.clone(), Arc::new(fixture.clock.clone()));
        let made = create(&tokens, "dashboard", None).await;
        let start = fixture.clock.now();
        let last = async || tokens.list().await.unwrap().first().unwrap().last_used;
        let used = async |expected| {
            tokens.authenticate(&made.text).await.unwrap();
            porthole_tests::wait::eventually(porthole_tests::wait::PATIENCE, "the last use", async || {
                last().await == Some(expected)
            })
            .await;
        };
        assert_eq!(last().await, None);
        used(start).await;
        fixture.clock.advance(LAST_USED_EVERY - 1);
        used(start).await;
        fixture.clock.advance(1);
        used(start.plus(LAST_USED_EVERY)).await;
    }

    #[tokio::test]
    async fn there_is_a_bound() {
        let fixture = Fixture::new().await;
        let tokens = ApiTokens::new(fixture.store.clone(), Arc::new(fixture.clock.clone()));
        let made = create(&tokens, "first", None).await;
        let again = ApiToken { id: ApiTokenId::random(), ..made.token };
        let text = TokenText::random().unwrap();
        let fits = async |most| fixture.store.insert_api_token(&again, text.hash(), most, UnixTime(0)).await.unwrap();
        assert!(!fits(1).await);
        assert!(fits(2).await);
    }

    #[test]
    fn what_cannot_be_one_is_not_looked_up() {
        let text = format!("pth_{}", "A".repeat(43));
        assert!(TokenText::parse(&text).is_some());
        for bad in ["", "pth_", &text[4..], &text[..46], &format!("{text}A"), &text.replace("pth_", "PTH_")] {
            assert!(TokenText::parse(bad).is_none(), "{bad}");
        }
        assert!(TokenText::parse(&text.replace('A', "+")).is_none());
    }
}
