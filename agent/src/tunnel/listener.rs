//! From a listening socket to an edge's HTTP connection: accepting, TLS, admission.
//!
//! The loop that accepts never ends by itself: running out of descriptors makes it wait, and everything that a peer can
//! draw out happens in a task of that peer's connection.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use porthole_shared::leg::Leg;
use porthole_shared::lifecycle::chain;
use porthole_shared::names::EdgeName;
use porthole_shared::tls::NotAnEdge;
use rustls::pki_types::CertificateDer;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};

use super::{Server, routes};
use crate::tcp;

/// The largest request head. A console request has about 1 KiB.
const MAX_HEAD: usize = 16 * 1024;

/// The most header fields. A console request has about ten.
const MAX_FIELDS: usize = 32;

/// How long a connection may be silent between two requests, and a request's head be under way.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait when the system has no descriptor or memory for a connection: others may end meanwhile.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(100);

/// Accepts for as long as it is polled.
pub(super) async fn accept(server: Arc<Server>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => match Arc::clone(&server.places).try_acquire_owned() {
                Ok(place) => drop(server.connections.spawn(serve(Arc::clone(&server), stream, from, place))),
                Err(_full) => {
                    if let Some(others) = server.complaints.full.pass() {
                        tracing::warn!(
                            %from, others,
                            "refused a connection: there are as many as [tunnel] max_connections allows"
                        );
                    }
                }
            },
            // The peer gave up before we got to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if let Some(others) = server.complaints.accept.pass() {
                    tracing::error!(%error, others, "cannot accept connections of edges: trying again");
                }
                sleep(OUT_OF_RESOURCES).await;
            }
        }
    }
}

/// An admitted edge's connection. Whoever holds it holds its place.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) server: Arc<Server>,
    from: SocketAddr,
    certificate: Vec<CertificateDer<'static>>,
    _place: OwnedSemaphorePermit,
}

impl Link {
    /// Whose it is, by the trust of this moment.
    pub(super) fn edge(&self) -> Result<EdgeName, NotAnEdge> {
        let admitted = self.server.trust.admit(Some(&self.certificate));
        if let Err(error) = &admitted
            && let Some(others) = self.server.complaints.not_an_edge.pass()
        {
            tracing::warn!(from = %tcp::canonical(self.from), %error, others, "refused a peer");
        }
        admitted
    }
}

async fn serve(server: Arc<Server>, stream: TcpStream, from: SocketAddr, place: OwnedSemaphorePermit) {
    let hard = server.shutdown.hard.clone();
    let serving = async {
        let Some(mut leg) = handshake(&server, stream, from).await else { return };
        let presented = leg.tls().and_then(|tls| tls.peer_certificates()?.first().cloned());
        let certificate = presented.into_iter().collect();
        let link = Arc::new(Link { server: Arc::clone(&server), from, certificate, _place: place });
        match link.edge() {
            Ok(edge) => {
                tracing::debug!(%edge, from = %tcp::canonical(from), "an edge has connected");
                speak_http(&link, leg).await;
            }
            // It is told by a close_notify that this is no accident.
            Err(_) => drop(timeout(server.handshake_timeout, leg.shutdown()).await),
        }
    };
    tokio::select! {
        () = serving => {}
        () = hard.cancelled() => {}
    }
}

async fn handshake(server: &Server, stream: TcpStream, from: SocketAddr) -> Option<Leg> {
    let began = Instant::now();
    let shaken = async {
        tcp::tune(&stream)?;
        Leg::accept(stream, server.trust.config()).await
    };
    let failure = match timeout(server.handshake_timeout, shaken).await {
        Ok(Ok(leg)) => {
            server.instruments.shaken(began.elapsed());
            return Some(leg);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => "it took too long".to_owned(),
    };
    server.instruments.not_shaken();
    if let Some(others) = server.complaints.handshake.pass() {
        tracing::warn!(from = %tcp::canonical(from), error = failure, others, "a TLS handshake failed");
    }
    None
}

async fn speak_http(link: &Arc<Link>, leg: Leg) {
    let soft = &link.server.shutdown.soft;
    let draining = soft.is_cancelled();
    let answering = service_fn(|request| routes::answer(Arc::clone(link), request));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(if draining { link.server.handshake_timeout } else { HEAD_PATIENCE })
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_FIELDS)
            // One request is heard even now, and told why it is refused.
            .keep_alive(!draining)
            .serve_connection(TokioIo::new(leg), answering)
            .with_upgrades()
    );
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = soft.cancelled(), if !draining => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(from = %tcp::canonical(link.from), error = chain(&error), "an edge's connection failed");
    }
}
