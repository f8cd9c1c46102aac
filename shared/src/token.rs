//! The console token: a JWS (RFC 7515) of a node's own Ed25519 key, and nothing but `EdDSA`.
//!
//! ```text
//!  SigningKey::sign(Claims) ──► Token ──(URL, edge)──► verify(token, keys) ──► VerifiedClaims ──► admitted_at(now)
//!   the agent                    secret                 edge and agent          only `verify` makes it
//! ```
//!
//! The signature lets an edge refuse rubbish without asking anybody. It admits nobody by itself: the row that the agent
//! keeps under the token's hash is the authority (was it used, by whom, was it revoked?), and is not this module's.

use std::collections::HashMap;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::Ed25519KeyPair;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;
use crate::names::{ConsoleKind, NodeId, TokenId, hex};
use crate::secret::Secret;

/// The longest token we read or make, in bytes. Ours are about 450.
pub const MAX_TOKEN_BYTES: usize = 1024;

/// How far an edge's clock may be from the agent's, in seconds.
pub const CLOCK_SKEW_SECONDS: i64 = 60;

/// The most keys that a key set may hold: the current one, the next, and a few that still verify older tokens.
pub const MAX_KEYS: usize = 16;

/// What a token says. Everything else about it is in the agent's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The node whose agent made it.
    pub node: NodeId,
    /// The kind of console, so that an edge can serve the right page for it.
    pub kind: ConsoleKind,
    /// Its public name.
    pub jti: TokenId,
    /// When it was made.
    pub iat: UnixTime,
    /// Until when it may be used for the first time.
    pub redeem_by: UnixTime,
    /// Until when it may be used at all: `redeem_by`, plus the longest session, plus a grace.
    pub exp: UnixTime,
}

/// A token as text: secret, of bounded length and of JWS shape. Its signature may still be anybody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(Secret<String>);

/// SHA-256 of a token's text: what the database keeps instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0))
    }
}

/// The text is not a token of ours at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a console token: expected three base64url parts, at most {MAX_TOKEN_BYTES} bytes in all")]
pub struct MalformedToken;

/// Whose a token claims to be. Good for finding a key to check it with, and for nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedOrigin {
    /// The node that the token names.
    pub node: NodeId,
    /// The key that it names.
    pub kid: KeyId,
}

/// A signing key's id: its RFC 7638 thumbprint, 43 characters of base64url.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(String);

impl KeyId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyId {
    type Error = MalformedToken;
    fn try_from(text: String) -> Result<Self, MalformedToken> {
        if text.len() == 43 && text.bytes().all(is_base64url) { Ok(Self(text)) } else { Err(MalformedToken) }
    }
}

impl From<KeyId> for String {
    fn from(kid: KeyId) -> Self {
        kid.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

impl Token {
    /// Takes text that has a token's shape. No signature is checked.
    pub fn parse(text: &str) -> Result<Self, MalformedToken> {
        let parts = text.split('.').filter(|part| !part.is_empty()).count();
        let shaped = text.len() <= MAX_TOKEN_BYTES
            && parts == 3
            && text.matches('.').count() == 2
            && text.bytes().all(|byte| is_base64url(byte) || byte == b'.');
        if shaped { Ok(Self(Secret::new(text.to_owned()))) } else { Err(MalformedToken) }
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What the database keeps.
    pub fn hash(&self) -> TokenHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.expose().as_bytes()).as_ref());
        TokenHash(hash)
    }

    /// Whose it claims to be.
    pub fn unverified_origin(&self) -> Result<UnverifiedOrigin, MalformedToken> {
        #[derive(Deserialize)]
        struct NodeOnly {
            node: NodeId,
        }
        let unverified =
            jsonwebtoken::dangerous::insecure_decode::<NodeOnly>(self.expose()).map_err(|_| MalformedToken)?;
        let kid = unverified.header.kid.ok_or(MalformedToken)?.try_into()?;
        Ok(UnverifiedOrigin { node: unverified.claims.node, kid })
    }
}

/// An agent's private key.
#[derive(Clone)]
pub struct SigningKey {
    kid: KeyId,
    private: EncodingKey,
    public: Jwk,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// A signing key could not be made or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// The cryptographic library gave none.
    #[error("no Ed25519 key could be made")]
    Generate,
    /// The bytes are no Ed25519 private key.
    #[error("not an Ed25519 private key in PKCS #8 (version 1) DER")]
    Parse,
    /// Signing failed.
    #[error("the token could not be signed")]
    Sign,
}

impl SigningKey {
    /// A new key and its PKCS #8 DER, to be kept in a file of mode 0600.
    pub fn generate() -> Result<(Self, Secret<Vec<u8>>), SigningKeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| SigningKeyError::Generate)?;
        let der = pair.to_pkcs8v1().map_err(|_| SigningKeyError::Generate)?.as_ref().to_vec();
        Ok((Self::from_pkcs8(&der)?, Secret::new(der)))
    }

    /// From what [`Self::generate`] gave.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SigningKeyError> {
        Ed25519KeyPair::from_pkcs8(der).map_err(|_| SigningKeyError::Parse)?;
        let private = EncodingKey::from_ed_der(der);
        let mut public = Jwk::from_encoding_key(&private, Algorithm::EdDSA).map_err(|_| SigningKeyError::Parse)?;
        let thumbprint = public.thumbprint(ThumbprintHash::SHA256).map_err(|_| SigningKeyError::Parse)?;
        let kid = KeyId::try_from(thumbprint).map_err(|_| SigningKeyError::Parse)?;
        public.common.key_id = Some(kid.as_str().to_owned());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { kid, private, public })
    }

    /// Its id.
    pub const fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// Its public half, to publish.
    pub const fn public(&self) -> &Jwk {
        &self.public
    }

    /// Makes a token.
    pub fn sign(&self, claims: &Claims) -> Result<Token, SigningKeyError> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = None;
        header.kid = Some(self.kid.as_str().to_owned());
        let text = jsonwebtoken::encode(&header, claims, &self.private).map_err(|_| SigningKeyError::Sign)?;
        Token::parse(&text).map_err(|MalformedToken| SigningKeyError::Sign)
    }
}

/// A node's public keys (RFC 7517 key set), by id. Only Ed25519 keys with our kind of id are taken in.
#[derive(Debug, Clone, Default)]
pub struct KeySet(HashMap<KeyId, DecodingKey>);

/// A key set that a node published is of no use.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// No JSON of that form.
    #[error("not a JSON key set (RFC 7517)")]
    Json(#[source] serde_json::Error),
    /// More than [`MAX_KEYS`].
    #[error("the key set holds {0} keys; at most {MAX_KEYS} are taken")]
    TooMany(usize),
}

impl KeySet {
    /// From the JSON that [`KeySet::publish`] made. Keys of other sorts are passed over, so that a later release may
    /// publish them.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set: JwkSet = serde_json::from_slice(json).map_err(KeySetError::Json)?;
        if set.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(set.keys.len()));
        }
        Ok(set.keys.iter().collect())
    }

    /// The JSON to publish.
    pub fn publish<'a>(keys: impl IntoIterator<Item = &'a SigningKey>) -> Result<Vec<u8>, KeySetError> {
        let keys = keys.into_iter().map(|key| key.public.clone()).collect();
        serde_json::to_vec(&JwkSet { keys }).map_err(KeySetError::Json)
    }

    /// Is this key among them?
    pub fn contains(&self, kid: &KeyId) -> bool {
        self.0.contains_key(kid)
    }
}

impl<'a> FromIterator<&'a Jwk> for KeySet {
    fn from_iter<I: IntoIterator<Item = &'a Jwk>>(keys: I) -> Self {
        Self(
            keys.into_iter()
                .filter_map(|jwk| {
                    let kid = KeyId::try_from(jwk.common.key_id.clone()?).ok()?;
                    let AlgorithmParameters::OctetKeyPair(pair) = &jwk.algorithm else { return None };
                    (pair.curve == EllipticCurve::Ed25519).then_some(())?;
                    Some((kid, DecodingKey::from_ed_components(&pair.x).ok()?))
                })
                .collect(),
        )
    }
}

/// Claims that a known key of the node they name has signed. Only [`verify`] makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedClaims(Claims);

impl VerifiedClaims {
    /// What the token says.
    pub const fn claims(&self) -> &Claims {
        &self.0
    }

    /// Is it in time, on the clock of somebody who only forwards it (with [`CLOCK_SKEW_SECONDS`] to spare)? A request
    /// that offers a binding secret may be a reconnection, so it is held to `exp`, any other to `redeem_by`.
    pub const fn in_time(&self, now: UnixTime, binding_offered: bool) -> bool {
        let until = if binding_offered { self.0.exp } else { self.0.redeem_by };
        now.0 < until.plus(CLOCK_SKEW_SECONDS).0 && now.0 >= self.0.iat.plus(-CLOCK_SKEW_SECONDS).0
    }
}

/// Why a token does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Not a token of ours.
    #[error(transparent)]
    Malformed(#[from] MalformedToken),
    /// No key of that id is known. A fresher key set may have it.
    #[error("no key of the token's id is known")]
    UnknownKey,
    /// The key did not make this.
    #[error("the token's signature is wrong")]
    BadSignature,
}

/// Checks a token's signature. Times are the caller's to check: see [`VerifiedClaims::in_time`].
pub fn verify(token: &Token, keys: &KeySet) -> Result<VerifiedClaims, VerifyError> {
    let origin = token.unverified_origin()?;
    let key = keys.0.get(&origin.kid).ok_or(VerifyError::UnknownKey)?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let data =
        jsonwebtoken::decode::<Claims>(token.expose(), key, &validation).map_err(|_| VerifyError::BadSignature)?;
    Ok(VerifiedClaims(data.claims))
}

#[cfg(test)]
mod tests;
