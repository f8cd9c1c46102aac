//! The core: a link from the command line shows the real guest's screen, and takes keys.

use std::net::{Ipv6Addr, SocketAddr};

use porthole_tests::guest::Guest;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::rfb;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use porthole_tests::ws::{Upgrade, WsClient};
use serde_json::Value;

use crate::support::{Porthole, TLS_1_2, refusal, refused, secret};

#[tokio::test]
async fn a_printed_url_shows_the_guests_screen_and_takes_keys() {
    let libvirt = PrivateLibvirt::start().await;
    let guest = libvirt.guest("core").start().await;
    let stack = Stack::on(&libvirt).await;
    let porthole = Porthole::of(&stack.agent);

    // The URL alone, on a line.
    let printed = porthole.print(&["url", guest.name()]).await;
    let url = printed.strip_suffix('\n').unwrap();
    let token = url.strip_prefix(&format!("{}/vnc_auto.html?token=", stack.edge.url())).unwrap();
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{url}");

    let mut viewer = view(&stack.edge.upgrade(url).protocols(&["binary"]), &guest).await;
    viewer.type_key('p').await.unwrap();
    eventually(PATIENCE, "the typed key on COM1", async || guest.serial_log(0).contains("Kp")).await;
    guest.show_quadrants().await;
    assert!(viewer.full_frame().await.unwrap().is_quadrants());

    let sessions = stack.agent.sessions().await;
    let [session] = sessions.as_slice() else { panic!("{sessions:?}") };
    assert_eq!((&session["name"], &session["edge"]), (&guest.name().into(), &"edge-1".into()));
    assert_eq!((&session["kind"], &session["requestor"]), (&"vnc".into(), &Value::Null));
    assert_eq!(session["console"]["uuid"], guest.uuid().to_string());
    assert!(session["client_address"].as_str().unwrap().starts_with("127.0.0.1:"), "{session}");
    assert!(session["bytes_out"].as_u64().unwrap() > 640 * 480 * 4, "{session}");
}

#[tokio::test]
async fn a_url_in_json_has_what_was_asked_for() {
    let libvirt = PrivateLibvirt::start().await;
    let guest = libvirt.guest("json").start().await;
    let stack = Stack::on(&libvirt).await;
    let porthole = Porthole::of(&stack.agent);

    let uuid = guest.uuid().to_string();
    let wanted = ["url", &uuid, "--type", "novnc", "--policy", "once", "--ttl", "2m", "--requestor", "alice", "--json"];
    let printed = porthole.print(&wanted).await;
    assert_eq!(printed.matches('\n').count(), 1, "one line: {printed}");
    let link: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&link["kind"], &link["policy"]), (&"vnc".into(), &"once".into()));
    assert_eq!((&link["console"]["uuid"], &link["console"]["name"]), (&uuid.as_str().into(), &guest.name().into()));
    assert!(link["url"].as_str().unwrap().ends_with(&format!("?token={}", link["token"].as_str().unwrap())));

    // Over IPv6 and TLS 1.2, with the path that a page connects to.
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, stack.edge.address().port()));
    let request = stack.edge.upgrade(link["url"].as_str().unwrap()).connect_to(address);
    let request = request.path(&format!("/websockify?token={}", link["token"].as_str().unwrap()));
    let request = request.tls_versions(TLS_1_2).bound(&secret());
    let _viewer = view(&request, &guest).await;
    let sessions = stack.agent.sessions().await;
    assert_eq!(sessions[0]["requestor"], "alice");
    assert_eq!(sessions[0]["token_id"], link["id"]);
    assert!(sessions[0]["client_address"].as_str().unwrap().starts_with("[::1]:"), "{sessions:?}");
    assert_eq!(refusal(&request).await, refused(403, "used"));

    // What cannot be had is refused in words and by exit code.
    let (code, message) = porthole.refused(&["url", "no-such-guest"], 1).await;
    assert_eq!(code.as_deref(), Some("no_such_console"), "{message}");
    let (code, message) = porthole.refused(&["url", guest.name(), "--type", "spice"], 1).await;
    assert_eq!(code.as_deref(), Some("no_such_kind"), "{message}");
    assert!(message.contains("it has vnc 0"), "{message}");
}

/// Does the handshake with the guest itself and compares what it sends with what libvirt sees.
async fn view(request: &Upgrade, guest: &Guest) -> rfb::Client<WsClient> {
    let mut viewer = rfb::Client::handshake(request.open().await).await.unwrap();
    assert_eq!(viewer.name(), format!("QEMU ({})", guest.name()));
    let (seen, expected) = (viewer.full_frame().await.unwrap(), guest.screenshot().await.unwrap());
    assert_eq!(seen.difference(&expected), 0, "{seen:?} instead of {expected:?}");
    viewer
}
