//! Guests run with the consoles they were given, and their consoles open.

use porthole_tests::agent::Mint;
use porthole_tests::guest::{Graphics, Listen, Serial, assert_tcp_says_hello, assert_unix_says_hello};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::ports::free_port;
use porthole_tests::rfb;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually_some, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::support::{define, folder, merged};

/// A guest whose consoles are all to be replaced.
fn before(libvirt: &PrivateLibvirt, uuid: Uuid) -> String {
    let guest = libvirt.guest("consoles").uuid(uuid);
    guest.graphics([Graphics::vnc(Listen::Tcp(free_port()))]).serials([Serial::Pty]).xml().unwrap()
}

/// The arguments for the host's folders.
fn folders(libvirt: &PrivateLibvirt) -> [String; 4] {
    ["--sockets".to_owned(), folder(libvirt.sockets()), "--logs".to_owned(), folder(&libvirt.directory().join("log"))]
}

#[tokio::test]
async fn a_sealed_guest_listens_on_no_port_and_its_consoles_open() {
    let libvirt = PrivateLibvirt::start().await;
    let (uuid, folders) = (Uuid::new_v4(), folders(&libvirt));
    let mut arguments = vec!["--vnc", "--keymap", "de", "--serial", "2"];
    arguments.extend(folders.iter().map(String::as_str));
    define(&libvirt, &merged(&arguments, &before(&libvirt, uuid)).await).await.unwrap();
    libvirt.virsh(&["start", &uuid.to_string()]).await.unwrap();

    let live = libvirt.virsh(&["dumpxml", &uuid.to_string()]).await.unwrap();
    assert!(live.contains("<listen type='none'/>") && !live.contains("port='59"), "{live}");
    let stack = Stack::on(&libvirt).await;
    assert!(stack.view(Mint::of(uuid)).await.full_frame().await.unwrap().width > 0);
    for port in 0..2 {
        assert_unix_says_hello(&libvirt.sockets().join(format!("{uuid}-serial{port}.sock"))).await;
        let log = libvirt.directory().join(format!("log/{uuid}-serial{port}.log"));
        eventually_some(PATIENCE, "the log", async || {
            std::fs::read_to_string(&log).ok().filter(|log| log.contains("you said: hello"))
        })
        .await;
    }
}

#[tokio::test]
async fn a_guest_on_tcp_wants_a_password_that_the_agent_does_not_need() {
    let libvirt = PrivateLibvirt::start().await;
    let (uuid, folders) = (Uuid::new_v4(), folders(&libvirt));
    let (screen, raw) = (free_port(), free_port());
    let (screen_text, raw_text) = (screen.to_string(), raw.to_string());
    let mut arguments = vec!["--vnc", "--serial", "1", "--transport", "tcp", "--address", "127.0.0.1"];
    arguments.extend(["--port-vnc", &screen_text, "--port-serial", &raw_text]);
    arguments.extend(folders.iter().map(String::as_str));
    let telnet = [arguments.as_slice(), &["--serial-protocol", "telnet"]].concat();
    let xml = merged(&arguments, &before(&libvirt, uuid)).await;
    define(&libvirt, &xml).await.unwrap();
    libvirt.virsh(&["start", &uuid.to_string()]).await.unwrap();

    // Somebody who comes to the port is asked for a password (security type 2), the agent is not.
    let mut stream = TcpStream::connect(("127.0.0.1", screen)).await.unwrap();
    let offered = within(PATIENCE, "RFB", async {
        let mut version = [0; 12];
        stream.read_exact(&mut version).await?;
        stream.write_all(&version).await?;
        let count = stream.read_u8().await?;
        let mut types = vec![0; usize::from(count)];
        stream.read_exact(&mut types).await?;
        std::io::Result::Ok(types)
    });
    assert_eq!(offered.await.unwrap(), [2]);
    let stack = Stack::on(&libvirt).await;
    let mut viewer = stack.view(Mint::of(uuid)).await;
    assert!(viewer.full_frame().await.unwrap().width > 0);
    assert_tcp_says_hello(raw, false).await;

    // A viewer that asks to be alone throws nobody out: the policy is in what QEMU was started with.
    let mut alone = rfb::Client::handshake(stack.open(Mint::of(uuid)).await).await.unwrap();
    assert!(alone.full_frame().await.unwrap().width > 0);
    assert!(viewer.full_frame().await.unwrap().width > 0);

    libvirt.virsh(&["destroy", &uuid.to_string()]).await.unwrap();
    define(&libvirt, &merged(&telnet, &xml).await).await.unwrap();
    libvirt.virsh(&["start", &uuid.to_string()]).await.unwrap();
    assert_tcp_says_hello(raw, true).await;
}
