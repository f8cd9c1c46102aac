//! One connection of the public listener, from TLS to its last answer.
//!
//! A connection has one deadline for TLS and the head of its first request; between requests it may be idle as long as
//! was left of that. What it does before it becomes a session is bounded in time too, for a client that reads its
//! answer byte by byte would otherwise hold it for ever. When the process stops, the answer at hand is the last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use porthole_shared::leg::Leg;
use porthole_shared::tunnel::{ClientFacts, ClientTls};
use rustls::{CommonState, ProtocolVersion};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::room::Place;
use super::route;
use super::site::Site;

/// How much of a request's head is read at most, and how much of an answer waits unsent.
const BUFFER: usize = 16 * 1024;

/// How many fields a head may have.
const FIELDS: usize = 64;

/// How long a connection serves pages; then its next answer is the last.
const LONGEST: Duration = Duration::from_mins(2);

/// How long that last answer may take.
const LAST_ANSWER: Duration = Duration::from_mins(1);

/// The least time for a request's head, when TLS took nearly all of it.
const LEAST: Duration = Duration::from_millis(100);

/// Serves one connection.
pub async fn serve(tcp: TcpStream, peer: SocketAddr, site: Arc<Site>, place: Place) {
    let began = Instant::now();
    let deadline = began + site.settings().head_timeout;
    let client = |tls| Client { facts: ClientFacts { address: peer, tls, edge_instance: site.instance }, place };
    let Some(certificate) = &site.certificate else {
        return exchange(Leg::plain(tcp), client(None), deadline, &site).await;
    };
    let handshake = Leg::accept(tcp, certificate.config());
    let handshake = tokio::select! {
        // First: to a client that hears from TLS in time, it looks as if it were let in.
        biased;
        () = site.shutdown.soft.cancelled() => return,
        handshake = timeout_at(deadline, handshake) => handshake,
    };
    match handshake {
        Ok(Ok(leg)) => {
            site.instruments.shaken(began.elapsed());
            let version = match leg.tls().and_then(CommonState::protocol_version) {
                Some(ProtocolVersion::TLSv1_2) => Some(ClientTls::V12),
                _ => Some(ClientTls::V13),
            };
            exchange(leg, client(version), deadline, &site).await;
        }
        Ok(Err(error)) => {
            site.instruments.not_shaken();
            tracing::debug!(client = %peer, %error, "TLS handshake failed");
        }
        Err(_) => {
            site.instruments.not_shaken();
            tracing::debug!(client = %peer, "TLS handshake not done in time");
        }
    }
}

/// Who is connected, and its place among the connections that are served at once.
#[derive(Debug)]
pub struct Client {
    /// What the agent is told.
    pub facts: ClientFacts,
    /// Given back when neither the connection nor its session needs it any more.
    pub place: Place,
}

async fn exchange(leg: Leg, client: Client, deadline: Instant, site: &Arc<Site>) {
    let client = Arc::new(client);
    let answering = Arc::clone(&client);
    let service = service_fn(move |request: Request<Incoming>| {
        let (site, client) = (Arc::clone(site), Arc::clone(&answering));
        async move { Ok::<_, Infallible>(route::answer(request, client, site).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(deadline.saturating_duration_since(Instant::now()).max(LEAST))
        .max_buf_size(BUFFER)
        .max_headers(FIELDS)
        .serve_connection(TokioIo::new(leg), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let mut leaving = false;
    let mut cut = Instant::now() + LONGEST;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = site.shutdown.hard.cancelled() => return,
            () = site.shutdown.soft.cancelled(), if !leaving => {}
            () = sleep_until(cut) => {
                if leaving {
                    tracing::debug!(client = %client.facts.address, "the client takes too long: connection closed");
                    return;
                }
            }
        }
        connection.as_mut().graceful_shutdown();
        cut = Instant::now() + LAST_ANSWER;
        leaving = true;
    };
    if let Err(error) = ended {
        tracing::debug!(client = %client.facts.address, %error, "connection ended");
    }
}
