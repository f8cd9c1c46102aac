//! What the agent's API says, version 1, as far as the commands look at it.
//!
//! Words that are only shown (states, kinds, sources) stay text here: a word of a later agent is shown as it is.
//! Unknown fields are passed over.

use std::collections::BTreeMap;
use std::str::FromStr;

use porthole_shared::names::{ApiTokenName, ConsoleKind, ConsoleName, Requestor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// The body of a `POST` to [`TOKENS`].
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Mint<'a> {
    /// By name or UUID.
    pub(crate) console: &'a ConsoleName,
    /// What is spoken on it; the agent chooses otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<ConsoleKind>,
    /// Which one of that kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<Index>,
    /// How often, and by whom, it can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<Policy>,
    /// For how many seconds it can be used for the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttl: Option<i64>,
    /// For how many seconds after its longest session it is still known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grace: Option<i64>,
    /// To watch only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) read_only: bool,
    /// To take over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) force: bool,
    /// After how many seconds without input a session ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle: Option<i64>,
    /// After how many seconds a session ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) longest: Option<i64>,
    /// Who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requestor: Option<&'a Requestor>,
}

/// Which console of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Index {
    /// The one of this number.
    Number(u8),
    /// A word.
    Word(IndexWord),
}

/// Instead of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IndexWord {
    /// The first serial port that is free.
    Any,
}

impl FromStr for Index {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "any" => Ok(Self::Word(IndexWord::Any)),
            number => number.parse().map(Self::Number).map_err(|_| "use a number from 0 to 255, or `any`".to_owned()),
        }
    }
}

/// How often, and by whom, a link can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Policy {
    /// By the first browser window that opens it, as often as that likes; any other viewer: once
    Bound,
    /// Once
    Once,
    /// By anybody, as often as they like, until --ttl is over
    Reusable,
}

/// The answer to it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Minted {
    /// The link.
    pub(crate) url: String,
}

/// The answer to a `GET` of [`TOKENS`].
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Tokens {
    /// Some of them.
    pub(crate) tokens: Vec<Token>,
    /// Where the list goes on.
    #[serde(default)]
    pub(crate) next: Option<String>,
}

/// A token in it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Token {
    /// Its id.
    pub(crate) id: String,
    /// What it is for.
    pub(crate) console: TokenConsole,
    /// What is spoken there.
    pub(crate) kind: String,
    /// Who asked for it.
    #[serde(default)]
    pub(crate) requestor: Option<String>,
    /// How often, and by whom, it can be used.
    pub(crate) policy: String,
    /// To watch only.
    #[serde(default)]
    pub(crate) read_only: bool,
    /// How often it was used.
    pub(crate) uses: u64,
    /// Until when it can be used for the first time.
    pub(crate) redeem_by: String,
    /// Until when it can be used at all.
    pub(crate) expires: String,
    /// Whether it can be used now.
    pub(crate) usable: bool,
    /// Why it is void.
    #[serde(default)]
    pub(crate) void_reason: Option<String>,
}

/// The console of a token.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TokenConsole {
    /// What it is called.
    pub(crate) name: String,
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

/// The answer of [`API_TOKENS`].
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ApiTokens {
    /// All, expired ones included.
    pub(crate) api_tokens: Vec<ApiToken>,
}

/// An API token.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ApiToken {
    /// Its id.
    pub(crate) id: String,
    /// Who uses it.
    pub(crate) name: String,
    /// What it allows.
    pub(crate) role: String,
    /// When it was made.
    pub(crate) created: String,
    /// Until when it is good.
    #[serde(default)]
    pub(crate) expires: Option<String>,
    /// When it was last used, about.
    #[serde(default)]
    pub(crate) last_used: Option<String>,
}

/// The body of a `POST` to [`API_TOKENS`].
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NewApiToken<'a> {
    /// Who will use it.
    pub(crate) name: &'a ApiTokenName,
    /// What it will allow.
    pub(crate) role: Role,
    /// For how many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_in: Option<i64>,
}

/// What a caller is trusted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Everything
    Admin,
    /// Sees all, makes links, ends sessions; neither keys nor API tokens
    Operator,
    /// Makes links; sees and ends its own
    Minter,
}

/// The answer to it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ApiTokenMade {
    /// Its text.
    pub(crate) token: String,
}
