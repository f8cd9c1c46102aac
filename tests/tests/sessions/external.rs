//! Consoles that libvirt does not know, on an agent without libvirt.

use std::net::SocketAddr;

use porthole_tests::command::porthole;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::ports::free_port;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use porthole_tests::ws::WsClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::support::{closed, echo, ended, handshake, row, server, signed, to_the_end, write_nodes};

const LARGE: usize = 16 << 20;
/// How much an echo may be behind before more is sent.
const WINDOW: usize = 256 * 1024;

/// Bytes without a period that any buffer has (xorshift).
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    let mut bytes: Vec<u8> = words.take(length.div_ceil(8)).flat_map(u64::to_le_bytes).collect();
    bytes.truncate(length);
    bytes
}

/// `[[external.console]]` entries of protocol `tcp`, with any text as host.
fn consoles(entries: &[(&str, &str, u16)]) -> Vec<toml::Value> {
    let entry = |&(name, host, port): &(&str, &str, u16)| {
        let fields = [
            ("uuid", toml::Value::from(Uuid::new_v4().to_string())),
            ("name", name.into()),
            ("protocol", "tcp".into()),
            ("host", host.into()),
            ("port", i64::from(port).into()),
        ];
        fields.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<toml::Table>().into()
    };
    entries.iter().map(entry).collect()
}

#[tokio::test]
async fn bytes_pass_as_they_are_both_ways() {
    let console = echo().await;
    let (heard_all, heard) = oneshot::channel();
    let heard_all = std::sync::Mutex::new(Some(heard_all));
    let listens = server(move |stream| {
        let heard_all = heard_all.lock().unwrap().take();
        async move {
            let heard = to_the_end(stream).await?;
            let _nobody_asks = heard_all.map(|told| told.send(heard));
            Ok(())
        }
    })
    .await;
    let talks = server(async |mut stream: TcpStream| stream.write_all(&noise(7, LARGE)).await).await;
    let uuids = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    let stack = Stack::builder()
        .agent(move |agent| {
            agent
                .external(uuids[0], "echo", "tcp", console)
                .external(uuids[1], "listens", "tcp", listens)
                .external(uuids[2], "talks", "tcp", talks)
        })
        .start()
        .await;
    assert_eq!(stack.agent.status().await["libvirt"], "disabled");
    let list = porthole(&stack.agent, &["consoles"]).await;
    assert!(["echo", "listens", "talks"].iter().all(|name| list.out.contains(name)), "{list:?}");

    // Every byte there is, and a lot of noise.
    let link = stack.mint(uuids[0].to_string().as_str()).await;
    let mut client = stack.upgrade(&link).open().await;
    let all: Vec<u8> = (0..=255).collect();
    client.send_binary(&all).await.unwrap();
    assert_eq!(received(&mut client, 256).await, all);
    let sent = noise(1, LARGE);
    let (mut back, mut out) = (Vec::with_capacity(LARGE), 0);
    for chunk in sent.chunks(100_003) {
        client.send_binary(chunk).await.unwrap();
        out += chunk.len();
        while out - back.len() > WINDOW {
            back.extend(client.binary().await);
        }
    }
    while back.len() < LARGE {
        back.extend(client.binary().await);
    }
    assert!(back == sent, "what came back is not what was sent");
    assert_eq!(client.close().await.code, Some(1000));
    let row = ended(&stack.agent, &link, "client_closed").await;
    assert_eq!((row.bytes_in, row.bytes_out), (signed(LARGE + 256), signed(LARGE + 256)));
    assert_eq!((row.kind.as_str(), row.name.as_str(), row.uuid), ("tcp", "echo", uuids[0].to_string()));

    // One way as fast as it goes: the console hears all of it before it hears of the end.
    let mut client = stack.open("listens").await;
    for chunk in sent.chunks(1 << 20) {
        client.send_binary(chunk).await.unwrap();
    }
    assert_eq!(client.close().await.code, Some(1000));
    assert!(heard.await.unwrap() == sent, "what the console heard is not what was sent");

    // And the other way: the console hangs up behind its last byte, and not one is lost.
    let link = stack.mint("talks").await;
    let mut client = stack.upgrade(&link).open().await;
    assert!(received(&mut client, LARGE).await == noise(7, LARGE), "what came is not what the console said");
    assert_eq!(client.closed().await, closed(4410, "console_closed"));
    assert_eq!(ended(&stack.agent, &link, "console_closed").await.bytes_out, signed(LARGE));
}

async fn received(client: &mut WsClient, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        bytes.extend(client.binary().await);
    }
    assert_eq!(bytes.len(), length);
    bytes
}

#[tokio::test]
async fn a_vnc_console_of_another_machine_shows_its_screen() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("bmc").vnc_on_tcp().start().await;
    guest.show_quadrants().await;
    let address = SocketAddr::from(([127, 0, 0, 1], guest.graphics_port()));
    let stack =
        Stack::builder().agent(move |agent| agent.external(Uuid::new_v4(), "bmc-1", "vnc", address)).start().await;
    let link = stack.mint("bmc-1").await;
    let mut viewer = handshake(stack.upgrade(&link).open().await).await;
    assert!(viewer.full_frame().await.unwrap().is_quadrants());
    viewer.type_key('p').await.unwrap();
    eventually(PATIENCE, "the typed key on COM1", async || guest.serial_log(0).contains("Kp")).await;
    assert_eq!(row(&stack.agent, &link).await.kind, "vnc");
    // Nobody tells why it ends.
    guest.destroy().await;
    assert_eq!(viewer.stream().closed().await, closed(4410, "console_closed"));
    ended(&stack.agent, &link, "console_closed").await;
}

#[tokio::test]
async fn a_console_out_of_reach_is_refused_and_the_link_kept() {
    let port = free_port();
    let stack = Stack::builder()
        .agent(move |agent| {
            let entries = [("nobody", "127.0.0.1", port), ("nameless", "no-such-host.invalid", 5900)];
            agent.set("external.console", consoles(&entries))
        })
        .start()
        .await;
    let unreachable = (502, "unreachable".to_owned());
    let nobody = stack.mint("nobody").await;
    for link in [&nobody, &stack.mint("nameless").await] {
        assert_eq!(stack.upgrade(link).send().await.unwrap().refusal(), unreachable);
    }
    // The link is good once the console is there.
    let late = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let (mut client, accepted) = tokio::join!(async { stack.upgrade(&nobody).open().await }, late.accept());
    let (mut accepted, _) = accepted.unwrap();
    client.send_binary(b"there").await.unwrap();
    let mut heard = [0; 5];
    accepted.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"there");
    accepted.write_all(b"last words").await.unwrap();
    drop(accepted);
    assert_eq!(client.binary().await, b"last words");
    assert_eq!(client.closed().await, closed(4410, "console_closed"));
    ended(&stack.agent, &nobody, "console_closed").await;

    // The resolved address counts, whatever the name: a network that has neither of localhost's.
    let console = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listening = console.local_addr().unwrap().port();
    let another = stack.another_agent("compute-2").await.unwrap();
    let another = another
        .set("external.networks", vec!["192.0.2.0/24"])
        .set("external.console", consoles(&[("forbidden", "localhost", listening)]))
        .start()
        .await
        .unwrap();
    let link = another.mint("forbidden").await;
    write_nodes(&stack.edge, &[(&stack.agent).into(), (&another).into()], &link).await;
    assert_eq!(stack.upgrade(&link).send().await.unwrap().refusal(), unreachable);
    assert!(another.log().contains("none of [external] networks"), "the operator is told why");
    let nobody_came = console.into_std().unwrap().accept().unwrap_err();
    assert_eq!(nobody_came.kind(), std::io::ErrorKind::WouldBlock);

    // An address outside is a mistake in the configuration, and said so.
    let wrong = stack.another_agent("compute-3").await.unwrap();
    let wrong = wrong
        .set("external.networks", vec!["192.0.2.0/24"])
        .set("external.console", consoles(&[("outside", "127.0.0.1", listening)]));
    let error = wrong.start().await.unwrap_err();
    assert!(format!("{error:#}").contains("outside"), "{error:#}");
}
