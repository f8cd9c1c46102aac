//! Making a token: the console is there, runs, has that kind, and has a page; then a row, then a URL.

use porthole_shared::clock::UnixTime;
use porthole_shared::config::Duration;
use porthole_shared::names::{ConsoleId, ConsoleKind, ConsoleName, ConsoleSource, Requestor, TokenId};
use porthole_shared::reason::Reason;
use porthole_shared::secret::Secret;
use porthole_shared::token::{Claims, SigningKeyError, Token};

use super::rights::within;
use super::{Policy, Rights, RightsWanted, Tokens};
use crate::audit::{Event, Subject};
use crate::callers::CallerName;
use crate::consoles::{self, Owner, OwnerState};
use crate::store::{self, NewToken};

/// A wish for a token.
#[derive(Debug, Clone)]
pub struct MintRequest {
    /// The console's owner, by name or UUID.
    pub console: String,
    /// Which kind; VNC of a domain and the only one of an external console, if not said.
    pub kind: Option<ConsoleKind>,
    /// Which one of that kind.
    pub index: u8,
    /// Of whom the link is; as configured, if not said.
    pub policy: Option<Policy>,
    /// How long the link waits for its first use; as configured, if not said.
    pub ttl: Option<Duration>,
    /// How long after its longest session it is still known; as configured, if not said.
    pub grace: Option<Duration>,
    /// What its holder may do.
    pub rights: RightsWanted,
    /// Who asks, for the record.
    pub requestor: Option<Requestor>,
    /// Which caller of the API wants it.
    pub minted_by: Option<CallerName>,
}

/// A new token.
#[derive(Debug, Clone)]
pub struct Minted {
    /// Its public name.
    pub id: TokenId,
    /// Itself.
    pub token: Token,
    /// The URL that opens its console.
    pub url: Secret<String>,
    /// What it is for.
    pub console: ConsoleId,
    /// What that is called.
    pub name: ConsoleName,
    /// Of whom it is.
    pub policy: Policy,
    /// What its holder may do.
    pub rights: Rights,
    /// Until when it may be used for the first time.
    pub redeem_by: UnixTime,
    /// Until when it may be used at all.
    pub expires: UnixTime,
}

/// No token was made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The console was not found.
    #[error(transparent)]
    Find(#[from] consoles::FindError),
    /// Its owner does not run.
    #[error("{name} is {state}: start it first")]
    NotRunning {
        /// The owner.
        name: ConsoleName,
        /// What it is doing.
        state: OwnerState,
    },
    /// It is on its way to another host, where this host's token will be worth nothing.
    #[error("{name} is moving to another host: ask again there in a minute")]
    Migrating {
        /// The owner.
        name: ConsoleName,
    },
    /// It has no such console.
    #[error("{name} has no {kind} console {index}; it has {}", Kinds(have))]
    NoSuchKind {
        /// The owner.
        name: ConsoleName,
        /// What was asked for.
        kind: ConsoleKind,
        /// Which of them.
        index: u8,
        /// What it has.
        have: Vec<consoles::Kind>,
    },
    /// SPICE needs more than one use.
    #[error(
        "a SPICE console needs several connections, and a link of policy `once` allows one: use `bound` or `reusable`"
    )]
    SpiceOnce,
    /// What a SPICE viewer sends cannot be filtered.
    #[error(
        "a SPICE console cannot be opened read-only, because what its viewer sends is not filtered: ask for a VNC console, \
         or leave read_only out"
    )]
    SpiceReadOnly,
    /// Not in this release. A link that should be recorded and is not would be worse than none.
    #[error("this release cannot record sessions: leave `record` out")]
    CannotRecord,
    /// There is no page for it.
    #[error("there is no base URL for {kind} consoles: set `{kind}` in [urls] of the agent's configuration")]
    NoUrl {
        /// The kind.
        kind: ConsoleKind,
    },
    /// Something of it would be too short or too long.
    #[error("{} {what} of {asked} is not possible: use 1s to {longest}", article(what))]
    Length {
        /// Of what.
        what: &'static str,
        /// What was asked for.
        asked: Duration,
        /// The longest there is.
        longest: Duration,
    },
    /// It would be remembered for too long.
    #[error("a grace of {asked} is not possible: use 0s to {longest}")]
    Grace {
        /// What was asked for.
        asked: Duration,
        /// The longest there is.
        longest: Duration,
    },
    /// It cannot be signed.
    #[error(transparent)]
    Sign(#[from] SigningKeyError),
    /// It cannot be written down.
    #[error("the token was not made, because it could not be written down")]
    Store(#[from] store::Error),
}

impl MintError {
    /// What a program is told, and what it is counted as.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Find(consoles::FindError::Ambiguous { .. }) => "ambiguous",
            Self::Find(error) => error.reason().code(),
            Self::NotRunning { .. } => Reason::NotRunning.code(),
            Self::Migrating { .. } => Reason::Migrating.code(),
            Self::NoSuchKind { .. } => Reason::NoSuchKind.code(),
            Self::NoUrl { .. } => "no_base_url",
            Self::Length { .. } | Self::Grace { .. } | Self::SpiceOnce | Self::SpiceReadOnly | Self::CannotRecord => {
                Reason::BadRequest.code()
            }
            Self::Store(error) if error.is_full() => "disk_full",
            Self::Store(error) if error.is_busy() => Reason::Busy.code(),
            Self::Sign(_) | Self::Store(_) => Reason::Internal.code(),
        }
    }
}

fn article(what: &str) -> &'static str {
    if what.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// What an owner has, in words.
struct Kinds<'a>(&'a [consoles::Kind]);

impl std::fmt::Display for Kinds<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some((first, others)) = self.0.split_first() else { return f.write_str("none") };
        write!(f, "{} {}", first.kind, first.index)?;
        others.iter().try_for_each(|other| write!(f, ", {} {}", other.kind, other.index))
    }
}

impl Tokens {
    /// Makes a token and writes its hash down.
    pub async fn mint(&self, request: MintRequest) -> Result<Minted, MintError> {
        self.count(self.make(request, true).await)
    }

    /// Makes one for a caller who is here already and needs no link: there need be no page for it.
    pub(crate) async fn mint_for_here(&self, request: MintRequest) -> Result<Token, MintError> {
        self.count(self.make(request, false).await).map(|minted| minted.token)
    }

    fn count(&self, minted: Result<Minted, MintError>) -> Result<Minted, MintError> {
        match &minted {
            Ok(minted) => self.0.instruments.minted(minted.console.kind),
            Err(error) => self.0.instruments.refused(error.code()),
        }
        minted
    }

    /// `linked`: there must be a page for its link, which is empty otherwise.
    async fn make(&self, request: MintRequest, linked: bool) -> Result<Minted, MintError> {
        let settings = self.0.settings.load_full();
        let (config, lengths) = (&settings.config, &settings.lengths);
        let ttl = within("ttl", request.ttl.unwrap_or(config.redeem_within), config.longest_ttl)?;
        let grace = request.grace.unwrap_or(config.grace);
        if grace > config.grace {
            return Err(MintError::Grace { asked: grace, longest: config.grace });
        }
        let owner = self.0.consoles.find(&request.console).await?;
        let console = choose(&owner, request.kind, request.index)?;
        if console.source == ConsoleSource::Libvirt && self.0.consoles.hypervisor().is_migrating(console.uuid).await {
            return Err(MintError::Migrating { name: owner.name });
        }
        let base = settings.urls.base(console.kind);
        if linked && base.is_none() {
            return Err(MintError::NoUrl { kind: console.kind });
        }

        let policy = request.policy.unwrap_or(config.policy);
        if policy == Policy::Once && console.kind == ConsoleKind::Spice {
            return Err(MintError::SpiceOnce);
        }
        let rights = request.rights.grant(console.kind, lengths)?;
        let (id, now) = (TokenId::random(), self.now());
        let redeem_by = now.plus(ttl.as_seconds());
        // No session outlives its token.
        let expires = if lengths.end_at_expiry {
            redeem_by
        } else {
            redeem_by.plus(rights.longest.unwrap_or(lengths.longest.as_seconds())).plus(grace.as_seconds())
        };
        let claims =
            Claims { node: self.0.node.clone(), kind: console.kind, jti: id, iat: now, redeem_by, exp: expires };
        let token = self.0.keys.sign(&claims)?;
        let (name, life, requestor, minted_by) = (owner.name, owner.life, request.requestor, request.minted_by);
        let row = NewToken {
            id,
            hash: token.hash(),
            console,
            name: name.clone(),
            life,
            requestor,
            minted_by,
            policy,
            rights,
            created: now,
            redeem_by,
            expires,
        };
        self.0.recorder.store.insert_token(&row).await?;
        // For those who debug; the record is the audit's.
        tracing::debug!(
            token = %id, %console, %name, %policy, %redeem_by, read_only = rights.read_only,
            requestor = row.requestor.as_ref().map(tracing::field::display), "token made"
        );
        let subject =
            Subject { token: id, console, name: name.clone(), requestor: row.requestor, minted_by: row.minted_by };
        self.0.recorder.audit.tell(Event::Minted(subject));
        let url = base.map_or_else(|| Secret::new(String::new()), |base| base.with_token(&token));
        Ok(Minted { id, token, url, console, name, policy, rights, redeem_by, expires })
    }
}

/// Which of an owner's consoles is meant.
fn choose(owner: &Owner, kind: Option<ConsoleKind>, index: u8) -> Result<ConsoleId, MintError> {
    let (name, have) = (|| owner.name.clone(), || owner.kinds.clone());
    let kind = kind.unwrap_or_else(|| match owner.source {
        ConsoleSource::Libvirt => ConsoleKind::Vnc,
        ConsoleSource::External => owner.kinds.first().map_or(ConsoleKind::Vnc, |only| only.kind),
    });
    // First, because an XML of a domain that does not run tells less of it.
    if !owner.state.is_active() {
        return Err(MintError::NotRunning { name: name(), state: owner.state });
    }
    if !owner.kinds.contains(&consoles::Kind { kind, index }) {
        return Err(MintError::NoSuchKind { name: name(), kind, index, have: have() });
    }
    Ok(ConsoleId { source: owner.source, uuid: owner.uuid, kind, index })
}
