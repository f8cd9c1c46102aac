//! A core with its API, served and asked.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1 as client;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::super::admission::{Credential, Rights};
use super::super::*;
use crate::callers::Scope;
use crate::fixture::Fixture;
use crate::hypervisor::Hypervisor;
use crate::tunnel::Tunnel;

/// A core with its API served on a socket.
pub(super) struct Served {
    pub(super) fixture: Fixture,
    pub(super) path: PathBuf,
    pub(super) shutdown: Shutdown,
    pub(super) feed: Feed,
    pub(super) task: tokio::task::JoinHandle<Result<(), Infallible>>,
}

impl Served {
    pub(super) async fn new() -> Self {
        let fixture = Fixture::new().await;
        let path = fixture.dir.path().join("agent.sock");
        let api = api(&fixture);
        let socket = Socket::bind(&path, None, "api").unwrap();
        let shutdown = Shutdown::default();
        let feed = api.feed.clone();
        let task = tokio::spawn(run(socket, Network::default(), api, shutdown.clone()));
        Self { fixture, path, shutdown, feed, task }
    }

    /// Asks, and checks the form that every answer has.
    pub(super) async fn ask(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        self.ask_with(method, path, body, &[]).await
    }

    pub(super) async fn ask_with(
        &self,
        method: Method,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let stream = UnixStream::connect(&self.path).await.unwrap();
        let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let body = Full::new(Bytes::from(body.to_owned()));
        let mut request = http::Request::builder().method(method).uri(path).header("host", "agent");
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status();
        let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        connection.abort();
        if status == StatusCode::NO_CONTENT {
            assert_eq!((kind, body.len()), (None, 0));
            return (204, Value::Null);
        }
        assert!(!body.contains(&b'\n'), "one line");
        let json: Value = serde_json::from_slice(&body).unwrap();
        if status.is_success() {
            assert_eq!(kind.as_deref(), Some("application/json"));
        } else {
            assert_eq!(kind.as_deref(), Some("application/problem+json"));
            assert_eq!(json["status"], status.as_u16());
            assert!(json["detail"].as_str().unwrap().len() > 5 && json["title"].is_string());
        }
        (status.as_u16(), json)
    }
}

pub(super) fn api(fixture: &Fixture) -> Api {
    let node: NodeName = "compute-1".parse().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(fixture.clock.clone());
    let ports = Ports::new(crate::ports::Config::default(), fixture.store.clone(), Arc::clone(&clock));
    Api::new(Parts {
        config: Config::default(),
        id: NodeId::derived_from(&node),
        node,
        trust: trust(fixture.dir.path()),
        consoles: fixture.consoles.clone(),
        tokens: fixture.tokens.clone(),
        sessions: fixture.sessions.clone(),
        serial: fixture.serial(),
        pings: Pings::from(&crate::sessions::Config::default()),
        hook: Calls::default(),
        definitions: Definitions::new(Hypervisor::none(), ports.clone(), porthole_domain::Host::default()),
        ports,
        api_tokens: ApiTokens::new(fixture.store.clone(), Arc::clone(&clock)),
        feed: fixture.sessions.feed().clone(),
        audit: fixture.audit.clone(),
        clock,
    })
}

pub(super) fn root() -> Rights {
    let caller = Caller { name: CallerName::User(0), role: Role::Admin };
    Rights { caller, credential: Credential::Kernel, scope: Scope::All }
}

fn trust(dir: &Path) -> Trust {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["compute-1".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), signing_key.serialize_pem()).unwrap();
    let config = json!({"listen": ["127.0.0.1:0"], "certificate": dir.join("cert.pem"), "key": dir.join("key.pem"),
                        "ca": dir.join("cert.pem")});
    Tunnel::bind(&serde_json::from_value(config).unwrap()).unwrap().trust().clone()
}
