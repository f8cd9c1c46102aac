//! The admin listener: is this process alive, should it get traffic, and what has it done?
//!
//! Not ready is an edge without a valid certificate on either side, or without any node; degraded, and still of use, one
//! whose configuration file cannot be used or waits for a restart. It goes on answering while sessions drain, for that is
//! when a load balancer asks.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use porthole_shared::clock::Clock;
use porthole_shared::health::Readiness;
use porthole_shared::lifecycle::Shutdown;
use porthole_shared::reload;
use porthole_shared::validity::{Reminder, Validity};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::answer::{self, Body};
use super::listen::{Listeners, accept};
use super::live::Live;
use super::room::{Most, Room};
use super::tls::Certificate;
use crate::dial::Dialer;
use crate::directory::Directory;
use crate::metrics::{self, Metrics};

/// The `[admin]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The address to listen on. There is no authentication: keep it off the public network.
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 6081)) }
    }
}

/// How many checks are answered at once.
const MOST: Most = Most {
    connections: match NonZeroUsize::new(64) {
        Some(count) => count,
        None => NonZeroUsize::MIN,
    },
    setting: "none: 64 on the admin listener",
    each: None,
    each_setting: "none",
};

/// How long a check may take, idle time included.
const LONGEST: Duration = Duration::from_secs(30);

/// How often it is looked whether to warn of a certificate.
const REMINDED: Duration = Duration::from_mins(1);

/// What readiness depends on.
#[derive(Debug, Clone)]
pub struct Health {
    /// Draining begins with its soft token.
    pub shutdown: Shutdown,
    /// The public certificate, if this edge ends TLS.
    pub certificate: Option<Certificate>,
    /// Reaches agents, with the internal certificate.
    pub dialer: Dialer,
    /// The live sessions.
    pub live: Live,
    /// For the certificates' validity.
    pub clock: Arc<dyn Clock>,
    /// Where nodes are.
    pub directory: Directory,
    /// The configuration file.
    pub reloads: reload::Report,
    /// What there is to scrape.
    pub metrics: Arc<Metrics>,
}

impl Health {
    fn readiness(&self) -> Readiness {
        let now = self.clock.now();
        let mut problems: Vec<String> = self
            .certificates()
            .filter_map(|(what, validity)| validity.problem(now).map(|problem| format!("{what} {problem}")))
            .collect();
        if !self.directory.is_template() && self.directory.nodes().is_empty() {
            problems.push("no node is known: list them in the file that [agents] nodes names".to_owned());
        }
        let draining = self.shutdown.soft.is_cancelled();
        Readiness::of(draining, problems, self.reloads.warnings(), self.live.sessions())
    }

    /// The certificates without which nobody gets a console.
    fn certificates(&self) -> impl Iterator<Item = (&'static str, Validity)> {
        let public = self.certificate.as_ref().map(|certificate| ("the public certificate", certificate.validity()));
        public.into_iter().chain([("the certificate towards agents", self.dialer.validity())])
    }

    /// Warns of certificates that end soon, until the process stops.
    pub async fn remind(self) {
        let mut reminders: HashMap<&'static str, Reminder> = HashMap::new();
        loop {
            let now = self.clock.now();
            for (what, validity) in self.certificates() {
                if reminders.entry(what).or_default().is_due(validity, now) {
                    let valid_until = validity.not_after;
                    tracing::warn!(%valid_until, "{what} ends soon, or has ended: put a new one in place");
                }
            }
            tokio::select! {
                () = self.shutdown.hard.cancelled() => return,
                () = sleep(REMINDED) => {}
            }
        }
    }
}

/// Serves until the process is told to drop everything.
pub async fn run(listeners: Listeners, health: Health) {
    let stop = health.shutdown.hard.clone();
    accept(listeners, Room::new(MOST), stop.clone(), move |tcp, _peer, place| {
        let (health, stop) = (health.clone(), stop.clone());
        drop(tokio::spawn(async move {
            tokio::select! {
                _ended = timeout(LONGEST, serve(tcp, health)) => {}
                () = stop.cancelled() => {}
            }
            drop(place);
        }));
    })
    .await;
}

async fn serve(tcp: TcpStream, health: Health) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(&request, &health);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(LONGEST).max_buf_size(8 * 1024);
    if let Err(error) = http.serve_connection(TokioIo::new(tcp), service).await {
        tracing::debug!(%error, "admin connection ended");
    }
}

fn answer<B>(request: &Request<B>, health: &Health) -> Response<Body> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = Response::new(answer::empty());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => {
            #[derive(Serialize)]
            struct Alive {
                status: &'static str,
            }
            worded(request.headers(), StatusCode::OK, &Alive { status: "alive" }, "alive\n".to_owned())
        }
        "/readyz" => {
            let readiness = health.readiness();
            worded(request.headers(), readiness.code(), &readiness, readiness.text())
        }
        "/metrics" => text(StatusCode::OK, metrics::CONTENT_TYPE, health.metrics.text()),
        _ => {
            let hint = "not found: try /healthz, /readyz or /metrics\n";
            worded(request.headers(), StatusCode::NOT_FOUND, &(), hint.to_owned())
        }
    }
}

/// JSON for who asks for it, text for all others.
fn worded(headers: &HeaderMap, status: StatusCode, value: &impl Serialize, words: String) -> Response<Body> {
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("application/json") {
        return answer::json(status, value);
    }
    text(status, "text/plain; charset=utf-8", words)
}

fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(answer::bytes(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer::harden(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use porthole_shared::clock::{ManualClock, UnixTime};
    use porthole_shared::tls::Role;

    use super::*;
    use crate::dial::fixture::Pki;
    use crate::serve::site::Site;
    use crate::serve::tls::Files;

    async fn ask(health: &Health, path: &str, accept: &str) -> (StatusCode, String) {
        let request = Request::get(path).header("accept", accept).body(()).unwrap();
        let response = answer(&request, health);
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_follows_draining_and_the_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { certificate: dir.path().join("c.pem"), key: dir.path().join("k.pem") };
        let made = rcgen::generate_simple_self_signed(["edge.example".to_owned()]).unwrap();
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        let clock = ManualClock::at(UnixTime(1_800_000_000));
        let pki = Pki::new();
        let identity = pki.issue("edge", &Role::Edge("e1".parse().unwrap()));
        let nodes = dir.path().join("nodes.toml");
        std::fs::write(&nodes, "[[node]]\nname = \"compute-1\"\naddress = \"127.0.0.1:1\"").unwrap();
        let file = dir.path().join("edge.toml");
        let text = format!(
            "[edge]\nname = \"e1\"\n[public]\nlisten = [\"127.0.0.1:0\"]\ntls = {{ certificate = {:?}, key = {:?} }}\n\
             [agents]\ncertificate = {:?}\nkey = {:?}\nca = {:?}\nnodes = {nodes:?}",
            files.certificate, files.key, identity.certificate, identity.key, identity.ca
        );
        std::fs::write(&file, text).unwrap();
        let (config, followed) = crate::reload::open(&file).unwrap();
        let site = Arc::new(Site::build(&config, <_>::default(), Shutdown::default()).unwrap());
        let health = Health { clock: Arc::new(clock.clone()), ..site.health(followed.report()) };
        assert_eq!(ask(&health, "/readyz", "*/*").await, (StatusCode::OK, "ready\n".to_owned()));
        let (status, text) = ask(&health, "/metrics", "*/*").await;
        assert!(status == StatusCode::OK && text.contains("\nporthole_edge_nodes 1\n"), "{text}");
        assert!(text.contains("porthole_edge_certificate_expires_in_seconds{certificate=\"agents\"} "), "{text}");
        std::fs::write(&nodes, "").unwrap();
        health.directory.reload();
        let (status, text) = ask(&health, "/readyz", "*/*").await;
        assert!(status == StatusCode::SERVICE_UNAVAILABLE && text.starts_with("not ready\nno node is known"), "{text}");
        std::fs::write(&nodes, "[[node]]\nname = \"compute-1\"\naddress = \"127.0.0.1:1\"").unwrap();
        health.directory.reload();
        clock.advance(10_000_000_000_000);
        let (status, text) = ask(&health, "/readyz", "application/json").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("\"not_ready\"") && text.contains("the public certificate has expired on"), "{text}");
        // Where a load balancer ends TLS, the other certificate still counts.
        let balanced = Health { certificate: None, ..health.clone() };
        let (status, text) = ask(&balanced, "/readyz", "*/*").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.starts_with("not ready\nthe certificate towards agents has expired on"), "{text}");
        let early = Health { clock: Arc::new(ManualClock::at(UnixTime(0))), ..balanced };
        let (_status, text) = ask(&early, "/readyz", "*/*").await;
        assert!(text.starts_with("not ready\nthe certificate towards agents is not valid before"), "{text}");
        health.shutdown.soft.cancel();
        let (status, text) = ask(&health, "/readyz", "*/*").await;
        assert!(status == StatusCode::SERVICE_UNAVAILABLE && text.starts_with("draining\n"), "{text}");
        assert_eq!(ask(&health, "/healthz", "").await, (StatusCode::OK, "alive\n".to_owned()));
        assert_eq!(ask(&health, "/x", "").await.0, StatusCode::NOT_FOUND);
    }
}
