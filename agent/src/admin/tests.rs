use http::Request;
use http_body_util::BodyExt as _;
use porthole_shared::names::ConsoleKind;
use porthole_shared::tls::{EdgePolicy, IdentityFiles};
use tower::ServiceExt as _;

use super::*;
use crate::fixture::Fixture;
use crate::hypervisor::Hypervisor;
use crate::tokens::Policy;

struct Watched {
    fixture: Fixture,
    shutdown: Shutdown,
    answers: Answers,
}

impl Watched {
    /// An agent whose libvirt never answers.
    async fn new() -> Self {
        let (events, _) = tokio::sync::broadcast::channel(1);
        let since = std::time::Instant::now();
        let last_error = Some("no such socket".to_owned());
        let connecting = crate::hypervisor::LinkState::Connecting { since, last_error };
        let (_, state) = tokio::sync::watch::channel(connecting);
        let (commands, _) = tokio::sync::mpsc::channel(1);
        let hypervisor = Hypervisor::from_channel(commands, events, state, Duration::from_millis(10));
        let fixture = Fixture::with(hypervisor, &crate::sessions::Config::default()).await;
        let trust = trust(&fixture);
        let file = fixture.dir.path().join("agent.toml");
        std::fs::write(&file, "").unwrap();
        let (_, followed) = reload::Followed::<toml::Table>::open(&file, &[], porthole_shared::config::parse).unwrap();
        let shutdown = Shutdown::default();
        let answers = Answers::new(Parts {
            shutdown: shutdown.clone(),
            consoles: fixture.consoles.clone(),
            store: fixture.store.clone(),
            tokens: fixture.tokens.clone(),
            sessions: fixture.sessions.clone(),
            tunnel: instruments::Tunnel::default(),
            trust,
            reloads: followed.report(),
            clock: Arc::new(fixture.clock.clone()),
        });
        Self { fixture, shutdown, answers }
    }

    async fn ask(&self, path: &str) -> (u16, String) {
        let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        let response = self.answers.clone().router().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

fn trust(fixture: &Fixture) -> Trust {
    let path = |name: &str| fixture.dir.path().join(name);
    let made = rcgen::generate_simple_self_signed(["compute-1".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let files = IdentityFiles { certificate: path("cert.pem"), key: path("key.pem"), ca: path("cert.pem") };
    Trust::load(files, EdgePolicy::default()).unwrap().0
}

#[tokio::test]
async fn what_is_wrong_is_said_and_weighed() {
    let watched = Watched::new().await;
    let (status, text) = watched.ask("/readyz").await;
    // There are external consoles, so it is of use without libvirt.
    assert_eq!(status, 200);
    assert!(text.starts_with("degraded\nlibvirt has not been connected for 0 s: no such socket\n"), "{text}");
    let none: crate::consoles::External = serde_json::from_str("{}").unwrap();
    watched.fixture.consoles.set_external(none);
    let (status, text) = watched.ask("/readyz").await;
    assert!(status == 503 && text.starts_with("not ready\nlibvirt has not been connected"), "{text}");

    watched.fixture.clock.advance(100_000_000_000);
    let (_, text) = watched.ask("/readyz").await;
    assert!(text.contains("\nthe tunnel's certificate has expired on"), "{text}");
    watched.shutdown.soft.cancel();
    let (status, text) = watched.ask("/readyz").await;
    assert!(status == 503 && text.starts_with("draining\n"), "{text}");
    assert_eq!(watched.ask("/healthz").await, (200, "alive\n".to_owned()));
    assert_eq!(watched.ask("/x").await.0, 404);
}

#[tokio::test]
async fn a_database_that_takes_nothing_makes_the_agent_not_ready() {
    let watched = Watched::new().await;
    watched.fixture.store.close().await;
    let (status, text) = watched.ask("/readyz").await;
    assert!(status == 503 && text.contains("\nthe database cannot be written"), "{text}");
}

#[tokio::test]
async fn a_scrape_adds_up_what_lives_and_what_has_ended() {
    let watched = Watched::new().await;
    let fixture = &watched.fixture;
    let sample = async |sample: &str| {
        let (_, text) = watched.ask("/metrics").await;
        let found = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse::<f64>().ok());
        found.unwrap_or_else(|| panic!("no {sample} in\n{text}"))
    };
    let token = fixture.mint(Policy::Reusable).await;
    let (first, second) =
        (fixture.connect(&token.token, None).await.unwrap(), fixture.connect(&token.token, None).await.unwrap());
    first.meter().counters.add_in(5);
    second.meter().counters.add_in(7);
    second.meter().counters.add_out(11);
    assert_eq!(token.console.kind, ConsoleKind::Vnc);
    assert!((sample("porthole_agent_sessions{kind=\"vnc\"}").await - 2.0).abs() < 0.1);
    assert!((sample("porthole_agent_bytes_total{kind=\"vnc\",direction=\"in\"}").await - 12.0).abs() < 0.1);
    second.finish(porthole_shared::reason::Reason::ClientClosed);
    drop(first);
    assert!(sample("porthole_agent_sessions{kind=\"vnc\"}").await.abs() < 0.1);
    assert!((sample("porthole_agent_bytes_total{kind=\"vnc\",direction=\"in\"}").await - 12.0).abs() < 0.1);
    assert!((sample("porthole_agent_bytes_total{kind=\"vnc\",direction=\"out\"}").await - 11.0).abs() < 0.1);
    assert!((sample("porthole_agent_redeems_total{kind=\"vnc\"}").await - 2.0).abs() < 0.1);
    let ended = "porthole_agent_connections_ended_total{kind=\"vnc\",reason=\"client_closed\"}";
    assert!((sample(ended).await - 1.0).abs() < 0.1);
    assert!(sample("porthole_agent_libvirt_connected").await.abs() < 0.1);
    assert!((sample("porthole_agent_config_last_reload_successful").await - 1.0).abs() < 0.1);
    assert!(sample("porthole_agent_certificate_expires_in_seconds{certificate=\"tunnel\"}").await > 1000.0);
    assert!(sample("porthole_agent_database_write_seconds_count").await > 2.0);
}
