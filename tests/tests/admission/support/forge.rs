//! Tokens that no agent gave out, signed with an agent's own key: what only somebody with that key could make.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use porthole_shared::clock::{Clock as _, SystemClock, UnixTime};
use porthole_shared::names::{ConsoleKind, NodeId, NodeName, TokenId};
use porthole_shared::token::{Claims, SigningKey};
use porthole_tests::agent::Agent;
use serde_json::Value;

/// Signs as an agent does.
#[derive(Debug)]
pub(crate) struct Forge {
    key: SigningKey,
    node: NodeId,
}

impl Forge {
    /// With the key that this agent signs with now.
    pub(crate) fn of(agent: &Agent) -> Self {
        let file = agent.database().with_file_name("keys").join("signing.json");
        let keys: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let private = STANDARD.decode(keys["current"]["pkcs8"].as_str().unwrap()).unwrap();
        let key = SigningKey::from_pkcs8(&private).unwrap();
        Self { key, node: NodeId::derived_from(&agent.name().parse::<NodeName>().unwrap()) }
    }

    /// With a key that nobody knows.
    pub(crate) fn stranger(&self) -> Self {
        Self { key: SigningKey::generate().unwrap().0, node: self.node.clone() }
    }

    /// What a token says that was made just now.
    pub(crate) fn claims(&self) -> Claims {
        let now = now();
        Claims {
            node: self.node.clone(),
            kind: ConsoleKind::Tcp,
            jti: TokenId::random(),
            iat: now,
            redeem_by: now.plus(600),
            exp: now.plus(7200),
        }
    }

    /// The token that says so.
    pub(crate) fn sign(&self, claims: &Claims) -> String {
        self.key.sign(claims).unwrap().expose().to_owned()
    }
}

pub(crate) fn now() -> UnixTime {
    SystemClock.now()
}

/// A token's header, payload and signature.
pub(crate) fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().expect("three parts")
}
