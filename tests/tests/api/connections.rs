//! The API's listener: how many it serves, and with which certificate.

use http::Method;
use porthole_tests::wait::{PATIENCE, eventually};
use tokio::net::TcpStream;

use crate::support::{Caller, Served};

/// The certificate that it shows now.
async fn shown(served: &Served) -> Vec<u8> {
    let stream = served.connect(&Caller::default()).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up() {
    let served = Served::start().await;
    let (caller, before) = (served.known("minter"), shown(&served).await);
    served.stack.pki.run(&["renew", "agent", "compute-1"]).await.unwrap();
    eventually(PATIENCE, "the new certificate", async || shown(&served).await != before).await;
    assert_eq!(served.ask(&caller, Method::GET, "/v1/status", None).await.status, 200);
}

#[tokio::test]
async fn there_are_as_many_connections_as_may_be() {
    let served = Served::with(|agent| agent.set("api.max_connections", 2)).await;
    let nobody = Caller::default();
    let held = [served.connect(&nobody).await.unwrap(), served.connect(&nobody).await.unwrap()];
    assert!(served.connect(&nobody).await.is_err());
    assert_eq!(
        served.ask_locally(Method::GET, "/v1/status", None).await.status,
        200,
        "the socket has places of its own"
    );
    drop(held);
    eventually(PATIENCE, "a place", async || served.connect(&nobody).await.is_ok()).await;
}

#[tokio::test]
async fn one_address_cannot_take_the_places_of_all() {
    let served = Served::with(|agent| agent.set("api.max_connections_per_address", 1)).await;
    let caller = served.known("minter");
    let held = served.connect(&caller).await.unwrap();
    assert!(served.connect(&caller).await.is_err());
    drop(held);
    eventually(PATIENCE, "a place", async || served.connect(&caller).await.is_ok()).await;
}

#[tokio::test]
async fn who_does_not_shake_hands_is_not_waited_for() {
    let served = Served::with(|agent| agent.set("api.max_connections", 1).set("api.handshake_timeout", "200ms")).await;
    let _silent = TcpStream::connect(served.address).await.unwrap();
    let caller = served.known("minter");
    eventually(PATIENCE, "the place of who says nothing", async || served.connect(&caller).await.is_ok()).await;
}
