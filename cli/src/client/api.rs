//! What the agent's API says, version 1, as far as the commands look at it.
//!
//! Words that are only shown (states, kinds, sources) stay text here: a word of a later agent is shown as it is.
//! Unknown fields are passed over.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

mod callers;
mod tokens;

pub(crate) use callers::{ApiTokenMade, ApiTokens, NewApiToken, Role};
pub(crate) use tokens::{Index, Mint, Minted, Policy, Token, Tokens};

/// `GET`: what this node has. With `/NAME/definition`, what a guest's consoles are defined to be: `GET`, `PUT`, `DELETE`.
pub(crate) const CONSOLES: &str = "/v1/consoles";
/// `POST`: makes a token. `GET`: lists them. `DELETE`: revokes some; with `/ID`, that one.
pub(crate) const TOKENS: &str = "/v1/tokens";
/// `GET`: live sessions. `DELETE`: ends some; with `/ID`, that one.
pub(crate) const SESSIONS: &str = "/v1/sessions";
/// `GET`: what happened.
pub(crate) const AUDIT: &str = "/v1/audit";
/// `GET`: ports that are not free.
pub(crate) const PORTS: &str = "/v1/ports";
/// `POST`: signs with a new key from now on.
pub(crate) const ROTATE: &str = "/v1/signing-keys/rotate";
/// `GET`: API tokens; `POST`: makes one. With `/ID`, `DELETE`: withdraws one.
pub(crate) const API_TOKENS: &str = "/v1/api-tokens";
/// `GET`: how the agent is.
pub(crate) const STATUS: &str = "/v1/status";

/// A refusal (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Problem {
    /// The HTTP status.
    #[serde(default)]
    pub(crate) status: u16,
    /// What sort of thing went wrong.
    #[serde(default)]
    pub(crate) title: String,
    /// What went wrong this time.
    #[serde(default)]
    pub(crate) detail: String,
    /// The code of a reason, or a word of the API's.
    #[serde(default)]
    pub(crate) code: String,
    /// The role that it takes.
    #[serde(default)]
    pub(crate) needed_role: Option<String>,
}

/// The answer of [`CONSOLES`].
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Consoles {
    /// Guests and external consoles.
    pub(crate) consoles: Vec<Console>,
}

/// Whatever has consoles.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Console {
    /// `libvirt` or `external`.
    pub(crate) source: String,
    /// Its UUID.
    pub(crate) uuid: String,
    /// Its name.
    pub(crate) name: String,
    /// `running`, `shut_off`, …
    pub(crate) state: String,
    /// Its consoles.
    pub(crate) kinds: Vec<Kind>,
    /// What of it cannot be opened now.
    #[serde(default)]
    pub(crate) closed: Vec<Closed>,
}

/// Something that cannot be opened.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Closed {
    /// What.
    pub(crate) device: String,
    /// Why not.
    pub(crate) why: String,
}

/// One console.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Kind {
    /// What is spoken on it.
    pub(crate) kind: String,
    /// Which one of that kind.
    pub(crate) index: u32,
}

/// What a guest's consoles are defined to be: the answer to a `GET` of [`CONSOLES`]`/NAME/definition`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Definition {
    /// The guest's UUID.
    pub(crate) uuid: String,
    /// Its name.
    pub(crate) name: String,
    /// `running`, `shut_off`, …
    pub(crate) state: String,
    /// What it is to have, if its consoles are Porthole's. A later release's may say more than this one understands.
    pub(crate) spec: Option<Value>,
    /// The ports of that.
    pub(crate) ports: Vec<DevicePort>,
    /// What the running guest has otherwise.
    pub(crate) until_restart: Vec<String>,
    /// It goes on from a saved state at its next start.
    pub(crate) saved: bool,
}

/// A device and its port.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct DevicePort {
    /// The device.
    pub(crate) device: String,
    /// Its port.
    pub(crate) port: u16,
}

/// The answer to a change of it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Changed {
    /// Whether anything was written.
    pub(crate) changed: bool,
    /// How it is now.
    pub(crate) definition: Definition,
}

/// What ended together.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Ended {
    /// How many tokens.
    pub(crate) tokens: u64,
    /// How many connections.
    pub(crate) connections: u64,
}

/// The answer of [`SESSIONS`].
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Sessions {
    /// The live ones.
    pub(crate) sessions: Vec<Session>,
}

/// A live session.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Session {
    /// Its id.
    pub(crate) id: String,
    /// The console's name.
    pub(crate) name: String,
    /// What is spoken.
    pub(crate) kind: String,
    /// Who asked for the link.
    #[serde(default)]
    pub(crate) requestor: Option<String>,
    /// Where the viewer is.
    #[serde(default)]
    pub(crate) client_address: Option<String>,
    /// Through which edge.
    #[serde(default)]
    pub(crate) edge: Option<String>,
    /// Since when.
    pub(crate) started: String,
    /// From the viewer.
    pub(crate) bytes_in: u64,
    /// To the viewer.
    pub(crate) bytes_out: u64,
    /// How many connections it has now.
    pub(crate) connections: u64,
    /// Its viewer may only watch.
    #[serde(default)]
    pub(crate) read_only: bool,
    /// For how many seconds there was no input.
    #[serde(default)]
    pub(crate) idle_seconds: Option<u64>,
    /// When it ends at the latest.
    #[serde(default)]
    pub(crate) until: Option<String>,
}

/// An entry of the answer of [`AUDIT`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Entry {
    /// When.
    pub(crate) at: String,
    /// What happened.
    pub(crate) event: String,
    /// Who did it.
    pub(crate) caller: Option<String>,
    /// For whom the link is.
    pub(crate) requestor: Option<String>,
    /// The console.
    pub(crate) console: Option<EntryConsole>,
    /// What its owner is called.
    pub(crate) name: Option<String>,
    /// The session.
    pub(crate) session: Option<String>,
    /// Where the viewer is.
    pub(crate) client: Option<String>,
    /// Through which edge.
    pub(crate) edge: Option<String>,
    /// Why.
    pub(crate) reason: Option<String>,
    /// From the viewer.
    pub(crate) bytes_in: Option<u64>,
    /// To the viewer.
    pub(crate) bytes_out: Option<u64>,
    /// How many it stands for.
    pub(crate) count: Option<u64>,
}

/// The console of an entry.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct EntryConsole {
    /// What is spoken there.
    pub(crate) kind: String,
}

/// The answer of [`PORTS`].
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Ports {
    /// Those that are not free.
    pub(crate) ports: Vec<Port>,
}

/// A port that is not free.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Port {
    /// Which one.
    #[serde(rename = "port")]
    pub(crate) number: u16,
    /// `leased`, `pending`, …
    pub(crate) state: String,
    /// Whose it is.
    #[serde(default)]
    pub(crate) owner: Option<PortOwner>,
    /// It was found in use, not asked for.
    #[serde(default)]
    pub(crate) adopted: bool,
    /// Since when it is in this state.
    pub(crate) since: String,
    /// When this state ends by itself.
    #[serde(default)]
    pub(crate) expires: Option<String>,
    /// Who has it in its XML as well.
    #[serde(default)]
    pub(crate) claimed_by: Vec<PortOwner>,
}

/// A device of a domain.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PortOwner {
    /// The domain's UUID.
    pub(crate) domain: String,
    /// What it is called.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Which device.
    pub(crate) device: String,
}

/// The answer of [`ROTATE`].
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Rotated {
    /// The new key's id.
    pub(crate) kid: String,
}

/// The answer of [`STATUS`].
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Status {
    /// The node's name.
    pub(crate) node: String,
    /// What tokens call it.
    pub(crate) id: String,
    /// The agent's release.
    pub(crate) version: String,
    /// `connected`, `connecting` or `disabled`.
    pub(crate) libvirt: String,
    /// Why it is not connected.
    #[serde(default)]
    pub(crate) libvirt_error: Option<String>,
    /// How many are live.
    pub(crate) sessions: u64,
    /// Until when the tunnel's certificate is valid.
    #[serde(default)]
    pub(crate) certificate_expires: Option<String>,
    /// Events that found no room in the audit.
    #[serde(default)]
    pub(crate) audit_lost: Option<u64>,
    /// What libvirt's hook has told, by operation.
    #[serde(default)]
    pub(crate) hook: BTreeMap<String, HookCalls>,
}

/// How often libvirt's hook told of an operation.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct HookCalls {
    /// Since the agent started.
    pub(crate) count: u64,
    /// When the last time.
    pub(crate) last: String,
}
