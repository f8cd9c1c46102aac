//! Who may use a token, and how often. Pure: the state of its row and who asks go in, a verdict comes out.
//!
//! ```text
//!            first use, with a secret           later uses, until `exp`, with the same secret
//!  bound ───────────────────────────────► bound to it ───────────────────────────────────────► bound to it
//!    │ first use, without a secret              │ another secret, or none: not_yours
//!    └──────────────────────────────────► used ─┴ any: used
//!
//!  once ─────── first use ──────────────► used ── any: used
//!
//!  reusable ─── any use until redeem_by ► reusable
//! ```
//!
//! A first use must come before `redeem_by`. A void token (withdrawn, or its guest has stopped)
//! tells why, and one of an earlier boot opens nothing either.
//!
//! The database statement that redeems repeats these rules, because only there are they atomic; a property test holds
//! the two against each other.

use std::fmt;
use std::str::FromStr;

use porthole_shared::binding::BindingHash;
use porthole_shared::clock::UnixTime;
use porthole_shared::reason::Reason;
use serde::{Deserialize, Serialize};

/// How often a token may be used, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// By the first client, as often as it likes; once, if that client has no binding secret.
    #[default]
    Bound,
    /// Once.
    Once,
    /// By anybody, until `redeem_by`: as Nova's links are.
    Reusable,
}

impl Policy {
    /// All, for tables and parsers.
    pub const ALL: [Self; 3] = [Self::Bound, Self::Once, Self::Reusable];

    /// The word used in JSON, configuration and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::Once => "once",
            Self::Reusable => "reusable",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token policy: use bound, once or reusable")]
pub struct UnknownPolicy;

impl FromStr for Policy {
    type Err = UnknownPolicy;
    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or(UnknownPolicy)
    }
}

/// What of a token's row decides about its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenState {
    /// Its policy.
    pub policy: Policy,
    /// Until when it may be used for the first time.
    pub redeem_by: UnixTime,
    /// Until when it may be used at all. The first use of a bound token brings it forward to the longest session.
    pub expires: UnixTime,
    /// How often it was used.
    pub uses: u64,
    /// Whose it is, once a client with a secret has used it.
    pub binding: Option<BindingHash>,
    /// Somebody withdrew it, or its console is gone: what its user is told.
    pub void: Option<Reason>,
    /// It was made since this host booted.
    pub this_boot: bool,
}

/// May a client with this secret (or without one) use the token now?
pub fn judge(token: &TokenState, secret: Option<BindingHash>, now: UnixTime) -> Result<(), Reason> {
    if let Some(reason) = token.void {
        return Err(reason);
    }
    if !token.this_boot || now >= token.expires {
        return Err(Reason::Expired);
    }
    match (token.policy, token.uses, token.binding) {
        // SHA-256 of 256 random bits: how long the comparison takes tells a guesser nothing about the secret.
        (Policy::Bound, 1.., Some(owner)) if secret == Some(owner) => Ok(()),
        (Policy::Bound, 1.., Some(_)) => Err(Reason::NotYours),
        (Policy::Bound, 1.., None) | (Policy::Once, 1.., _) => Err(Reason::Used),
        (Policy::Bound | Policy::Once, 0, _) | (Policy::Reusable, ..) if now >= token.redeem_by => Err(Reason::Expired),
        (Policy::Bound | Policy::Once, 0, _) | (Policy::Reusable, ..) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: BindingHash = BindingHash([1; 32]);
    const THEIRS: BindingHash = BindingHash([2; 32]);
    const NOW: UnixTime = UnixTime(1000);

    fn fresh(policy: Policy) -> TokenState {
        TokenState {
            policy,
            redeem_by: UnixTime(1001),
            expires: UnixTime(2000),
            uses: 0,
            binding: None,
            void: None,
            this_boot: true,
        }
    }

    #[test]
    fn a_first_use_is_in_time_or_expired() {
        for policy in Policy::ALL {
            for secret in [None, Some(MINE)] {
                assert_eq!(judge(&fresh(policy), secret, NOW), Ok(()));
                assert_eq!(judge(&fresh(policy), secret, UnixTime(1001)), Err(Reason::Expired));
            }
        }
    }

    #[test]
    fn a_bound_token_is_its_first_users_until_it_expires() {
        let bound = TokenState { uses: 1, binding: Some(MINE), ..fresh(Policy::Bound) };
        assert_eq!(judge(&bound, Some(MINE), UnixTime(1999)), Ok(()));
        assert_eq!(judge(&bound, Some(THEIRS), NOW), Err(Reason::NotYours));
        assert_eq!(judge(&bound, None, NOW), Err(Reason::NotYours));
        assert_eq!(judge(&bound, Some(MINE), UnixTime(2000)), Err(Reason::Expired));
    }

    #[test]
    fn without_a_secret_bound_is_once() {
        for policy in [Policy::Bound, Policy::Once] {
            let used = TokenState { uses: 1, ..fresh(policy) };
            assert_eq!(judge(&used, None, NOW), Err(Reason::Used));
            assert_eq!(judge(&used, Some(MINE), NOW), Err(Reason::Used));
        }
    }

    #[test]
    fn a_reusable_token_is_anybodys_until_redeem_by() {
        let used = TokenState { uses: 7, ..fresh(Policy::Reusable) };
        assert_eq!(judge(&used, None, NOW), Ok(()));
        assert_eq!(judge(&used, Some(THEIRS), NOW), Ok(()));
        assert_eq!(judge(&used, None, UnixTime(1001)), Err(Reason::Expired));
    }

    #[test]
    fn void_ones_and_earlier_boots_open_nothing() {
        for policy in Policy::ALL {
            for reason in [Reason::Revoked, Reason::ShutOff] {
                assert_eq!(judge(&TokenState { void: Some(reason), ..fresh(policy) }, None, NOW), Err(reason));
            }
            assert_eq!(judge(&TokenState { this_boot: false, ..fresh(policy) }, None, NOW), Err(Reason::Expired));
        }
    }

    #[test]
    fn words_round_trip() {
        for policy in Policy::ALL {
            assert_eq!(policy.as_str().parse(), Ok(policy));
            assert_eq!(serde_json::to_string(&policy).unwrap(), format!("\"{policy}\""));
        }
        assert!("twice".parse::<Policy>().is_err());
    }
}
