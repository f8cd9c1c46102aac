use std::os::unix::fs::PermissionsExt as _;

use porthole_shared::clock::ManualClock;
use porthole_shared::names::{ConsoleKind, TokenId};
use porthole_shared::token::{VerifyError, verify};

use super::*;

const START: UnixTime = UnixTime(1_800_000_000);
const DAY: i64 = 24 * 60 * 60;

struct Place {
    dir: tempfile::TempDir,
    store: Store,
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), START).await.unwrap();
        Self { dir, store }
    }

    fn open(&self) -> Result<SigningKeys, KeysError> {
        SigningKeys::open(self.dir.path(), &Config::default(), 3600, START)
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("keys/signing.json")
    }
}

fn token(keys: &SigningKeys) -> Token {
    let claims = Claims {
        node: "n-1".parse().unwrap(),
        kind: ConsoleKind::Vnc,
        jti: TokenId::random(),
        iat: START,
        redeem_by: START,
        exp: START,
    };
    keys.sign(&claims).unwrap()
}

fn published(keys: &SigningKeys) -> KeySet {
    KeySet::parse(&keys.jwks()).unwrap()
}

#[tokio::test]
async fn keys_are_made_once_and_kept_for_their_owner_alone() {
    let place = Place::new().await;
    let keys = place.open().unwrap();
    assert_eq!(std::fs::metadata(place.file()).unwrap().permissions().mode() & 0o777, 0o600);
    let dir = place.file().parent().unwrap().to_owned();
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    let again = place.open().unwrap();
    assert_eq!(keys.current(), again.current());
    verify(&token(&keys), &published(&again)).unwrap();

    for (path, mode, right) in [(place.file(), 0o640, "0600"), (dir, 0o755, "0700")] {
        let before = std::fs::metadata(&path).unwrap().permissions();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = place.open().unwrap_err().to_string();
        assert!(error.contains(&format!("chmod {right}")), "{error}");
        std::fs::set_permissions(&path, before).unwrap();
    }
    place.open().unwrap();
}

#[tokio::test]
async fn a_file_of_something_else_is_refused_not_replaced() {
    let place = Place::new().await;
    place.open().unwrap();
    for content in ["", "{}", "{\"current\": {\"pkcs8\": \"!\", \"since\": 0}, \"next\": 0, \"retired\": []}"] {
        std::fs::write(place.file(), content).unwrap();
        assert!(matches!(place.open(), Err(KeysError::File(KeyFileError::Content { .. }))), "{content}");
        assert_eq!(std::fs::read_to_string(place.file()).unwrap(), content);
    }
}

#[tokio::test]
async fn the_next_key_is_known_before_it_signs_and_the_last_one_after() {
    let place = Place::new().await;
    let keys = place.open().unwrap();
    let (before, known, first) = (token(&keys), published(&keys), keys.current());
    let second = keys.rotate(&place.store, START).await.unwrap();
    assert_ne!(first, second);
    let after = token(&keys);
    verify(&after, &known).unwrap();
    verify(&before, &published(&keys)).unwrap();
    // A restart changes nothing about that.
    let reopened = place.open().unwrap();
    assert_eq!(reopened.current(), second);
    verify(&before, &reopened.verifying()).unwrap();
    // Two rotations ahead nobody was told of.
    keys.rotate(&place.store, START).await.unwrap();
    assert_eq!(verify(&token(&keys), &known), Err(VerifyError::UnknownKey));
}

#[tokio::test]
async fn a_retired_key_keeps_no_private_half_and_goes_with_its_last_token() {
    let place = Place::new().await;
    let keys = place.open().unwrap();
    let before = token(&keys);
    let private = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        value["current"]["pkcs8"].as_str().unwrap().to_owned()
    };
    let secret = private(&std::fs::read_to_string(place.file()).unwrap());
    keys.rotate(&place.store, START).await.unwrap();
    assert!(!std::fs::read_to_string(place.file()).unwrap().contains(&secret));

    // longest_ttl + longest session + grace, and the skew of an edge's clock.
    let last = START.plus(3600 + 3600 + 60 + 60);
    keys.look_after(&place.store, last.plus(-1)).await.unwrap();
    verify(&before, &keys.verifying()).unwrap();
    keys.look_after(&place.store, last).await.unwrap();
    assert_eq!(verify(&before, &keys.verifying()), Err(VerifyError::UnknownKey));
    assert_eq!(verify(&before, &place.open().unwrap().verifying()), Err(VerifyError::UnknownKey));
}

#[tokio::test]
async fn keys_change_by_age_but_only_once_the_next_was_published_long_enough() {
    let place = Place::new().await;
    let keys = place.open().unwrap();
    let first = keys.current();
    keys.look_after(&place.store, START.plus(30 * DAY - 1)).await.unwrap();
    assert_eq!(keys.current(), first);
    keys.look_after(&place.store, START.plus(30 * DAY)).await.unwrap();
    let second = keys.current();
    assert_ne!(second, first);

    // On demand, and then no sooner than the new next key may sign.
    let hurried = Config { key_rotation: "2d".parse().unwrap(), ..Config::default() };
    let keys = SigningKeys::open(place.dir.path(), &hurried, 3600, START).unwrap();
    let now = START.plus(32 * DAY - 10);
    let third = keys.rotate(&place.store, now).await.unwrap();
    keys.look_after(&place.store, now.plus(2 * DAY - 1)).await.unwrap();
    assert_eq!(keys.current(), third);
    keys.look_after(&place.store, now.plus(2 * DAY)).await.unwrap();
    assert_ne!(keys.current(), third);
}

#[tokio::test]
async fn rotating_without_end_is_refused_before_edges_refuse_the_key_set() {
    let place = Place::new().await;
    let keys = place.open().unwrap();
    let before = token(&keys);
    for _ in 0..MAX_RETIRED {
        keys.rotate(&place.store, START).await.unwrap();
    }
    let error = keys.rotate(&place.store, START).await.unwrap_err();
    assert!(matches!(error, RotateError::TooMany(when) if when > START), "{error}");
    verify(&before, &published(&keys)).unwrap();
    keys.rotate(&place.store, START.plus(DAY)).await.unwrap();
}

#[tokio::test]
async fn looking_after_the_keys_ends_with_the_agent() {
    let place = Place::new().await;
    let keys = place.open().unwrap();
    let first = keys.current();
    let clock = Arc::new(ManualClock::at(START.plus(31 * DAY)));
    let shutdown = Shutdown::default();
    let task = tokio::spawn(keys.clone().rotate_by_age(place.store.clone(), clock, shutdown.clone()));
    while keys.current() == first {
        tokio::task::yield_now().await;
    }
    shutdown.soft.cancel();
    task.await.unwrap();
}
