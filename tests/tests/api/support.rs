//! What these tests share: an agent whose API is served on the network, and callers of all sorts.

mod clients;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::Full;
use porthole_tests::agent::AgentBuilder;
use porthole_tests::http::exchange;
use porthole_tests::ports::free_port;
use porthole_tests::stack::Stack;
use porthole_tests::tls::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;
use uuid::Uuid;

pub(crate) use clients::{Clients, Identity};

/// What the agent calls its console.
pub(crate) const NAME: &str = "bmc-7";

/// The roles, the mightiest first.
pub(crate) const ROLES: [&str; 3] = ["admin", "operator", "minter"];

/// An agent and an edge, with the API on the network.
pub(crate) struct Served {
    pub(crate) stack: Stack,
    pub(crate) address: SocketAddr,
    pub(crate) clients: Clients,
}

/// Who asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    pub(crate) identity: Option<Identity>,
    pub(crate) bearer: Option<String>,
}

impl Caller {
    /// Who shows a certificate.
    pub(crate) fn with(identity: Identity) -> Self {
        Self { identity: Some(identity), bearer: None }
    }

    /// Who shows a token.
    pub(crate) fn showing(token: impl Into<String>) -> Self {
        Self { identity: None, bearer: Some(token.into()) }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

impl Reply {
    /// Status and code.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        (self.status, self.json["code"].as_str().unwrap_or_default())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::with(|agent| agent).await
    }

    /// With settings.
    pub(crate) async fn with(change: impl FnOnce(AgentBuilder) -> AgentBuilder + Send + 'static) -> Self {
        let clients = Clients::make();
        let (address, console) = (SocketAddr::from(([127, 0, 0, 1], free_port())), greeting_console().await);
        let ca = clients.ca();
        let network = move |agent: AgentBuilder| {
            let client = |role: &str| {
                let fields = [("name", format!("{role}.example.org")), ("role", role.to_owned())];
                toml::Value::Table(fields.map(|(key, value)| (key.to_owned(), value.into())).into_iter().collect())
            };
            agent
                .external(Uuid::new_v4(), NAME, "tcp", console)
                .set("api.listen", vec![address.to_string()])
                .set("api.client_ca", ca.to_string_lossy().into_owned())
                .set("api.client", ROLES.map(client).to_vec())
        };
        let stack = Stack::builder().agent(network).agent(change).start().await;
        // The edges' certificates too, so that it is not TLS that keeps an edge out.
        clients.trust(&stack.pki.ca());
        let mut served = Self { stack, address, clients };
        served.stack.agent.stop().await;
        served.stack.agent.start_again().await;
        served
    }

    /// What the agent's certificate chains to.
    pub(crate) fn ca(&self) -> PathBuf {
        self.stack.pki.ca()
    }

    /// A connection.
    pub(crate) async fn connect(&self, caller: &Caller) -> Result<TlsStream<TcpStream>> {
        let (ca, identity) = (self.ca(), caller.identity.clone());
        let mut client = Client::trusting(&ca);
        client.identity = identity.as_ref().map(|identity| (identity.certificate.as_path(), identity.key.as_path()));
        client.connect("127.0.0.1", TcpStream::connect(self.address).await?).await
    }

    /// Asks over the network, and checks the form that every answer has.
    pub(crate) async fn ask(&self, caller: &Caller, method: Method, path: &str, body: Option<&Value>) -> Reply {
        self.ask_with(caller, method, path, body, &[]).await
    }

    pub(crate) async fn ask_with(
        &self,
        caller: &Caller,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path).header("host", self.address.to_string());
        if let Some(token) = &caller.bearer {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        let stream = self.connect(caller).await.expect("a connection");
        let answer = exchange(stream, request).await.unwrap_or_else(|error| panic!("{path}: {error:#}"));
        read(answer)
    }

    /// Asks over the unix socket, as root.
    pub(crate) async fn ask_locally(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let stream = UnixStream::connect(self.stack.agent.socket()).await.expect("the socket");
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header("host", "agent");
        let request = request.header("content-type", "application/json").body(Full::new(Bytes::from(body)));
        read(exchange(stream, request.expect("a request")).await.expect("an answer"))
    }

    /// A new API token: who shows it, and its id.
    pub(crate) async fn token(&self, name: &str, role: &str) -> (Caller, String) {
        let wanted = json!({"name": name, "role": role});
        let made = self.ask_locally(Method::POST, "/v1/api-tokens", Some(&wanted)).await;
        assert_eq!(made.status, 201, "{}", made.json);
        let text = |field: &str| made.json[field].as_str().expect("text").to_owned();
        (Caller::showing(text("token")), text("id"))
    }

    /// Somebody who is known by a certificate.
    pub(crate) fn known(&self, role: &str) -> Caller {
        Caller::with(self.clients.identity(&format!("{role}.example.org")))
    }
}

/// Every refusal is a problem document, and nothing else is.
fn read(answer: http::Response<Bytes>) -> Reply {
    let (head, body) = answer.into_parts();
    let json: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
    let kind = head.headers.get("content-type").map(|kind| kind.to_str().expect("text"));
    if head.status.is_success() {
        assert!(kind == Some("application/json") || head.status == 204, "{kind:?}");
    } else {
        assert_eq!(kind, Some("application/problem+json"), "{json}");
        assert_eq!(json["status"], head.status.as_u16());
        let fields = ["type", "title", "detail", "code"];
        assert!(fields.iter().all(|field| json[field].as_str().is_some_and(|text| !text.is_empty())), "{json}");
    }
    Reply { status: head.status.as_u16(), headers: head.headers, json }
}

/// A console that greets whoever comes, and reads until they go.
async fn greeting_console() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(b"hello\r\n").await?;
                let mut bytes = [0; 1024];
                while stream.read(&mut bytes).await? > 0 {}
                Ok::<_, std::io::Error>(())
            });
        }
    });
    address
}
