//! What the guest and its host decide: whether there is a link at all, and whether it opens.

use porthole_tests::agent::{Mint, Minted};
use porthole_tests::guest::{Graphics, Listen};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::ports::free_port;
use porthole_tests::rfb;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually, eventually_some};
use porthole_tests::ws::Answer;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::support::{refusal, refused};

#[tokio::test]
async fn links_are_made_for_consoles_that_are_there() {
    let libvirt = PrivateLibvirt::start().await;
    let guest = libvirt.guest("there").start().await;
    let off = libvirt.guest("off").define().await.unwrap();
    let spice = libvirt.guest("spice").graphics([Graphics::spice(Listen::None)]).start().await;
    let mut stack = Stack::on(&libvirt).await;
    let of = |console: &dyn std::fmt::Display| Mint::of(console);

    for (wanted, expected) in [
        (of(&"no-such-guest"), refused(404, "no_such_console")),
        (of(&Uuid::new_v4()), refused(404, "no_such_console")),
        (of(&off.name()), refused(409, "not_running")),
        (of(&off.uuid()).kind("spice"), refused(409, "not_running")),
        (of(&guest.name()).kind("spice"), refused(400, "no_such_kind")),
        (of(&guest.name()).kind("tcp"), refused(400, "no_such_kind")),
        (of(&guest.name()).kind("serial").field("index", 4), refused(400, "no_such_kind")),
        (of(&guest.name()).field("index", 1), refused(400, "no_such_kind")),
        (of(&spice.name()), refused(400, "no_such_kind")),
        (of(&guest.name()).kind("rdp"), refused(400, "bad_request")),
        (of(&guest.name()).policy("twice"), refused(400, "bad_request")),
        (of(&guest.name()).ttl(0), refused(400, "bad_request")),
        (of(&guest.name()).ttl(3601), refused(400, "bad_request")),
        (of(&guest.name()).field("requestor", ""), refused(400, "bad_request")),
        (of(&guest.name()).field("no_such_field", 1), refused(400, "bad_request")),
        (of(&""), refused(404, "no_such_console")),
    ] {
        let error = stack.agent.try_mint(wanted.clone()).await.unwrap_err();
        assert_eq!((error.status, error.code.clone()), expected, "{wanted:?}: {error:?}");
        assert_eq!(error.problem["status"], error.status);
        assert!(error.problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{error:?}");
    }
    for (console, kind) in [(&guest, "vnc"), (&guest, "novnc"), (&spice, "spice"), (&spice, "spice-html5")] {
        stack.mint(Mint::of(console.uuid()).kind(kind).ttl(3600)).await;
    }

    // A kind without a page.
    assert!(stack.agent.stop().await.success());
    stack.agent.daemon().settings().remove("urls.vnc");
    stack.agent.start_again().await;
    let error = stack.agent.try_mint(&guest).await.unwrap_err();
    assert_eq!((error.status, error.code.as_str()), (409, "no_base_url"), "{error:?}");
    assert!(error.problem["detail"].as_str().unwrap().contains("[urls]"), "{error:?}");
    stack.mint(Mint::of(spice.name()).kind("spice")).await;
}

#[tokio::test]
async fn what_became_of_a_guest_while_its_agent_was_away_is_seen_when_its_link_is_used() {
    let libvirt = PrivateLibvirt::shared().await;
    let (gone, changed) = (libvirt.guest("gone").start().await, libvirt.guest("changed").start().await);
    let mut stack = Stack::on(&libvirt).await;
    let (to_gone, to_changed) = (stack.mint(gone.name()).await, stack.mint(changed.name()).await);
    stack.agent.stop().await;
    let (name, uuid) = (changed.name().to_owned(), changed.uuid());
    drop((gone, changed));
    // Of the same name and UUID, without that console.
    let spice = libvirt.guest("changed").exactly_named(&name).uuid(uuid).graphics([Graphics::spice(Listen::None)]);
    let _spice = spice.start().await;
    stack.agent.start_again().await;
    // What runs by that name now is another life of it, so the link is void, as if its stop had been seen.
    eventually(PATIENCE, "libvirt to answer again", async || {
        refusal(&stack.upgrade(&to_changed)).await == refused(409, "shut_off")
    })
    .await;
    assert_eq!(stack.agent.try_mint(Mint::of(&name).kind("vnc")).await.unwrap_err().code, "no_such_kind");
    assert_eq!(refusal(&stack.upgrade(&to_gone)).await, refused(404, "no_such_console"));
}

#[tokio::test]
async fn a_link_waits_for_its_guest_and_its_host() {
    let libvirt = PrivateLibvirt::start().await;
    let guest = libvirt.guest("waits").start().await;
    let port = free_port();
    let bmc = Uuid::new_v4();
    let stack = Stack::builder().libvirt(&libvirt);
    let stack = stack.agent(move |agent| agent.external(bmc, "bmc-1", "tcp", ([127, 0, 0, 1], port).into()));
    let stack = stack.start().await;
    // Each can be used once, so a refusal that used it up would show.
    let once = async |console: &str| stack.mint(Mint::of(console).policy("once")).await;

    // Switched off between mint and open.
    let link = once(guest.name()).await;
    guest.destroy().await;
    eventually(PATIENCE, "the link to be void", async || {
        refusal(&stack.upgrade(&link)).await == refused(409, "destroyed")
    })
    .await;
    assert_eq!(stack.agent.try_mint(&guest).await.unwrap_err().code, "not_running");
    guest.boot().await.unwrap();
    assert_shows_a_guest(&stack, &once(guest.name()).await).await;

    // Paused: its screen is there all the same.
    let link = once(guest.name()).await;
    guest.suspend().await;
    assert_shows_a_guest(&stack, &link).await;
    stack.mint(&guest).await;
    guest.resume().await;

    // A console that does not take connections, and then does.
    let link = once("bmc-1").await;
    assert_eq!(refusal(&stack.upgrade(&link)).await, refused(502, "unreachable"));
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let mut session = stack.upgrade(&link).open().await;
    listener.accept().await.unwrap().0.write_all(b"login: ").await.unwrap();
    assert_eq!(session.binary().await, b"login: ");

    // libvirtd away, and back.
    let link = once(guest.name()).await;
    libvirt.stop_daemon().await;
    assert_eq!(refusal(&stack.upgrade(&link)).await, refused(503, "hypervisor_down"));
    let error = stack.agent.try_mint(&guest).await.unwrap_err();
    assert_eq!((error.status, error.code.as_str()), (503, "hypervisor_down"));
    libvirt.start_daemon().await;
    let console = eventually_some(PATIENCE, "the console to open again", async || {
        match stack.upgrade(&link).send().await.unwrap() {
            Answer::Opened(console) => Some(console),
            refused @ Answer::Refused { .. } => {
                assert_eq!(refused.refusal(), (503, "hypervisor_down".to_owned()));
                None
            }
        }
    });
    rfb::Client::handshake(console.await).await.unwrap();
}

async fn assert_shows_a_guest(stack: &Stack, link: &Minted) {
    let mut viewer = rfb::Client::handshake(stack.upgrade(link).open().await).await.unwrap();
    assert!(viewer.full_frame().await.unwrap().width > 0);
    assert_eq!(refusal(&stack.upgrade(link)).await, refused(403, "used"));
}
