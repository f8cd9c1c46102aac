//! Console tokens: made for a console that exists, redeemed by whom their policy allows, withdrawn.
//!
//! ```text
//!  api ──mint──► Token, URL           tunnel ──examine──► Examined ──redeem──► Redeemed ──► Sessions::begin
//!                row: a hash                  changes nothing         one atomic statement
//! ```
//!
//! The signature only keeps rubbish away; the row decides, on this host's clock, in one statement, whatever the number
//! of redeemers at once. Between the two steps the console is opened, so that a link is not used up by a guest that
//! does not answer.
//!
//! **Invariants**: a token's text is never stored or logged, only its hash and its public id; nothing here speaks HTTP.

mod config;
mod keys;
mod mint;
mod policy;
mod rights;
mod urls;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use porthole_shared::binding::BindingHash;
use porthole_shared::clock::{Clock, UnixTime};
use porthole_shared::lifecycle::chain;
use porthole_shared::names::{ConsoleId, ConsoleName, ConsoleUuid, EdgeName, NodeId, Requestor, SessionId, TokenId};
use porthole_shared::reason::Reason;
use porthole_shared::token::{self, KeyId, MalformedToken, TokenHash, VerifyError};
use porthole_shared::tunnel::{ClientFacts, Inspection, Presented};
use tokio::sync::{Notify, oneshot};
use tokio_util::task::TaskTracker;

pub use self::config::Config;
pub use self::keys::{KeyFileError, KeysError, RotateError, SigningKeys};
pub use self::mint::{MintError, MintRequest, Minted};
pub use self::policy::{Policy, TokenState, UnknownPolicy, judge};
pub use self::rights::{Rights, RightsWanted};
pub use self::urls::{BaseUrl, InvalidBaseUrl, Urls};
use crate::audit::{Audit, Subject};
use crate::callers::CallerName;
use crate::consoles::Consoles;
use crate::hypervisor::Life;
use crate::metrics::instruments;
use crate::sessions::{Lengths, OpenRow, Recorder, Selector, SessionFacts};
use crate::store::{self, ListedToken, Store, TokenMark, TokenPage, TokenRecord};

/// The tokens of this node. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Tokens(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    node: NodeId,
    settings: ArcSwap<Settings>,
    consoles: Consoles,
    keys: SigningKeys,
    recorder: Recorder,
    instruments: instruments::Tokens,
    /// Some may be of guests that have stopped.
    doubt: Notify,
}

/// What may change while the agent runs: it holds for the next token, and `longest` for the next session.
#[derive(Debug)]
struct Settings {
    config: Config,
    urls: Urls,
    lengths: Lengths,
}

/// What tokens are made of.
#[derive(Debug)]
pub struct Parts {
    /// The id of this node.
    pub node: NodeId,
    /// `[tokens]`.
    pub config: Config,
    /// `[urls]`.
    pub urls: Urls,
    /// How long sessions may last, of `[sessions]`.
    pub lengths: Lengths,
    /// What tokens are for.
    pub consoles: Consoles,
    /// What signs them.
    pub keys: SigningKeys,
    /// Where their rows are.
    pub store: Store,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Who is told what happens to them.
    pub audit: Audit,
    /// What the end of the process waits for.
    pub tasks: TaskTracker,
}

/// A token that this node made and that its presenter might use now. Looking has changed nothing; only
/// [`Tokens::redeem`] decides.
#[derive(Debug, Clone)]
pub struct Examined {
    hash: TokenHash,
    binding: Option<BindingHash>,
    record: TokenRecord,
}

impl Examined {
    /// Its public name.
    pub const fn id(&self) -> TokenId {
        self.record.id
    }

    /// What the audit says of it.
    pub fn subject(&self) -> Subject {
        self.record.subject()
    }

    /// The console it is for.
    pub const fn console(&self) -> ConsoleId {
        self.record.console
    }

    /// The console's name when the token was made.
    pub const fn name(&self) -> &ConsoleName {
        &self.record.name
    }

    /// Who asked for it.
    pub const fn requestor(&self) -> Option<&Requestor> {
        self.record.requestor.as_ref()
    }

    /// Which caller of the API had it made, if that is known.
    pub const fn minted_by(&self) -> Option<&CallerName> {
        self.record.minted_by.as_ref()
    }

    /// Whether all connections with this token are one person's, so that a new one takes over from the last.
    pub fn is_bound(&self) -> bool {
        self.record.state.policy == Policy::Bound
    }

    /// What its user may do.
    pub const fn rights(&self) -> Rights {
        self.record.rights
    }

    /// What a page may know before it connects.
    pub fn inspection(&self) -> Inspection {
        Inspection {
            kind: self.record.console.kind,
            name: self.record.name.clone(),
            redeem_by: self.record.state.redeem_by,
            expires: self.record.state.expires,
            read_only: self.record.rights.read_only,
            force: self.record.rights.force,
            writer: None,
        }
    }
}

/// A token that may not be used now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// What is known of it: nothing, if this host does not know it.
    pub subject: Option<Subject>,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self { reason, subject: None }
    }
}

/// A redeemed token: the right to one connection. To be given to [`Sessions::begin`](crate::sessions::Sessions::begin);
/// dropped instead, its session's row ends as `client_gone`.
#[derive(Debug)]
pub struct Redeemed {
    pub(crate) facts: SessionFacts,
    /// How long the connection may last.
    pub(crate) longest: Duration,
    pub(crate) row: OpenRow,
}

impl Redeemed {
    /// The session that this connection opens or continues.
    pub const fn session(&self) -> SessionId {
        self.facts.id
    }
}

/// A token could not be withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// There is none.
    #[error("this host has no token of this id (it may have expired long ago)")]
    UnknownToken,
    /// The database failed.
    #[error("the token could not be withdrawn")]
    Store(#[source] store::Error),
}

impl Tokens {
    /// Puts them together.
    pub fn new(parts: Parts) -> Self {
        let Parts { node, config, urls, lengths, consoles, keys, store, clock, audit, tasks } = parts;
        let recorder = Recorder { store, clock, audit, tasks };
        let settings = ArcSwap::from_pointee(Settings { config, urls, lengths });
        let instruments = instruments::Tokens::default();
        Self(Arc::new(Shared { node, settings, consoles, keys, recorder, instruments, doubt: Notify::new() }))
    }

    /// From now on tokens are made by these settings, but for those of the signing keys.
    pub fn set(&self, config: Config, urls: Urls, lengths: Lengths) {
        self.0.settings.store(Arc::new(Settings { config, urls, lengths }));
    }

    /// What is counted of them.
    pub fn instruments(&self) -> &instruments::Tokens {
        &self.0.instruments
    }

    /// The keys that sign them.
    pub fn keys(&self) -> &SigningKeys {
        &self.0.keys
    }

    /// Whether this token would open its console now. Changes nothing.
    pub async fn examine(&self, presented: &Presented) -> Result<Examined, Reason> {
        self.examine_to_use(presented).await.map_err(|refused| refused.reason)
    }

    /// As [`Self::examine`], for somebody who wants to use it: a refusal says whose token it is, for the record.
    pub async fn examine_to_use(&self, presented: &Presented) -> Result<Examined, Refused> {
        let origin = presented.token.unverified_origin().map_err(|MalformedToken| Reason::BadSignature)?;
        // A token of another node cannot be checked here; it was sent to the wrong door.
        if origin.node != self.0.node {
            return Err(Reason::WrongNode.into());
        }
        token::verify(&presented.token, &self.0.keys.verifying()).map_err(|error| match error {
            VerifyError::Malformed(_) | VerifyError::UnknownKey | VerifyError::BadSignature => Reason::BadSignature,
        })?;
        let hash = presented.token.hash();
        let binding = presented.binding.as_ref().map(porthole_shared::binding::BindingSecret::hash);
        let record = self.0.recorder.store.token(&hash).await.map_err(|error| reason_of(&error))?;
        let record = record.ok_or(Reason::UnknownToken)?;
        judge(&record.state, binding, self.now())
            .map_err(|reason| Refused { reason, subject: Some(record.subject()) })?;
        Ok(Examined { hash, binding, record })
    }

    /// Uses the token, and opens its session's row or continues it. Of any number of redeemers at once as many get
    /// through as the policy allows. Goes on to its end even if the caller stops waiting.
    pub async fn redeem(&self, token: &Examined, client: &ClientFacts, edge: &EdgeName) -> Result<Redeemed, Reason> {
        let now = self.now();
        let wanted = store::Redeem {
            hash: token.hash,
            binding: token.binding,
            now,
            longest_session: self.0.settings.load().lengths.longest.as_seconds(),
            new_session: SessionId::random(),
            client: client.clone(),
            edge: edge.clone(),
        };
        let recorder = self.0.recorder.clone();
        let (answer, answered) = oneshot::channel();
        // A task of its own, because a client that leaves in mid-statement must not leave a row open: the answer that
        // nobody takes any more is dropped, and closes it. It is dropped within the task, so that whoever waits for the
        // last task waits for what that begins, too.
        drop(self.0.recorder.tasks.spawn(async move {
            let redeemed = recorder.store.redeem(&wanted).await.map_err(|error| reason_of(&error)).flatten();
            drop(answer.send(redeemed.map(|facts| {
                let row = OpenRow::new(&facts, recorder);
                let longest = Duration::from_secs(u64::try_from(facts.until.0.saturating_sub(now.0)).unwrap_or(0));
                Redeemed { facts, longest, row }
            })));
        }));
        let redeemed = answered.await.unwrap_or_else(|_gone| {
            tracing::error!("redeeming a token was cut off");
            Err(Reason::Internal)
        })?;
        self.0.instruments.redeemed(redeemed.facts.console.kind);
        Ok(redeemed)
    }

    /// What the audit says of a token, if it is known.
    pub async fn subject(&self, id: TokenId) -> Option<Subject> {
        match self.0.recorder.store.token_called(id).await {
            Ok(record) => record.map(|record| record.subject()),
            Err(error) => {
                tracing::warn!(token = %id, error = chain(&error), "the audit will not say whose token this is");
                None
            }
        }
    }

    /// Withdraws a token. Ending its sessions is the caller's.
    pub async fn revoke(&self, id: TokenId) -> Result<(), RevokeError> {
        let known = self.0.recorder.store.revoke(id, Reason::Revoked, self.now()).await.map_err(RevokeError::Store)?;
        if known { Ok(()) } else { Err(RevokeError::UnknownToken) }
    }

    /// Withdraws all that are meant, or those of them that were ever used; how many. Ending their sessions is the caller's.
    pub async fn revoke_all_of(&self, which: &Selector, only_used: bool) -> Result<u64, store::Error> {
        self.0.recorder.store.revoke_all_of(which, only_used, self.now()).await
    }

    /// Makes what was made for a domain until now void, by a task that the end of the process waits for. Whoever comes
    /// with such a token later is told why.
    pub fn void_domain(&self, uuid: ConsoleUuid, reason: Reason) {
        // As of now, however long the statement waits: what is made later is for the guest's next start.
        self.void_domain_until(uuid, reason, self.mark());
    }

    /// The domains with tokens that are good for something.
    pub async fn domains(&self) -> Result<Vec<ConsoleUuid>, store::Error> {
        self.0.recorder.store.domains_with_tokens(self.now()).await
    }

    /// What there is now.
    pub fn mark(&self) -> TokenMark {
        self.0.recorder.store.mark_tokens()
    }

    /// What there was at that time.
    pub async fn mark_at(&self, at: UnixTime) -> Result<TokenMark, store::Error> {
        self.0.recorder.store.mark_tokens_at(at).await
    }

    /// As [`Self::void_domain`], of what was made until then. What is void already stays so for its own reason.
    pub fn void_domain_until(&self, uuid: ConsoleUuid, reason: Reason, until: TokenMark) {
        let recorder = self.0.recorder.clone();
        drop(self.0.recorder.tasks.spawn(async move { recorder.void_domain(uuid, reason, until).await }));
    }

    /// As [`Self::void_domain_until`], of what was made in an earlier life of the domain than this.
    pub async fn void_earlier_lives(
        &self,
        uuid: ConsoleUuid,
        life: Life,
        reason: Reason,
        until: TokenMark,
    ) -> Result<u64, store::Error> {
        self.0.recorder.store.void_earlier_lives(uuid, life, reason, until, self.now()).await
    }

    /// A guest may have stopped, and nobody knows any more which: libvirt is to be asked, soon.
    pub fn doubt(&self) {
        self.0.doubt.notify_one();
    }

    /// Waits until somebody doubts.
    pub async fn doubted(&self) {
        self.0.doubt.notified().await;
    }

    /// Some of them, in the order of their ids.
    pub async fn list(&self, page: &TokenPage) -> Result<Vec<ListedToken>, store::Error> {
        self.0.recorder.store.tokens(page, self.now()).await
    }

    /// Whether a client could use this one now, if it has the right secret.
    pub fn is_usable(&self, token: &ListedToken) -> bool {
        let state = &token.record.state;
        judge(state, state.binding, self.now()).is_ok()
    }

    /// The token with which a client may continue this session, whether it is connected now or not.
    pub async fn to_continue(&self, session: SessionId) -> Result<Option<TokenId>, store::Error> {
        self.0.recorder.store.token_to_continue(session, self.now()).await
    }

    /// Whether there is a token of this id that this caller had made.
    pub async fn is_minted_by(&self, id: TokenId, caller: &CallerName) -> Result<bool, store::Error> {
        self.0.recorder.store.is_minted_by(id, caller).await
    }

    /// Lets the next signing key sign from now on.
    pub async fn rotate_keys(&self) -> Result<KeyId, RotateError> {
        self.0.keys.rotate(&self.0.recorder.store, self.now()).await
    }

    fn now(&self) -> UnixTime {
        self.0.recorder.clock.now()
    }
}

fn reason_of(error: &store::Error) -> Reason {
    if error.is_busy() {
        tracing::warn!(error = chain(error), "the database had too much to do");
        return Reason::Busy;
    }
    tracing::error!(error = chain(error), "the database failed");
    Reason::Internal
}

#[cfg(test)]
mod tests;
