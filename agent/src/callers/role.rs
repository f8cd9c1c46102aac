//! What each role may do: one table, without a default.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use Scope::{All, Nothing, Own};

/// What a caller is trusted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Sees all, mints, kills and withdraws, defines consoles; neither keys nor API tokens.
    Operator,
    /// Mints; sees and ends what it minted.
    Minter,
}

impl Role {
    /// All, the mightiest first.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Operator, Self::Minter];

    /// The word used in JSON, configuration and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Minter => "minter",
        }
    }

    /// What this role may do of an operation.
    pub const fn scope(self, operation: Operation) -> Scope {
        let [admin, operator, minter] = operation.scopes();
        match self {
            Self::Admin => admin,
            Self::Operator => operator,
            Self::Minter => minter,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a role: use admin, operator or minter")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

/// Of which things an operation may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Of all.
    All,
    /// Of those that the caller minted, or that came of it.
    Own,
    /// Of none.
    Nothing,
}

/// Whatever can be asked of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// See how the agent is.
    ShowStatus,
    /// Read the API's description.
    ReadDescription,
    /// See what has consoles.
    ListConsoles,
    /// See the consoles that libvirt does not know, and where they are.
    ListExternalConsoles,
    /// See who is on a serial port, and what it said.
    ReadSerial,
    /// Attach to a serial port.
    AttachSerial,
    /// See which ports are whose.
    ListPorts,
    /// Get ports for a domain, and give them back.
    AllocatePorts,
    /// See what domains' consoles are defined to be.
    ShowDefinition,
    /// Write consoles into domains' definitions, or XML for whoever writes it there.
    DefineConsoles,
    /// Make a token.
    MintToken,
    /// See tokens.
    ListTokens,
    /// Withdraw tokens.
    RevokeToken,
    /// See sessions.
    ListSessions,
    /// End sessions.
    KillSession,
    /// Follow what happens.
    FollowEvents,
    /// Read what happened.
    ReadAudit,
    /// Change the keys that tokens are signed with.
    RotateSigningKeys,
    /// See API tokens.
    ListApiTokens,
    /// Make an API token.
    CreateApiToken,
    /// Withdraw an API token.
    RevokeApiToken,
}

impl Operation {
    /// All, for tests and tables.
    pub const ALL: [Self; 21] = [
        Self::ShowStatus,
        Self::ReadDescription,
        Self::ListConsoles,
        Self::ListExternalConsoles,
        Self::ReadSerial,
        Self::AttachSerial,
        Self::ListPorts,
        Self::AllocatePorts,
        Self::ShowDefinition,
        Self::DefineConsoles,
        Self::MintToken,
        Self::ListTokens,
        Self::RevokeToken,
        Self::ListSessions,
        Self::KillSession,
        Self::FollowEvents,
        Self::ReadAudit,
        Self::RotateSigningKeys,
        Self::ListApiTokens,
        Self::CreateApiToken,
        Self::RevokeApiToken,
    ];

    /// What admin, operator and minter may do.
    const fn scopes(self) -> [Scope; 3] {
        match self {
            Self::ShowStatus | Self::ReadDescription | Self::MintToken => [All, All, All],
            Self::ListTokens | Self::RevokeToken | Self::ListSessions | Self::KillSession | Self::FollowEvents => {
                [All, All, Own]
            }
            Self::ListConsoles
            | Self::ListExternalConsoles
            | Self::ReadSerial
            | Self::AttachSerial
            | Self::ShowDefinition
            | Self::DefineConsoles
            | Self::ListPorts
            | Self::AllocatePorts
            | Self::ReadAudit => [All, All, Nothing],
            Self::RotateSigningKeys | Self::ListApiTokens | Self::CreateApiToken | Self::RevokeApiToken => {
                [All, Nothing, Nothing]
            }
        }
    }

    /// The least role that may do it at all.
    pub fn least_role(self) -> Role {
        let mut able = Role::ALL.into_iter().rev().filter(|role| role.scope(self) != Nothing);
        able.next().unwrap_or(Role::Admin)
    }

    /// What it does, to follow "may not".
    pub const fn words(self) -> &'static str {
        match self {
            Self::ShowStatus => "see the agent's status",
            Self::ReadDescription => "read the API's description",
            Self::ListConsoles => "list consoles",
            Self::ListExternalConsoles => "list external consoles",
            Self::ReadSerial => "read serial ports",
            Self::AttachSerial => "attach to serial ports",
            Self::ListPorts => "list ports",
            Self::AllocatePorts => "get or release ports",
            Self::ShowDefinition => "see what consoles are defined to be",
            Self::DefineConsoles => "write consoles into domains' XML",
            Self::MintToken => "make tokens",
            Self::ListTokens => "list tokens",
            Self::RevokeToken => "withdraw tokens",
            Self::ListSessions => "list sessions",
            Self::KillSession => "end sessions",
            Self::FollowEvents => "follow events",
            Self::ReadAudit => "read the audit",
            Self::RotateSigningKeys => "change signing keys",
            Self::ListApiTokens => "list API tokens",
            Self::CreateApiToken => "make API tokens",
            Self::RevokeApiToken => "withdraw API tokens",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table once more, as the documentation has it.
    const EXPECTED: &str = "
        ShowStatus            all  all   all
        ReadDescription       all  all   all
        ListConsoles          all  all   -
        ListExternalConsoles  all  all   -
        ReadSerial            all  all   -
        AttachSerial          all  all   -
        ListPorts             all  all   -
        AllocatePorts         all  all   -
        ShowDefinition        all  all   -
        DefineConsoles        all  all   -
        MintToken             all  all   all
        ListTokens            all  all   own
        RevokeToken           all  all   own
        ListSessions          all  all   own
        KillSession           all  all   own
        FollowEvents          all  all   own
        ReadAudit             all  all   -
        RotateSigningKeys     all  -     -
        ListApiTokens         all  -     -
        CreateApiToken        all  -     -
        RevokeApiToken        all  -     -";

    #[test]
    fn the_table_is_as_documented() {
        let word = |scope| match scope {
            All => "all",
            Own => "own",
            Nothing => "-",
        };
        let is: Vec<Vec<String>> = Operation::ALL
            .into_iter()
            .map(|operation| {
                let scopes = Role::ALL.into_iter().map(|role| word(role.scope(operation)).to_owned());
                std::iter::once(format!("{operation:?}")).chain(scopes).collect()
            })
            .collect();
        let expected: Vec<Vec<String>> = EXPECTED
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect();
        assert_eq!(is, expected);
    }

    #[test]
    fn a_mightier_role_may_never_do_less() {
        let rank = |scope| match scope {
            All => 2,
            Own => 1,
            Nothing => 0,
        };
        for operation in Operation::ALL {
            let [admin, operator, minter] = Role::ALL.map(|role| rank(role.scope(operation)));
            assert!(admin == 2 && admin >= operator && operator >= minter, "{operation:?}");
            assert_ne!(operation.least_role().scope(operation), Nothing);
        }
        assert_eq!(Operation::MintToken.least_role(), Role::Minter);
        assert_eq!(Operation::ReadAudit.least_role(), Role::Operator);
        assert_eq!(Operation::CreateApiToken.least_role(), Role::Admin);
    }

    #[test]
    fn words_round_trip() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        assert_eq!("root".parse::<Role>(), Err(UnknownRole));
    }
}
