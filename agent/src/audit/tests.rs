use super::*;
use crate::callers::CallerName;
use crate::fixture::{Fixture, START, client, edge, wanted};
use crate::sessions::Selector;
use crate::tokens::{MintRequest, Policy};
use porthole_shared::clock::{ManualClock, UnixTime};
use porthole_shared::names::{ConsoleId, ConsoleKind, ConsoleSource, TokenId};
use store::Bounds;

const BOUNDS: Bounds = Bounds { retention_seconds: 1_000_000, pages: 65_536 };

async fn all(audit: &Audit) -> Vec<Record> {
    audit.page(&Page { after: Some(0), limit: 10_000, ..Page::default() }).await.unwrap()
}

fn words(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.event.as_str()).collect()
}

fn subject() -> Subject {
    let uuid = "00000000-0000-4000-8000-000000000001".parse().unwrap();
    Subject {
        token: TokenId::random(),
        console: ConsoleId { source: ConsoleSource::External, uuid, kind: ConsoleKind::Vnc, index: 0 },
        name: "bmc".parse().unwrap(),
        requestor: None,
        minted_by: Some(CallerName::User(0)),
    }
}

fn minted() -> Event {
    Event::Minted(subject())
}

fn refused() -> Event {
    Event::Refused(Refusal { reason: Reason::Used, edge: edge(), client: client().address.ip(), subject: None })
}

#[tokio::test]
async fn a_life_is_told_with_who_what_bytes_and_why() {
    let fixture = Fixture::audited().await;
    let request =
        MintRequest { policy: Some(Policy::Bound), requestor: Some("alice".parse().unwrap()), ..wanted("bmc") };
    let token = fixture.tokens.mint(request).await.unwrap();
    let secret = porthole_shared::binding::BindingSecret::random().unwrap();
    let first = fixture.connect(&token.token, Some(&secret)).await.unwrap();
    fixture.clock.advance(5);
    let second = fixture.connect(&token.token, Some(&secret)).await.unwrap();
    first.meter().counters.add_in(3);
    first.finish(Reason::Superseded);
    fixture.settle().await;
    fixture.clock.advance(5);
    second.meter().counters.add_out(1000);
    second.finish(Reason::ClientClosed);
    fixture.settle().await;

    let told = all(&fixture.audit).await;
    assert_eq!(words(&told), ["minted", "redeemed", "started", "started", "ended", "ended"]);
    for record in &told {
        assert_eq!(record.requestor.as_deref(), Some("alice"), "{record:?}");
        assert_eq!((record.name.as_deref(), record.kind.as_deref()), (Some("bmc"), Some("vnc")));
        assert_eq!(record.token, Some(token.id.to_string()));
    }
    let session = told[1].session.clone();
    assert!(session.is_some() && told[1..].iter().all(|record| record.session == session));
    assert!(told[1..].iter().all(|record| record.client.as_deref() == Some("192.0.2.7:40000")));
    let ends: Vec<_> = told[4..]
        .iter()
        .map(|end| (end.at, end.reason.as_deref(), end.bytes_in, end.bytes_out, end.connections))
        .collect();
    let end = |after, reason, bytes_in, bytes_out, left| {
        (START.0 + after, Some(reason), Some(bytes_in), Some(bytes_out), Some(left))
    };
    assert_eq!(ends, [end(5, "superseded", 3, 0, 1), end(10, "client_closed", 0, 1000, 0)]);
    assert_eq!((told[2].connections, told[3].connections), (Some(1), Some(2)));
}

#[tokio::test]
async fn a_token_that_many_use_is_redeemed_once_and_a_client_that_vanishes_ends_what_it_began() {
    let fixture = Fixture::audited().await;
    let token = fixture.mint(Policy::Reusable).await.token;
    for _ in 0..3 {
        // Redeemed, and gone before it begins.
        drop(fixture.redeem(&token, None).await.unwrap());
        fixture.settle().await;
    }
    let told = all(&fixture.audit).await;
    assert_eq!(words(&told), ["minted", "redeemed", "started", "ended", "started", "ended", "started", "ended"]);
    assert!(
        told.iter().filter(|record| record.event == "ended").all(|end| end.reason.as_deref() == Some("client_gone"))
    );
}

#[tokio::test]
async fn a_refusal_of_a_token_that_is_known_says_whose_it_is() {
    let fixture = Fixture::audited().await;
    let request =
        MintRequest { policy: Some(Policy::Once), requestor: Some("alice".parse().unwrap()), ..wanted("bmc") };
    let token = fixture.tokens.mint(request).await.unwrap();
    drop(fixture.redeem(&token.token, None).await.unwrap());
    let refused = fixture.tokens.examine_to_use(&crate::fixture::presented(&token.token, None)).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Used);
    let subject = refused.subject.unwrap();
    assert_eq!((subject.token, subject.requestor.unwrap().as_str()), (token.id, "alice"));
    assert_eq!(fixture.tokens.subject(token.id).await.unwrap().name.as_str(), "bmc");
    assert_eq!(fixture.tokens.subject(TokenId::random()).await, None);
}

#[tokio::test]
async fn refusals_become_one_entry_when_it_closes_at_the_latest() {
    let fixture = Fixture::audited().await;
    for _ in 0..1000 {
        fixture.audit.tell(refused());
    }
    assert!(all(&fixture.audit).await.is_empty(), "they are still counted");
    fixture.audit.tell(minted());
    fixture.audit.close().await;
    let store = AuditStore::open(fixture.dir.path(), BOUNDS).await.unwrap();
    let told = store.page(&Page { limit: 100, ..Page::default() }).await.unwrap();
    assert_eq!(words(&told), ["minted", "refused"]);
    assert_eq!(
        (told[1].count, told[1].reason.as_deref(), told[1].client.as_deref()),
        (Some(1000), Some("used"), Some("192.0.2.7"))
    );
    assert_eq!(told[0].caller.as_deref(), Some("uid:0"));
}

#[tokio::test]
async fn refusals_become_an_entry_as_time_goes_by() {
    let dir = tempfile::tempdir().unwrap();
    let store = AuditStore::open(dir.path(), BOUNDS).await.unwrap();
    let pace = Pace { refusals: Duration::from_millis(10), ..PACE };
    let audit = Audit::on(store, Arc::new(ManualClock::at(START)), false, pace);
    for expected in 1..=2 {
        audit.tell(refused());
        let written = async { while all(&audit).await.len() < expected {} };
        timeout(Duration::from_secs(20), written).await.expect("they are never written");
    }
}

#[tokio::test]
async fn deeds_say_what_they_were_done_to() {
    let fixture = Fixture::audited().await;
    let (known, id) = (subject(), TokenId::random());
    let deed = |to| Deed { to, tokens: 3, connections: 2, caller: CallerName::User(7) };
    fixture.audit.tell(Event::Revoked(deed(Target::Token { id: known.token, subject: Some(known.clone()) })));
    fixture.audit.tell(Event::Revoked(deed(Target::Token { id, subject: None })));
    let which = Selector {
        console: Some("web-01".parse().unwrap()),
        requestor: Some("alice".parse().unwrap()),
        client: None,
        minted_by: None,
    };
    fixture.audit.tell(Event::Killed(deed(Target::All(which))));
    let told = all(&fixture.audit).await;
    assert_eq!(words(&told), ["revoked", "revoked", "killed"]);
    assert_eq!((told[0].name.as_deref(), &told[0].token), (Some("bmc"), &Some(known.token.to_string())));
    assert_eq!((told[1].name.as_deref(), &told[1].token), (None, &Some(id.to_string())));
    assert_eq!((told[2].name.as_deref(), told[2].requestor.as_deref()), (Some("web-01"), Some("alice")));
    assert!(told.iter().all(|record| (record.count, record.connections) == (Some(3), Some(2))));
}

#[tokio::test]
async fn what_finds_no_room_is_counted_and_told_of_once_there_is_some() {
    let dir = tempfile::tempdir().unwrap();
    let store = AuditStore::open(dir.path(), BOUNDS).await.unwrap();
    let clock = ManualClock::at(START);
    let audit = Audit::on(store.clone(), Arc::new(clock.clone()), false, Pace { queue: 8, ..PACE });
    store.refuse(true).await;
    // One is taken and waits; eight more fill the queue.
    audit.tell(minted());
    while !audit.is_writing() {
        tokio::task::yield_now().await;
    }
    for second in 0..20 {
        audit.tell(minted());
        audit.tell(refused());
        clock.advance(1);
        assert_eq!(audit.lost(), u64::try_from(second - 7).unwrap_or(0));
    }
    assert_eq!(audit.lost(), 12);
    store.refuse(false).await;
    let told = timeout(Duration::from_secs(20), async {
        loop {
            let told = all(&audit).await;
            if !told.is_empty() && told.iter().filter(|record| record.event == "minted").count() == 9 {
                return told;
            }
        }
    });
    let told = told.await.expect("nothing is written");
    let lost: Vec<_> = told.iter().filter(|record| record.event == "lost").collect();
    assert_eq!(lost.len(), 1, "{told:?}");
    assert_eq!((lost[0].count, lost[0].first, lost[0].at), (Some(12), Some(START.0 + 8), START.0 + 19));
    audit.close().await;
    let store = AuditStore::open(dir.path(), BOUNDS).await.unwrap();
    let refusals = store.page(&Page { event: Some(Kind::Refused), limit: 10, ..Page::default() }).await.unwrap();
    assert_eq!(refusals[0].count, Some(20), "refusals wait where they are counted");
    assert_eq!(audit.lost(), 12);
    audit.tell(minted());
    assert_eq!(audit.lost(), 13, "after its end everything is");
}

#[tokio::test]
async fn a_file_at_its_bound_goes_on_taking_the_latest() {
    let dir = tempfile::tempdir().unwrap();
    let store = AuditStore::open(dir.path(), Bounds { pages: 400, ..BOUNDS }).await.unwrap();
    let audit = Audit::on(store, Arc::new(ManualClock::at(START)), false, PACE);
    for _ in 0..10 {
        let mut latest = TokenId::random();
        for _ in 0..2000 {
            let subject = subject();
            latest = subject.token;
            audit.tell(Event::Minted(subject));
        }
        let told = timeout(Duration::from_secs(20), async {
            loop {
                let told = audit.page(&Page { limit: 1, ..Page::default() }).await.unwrap();
                if told.iter().any(|record| record.token == Some(latest.to_string())) {
                    return;
                }
            }
        });
        told.await.expect("the latest is never written");
    }
    let left = audit.page(&Page { after: Some(0), limit: 100_000, ..Page::default() }).await.unwrap();
    assert!((2000..20_000).contains(&left.len()), "{}", left.len());
    assert_eq!((left.last().unwrap().id, audit.lost()), (20_000, 0));
}

#[tokio::test]
async fn sessions_of_a_run_that_died_end_in_the_next() {
    let fixture = Fixture::audited().await;
    let minted = fixture.mint(Policy::Once).await;
    let connection = fixture.connect(&minted.token, None).await.unwrap();
    let session = connection.session();
    let viewers = fixture.store.close_left_open_now(START.plus(60)).await;
    fixture.audit.tell_left_open(&viewers).await;
    let told = all(&fixture.audit).await;
    assert_eq!(words(&told), ["minted", "redeemed", "started", "ended"]);
    let end = &told[3];
    assert_eq!((end.reason.as_deref(), end.session.clone()), (Some("agent_restarted"), Some(session.to_string())));
    assert_eq!(
        (end.name.as_deref(), end.client.as_deref(), end.bytes_in),
        (Some("bmc"), Some("192.0.2.7:40000"), None)
    );
}

#[tokio::test]
async fn without_an_audit_nothing_is_kept_and_nobody_minds() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { enabled: false, ..Config::default() };
    let audit = Audit::open(&config, dir.path(), Arc::new(ManualClock::at(START))).await.unwrap();
    audit.tell(minted());
    audit.tell_left_open(&[]).await;
    assert!(matches!(audit.page(&Page::default()).await, Err(ReadError::Off)));
    assert_eq!(audit.lost(), 0);
    audit.close().await;
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn words_of_events_round_trip() {
    for &kind in Kind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
        assert!(UnknownKind.to_string().contains(kind.as_str()), "{kind} is not among those that may be asked for");
    }
    assert_eq!("Minted".parse::<Kind>(), Err(UnknownKind));
}

#[test]
fn a_line_of_the_log_is_one_object_with_what_is_known() {
    use std::io::Write;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let lines = Lines::default();
    let writer = lines.clone();
    // As the daemons have it.
    let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).json().flatten_event(true);
    let entry = Entry::from(minted(), UnixTime(0));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || entry.log());
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let mut line: serde_json::Value = serde_json::from_str(&text).unwrap();
    line.as_object_mut().unwrap().remove("timestamp").unwrap();
    let expected = serde_json::json!({
        "level": "INFO", "target": "audit", "message": "minted", "event": "minted", "at": "1970-01-01T00:00:00Z",
        "caller": "uid:0", "source": "external", "uuid": "00000000-0000-4000-8000-000000000001", "kind": "vnc",
        "index": 0, "name": "bmc", "token": entry.token.unwrap().to_string(),
    });
    assert_eq!(line, expected);
}
