//! The database as a file, and whoever else is at it: busy, full, ailing, taken.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[tokio::test]
async fn whoever_waits_too_long_for_the_turn_to_write_is_told_that_it_is_busy() {
    let new = token(Policy::Bound, ConsoleKind::Vnc);
    let dir = tempfile::tempdir().unwrap();
    let store = open_in(dir.path()).await;
    let ours = store.write("holding the turn").await.unwrap();
    let error = store.insert_token(&new).await.unwrap_err();
    assert!(error.is_busy() && error.ailment().is_none(), "{error:?}");
    assert!(is_busy(&crate::tokens::MintError::Store(error)), "also where another error is around it");
    drop(ours);
    store.insert_token(&new).await.unwrap();
    let error = store.insert_token(&new).await.unwrap_err();
    assert!(!error.is_busy(), "another failure: {error:?}");
}

#[tokio::test]
async fn whoever_waits_too_long_for_another_process_is_told_that_it_is_busy() {
    let new = token(Policy::Bound, ConsoleKind::Vnc);
    let dir = tempfile::tempdir().unwrap();
    let store = open_in(dir.path()).await;
    let database = SqliteConnectOptions::new().filename(dir.path().join("porthole.db"));
    let mut other = sqlx::SqliteConnection::connect_with(&database).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let error = store.insert_token(&new).await.unwrap_err();
    assert!(error.is_busy() && error.ailment().is_none(), "{error:?}");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    store.insert_token(&new).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_over_when_there_is_room_again() {
    let (_dir, store) = with_token(&token(Policy::Once, ConsoleKind::Vnc)).await;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&store.writer).await.unwrap();
    let limited = format!("PRAGMA max_page_count = {pages}");
    sqlx::query(sqlx::AssertSqlSafe(limited)).execute(&store.writer).await.unwrap();
    let mut failure = None;
    for _ in 0..1000 {
        failure = store.insert_token(&token(Policy::Once, ConsoleKind::Vnc)).await.err();
        if failure.is_some() {
            break;
        }
    }
    let failure = failure.expect("the disk was never full");
    assert!(failure.is_full(), "{}", porthole_shared::lifecycle::chain(&failure));
    assert!(!Error::Foreign { column: "kind" }.is_full());

    // SQLite has rolled back by itself, behind the back of whoever counts transactions.
    sqlx::query("PRAGMA max_page_count = 1000000").execute(&store.writer).await.unwrap();
    let later = token(Policy::Once, ConsoleKind::Vnc);
    store.insert_token(&later).await.unwrap();
    assert!(store.redeem(&redeem(&later, None, START)).await.unwrap().is_ok());
}

#[tokio::test]
async fn what_ails_a_database_is_told_apart() {
    let (dir, store) = with_token(&token(Policy::Once, ConsoleKind::Vnc)).await;
    let ailment =
        async |store: &Store| store.insert_token(&token(Policy::Once, ConsoleKind::Vnc)).await.unwrap_err().ailment();
    sqlx::query("PRAGMA query_only = 1").execute(&store.writer).await.unwrap();
    assert_eq!(ailment(&store).await, Some(Ailment::ReadOnly));
    sqlx::query("PRAGMA query_only = 0").execute(&store.writer).await.unwrap();
    store.insert_token(&token(Policy::Once, ConsoleKind::Vnc)).await.unwrap();
    store.close().await;
    drop(store);

    // The head of the file says what it is; without it, it is no database.
    let file = dir.path().join("porthole.db");
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, [b"no database at all", &good[18..]].concat()).unwrap();
    let error = Store::open(dir.path(), START).await.unwrap_err();
    assert!(matches!(error, OpenError::Ailing { ailment: Ailment::Damaged, .. }), "{error:?}");
    assert!(error.to_string().contains("porthole.db: the database in [node] state_dir is damaged"), "{error}");
    std::fs::write(&file, good).unwrap();
    Store::open(dir.path(), START).await.unwrap();
    for ailment in Ailment::ALL {
        assert!(ailment.remedy().contains("[node] state_dir") && !ailment.code().contains(' '));
    }
}

#[tokio::test]
async fn one_agent_at_a_time_and_nobody_else_reads() {
    let new = token(Policy::Once, ConsoleKind::Vnc);
    let (dir, store) = with_token(&new).await;
    for entry in std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap) {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
    let second = Store::open(dir.path(), START).await.unwrap_err();
    assert!(matches!(second, OpenError::Place(PlaceError::Taken { .. })), "{second}");
    store.close().await;
    drop(store);
    open_in(dir.path()).await;

    let new = dir.path().join("a/b");
    open_in(&new).await;
    assert_eq!(std::fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o700);
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o777)).unwrap();
    let error = Store::open(&new, START).await.unwrap_err();
    assert!(error.to_string().contains("chmod go-w"), "{error}");
}
