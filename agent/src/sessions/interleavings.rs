//! Whatever comes in whatever order (redeeming, superseding, withdrawing, expiring, killing, guests that stop), on a real
//! database: what must be true of tokens and sessions stays true.

use std::collections::HashSet;
use std::time::Duration;

use porthole_shared::binding::BindingSecret;
use porthole_shared::clock::Clock as _;
use porthole_shared::names::{ConsoleUuid, SessionId, TokenId};
use porthole_shared::reason::Reason;
use proptest::prelude::*;
use tokio::sync::{broadcast, mpsc, watch};

use super::{Config, Connection, Selector};
use crate::fixture::{Fixture, wanted};
use crate::hypervisor::{
    Command, DomainDescription, DomainState, DomainSummary, FindError, Hypervisor, LinkState, NameOrUuid,
};
use crate::tokens::{MintRequest, Minted, Policy};

#[derive(Debug, Clone, Copy)]
enum Step {
    Connect { token: usize, secret: usize },
    Finish { which: usize },
    Revoke { token: usize },
    RevokeRequestor { who: usize, keep: bool },
    Kill { which: usize },
    Stop,
    Wait { seconds: i64 },
}

const WHO: [&str; 2] = ["alice", "bob"];
const MAX: usize = 4;
const MAX_PER_REQUESTOR: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_usize..6, 0_usize..3).prop_map(|(token, secret)| Step::Connect { token, secret }),
        3 => (0_usize..4).prop_map(|which| Step::Finish { which }),
        1 => (0_usize..6).prop_map(|token| Step::Revoke { token }),
        1 => (0_usize..2, prop::bool::ANY).prop_map(|(who, keep)| Step::RevokeRequestor { who, keep }),
        1 => (0_usize..4).prop_map(|which| Step::Kill { which }),
        1 => Just(Step::Stop),
        1 => (1_i64..2000).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// A libvirt with one running domain.
fn libvirt(uuid: ConsoleUuid) -> Hypervisor {
    let (commands, mut received) = mpsc::channel(4);
    let (_, link) = watch::channel(LinkState::Disabled);
    tokio::spawn(async move {
        let (name, state) = (|| "web".parse().unwrap(), DomainState::Running);
        while let Some(command) = received.recv().await {
            match command {
                Command::Find { wanted, reply } => drop(reply.send(match wanted {
                    NameOrUuid::Name(asked) if asked == name() => Ok(DomainSummary { uuid, name: name(), state }),
                    NameOrUuid::Name(_) | NameOrUuid::Uuid(_) => Err(FindError::NoSuchDomain),
                })),
                Command::Describe { reply, .. } => {
                    let live_xml = "<domain><devices><graphics type='vnc'/></devices></domain>".to_owned();
                    drop(reply.send(Ok(DomainDescription { uuid, name: name(), state, live_xml, life: None })));
                }
                Command::IsMigrating { reply, .. } => drop(reply.send(Ok(false))),
                other @ (Command::Domains { .. }
                | Command::Definition { .. }
                | Command::Redefine { .. }
                | Command::OpenConsole { .. }
                | Command::OpenGraphics { .. }) => {
                    panic!("nobody asked for {other:?}")
                }
            }
        }
    });
    Hypervisor::from_channel(commands, broadcast::channel(4).0, link, Duration::from_secs(5))
}

struct Held {
    token: usize,
    connection: Connection,
}

struct World {
    fixture: Fixture,
    domain: ConsoleUuid,
    tokens: Vec<(Minted, Policy, &'static str)>,
    secrets: Vec<BindingSecret>,
    held: Vec<Held>,
    /// Tokens that were made void for certain.
    void: HashSet<TokenId>,
}

impl World {
    async fn new() -> Self {
        let domain = ConsoleUuid::random();
        let config =
            Config { max: MAX, max_per_console: MAX, max_per_requestor: Some(MAX_PER_REQUESTOR), ..Config::default() };
        let fixture = Fixture::with(libvirt(domain), &config).await;
        let mut tokens = Vec::new();
        for (index, policy) in Policy::ALL.into_iter().chain(Policy::ALL).enumerate() {
            // The first three are of a domain.
            let console = if index < 3 { "web" } else { "bmc" };
            let who = WHO[index % 2];
            let request =
                MintRequest { policy: Some(policy), requestor: Some(who.parse().unwrap()), ..wanted(console) };
            tokens.push((fixture.tokens.mint(request).await.unwrap(), policy, who));
        }
        let secrets = (0..2).map(|_| BindingSecret::random().unwrap()).collect();
        Self { fixture, domain, tokens, secrets, held: Vec::new(), void: HashSet::new() }
    }

    async fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Connect { token, secret } => {
                let minted = &self.tokens[token].0;
                match self.fixture.connect(&minted.token, self.secrets.get(secret)).await {
                    Ok(connection) => {
                        prop_assert!(!self.void.contains(&minted.id), "a void token opened");
                        self.held.push(Held { token, connection });
                    }
                    Err(reason) => {
                        let told = [Reason::Revoked, Reason::Crashed].contains(&reason);
                        prop_assert!(
                            told || !self.void.contains(&minted.id),
                            "a void token does not say why: {reason}"
                        );
                    }
                }
            }
            Step::Finish { which } => {
                if which < self.held.len() {
                    let Held { connection, .. } = self.held.remove(which);
                    connection.finish(Reason::ClientGone);
                }
            }
            Step::Revoke { token } => {
                let id = self.tokens[token].0.id;
                self.fixture.tokens.revoke(id).await.unwrap();
                self.fixture.sessions.end_token(id, Reason::Revoked);
                self.void.insert(id);
            }
            Step::RevokeRequestor { who, keep } => {
                let which = Selector { requestor: Some(WHO[who].parse().unwrap()), ..Selector::default() };
                self.fixture.tokens.revoke_all_of(&which, false).await.unwrap();
                if !keep {
                    self.fixture.sessions.end_all_of(&which, Reason::Revoked);
                }
                // Of the others some have expired, and stay so.
                let now = self.fixture.clock.now();
                let theirs = self.tokens.iter().filter(|(minted, _, of)| *of == WHO[who] && now < minted.redeem_by);
                for id in theirs.map(|(minted, ..)| minted.id).collect::<Vec<_>>() {
                    self.void.insert(id);
                }
            }
            Step::Kill { which } => {
                if let Some(Held { token, connection }) = self.held.get(which) {
                    let (id, session) = (self.tokens[*token].0.id, connection.session());
                    self.fixture.tokens.revoke(id).await.unwrap();
                    self.fixture.sessions.kill(session).unwrap();
                    self.void.insert(id);
                }
            }
            Step::Stop => {
                self.fixture.sessions.end_domain(self.domain, Reason::Crashed);
                self.fixture.tokens.void_domain(self.domain, Reason::Crashed);
                self.fixture.settle().await;
                for index in 0..3 {
                    self.void.insert(self.tokens[index].0.id);
                }
            }
            Step::Wait { seconds } => self.fixture.clock.advance(seconds),
        }
        Ok(())
    }

    async fn check(&self) -> Result<(), TestCaseError> {
        self.fixture.settle().await;
        let listed = self.fixture.sessions.list();
        let mut sessions: Vec<SessionId> = self.held.iter().map(|held| held.connection.session()).collect();
        sessions.sort_unstable();
        sessions.dedup();
        let mut ids: Vec<SessionId> = listed.iter().map(|live| live.facts.id).collect();
        ids.sort_unstable();
        prop_assert_eq!(&ids, &sessions, "a session is live as long as somebody holds a connection of it");
        let open = usize::try_from(self.fixture.store.open_sessions().await).unwrap();
        prop_assert_eq!(open, sessions.len(), "no session without a row, no row live without a session");

        let mut live = Vec::new();
        for held in &self.held {
            if futures_util::poll!(std::pin::pin!(held.connection.ended())).is_pending() {
                live.push(held);
            }
        }
        prop_assert!(live.len() <= MAX);
        for who in WHO {
            let theirs = live.iter().filter(|held| self.tokens[held.token].2 == who).count();
            prop_assert!(theirs <= MAX_PER_REQUESTOR);
        }
        for (index, (_, policy, _)) in self.tokens.iter().enumerate() {
            let of_it = live.iter().filter(|held| held.token == index).count();
            prop_assert!(*policy == Policy::Reusable || of_it <= 1, "{}: {}", policy, of_it);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_happens_tokens_sessions_and_rows_agree(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.take(step).await?;
                world.check().await?;
            }
            world.held.clear();
            world.check().await
        })?;
    }
}
