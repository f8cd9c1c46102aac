use std::time::Duration;

use porthole_shared::binding::BindingSecret;
use porthole_shared::lifecycle::Shutdown;
use porthole_shared::names::{ConsoleId, ConsoleKind, ConsoleSource, Requestor};
use proptest::prelude::*;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::timeout;

use super::connection::End;
use super::*;
use crate::fixture::{Fixture, LONGEST, START, client, edge, presented, wanted};
use crate::hypervisor::{DomainEvent, DomainEventKind, Event, Hypervisor, LinkState, StopCause};
use crate::store::SessionEnd;
use crate::tokens::{MintRequest, Policy, Rights, RightsWanted};

fn secret() -> BindingSecret {
    BindingSecret::random().unwrap()
}

/// The reason, which must be there already.
async fn told(connection: &Connection) -> Reason {
    timeout(Duration::from_secs(5), connection.ended()).await.expect("the connection was told nothing")
}

async fn is_live(connection: &Connection) -> bool {
    futures_util::poll!(std::pin::pin!(connection.ended())).is_pending()
}

#[tokio::test]
async fn a_session_is_listed_while_it_lives_and_recorded_when_it_ends() {
    let fixture = Fixture::new().await;
    let minted = fixture.mint(Policy::Once).await;
    let connection = fixture.connect(&minted.token, None).await.unwrap();
    connection.meter().counters.add_in(3);
    connection.meter().counters.add_out(1000);
    let list = fixture.sessions.list();
    let facts = &list[0].facts;
    assert_eq!((list.len(), list[0].connections), (1, 1));
    assert_eq!((facts.id, facts.token, facts.started), (connection.session(), minted.id, START));
    assert_eq!((facts.bytes_in, facts.bytes_out, facts.client_address.as_str()), (3, 1000, "192.0.2.7:40000"));

    let id = connection.session();
    connection.finish(Reason::ClientClosed);
    assert!(fixture.sessions.is_empty());
    fixture.settle().await;
    assert_eq!(fixture.store.session_end(id).await, (Some(Reason::ClientClosed), 3, 1000));
}

#[tokio::test]
async fn a_dropped_connection_is_recorded_with_the_reason_it_was_told_or_as_gone() {
    let fixture = Fixture::new().await;
    let gone = fixture.connect(&fixture.mint(Policy::Once).await.token, None).await.unwrap();
    let killed = fixture.connect(&fixture.mint(Policy::Once).await.token, None).await.unwrap();
    fixture.sessions.kill(killed.session()).unwrap();
    let (gone_id, killed_id) = (gone.session(), killed.session());
    drop((gone, killed));
    fixture.settle().await;
    assert_eq!(fixture.store.session_end(gone_id).await.0, Some(Reason::ClientGone));
    assert_eq!(fixture.store.session_end(killed_id).await.0, Some(Reason::Killed));
}

#[tokio::test]
async fn an_end_that_the_database_refuses_is_written_later() {
    let fixture = Fixture::new().await;
    let token = fixture.mint(Policy::Once).await.token;
    let mut redeemed = fixture.redeem(&token, None).await.unwrap();
    let (id, recorder) = (redeemed.session(), redeemed.row.take_recorder());
    let end = SessionEnd { id, ended: START, reason: Reason::Killed, bytes_in: 1, bytes_out: 2 };
    fixture.store.refuse_ends(true).await;
    {
        let mut writing = std::pin::pin!(recorder.end(&end, Duration::from_millis(1)));
        let gave_up = timeout(Duration::from_millis(50), writing.as_mut()).await;
        assert!(gave_up.is_err(), "it was not tried again");
        assert_eq!(fixture.store.open_sessions().await, 1);
        // Together, because an attempt that is not driven on may hold the connection that the other needs.
        let written = timeout(Duration::from_secs(5), writing);
        let (written, ()) = tokio::join!(written, fixture.store.refuse_ends(false));
        written.expect("it is never written");
    }
    assert_eq!(fixture.store.session_end(id).await, (Some(Reason::Killed), 1, 2));

    fixture.store.refuse_ends(true).await;
    fixture.tasks.close();
    timeout(Duration::from_secs(5), recorder.end(&end, Duration::from_hours(1))).await.expect("it holds up the end");
}

#[tokio::test]
async fn a_reconnection_supersedes_and_the_session_goes_on() {
    let fixture = Fixture::new().await;
    let (token, mine) = (fixture.mint(Policy::Bound).await.token, secret());
    let old = fixture.connect(&token, Some(&mine)).await.unwrap();
    old.meter().counters.add_out(10);
    assert!(is_live(&old).await);
    let new = fixture.connect(&token, Some(&mine)).await.unwrap();
    assert_eq!(told(&old).await, Reason::Superseded);
    assert_eq!(new.session(), old.session());
    assert!(is_live(&new).await);
    old.finish(Reason::Superseded);
    fixture.settle().await;
    let list = fixture.sessions.list();
    assert_eq!((list.len(), list[0].connections, list[0].facts.bytes_out), (1, 1, 10));
    assert_eq!(fixture.store.open_sessions().await, 1);
    let id = new.session();
    new.finish(Reason::ConsoleClosed);
    fixture.settle().await;
    assert_eq!(fixture.store.session_end(id).await, (Some(Reason::ConsoleClosed), 0, 10));
}

#[tokio::test]
async fn an_idle_session_ends_and_does_not_come_back() {
    let fixture = Fixture::new().await;
    let rights = RightsWanted { idle: Some(porthole_shared::config::Duration::from_secs(1)), ..Default::default() };
    let (mine, request) = (secret(), MintRequest { rights, ..wanted("bmc") });
    let token = fixture.tokens.mint(request).await.unwrap().token;
    let connection = fixture.connect(&token, Some(&mine)).await.unwrap();
    let before = fixture.sessions.list()[0].latest_input;
    // A viewer that connects again has not done anything yet.
    let again = fixture.connect(&token, Some(&mine)).await.unwrap();
    assert_eq!(fixture.sessions.list()[0].latest_input, before);
    assert_eq!(told(&connection).await, Reason::Superseded);
    connection.finish(Reason::Superseded);
    assert_eq!(told(&again).await, Reason::Idle);
    again.finish(Reason::Idle);
    fixture.settle().await;
    assert_eq!(fixture.redeem(&token, Some(&mine)).await.unwrap_err(), Reason::Idle);
}

#[tokio::test]
async fn viewers_of_a_reusable_link_do_not_end_each_other() {
    let fixture = Fixture::new().await;
    let token = fixture.mint(Policy::Reusable).await.token;
    let one = fixture.connect(&token, None).await.unwrap();
    let two = fixture.connect(&token, None).await.unwrap();
    assert!(is_live(&one).await && is_live(&two).await);
    assert_eq!(fixture.sessions.len(), 2);
    assert_eq!(fixture.sessions.kill(two.session()), Ok(1));
    assert_eq!(told(&two).await, Reason::Killed);
    assert!(is_live(&one).await);
    drop((one, two));
}

#[tokio::test]
async fn each_way_to_end_reaches_those_it_means_and_the_first_reason_counts() {
    let fixture = Fixture::new().await;
    let (one, other) = (fixture.mint(Policy::Once).await, fixture.mint(Policy::Once).await);
    let connection = fixture.connect(&one.token, None).await.unwrap();
    let bystander = fixture.connect(&other.token, None).await.unwrap();
    assert_eq!(fixture.sessions.end_token(one.id, Reason::Revoked), 1);
    assert_eq!(fixture.sessions.end_token(one.id, Reason::Killed), 0);
    assert_eq!(told(&connection).await, Reason::Revoked);
    assert!(is_live(&bystander).await);
    assert_eq!(fixture.sessions.end_domain(bystander.console().uuid, Reason::ShutOff), 0, "it is no domain's");
    assert_eq!(fixture.sessions.end_edge(&edge(), EdgeInstance::random()), 0);
    let (other_edge, instance) = ("edge-2".parse().unwrap(), client().edge_instance);
    assert_eq!(fixture.sessions.end_edge(&other_edge, instance), 0, "an edge does not end another's");
    assert_eq!(fixture.sessions.end_edge(&edge(), instance), 1, "the other one has its reason");
    assert_eq!(told(&bystander).await, Reason::EdgeDraining);
    assert_eq!(fixture.sessions.kill(SessionId::random()), Err(NoSuchSession));
    assert_eq!(told(&bystander).await, Reason::EdgeDraining, "asked again, it says the same");
}

#[tokio::test]
async fn an_end_that_comes_while_the_console_is_opened_is_not_lost() {
    let fixture = Fixture::new().await;
    let minted = fixture.mint(Policy::Once).await;
    let shown = presented(&minted.token, None);
    let examined = fixture.tokens.examine(&shown).await.unwrap();
    let place = fixture.sessions.reserve(&examined, &shown.client, &edge()).unwrap();
    assert_eq!(fixture.sessions.end_token(minted.id, Reason::Revoked), 1);
    let redeemed = fixture.tokens.redeem(&examined, &shown.client, &edge()).await.unwrap();
    let connection = fixture.sessions.begin(place, redeemed);
    assert_eq!(told(&connection).await, Reason::Revoked);
}

#[tokio::test]
async fn killing_reaches_a_reconnection_that_is_under_way() {
    let fixture = Fixture::new().await;
    let (token, mine) = (fixture.mint(Policy::Bound).await.token, secret());
    let old = fixture.connect(&token, Some(&mine)).await.unwrap();
    let shown = presented(&token, Some(&mine));
    let examined = fixture.tokens.examine(&shown).await.unwrap();
    let place = fixture.sessions.reserve(&examined, &shown.client, &edge()).unwrap();
    let redeemed = fixture.tokens.redeem(&examined, &shown.client, &edge()).await.unwrap();
    assert_eq!(fixture.sessions.kill(old.session()), Ok(2));
    let new = fixture.sessions.begin(place, redeemed);
    assert_eq!(told(&new).await, Reason::Killed);
    assert_eq!(told(&old).await, Reason::Killed);
}

#[tokio::test]
async fn stopping_ends_all_and_lets_nobody_in() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect(&fixture.mint(Policy::Once).await.token, None).await.unwrap();
    let late = fixture.mint(Policy::Once).await;
    assert_eq!(fixture.sessions.stop_all(Reason::AgentStopping), 1);
    assert_eq!(told(&connection).await, Reason::AgentStopping);
    assert_eq!(fixture.connect(&late.token, None).await.unwrap_err(), Reason::Draining);
}

#[tokio::test]
async fn a_session_ends_at_its_longest_duration_however_often_it_reconnects() {
    let fixture = Fixture::new().await;
    let (token, mine) = (fixture.mint(Policy::Bound).await.token, secret());
    let first = fixture.connect(&token, Some(&mine)).await.unwrap();
    assert_eq!(first.deadline.duration_since(Instant::now()).as_secs() + 1, LONGEST);
    fixture.clock.advance(i64::try_from(LONGEST).unwrap() - 1);
    let last = fixture.connect(&token, Some(&mine)).await.unwrap();
    assert_eq!(told(&last).await, Reason::LimitReached);
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_session_longer() {
    let fixture = Fixture::new().await;
    let (token, mine) = (fixture.mint(Policy::Bound).await.token, secret());
    let first = fixture.connect(&token, Some(&mine)).await.unwrap();
    fixture.clock.advance(-100_000);
    let again = fixture.connect(&token, Some(&mine)).await.unwrap();
    assert!(again.deadline.duration_since(Instant::now()).as_secs() < LONGEST);
    drop((first, again));
    fixture.settle().await;
    assert_eq!(fixture.store.open_sessions().await, 0, "an end before the beginning is one, too");
}

#[tokio::test]
async fn whoever_is_still_opening_hears_that_it_must_end() {
    let fixture = Fixture::new().await;
    let token = fixture.mint(Policy::Once).await.token;
    let presented = presented(&token, None);
    let examined = fixture.tokens.examine(&presented).await.unwrap();
    let place = fixture.sessions.reserve(&examined, &presented.client, &edge()).unwrap();
    assert_eq!(place.told_to_end(), None);
    let which = Selector { console: Some("bmc".parse().unwrap()), ..Selector::default() };
    assert_eq!(fixture.sessions.end_all_of(&which, Reason::Killed), 1);
    assert_eq!(place.told_to_end(), Some(Reason::Killed));
}

#[tokio::test]
async fn places_are_limited_in_all_and_per_console_and_freed() {
    let config = Config { max: 3, max_per_console: 2, ..Config::default() };
    let fixture = Fixture::with(Hypervisor::none(), &config).await;
    let one = fixture.connect(&fixture.mint(Policy::Once).await.token, None).await.unwrap();
    let (bound, mine) = (fixture.mint(Policy::Bound).await.token, secret());
    let two = fixture.connect(&bound, Some(&mine)).await.unwrap();
    let full = fixture.connect(&fixture.mint(Policy::Once).await.token, None).await;
    assert_eq!(full.unwrap_err(), Reason::Full);
    // The one that supersedes needs no place of its own…
    let three = fixture.connect(&bound, Some(&mine)).await.unwrap();
    drop(two);
    // …and has inherited that of the one before.
    let full = fixture.connect(&fixture.mint(Policy::Once).await.token, None).await;
    assert_eq!(full.unwrap_err(), Reason::Full);
    drop(one);
    // Who only asks takes nothing.
    let asking = fixture.mint(Policy::Once).await.token;
    for _ in 0..2 {
        fixture.ask(&asking).await.unwrap();
    }
    let four = fixture.connect(&asking, None).await.unwrap();
    assert_eq!(fixture.ask(&fixture.mint(Policy::Once).await.token).await, Err(Reason::Full));
    drop((three, four));
    assert_eq!(fixture.sessions.len(), 0);
}

fn libvirt() -> (Hypervisor, broadcast::Sender<Event>) {
    let (events, _) = broadcast::channel(8);
    let (_, state) = watch::channel(LinkState::Disabled);
    (Hypervisor::from_channel(mpsc::channel(1).0, events.clone(), state, Duration::from_secs(5)), events)
}

fn stopped(uuid: ConsoleUuid, cause: StopCause) -> Event {
    let name = "guest".parse().unwrap();
    Event::Domain(DomainEvent { uuid, name, kind: DomainEventKind::Stopped(cause) })
}

#[tokio::test]
async fn a_guests_end_ends_its_sessions_with_libvirts_reason() {
    let (hypervisor, events) = libvirt();
    let fixture = Fixture::with(hypervisor.clone(), &Config::default()).await;
    let shutdown = Shutdown::default();
    let following = tokio::spawn(follow(
        fixture.sessions.clone(),
        fixture.tokens.clone(),
        hypervisor.clone(),
        hypervisor.events(),
        shutdown.clone(),
    ));
    let external = fixture.connect(&fixture.mint(Policy::Once).await.token, None).await.unwrap();
    // A domain may have any UUID, that of an external console too.
    let console = ConsoleId { source: ConsoleSource::Libvirt, ..external.console() };
    let edge = (edge(), client().edge_instance);
    let applicant = Applicant {
        token: TokenId::random(),
        console,
        name: "web".parse().unwrap(),
        requestor: None,
        minted_by: None,
        client: client().address.ip(),
        edge,
        supersedes: false,
    };
    let (_number, end) = fixture.sessions.table().reserve(applicant, **fixture.sessions.0.limits.load()).unwrap();
    events.send(Event::Resync).unwrap();
    events.send(stopped(ConsoleUuid::random(), StopCause::Crashed)).unwrap();
    events.send(stopped(console.uuid, StopCause::Destroyed)).unwrap();
    assert_eq!(timeout(Duration::from_secs(5), end.wait()).await, Ok(Reason::Destroyed));
    assert!(is_live(&external).await);
    shutdown.hard.cancel();
    following.await.unwrap();
}

/// A connection on a domain's console, whose end is at hand.
fn on_a_domain(fixture: &Fixture, connection: Connection) -> (Connection, Arc<End>) {
    let end = connection.told.end.clone();
    let mut connection = connection;
    connection.console = ConsoleId { source: ConsoleSource::Libvirt, ..connection.console };
    assert_eq!(fixture.sessions.len(), 1);
    (connection, end)
}

#[tokio::test]
async fn a_closed_console_waits_a_moment_for_libvirts_word() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect(&fixture.mint(Policy::Once).await.token, None).await.unwrap();
    assert_eq!(connection.console_closed().await, Reason::ConsoleClosed, "nobody has a word for external ones");
    let (connection, end) = on_a_domain(&fixture, connection);
    let (reason, _) = tokio::join!(connection.console_closed(), async { end.tell(Reason::Saved) });
    assert_eq!(reason, Reason::Saved);
}

#[tokio::test]
async fn a_closed_console_does_not_wait_for_ever() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect(&fixture.mint(Policy::Once).await.token, None).await.unwrap();
    let (connection, _end) = on_a_domain(&fixture, connection);
    assert_eq!(connection.console_closed().await, Reason::ConsoleClosed);
}

proptest! {
    /// Whatever comes and goes, the counts are those of what is there, and the limits hold.
    #[test]
    fn the_table_counts_right(
        steps in prop::collection::vec((0_u8..4, 0_usize..4, prop::bool::ANY, 0_usize..8, 0_u8..2), 0..120)
    ) {
        let tokens: Vec<TokenId> = (0..4).map(|_| TokenId::random()).collect();
        let sessions: Vec<SessionId> = (0..4).map(|_| SessionId::random()).collect();
        let consoles: Vec<ConsoleId> = (0..2).map(|index| ConsoleId {
            source: ConsoleSource::Libvirt, uuid: ConsoleUuid::random(), kind: ConsoleKind::Vnc, index,
        }).collect();
        let limits =
            Limits { max: 4, max_per_console: 3, max_per_requestor: Some(2), max_per_client: Some(3) };
        let requestors: [Requestor; 2] = ["alice".parse().unwrap(), "bob".parse().unwrap()];
        let mut table = Table::default();
        let mut places: Vec<(Number, usize, bool)> = Vec::new();
        for (step, who, supersedes, which, from) in steps {
            match step {
                0 | 1 => {
                    let applicant = Applicant {
                        token: tokens[who], console: consoles[who % 2], name: "guest".parse().unwrap(),
                        requestor: Some(requestors[who / 2].clone()), minted_by: None, client: [192, 0, 2, from].into(),
                        edge: (edge(), client().edge_instance), supersedes,
                    };
                    match table.reserve(applicant, limits) {
                        Ok((number, _)) => places.push((number, who, false)),
                        Err(reason) => {
                            prop_assert_eq!(reason, Reason::Full);
                            prop_assert!(places.len() >= 2);
                        }
                    }
                }
                2 => if let Some((number, who, begun)) = places.get_mut(which) && !*begun {
                    let facts = SessionFacts {
                        id: sessions[*who], token: tokens[*who], console: consoles[*who % 2],
                        name: "guest".parse().unwrap(), requestor: None, minted_by: None, client_address: String::new(),
                        edge: edge(), started: START, until: START, rights: Rights::default(), connections: 1,
                        first_use: true, bytes_in: 0, bytes_out: 0,
                    };
                    prop_assert!(table.begin(*number, facts).is_some());
                    *begun = true;
                },
                _ => if which < places.len() {
                    table.release(places.remove(which).0);
                },
            }
            let listed: usize = table.list(|_| true).iter().map(|live| live.connections).sum();
            prop_assert_eq!(listed, places.iter().filter(|(_, _, begun)| *begun).count());
            prop_assert!(table.list(|_| true).iter().all(|live| live.connections > 0));
            let counted = table.counted();
            prop_assert!(counted <= places.len() && counted <= limits.max);
            prop_assert!(table.is_within(limits));
            // Beyond the limits there is at most one reconnection under way per token.
            prop_assert!(places.len() - counted <= tokens.len());
        }
        for (number, _, _) in places.drain(..) { table.release(number); }
        prop_assert!(table.counts_nothing());
        prop_assert!(table.list(|_| true).is_empty());
    }
}
