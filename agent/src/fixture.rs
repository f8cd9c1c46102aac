//! What the unit tests of several modules start from: the whole core on a directory and a clock of the test's own, with
//! two external consoles and no libvirt.

use std::sync::Arc;

use porthole_shared::binding::BindingSecret;
use porthole_shared::clock::{ManualClock, UnixTime};
use porthole_shared::config::Duration;
use porthole_shared::lifecycle::Shutdown;
use porthole_shared::names::{EdgeInstance, EdgeName, NodeId};
use porthole_shared::reason::Reason;
use porthole_shared::token::Token;
use porthole_shared::tunnel::{ClientFacts, Presented};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::audit::{self, Audit};
use crate::consoles::Consoles;
use crate::hypervisor::Hypervisor;
use crate::serial::{self, Serial};
use crate::sessions::{self, Connection, Lengths, Sessions};
use crate::store::Store;
use crate::tokens::{self, MintRequest, Minted, Parts, Policy, Redeemed, RightsWanted, SigningKeys, Tokens};

/// When tests begin.
pub(crate) const START: UnixTime = UnixTime(1_800_000_000);

/// How long a session may last in tests, in seconds.
pub(crate) const LONGEST: u64 = 3600;

/// The core of an agent.
pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) clock: ManualClock,
    pub(crate) store: Store,
    pub(crate) consoles: Consoles,
    pub(crate) tokens: Tokens,
    pub(crate) sessions: Sessions,
    pub(crate) audit: Audit,
    pub(crate) tasks: TaskTracker,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(Hypervisor::none(), &sessions::Config::default()).await
    }

    /// With an audit in the directory.
    pub(crate) async fn audited() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(START);
        let config = audit::Config { log: false, ..audit::Config::default() };
        let audit = Audit::open(&config, dir.path(), Arc::new(clock.clone())).await.unwrap();
        Self::in_place(dir, clock, audit, Hypervisor::none(), &sessions::Config::default()).await
    }

    pub(crate) async fn with(hypervisor: Hypervisor, config: &sessions::Config) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(START));
        Self::in_place(dir, clock, Audit::off(), hypervisor, config).await
    }

    async fn in_place(
        dir: TempDir,
        clock: ManualClock,
        audit: Audit,
        hypervisor: Hypervisor,
        config: &sessions::Config,
    ) -> Self {
        let external = serde_json::from_value(json!({"networks": ["127.0.0.0/8"], "console": [
            {"uuid": "00000000-0000-4000-8000-000000000001", "name": "bmc", "protocol": "vnc", "host": "127.0.0.1", "port": 5900},
            {"uuid": "00000000-0000-4000-8000-000000000002", "name": "raw", "protocol": "tcp", "host": "127.0.0.1", "port": 5901},
        ]}))
        .unwrap();
        let urls = json!({"vnc": "https://c.example.org/vnc.html", "spice": "https://c.example.org/spice.html"});
        let consoles = Consoles::new(hypervisor, external, &"qemu:///system".parse().unwrap());
        let store = Store::open(dir.path(), START).await.unwrap();
        let token_config = tokens::Config::default();
        let keys = SigningKeys::open(dir.path(), &token_config, 3600, START).unwrap();
        let tasks = TaskTracker::new();
        let tokens = Tokens::new(Parts {
            node: NodeId::derived_from(&"compute-1".parse().unwrap()),
            config: token_config,
            urls: serde_json::from_value(urls).unwrap(),
            lengths: Lengths { longest: Duration::from_secs(LONGEST), ..Lengths::from(config) },
            consoles: consoles.clone(),
            keys,
            store: store.clone(),
            clock: Arc::new(clock.clone()),
            audit: audit.clone(),
            tasks: tasks.clone(),
        });
        Self { dir, clock, store, consoles, tokens, sessions: Sessions::new(config), audit, tasks }
    }

    pub(crate) fn serial(&self) -> Serial {
        let (config, clock) = (serial::Config::default(), Arc::new(self.clock.clone()));
        Serial::new(&config, self.dir.path(), self.consoles.clone(), clock, Arc::default(), Shutdown::default())
    }

    pub(crate) async fn mint(&self, policy: Policy) -> Minted {
        self.tokens.mint(MintRequest { policy: Some(policy), ..wanted("bmc") }).await.unwrap()
    }

    /// As a request with this token would.
    pub(crate) async fn redeem(&self, token: &Token, secret: Option<&BindingSecret>) -> Result<Redeemed, Reason> {
        let presented = presented(token, secret);
        let examined = self.tokens.examine(&presented).await?;
        self.tokens.redeem(&examined, &presented.client, &edge()).await
    }

    /// As a request with this token would, up to its `101`.
    pub(crate) async fn connect(&self, token: &Token, secret: Option<&BindingSecret>) -> Result<Connection, Reason> {
        let presented = presented(token, secret);
        let examined = self.tokens.examine(&presented).await?;
        let place = self.sessions.reserve(&examined, &presented.client, &edge())?;
        let redeemed = self.tokens.redeem(&examined, &presented.client, &edge()).await?;
        Ok(self.sessions.begin(place, redeemed))
    }

    /// As somebody who asks what a token is for.
    pub(crate) async fn ask(&self, token: &Token) -> Result<(), Reason> {
        let presented = presented(token, None);
        let examined = self.tokens.examine(&presented).await?;
        self.sessions.has_place(&examined, &presented.client, &edge())
    }

    /// Waits until every end has been written.
    pub(crate) async fn settle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}

pub(crate) fn wanted(console: &str) -> MintRequest {
    MintRequest {
        console: console.to_owned(),
        kind: None,
        index: 0,
        policy: None,
        ttl: None,
        grace: None,
        rights: RightsWanted::default(),
        requestor: None,
        minted_by: None,
    }
}

pub(crate) fn edge() -> EdgeName {
    "edge-1".parse().unwrap()
}

pub(crate) fn client() -> ClientFacts {
    let edge_instance: EdgeInstance = "00000000-0000-4000-8000-00000000ed9e".parse().unwrap();
    ClientFacts { address: "192.0.2.7:40000".parse().unwrap(), tls: None, edge_instance }
}

pub(crate) fn presented(token: &Token, secret: Option<&BindingSecret>) -> Presented {
    Presented { token: token.clone(), binding: secret.cloned(), client: client() }
}
