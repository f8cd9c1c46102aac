use super::*;
use crate::audit::event::{Event, Kind, Refusal, Subject, Viewer};
use crate::audit::refusals::Refusals;
use crate::fixture::{START, edge};
use crate::hypervisor::NameOrUuid;
use porthole_shared::clock::UnixTime;
use porthole_shared::names::{ConsoleKind, ConsoleSource, ConsoleUuid, SessionId, TokenId};
use tempfile::TempDir;

const DAY: i64 = 24 * 60 * 60;
const WIDE: Bounds = Bounds { retention_seconds: 90 * DAY, pages: 65_536 };

async fn with(bounds: Bounds) -> (TempDir, AuditStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = AuditStore::open(dir.path(), bounds).await.unwrap();
    (dir, store)
}

fn subject(name: &str, requestor: &str) -> Subject {
    // One owner for each name.
    let uuid = ConsoleUuid::new(uuid::Uuid::from_u128(name.bytes().map(u128::from).sum()));
    Subject {
        token: TokenId::random(),
        console: ConsoleId { source: ConsoleSource::Libvirt, uuid, kind: ConsoleKind::Vnc, index: 3 },
        name: name.parse().unwrap(),
        requestor: Some(requestor.parse().unwrap()),
        minted_by: None,
    }
}

fn minted(name: &str, requestor: &str, at: UnixTime) -> Entry {
    Entry::from(Event::Minted(subject(name, requestor)), at)
}

fn refused(at: UnixTime) -> Entry {
    let client = [192, 0, 2, 7].into();
    Entry::from(Event::Refused(Refusal { reason: Reason::Used, edge: edge(), client, subject: None }), at)
}

fn all(limit: u32) -> Page {
    Page { after: Some(0), limit, ..Page::default() }
}

async fn ids(store: &AuditStore, page: Page) -> Vec<i64> {
    store.page(&page).await.unwrap().into_iter().map(|record| record.id).collect()
}

#[tokio::test]
async fn an_entry_comes_back_as_it_was_written() {
    let (_dir, store) = with(WIDE).await;
    let subject = subject("web-01", "alice");
    let viewer = Viewer {
        subject: subject.clone(),
        session: SessionId::random(),
        client: "192.0.2.7:40000".to_owned(),
        edge: edge(),
    };
    let event = Event::Ended(crate::audit::Ending {
        viewer: viewer.clone(),
        at: START,
        reason: Reason::Killed,
        connections: 2,
        bytes: Some((10, u64::MAX)),
    });
    store.insert(&[Entry::from(event, START.plus(7)), Entry::lost(5, START, START.plus(9))]).await.unwrap();
    let records = store.page(&all(10)).await.unwrap();
    let text = |value: &str| Some(value.to_owned());
    let expected = Record {
        id: 1,
        at: START.0,
        event: "ended".to_owned(),
        caller: None,
        requestor: text("alice"),
        source: text("libvirt"),
        uuid: text(&subject.console.uuid.to_string()),
        kind: text("vnc"),
        idx: Some(3),
        name: text("web-01"),
        token: text(&subject.token.to_string()),
        session: text(&viewer.session.to_string()),
        client: text("192.0.2.7:40000"),
        edge: text("edge-1"),
        reason: text("killed"),
        bytes_in: Some(10),
        bytes_out: Some(i64::MAX),
        connections: Some(2),
        count: None,
        first: None,
    };
    assert_eq!(records[0], expected);
    let lost = &records[1];
    assert_eq!((lost.event.as_str(), lost.count, lost.first, lost.at), ("lost", Some(5), Some(START.0), START.0 + 9));
    assert_eq!((&lost.name, &lost.reason, lost.bytes_in), (&None, &None, None));
}

#[tokio::test]
async fn pages_are_chosen_by_what_is_asked_for() {
    let (_dir, store) = with(WIDE).await;
    let entries: Vec<_> = (0..10)
        .map(|n| minted(["web", "db"][n % 2], ["alice", "bob", "carol"][n % 3], START.plus(i64::try_from(n).unwrap())))
        .chain([refused(START.plus(10))])
        .collect();
    store.insert(&entries).await.unwrap();
    assert_eq!(ids(&store, all(3)).await, [1, 2, 3]);
    assert_eq!(ids(&store, Page { after: Some(3), limit: 3, ..Page::default() }).await, [4, 5, 6]);
    assert_eq!(ids(&store, Page { limit: 3, ..Page::default() }).await, [9, 10, 11], "the latest, in their order");
    let since = Page { since: Some(START.plus(8)), ..all(10) };
    assert_eq!(ids(&store, since).await, [9, 10, 11]);
    let between = Page { since: Some(START.plus(2)), until: Some(START.plus(4)), ..all(10) };
    assert_eq!(ids(&store, between).await, [3, 4]);
    let web = Page { console: Some("web".parse().unwrap()), ..all(10) };
    assert_eq!(ids(&store, web.clone()).await, [1, 3, 5, 7, 9]);
    let uuid = Page { console: Some(NameOrUuid::Uuid(subject("web", "x").console.uuid)), ..all(10) };
    assert_eq!(ids(&store, uuid).await, [1, 3, 5, 7, 9]);
    assert_eq!(ids(&store, Page { requestor: Some("bob".parse().unwrap()), ..web }).await, [5]);
    assert_eq!(ids(&store, Page { event: Some(Kind::Refused), ..all(10) }).await, [11]);
    assert_eq!(ids(&store, Page { event: Some(Kind::Lost), limit: 10, ..Page::default() }).await, [] as [i64; 0]);
}

#[tokio::test]
async fn what_is_older_than_the_retention_goes_and_numbers_do_not_come_back() {
    let (dir, store) = with(WIDE).await;
    let entries: Vec<_> = (0..1200).map(|n| minted("web", "alice", START.plus(n))).collect();
    store.insert(&entries).await.unwrap();
    assert_eq!(store.sweep(START.plus(90 * DAY)).await.unwrap(), Swept::default());
    let swept = store.sweep(START.plus(90 * DAY + 1190)).await.unwrap();
    assert_eq!(swept, Swept { expired: 1190, for_room: 0 }, "several batches of them");
    assert_eq!(ids(&store, all(10)).await.len(), 10);
    assert_eq!(store.sweep(START.plus(900 * DAY)).await.unwrap().expired, 10);
    store.close().await;
    let store = AuditStore::open(dir.path(), WIDE).await.unwrap();
    store.insert(&[refused(START)]).await.unwrap();
    assert_eq!(ids(&store, all(10)).await, [1201]);
}

#[tokio::test]
async fn the_file_keeps_its_bound_and_the_latest_entries() {
    let bounds = Bounds { pages: 60, ..WIDE };
    let (dir, store) = with(bounds).await;
    for batch in 0..40 {
        let entries: Vec<_> = (0..100).map(|n| minted("web", "alice", START.plus(batch * 100 + n))).collect();
        store.insert(&entries).await.unwrap();
        store.sweep(START.plus(batch * 100)).await.unwrap();
        assert!(store.pages_in_use().await.unwrap() <= bounds.high());
    }
    let left = ids(&store, all(10_000)).await;
    assert_eq!(
        (left.first().copied(), left.last().copied()),
        (Some(4001 - i64::try_from(left.len()).unwrap()), Some(4000))
    );
    assert!(left.len() > 100, "{}", left.len());
    store.close().await;
    let size = std::fs::metadata(dir.path().join("audit.db")).unwrap().len();
    assert!(size <= u64::from(bounds.pages * PAGE), "{size}");
}

#[tokio::test]
async fn a_lower_bound_makes_a_larger_file_smaller() {
    let (dir, store) = with(WIDE).await;
    for batch in 0..20 {
        let entries: Vec<_> = (0..500).map(|n| minted("web", "alice", START.plus(batch * 500 + n))).collect();
        store.insert(&entries).await.unwrap();
    }
    assert!(store.pages().await.unwrap() > 300);
    store.close().await;
    let store = AuditStore::open(dir.path(), Bounds { pages: 100, ..WIDE }).await.unwrap();
    // It may take several.
    for _ in 0..10 {
        store.sweep(START).await.unwrap();
    }
    assert!(store.pages().await.unwrap() <= 100, "{}", store.pages().await.unwrap());
    assert_eq!(ids(&store, Page { limit: 1, ..Page::default() }).await, [10_000]);
}

#[tokio::test]
async fn a_flood_of_refusals_does_not_push_the_record_of_others_out() {
    let bounds = Bounds { pages: 60, ..WIDE };
    let (_dir, store) = with(bounds).await;
    let sessions: Vec<_> = (0..100).map(|n| minted("web", "alice", START.plus(n))).collect();
    store.insert(&sessions).await.unwrap();
    for batch in 0..100 {
        let mut refusals = Refusals::default();
        for network in 0..200_u16 {
            let client = std::net::Ipv6Addr::new(0x2001, 0xdb8, batch, network, 0, 0, 0, 1).into();
            refusals.note(Refusal { reason: Reason::Used, edge: edge(), client, subject: None }, START);
        }
        store.insert(&refusals.take()).await.unwrap();
        store.sweep(START).await.unwrap();
    }
    let minted = ids(&store, Page { event: Some(Kind::Minted), ..all(1000) }).await;
    assert_eq!(minted.len(), 100, "all of them are still there");
    assert!(store.pages_in_use().await.unwrap() <= bounds.high());
}

#[tokio::test]
async fn whoever_comes_and_goes_with_one_link_does_not_push_the_record_of_others_out() {
    let bounds = Bounds { pages: 60, ..WIDE };
    let (_dir, store) = with(bounds).await;
    let busy = subject("db", "mallory");
    let mut entries: Vec<_> = (0..100).map(|n| minted("web", "alice", START.plus(n))).collect();
    entries.push(Entry::from(Event::Minted(busy.clone()), START));
    store.insert(&entries).await.unwrap();
    let viewer =
        Viewer { subject: busy, session: SessionId::random(), client: "192.0.2.7:40000".to_owned(), edge: edge() };
    let started = |viewer| Event::Started { viewer, connections: 1 };
    for batch in 0..100 {
        let comings: Vec<_> =
            (0..100).map(|n| Entry::from(started(viewer.clone()), START.plus(batch * 100 + n))).collect();
        store.insert(&comings).await.unwrap();
        store.sweep(START).await.unwrap();
    }
    let minted = ids(&store, Page { event: Some(Kind::Minted), ..all(1000) }).await;
    assert_eq!(minted.len(), 101, "all of them are still there, and who made the busy link");
    assert!(store.pages_in_use().await.unwrap() <= bounds.high());
    let started = ids(&store, Page { event: Some(Kind::Started), limit: 1, ..Page::default() }).await;
    assert_eq!(started, [10_101], "of the busy link the latest are there");
}

#[tokio::test]
async fn beyond_the_wall_a_write_fails_as_full_and_nothing_of_it_is_there() {
    let (_dir, store) = with(Bounds { pages: 15, ..WIDE }).await;
    let entries: Vec<_> = (0..250).map(|n| minted("web", "alice", START.plus(n))).collect();
    let error = store.insert(&entries).await.unwrap_err();
    assert!(error.is_full(), "{error:?}");
    assert_eq!(ids(&store, all(1000)).await, [] as [i64; 0]);
    store.insert(&entries[..20]).await.unwrap();
    assert_eq!(ids(&store, all(1000)).await.len(), 20);
}

#[tokio::test]
async fn nobody_else_may_read_the_file() {
    let (dir, store) = with(WIDE).await;
    store.insert(&[refused(START)]).await.unwrap();
    for file in ["audit.db", "audit.db-wal"] {
        let mode = std::fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}
