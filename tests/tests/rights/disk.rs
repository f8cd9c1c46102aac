//! A disk without room.

use porthole_tests::agent::Mint;
use porthole_tests::disk::{SmallDisk, fill};
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually, eventually_some};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::support::closed;

#[tokio::test]
async fn without_room_sessions_go_on_and_links_wait_for_some() {
    let disk = SmallDisk::new().await;
    let filler = disk.path().join("filler");
    let within = disk.enter();
    let console = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (uuid, address) = (Uuid::new_v4(), console.local_addr().unwrap());
    let stack = Stack::builder()
        .agent(move |agent| {
            let agent = agent.external(uuid, "raw", "tcp", address).set("node.state_dir", "/mnt/state");
            agent.under(within)
        })
        .start()
        .await;
    let (link, later) = (stack.mint("raw").await, stack.mint("raw").await);
    let upgrade = stack.upgrade(&link);
    let (mut client, accepted) = tokio::join!(upgrade.open(), console.accept());
    let mut console_side = accepted.unwrap().0;

    fill(&filler);
    // What SQLite has room for in its files is used first.
    let refused = eventually_some(PATIENCE, "a mint to be refused", async || stack.agent.try_mint("raw").await.err());
    let refused = refused.await;
    assert_eq!((refused.status, refused.code.as_str()), (507, "disk_full"), "{refused:?}");
    assert!(refused.problem["detail"].as_str().unwrap().contains("state_dir"), "{refused:?}");
    let again = stack.agent.try_mint(Mint::of("raw")).await.unwrap_err();
    assert_eq!(again.status, 507, "it says so each time: {again:?}");
    let readiness = stack.agent.admin_fetch("/readyz").await.unwrap();
    assert_eq!(readiness.status(), 503);
    assert!(
        readiness.body().starts_with(b"not ready\nthe database cannot be written: there is no room"),
        "{readiness:?}"
    );
    client.send_binary(b"still there?").await.unwrap();
    let mut heard = [0; 12];
    console_side.read_exact(&mut heard).await.unwrap();
    console_side.write_all(b"still here").await.unwrap();
    assert_eq!((&heard, client.binary().await.as_slice()), (b"still there?", &b"still here"[..]));
    assert_eq!(stack.agent.sessions().await.len(), 1);
    // A link that cannot be written to is not used up.
    assert_eq!(stack.upgrade(&later).send().await.unwrap().refusal(), (500, "internal".to_owned()));

    std::fs::remove_file(&filler).unwrap();
    eventually(PATIENCE, "a mint with room", async || stack.agent.try_mint("raw").await.is_ok()).await;
    eventually(PATIENCE, "the agent to be ready", async || {
        stack.agent.admin_fetch("/readyz").await.unwrap().status() == 200
    })
    .await;
    drop(console_side);
    assert_eq!(client.closed().await, closed(4410, "console_closed"));
    let _client = stack.upgrade(&later).open().await;
}
