//! From a token whose signature may be anybody's to an admission.

use porthole_shared::clock::UnixTime;
use porthole_shared::names::{ConsoleKind, NodeId, TokenId};
use porthole_shared::reason::Reason;
use porthole_shared::token::{KeySet, MalformedToken, Token, UnverifiedOrigin, VerifiedClaims, VerifyError, verify};
use porthole_shared::tunnel::{ConsoleRequest, Presented};

/// A request of the tunnel that presents a token.
pub trait Presents {
    /// The token and who presents it.
    fn presented(&self) -> &Presented;
}

impl Presents for Presented {
    fn presented(&self) -> &Presented {
        self
    }
}

impl Presents for ConsoleRequest {
    fn presented(&self) -> &Presented {
        &self.presented
    }
}

/// Takes a text for one of our signed tokens. What is not of their shape was made by nobody we know.
pub(super) fn candidate(text: &str) -> Result<(Token, UnverifiedOrigin), Reason> {
    let unknown = |MalformedToken| Reason::BadSignature;
    let token = Token::parse(text).map_err(unknown)?;
    let origin = token.unverified_origin().map_err(unknown)?;
    Ok((token, origin))
}

/// A well-formed request whose token is not verified yet. Good for finding the key to verify it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<R> {
    origin: UnverifiedOrigin,
    request: R,
}

impl<R: Presents> Candidate<R> {
    pub(super) const fn new(origin: UnverifiedOrigin, request: R) -> Self {
        Self { origin, request }
    }

    /// Whose token it claims to be.
    pub const fn origin(&self) -> &UnverifiedOrigin {
        &self.origin
    }

    /// Checks the signature with the keys of the node that the token names, then its time.
    pub fn admit(self, keys: &KeySet, now: UnixTime) -> Result<Admission<R>, Reason> {
        let presented = self.request.presented();
        let verified = verify(&presented.token, keys).map_err(|error| match error {
            VerifyError::Malformed(_) | VerifyError::UnknownKey | VerifyError::BadSignature => Reason::BadSignature,
        })?;
        if !verified.in_time(now, presented.binding.is_some()) {
            return Err(Reason::Expired);
        }
        Ok(Admission { verified, request: self.request })
    }
}

/// A request whose token the node that it names has signed, in time. Whether the token was used, revoked or bound to
/// somebody else is the agent's to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission<R> {
    verified: VerifiedClaims,
    request: R,
}

impl<R> Admission<R> {
    /// The node to dial.
    pub const fn node(&self) -> &NodeId {
        &self.verified.claims().node
    }

    /// The kind of console.
    pub const fn kind(&self) -> ConsoleKind {
        self.verified.claims().kind
    }

    /// The token's public name, for logs.
    pub const fn token_id(&self) -> TokenId {
        self.verified.claims().jti
    }

    /// What to ask of the agent.
    pub const fn request(&self) -> &R {
        &self.request
    }
}
