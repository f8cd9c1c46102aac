use std::sync::atomic::Ordering;

use porthole_shared::binding::BindingHash;
use porthole_shared::names::{ConsoleId, ConsoleKind, ConsoleSource, ConsoleUuid, SessionId, TokenId};
use porthole_shared::reason::Reason;
use porthole_shared::token::TokenHash;
use proptest::prelude::*;
use sqlx::Row as _;

use super::*;
use crate::fixture::{START, client, edge};
use crate::hypervisor::Life;
use crate::tokens::{Policy, Rights, judge};

mod file;

fn token(policy: Policy, kind: ConsoleKind) -> NewToken {
    let id = TokenId::random();
    let mut hash = [0; 32];
    hash[..16].copy_from_slice(id.uuid().as_bytes());
    NewToken {
        id,
        hash: TokenHash(hash),
        console: ConsoleId { source: ConsoleSource::Libvirt, uuid: ConsoleUuid::random(), kind, index: 1 },
        name: "web 1".parse().unwrap(),
        life: None,
        requestor: Some("alice".parse().unwrap()),
        minted_by: Some("token:dashboard".parse().unwrap()),
        policy,
        rights: Rights::default(),
        created: START,
        redeem_by: START.plus(600),
        expires: START.plus(10_000),
    }
}

fn redeem(token: &NewToken, binding: Option<BindingHash>, now: UnixTime) -> Redeem {
    Redeem {
        hash: token.hash,
        binding,
        now,
        longest_session: 3600,
        new_session: SessionId::random(),
        client: client(),
        edge: edge(),
    }
}

fn end(id: SessionId, reason: Reason) -> SessionEnd {
    SessionEnd { id, ended: START.plus(60), reason, bytes_in: 10, bytes_out: 100 }
}

async fn open_in(dir: &Path) -> Store {
    Store::open_as_of(dir, "this-boot", START).await.unwrap()
}

async fn with_token(token: &NewToken) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open_in(dir.path()).await;
    store.insert_token(token).await.unwrap();
    (dir, store)
}

/// A session's row: open, connections, ended, reason, bytes in, bytes out.
async fn row(store: &Store, id: SessionId) -> (i64, i64, Option<i64>, Option<String>, i64, i64) {
    let query = "SELECT open, connections, ended, reason, bytes_in, bytes_out FROM sessions WHERE id = ?";
    let row = sqlx::query(query).bind(id.to_string()).fetch_one(&store.readers).await.unwrap();
    (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5))
}

#[tokio::test]
async fn a_token_comes_back_as_it_was_written() {
    let new = token(Policy::Bound, ConsoleKind::Spice);
    let (_dir, store) = with_token(&new).await;
    let record = store.token(&new.hash).await.unwrap().unwrap();
    assert_eq!((record.id, record.console, &record.name), (new.id, new.console, &new.name));
    assert_eq!(record.requestor, new.requestor);
    assert_eq!((record.state.redeem_by, record.state.expires), (new.redeem_by, new.expires));
    assert!(record.state.this_boot && record.state.void.is_none() && record.state.uses == 0);
    assert_eq!(store.token(&TokenHash([9; 32])).await.unwrap(), None);
    assert_eq!(store.last_expiry().await.unwrap(), Some(new.expires));
}

#[tokio::test]
async fn of_fifty_redeemers_of_a_once_token_one_wins() {
    let new = token(Policy::Once, ConsoleKind::Vnc);
    let (_dir, store) = with_token(&new).await;
    let racers = (0..50).map(|_| {
        let (store, wanted) = (store.clone(), redeem(&new, None, START));
        tokio::spawn(async move { store.redeem(&wanted).await.unwrap() })
    });
    let mut won = 0;
    for racer in futures_util::future::join_all(racers).await {
        match racer.unwrap() {
            Ok(_opened) => won += 1,
            Err(reason) => assert_eq!(reason, Reason::Used),
        }
    }
    assert_eq!(won, 1);
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM sessions").fetch_one(&store.readers).await.unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn of_fifty_browsers_with_their_own_secrets_one_owns_a_bound_token() {
    let new = token(Policy::Bound, ConsoleKind::Vnc);
    let (_dir, store) = with_token(&new).await;
    let racers = (0..50_u8).map(|n| {
        let (store, wanted) = (store.clone(), redeem(&new, Some(BindingHash([n; 32])), START));
        tokio::spawn(async move { store.redeem(&wanted).await.unwrap().map(|_| n) })
    });
    let outcomes = futures_util::future::join_all(racers).await;
    let winners: Vec<u8> = outcomes.iter().filter_map(|racer| racer.as_ref().unwrap().ok()).collect();
    assert_eq!(winners.len(), 1);
    let owner = BindingHash([winners[0]; 32]);
    store.redeem(&redeem(&new, Some(owner), START.plus(3599))).await.unwrap().unwrap();
    let late = store.redeem(&redeem(&new, Some(owner), START.plus(3600))).await.unwrap();
    assert_eq!(late, Err(Reason::Expired), "reconnecting makes no session longer");
}

#[tokio::test]
async fn a_bound_session_goes_on_in_its_row_and_ends_with_its_last_connection() {
    let new = token(Policy::Bound, ConsoleKind::Vnc);
    let (_dir, store) = with_token(&new).await;
    let mine = Some(BindingHash([1; 32]));
    let first = store.redeem(&redeem(&new, mine, START)).await.unwrap().unwrap();
    let id = first.id;
    assert_eq!(first.until, START.plus(3600));
    assert_eq!(row(&store, id).await, (1, 1, None, None, 0, 0));

    let second = store.redeem(&redeem(&new, mine, START.plus(5))).await.unwrap().unwrap();
    assert_eq!((second.id, second.started, second.until), (id, START, START.plus(3600)));
    store.end_connection(&end(id, Reason::Superseded)).await.unwrap();
    assert_eq!(row(&store, id).await, (1, 2, None, None, 10, 100));
    store.end_connection(&end(id, Reason::ClientClosed)).await.unwrap();
    let ended = Some(START.plus(60).0);
    assert_eq!(row(&store, id).await, (0, 2, ended, Some("client_closed".to_owned()), 20, 200));

    let again = store.redeem(&redeem(&new, mine, START.plus(90))).await.unwrap().unwrap();
    assert_eq!((again.id, again.bytes_out), (id, 200));
    assert_eq!(row(&store, id).await, (1, 3, None, None, 20, 200));
    store.end_connection(&end(SessionId::random(), Reason::Killed)).await.unwrap();
    assert_eq!(row(&store, id).await, (1, 3, None, None, 20, 200));
}

#[tokio::test]
async fn a_reusable_link_opens_a_session_each_time_but_for_spice() {
    for (kind, sessions) in [(ConsoleKind::Vnc, 2), (ConsoleKind::Spice, 1)] {
        let new = token(Policy::Reusable, kind);
        let (_dir, store) = with_token(&new).await;
        let one = store.redeem(&redeem(&new, None, START)).await.unwrap().unwrap();
        let two = store.redeem(&redeem(&new, None, START)).await.unwrap().unwrap();
        assert_eq!(if one.id == two.id { 1 } else { 2 }, sessions, "{kind}");
        for opened in [&one, &two] {
            store.end_connection(&end(opened.id, Reason::ClientGone)).await.unwrap();
        }
        let later = store.redeem(&redeem(&new, None, START)).await.unwrap().unwrap();
        assert!(later.id != one.id && later.id != two.id, "{kind}: ended is ended");
    }
}

#[tokio::test]
async fn an_opening_is_no_more_work_for_all_the_sessions_that_a_link_had() {
    let kinds = [ConsoleKind::Vnc, ConsoleKind::Spice];
    for (policy, kind) in
        [Policy::Reusable, Policy::Bound].into_iter().flat_map(|policy| kinds.map(|kind| (policy, kind)))
    {
        let new = token(policy, kind);
        let (_dir, store) = with_token(&new).await;
        let mine = (policy == Policy::Bound).then_some(BindingHash([1; 32]));
        // SQLite's own count of what it does.
        let steps = Arc::new(AtomicI64::new(0));
        let mut writer = store.writer.acquire().await.unwrap();
        let counter = Arc::clone(&steps);
        writer
            .lock_handle()
            .await
            .unwrap()
            .set_progress_handler(1, move || counter.fetch_add(1, Ordering::Relaxed) >= 0);
        drop(writer);
        let opening = async || {
            let before = steps.load(Ordering::Relaxed);
            let opened = store.redeem(&redeem(&new, mine, START)).await.unwrap().unwrap();
            let taken = steps.load(Ordering::Relaxed) - before;
            store.end_connection(&end(opened.id, Reason::ClientGone)).await.unwrap();
            taken
        };
        opening().await;
        let second = opening().await;
        for _ in 0..500 {
            opening().await;
        }
        let last = opening().await;
        assert!(second > 0 && last < second * 3 / 2, "{policy:?} {kind}: {second} steps, and later {last}");
    }
}

#[tokio::test]
async fn what_was_committed_survives_a_crash_and_open_rows_are_closed() {
    let (once, bound) = (token(Policy::Once, ConsoleKind::Vnc), token(Policy::Bound, ConsoleKind::Vnc));
    let (dir, store) = with_token(&once).await;
    store.insert_token(&bound).await.unwrap();
    let left = store.redeem(&redeem(&once, None, START)).await.unwrap().unwrap().id;
    let mine = Some(BindingHash([1; 32]));
    let ended = store.redeem(&redeem(&bound, mine, START)).await.unwrap().unwrap().id;
    store.end_connection(&end(ended, Reason::Killed)).await.unwrap();

    // What SIGKILL leaves: the files as they are now, the write-ahead log not yet taken in.
    let crashed = tempfile::tempdir().unwrap();
    for name in ["porthole.db", "porthole.db-wal"] {
        std::fs::copy(dir.path().join(name), crashed.path().join(name)).unwrap();
    }
    assert!(std::fs::metadata(crashed.path().join("porthole.db-wal")).unwrap().len() > 0);
    let store = open_in(crashed.path()).await;
    assert_eq!(row(&store, left).await.3.as_deref(), Some("agent_restarted"));
    assert_eq!(row(&store, ended).await.3.as_deref(), Some("killed"));
    assert_eq!(store.redeem(&redeem(&once, None, START)).await.unwrap().unwrap_err(), Reason::Used);
    let again = store.redeem(&redeem(&bound, mine, START)).await.unwrap().unwrap();
    assert_eq!(again.id, ended, "a browser goes on after a restart of the agent");
}

#[tokio::test]
async fn a_reboot_voids_tokens() {
    let new = token(Policy::Reusable, ConsoleKind::Vnc);
    let (dir, store) = with_token(&new).await;
    store.close().await;
    drop(store);
    let store = Store::open_as_of(dir.path(), "another-boot", START).await.unwrap();
    assert!(!store.token(&new.hash).await.unwrap().unwrap().state.this_boot);
    assert_eq!(store.redeem(&redeem(&new, None, START)).await.unwrap(), Err(Reason::Expired));
}

#[tokio::test]
async fn revoking_is_final_and_unknown_ids_are_told() {
    let new = token(Policy::Reusable, ConsoleKind::Vnc);
    let (_dir, store) = with_token(&new).await;
    assert!(!store.revoke(TokenId::random(), Reason::Revoked, START).await.unwrap());
    assert!(store.revoke(new.id, Reason::Revoked, START).await.unwrap());
    assert!(store.revoke(new.id, Reason::Revoked, START).await.unwrap());
    assert_eq!(store.redeem(&redeem(&new, None, START)).await.unwrap(), Err(Reason::Revoked));
}

#[tokio::test]
async fn the_first_reason_for_which_a_token_is_void_stays() {
    let new = token(Policy::Reusable, ConsoleKind::Vnc);
    let (_dir, store) = with_token(&new).await;
    for reason in [Reason::ShutOff, Reason::Revoked] {
        assert!(store.revoke(new.id, reason, START).await.unwrap());
        assert_eq!(store.redeem(&redeem(&new, None, START)).await.unwrap(), Err(Reason::ShutOff));
    }
    // Rows of the first release say when, and not why.
    let unsaid = sqlx::query("UPDATE tokens SET void_reason = NULL").execute(&store.writer);
    unsaid.await.unwrap();
    assert_eq!(store.redeem(&redeem(&new, None, START)).await.unwrap(), Err(Reason::Revoked));
}

#[tokio::test]
async fn a_domains_end_voids_what_was_made_for_it_until_then() {
    let (gone, other) = (token(Policy::Bound, ConsoleKind::Vnc), token(Policy::Bound, ConsoleKind::Vnc));
    let mut external = token(Policy::Bound, ConsoleKind::Vnc);
    external.console = ConsoleId { source: ConsoleSource::External, ..gone.console };
    let mut later = token(Policy::Bound, ConsoleKind::Vnc);
    later.console = gone.console;
    let (_dir, store) = with_token(&gone).await;
    store.insert_token(&other).await.unwrap();
    store.insert_token(&external).await.unwrap();
    // The guest is on again, within the same second, before the statement has its turn.
    let end = store.mark_tokens();
    store.insert_token(&later).await.unwrap();
    assert_eq!(store.void_domain(gone.console.uuid, Reason::Crashed, end, START.plus(5)).await.unwrap(), 1);
    let refused = store.redeem(&redeem(&gone, None, START.plus(7))).await.unwrap();
    assert_eq!(refused, Err(Reason::Crashed));
    for new in [&other, &external, &later] {
        assert!(store.redeem(&redeem(new, None, START.plus(7))).await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_domains_new_life_voids_what_was_made_in_an_earlier_one() {
    let life = |number, worked| Some(Life { number, worked });
    let console = token(Policy::Bound, ConsoleKind::Vnc).console;
    let made = |life| NewToken { console, life, ..token(Policy::Bound, ConsoleKind::Vnc) };
    let (before, unknown) = (made(life(3, 500)), made(None));
    let (_dir, store) = with_token(&before).await;
    store.insert_token(&unknown).await.unwrap();
    let until = store.mark_tokens();
    let later = made(life(9, 500));
    store.insert_token(&later).await.unwrap();
    let voided = async |life: Option<Life>| {
        store.void_earlier_lives(console.uuid, life.unwrap(), Reason::ShutOff, until, START).await.unwrap()
    };
    // The same life: it has worked since, or nobody can tell how much.
    assert_eq!([voided(life(3, 500)).await, voided(life(3, 900)).await, voided(life(3, 0)).await], [0, 0, 0]);
    assert_eq!(voided(life(3, 499)).await, 1, "libvirt has given its number once more");
    let refused = store.redeem(&redeem(&before, None, START.plus(7))).await.unwrap();
    assert_eq!(refused, Err(Reason::ShutOff));

    let another = made(life(3, 500));
    store.insert_token(&another).await.unwrap();
    let until = store.mark_tokens();
    let another_life = Life { number: 4, worked: 9000 };
    let voided = store.void_earlier_lives(console.uuid, another_life, Reason::ShutOff, until, START).await.unwrap();
    assert_eq!(voided, 2, "of another number, whatever it has worked");
    assert!(store.redeem(&redeem(&unknown, None, START.plus(7))).await.unwrap().is_ok(), "it does not say");
}

#[tokio::test]
async fn rights_come_back_and_a_shorter_session_is_one() {
    let rights = Rights { read_only: true, force: true, idle: Some(60), longest: Some(100) };
    let new = NewToken { rights, ..token(Policy::Bound, ConsoleKind::Vnc) };
    let (_dir, store) = with_token(&new).await;
    assert_eq!(store.token(&new.hash).await.unwrap().unwrap().rights, rights);
    let mine = Some(BindingHash([1; 32]));
    let opened = store.redeem(&redeem(&new, mine, START)).await.unwrap().unwrap();
    assert_eq!((opened.until, opened.rights), (START.plus(100), rights));
    let refused = store.redeem(&redeem(&new, mine, START.plus(100))).await.unwrap();
    assert_eq!(refused, Err(Reason::Expired));

    // A configuration that was made stricter meanwhile counts.
    let long = NewToken { rights: Rights { longest: Some(9000), ..rights }, ..token(Policy::Bound, ConsoleKind::Vnc) };
    store.insert_token(&long).await.unwrap();
    let opened = store.redeem(&redeem(&long, mine, START)).await.unwrap().unwrap();
    assert_eq!(opened.until, START.plus(3600));
}

#[tokio::test]
async fn sweeping_takes_what_is_old_and_nothing_else() {
    let (used, unused) = (token(Policy::Once, ConsoleKind::Vnc), token(Policy::Once, ConsoleKind::Vnc));
    let (_dir, store) = with_token(&used).await;
    store.insert_token(&unused).await.unwrap();
    let id = store.redeem(&redeem(&used, None, START)).await.unwrap().unwrap().id;
    let day = 24 * 60 * 60;
    assert_eq!(store.sweep(START.plus(day)).await.unwrap(), Swept::default());
    assert_eq!(store.sweep(START.plus(10_001 + day)).await.unwrap(), Swept { tokens: 1, sessions: 0 });
    assert!(store.token(&used.hash).await.unwrap().is_some(), "its session's row names it");
    assert_eq!(store.sweep(START.plus(1000 * day)).await.unwrap(), Swept::default(), "an open session stays");
    store.end_connection(&end(id, Reason::ClientGone)).await.unwrap();
    assert_eq!(store.sweep(START.plus(1000 * day)).await.unwrap(), Swept { tokens: 1, sessions: 1 });
}

fn secret() -> impl Strategy<Value = Option<BindingHash>> {
    prop::option::of((1_u8..3).prop_map(|n| BindingHash([n; 32])))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The statement that redeems, and the rules that explain it, are the same.
    #[test]
    fn the_statement_and_the_rules_agree(
        policy in prop::sample::select(&Policy::ALL[..]),
        steps in prop::collection::vec((secret(), 0_i64..900, prop::bool::weighted(0.05)), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let new = token(policy, ConsoleKind::Vnc);
            let (_dir, store) = with_token(&new).await;
            let mut now = START;
            for (secret, seconds, revoke) in steps {
                now = now.plus(seconds);
                if revoke {
                    store.revoke(new.id, Reason::Revoked, now).await.unwrap();
                }
                let before = store.token(&new.hash).await.unwrap().unwrap().state;
                let expected = judge(&before, secret, now);
                let page = TokenPage { limit: 1, ..TokenPage::default() };
                let listed = store.tokens(&page, now).await.unwrap().len() == 1;
                prop_assert_eq!(listed, judge(&before, before.binding, now).is_ok());
                let outcome = store.redeem(&redeem(&new, secret, now)).await.unwrap();
                prop_assert_eq!(outcome.map(|_| ()), expected);
                let after = store.token(&new.hash).await.unwrap().unwrap().state;
                prop_assert_eq!(after.uses, before.uses + u64::from(expected.is_ok()));
                let binds = policy == Policy::Bound && before.uses == 0 && expected.is_ok();
                prop_assert_eq!(after.binding, if binds { secret } else { before.binding });
            }
            Ok(())
        })?;
    }
}

impl Store {
    /// How many sessions' rows are open: for tests of other modules, which have no SQL.
    pub(crate) async fn open_sessions(&self) -> i64 {
        let query = "SELECT count(*) FROM sessions WHERE open > 0";
        sqlx::query_scalar(query).fetch_one(&self.readers).await.unwrap()
    }

    /// Lets every write of a session's end fail, or no longer: for tests of other modules.
    pub(crate) async fn refuse_ends(&self, refuse: bool) {
        let statement = if refuse {
            "CREATE TRIGGER refuse_ends BEFORE UPDATE OF ended ON sessions BEGIN SELECT RAISE(ABORT, 'refused'); END"
        } else {
            "DROP TRIGGER refuse_ends"
        };
        sqlx::query(statement).execute(&self.writer).await.unwrap();
    }

    /// As opening the store does it: for tests of other modules.
    pub(crate) async fn close_left_open_now(&self, now: UnixTime) -> Vec<Viewer> {
        self.close_left_open(now).await.unwrap()
    }

    /// A session's reason and bytes: for tests of other modules.
    pub(crate) async fn session_end(&self, id: SessionId) -> (Option<Reason>, i64, i64) {
        let (_, _, _, reason, bytes_in, bytes_out) = row(self, id).await;
        (reason.map(|code| code.parse().unwrap()), bytes_in, bytes_out)
    }
}
