//! Plain bytes: what existing serial clients speak.

use porthole_tests::guest::Serial;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::ports::free_port;
use porthole_tests::stack::Stack;
use serde_json::Value;

use crate::support::{Viewer, closed, serial};

#[tokio::test]
async fn a_line_is_typed_and_answered_with_each_subprotocol() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("serial").start().await;
    let stack = Stack::on(&libvirt).await;
    let listed = stack.agent.consoles().await;
    let own = listed.iter().find(|console| console["name"] == guest.name()).expect("it is listed");
    let kinds: Vec<&str> = own["kinds"].as_array().unwrap().iter().filter_map(|kind| kind["kind"].as_str()).collect();
    assert_eq!(kinds, ["vnc", "serial"]);

    let mut viewer = Viewer::plain(&stack, serial(&guest)).await;
    assert_eq!(viewer.client.head().header("sec-websocket-protocol"), Some("binary"));
    viewer.types("hello\r").await;
    viewer.reads("you said: hello\r\n").await;
    viewer.client.send_text("by text\r").await.unwrap();
    viewer.reads("you said: by text\r\n").await;
    assert_eq!(viewer.client.close().await.code, Some(1000));

    let link = stack.mint(serial(&guest)).await;
    let mut viewer = Viewer::new(stack.edge.upgrade(&link.url).open().await);
    assert_eq!(viewer.client.head().header("sec-websocket-protocol"), None);
    viewer.types("again\r").await;
    viewer.reads("you said: again\r\n").await;
}

#[tokio::test]
async fn ports_of_every_sort_and_two_at_once() {
    let libvirt = PrivateLibvirt::shared().await;
    let ports = [Serial::Unix, Serial::Tcp(free_port()), Serial::Telnet(free_port()), Serial::Pty];
    let guest = libvirt.guest("ports").serials(ports).start().await;
    let stack = Stack::on(&libvirt).await;
    let mut viewers = Vec::new();
    for index in 0..4 {
        let mut viewer = Viewer::plain(&stack, serial(&guest).field("index", index)).await;
        viewer.types(&format!("port {index}\r")).await;
        viewers.push(viewer);
    }
    for (index, viewer) in viewers.iter_mut().enumerate() {
        viewer.reads(&format!("you said: port {index}\r\n")).await;
    }
    // 0xff is a command in telnet, unless it is doubled.
    viewers[2].client.send_binary(b"\xfftel\xff\r").await.unwrap();
    viewers[2].reads("tel").await;
    viewers[2].types("after\r").await;
    viewers[2].reads("you said: after\r\n").await;
    let refused = stack.agent.try_mint(serial(&guest).field("index", 4)).await.unwrap_err();
    assert_eq!(refused.code, "no_such_kind");
}

#[tokio::test]
async fn a_reboot_ends_nothing_and_a_shutdown_says_so() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("reboot").managed().start().await;
    let stack = Stack::on(&libvirt).await;
    let mut viewer = Viewer::plain(&stack, serial(&guest)).await;
    viewer.types("reboot\r").await;
    viewer.reads("TINYGUEST READY COM1").await;
    viewer.types("after it\r").await;
    viewer.reads("you said: after it\r\n").await;
    viewer.types("poweroff\r").await;
    assert_eq!(viewer.closed().await, closed(4411, "shut_off"));
    let sessions: Vec<Value> = stack.agent.sessions().await;
    assert!(sessions.is_empty(), "{sessions:?}");
}

#[tokio::test]
async fn a_shell_of_a_real_system() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("shell").linux().managed().start().await;
    let stack = Stack::on(&libvirt).await;
    let mut viewer = Viewer::plain(&stack, serial(&guest)).await;
    viewer.types("echo $((6 * 7))' is the 'answer\r").await;
    viewer.reads("42 is the answer").await;
}
