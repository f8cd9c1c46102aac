use super::*;
use crate::consoles::External;
use crate::hypervisor::{Command, DomainDescription, DomainState, LinkState};
use porthole_shared::names::{ConsoleKind, ConsoleSource, ConsoleUuid};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch};

/// Reaching it is a failure of the test, except where it is what is tested.
const PATIENCE: Duration = Duration::from_secs(10);

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

fn within(networks: &[&str]) -> Networks {
    Networks::Within(networks.iter().map(|network| network.parse().unwrap()).collect::<Vec<_>>().into())
}

async fn dial(address: &str, within: Networks) -> Result<ConsoleStream, OpenError> {
    let endpoint = Endpoint::Tcp { address: address.parse().unwrap(), within };
    reach(&Hypervisor::none(), endpoint, soon()).await
}

/// A libvirt with one running domain, which answers `OpenGraphics` as told.
fn hypervisor(
    xml: &'static str,
    mut open: impl FnMut(u8) -> Result<OwnedFd, OpenGraphicsError> + Send + 'static,
) -> Hypervisor {
    let (commands, mut received) = mpsc::channel(4);
    let (_, state) = watch::channel(LinkState::Disabled);
    tokio::spawn(async move {
        while let Some(command) = received.recv().await {
            match command {
                Command::Describe { uuid, reply } => {
                    let name = "guest".parse().unwrap();
                    let state = DomainState::Running;
                    drop(reply.send(Ok(DomainDescription { uuid, name, state, live_xml: xml.to_owned(), life: None })));
                }
                Command::OpenGraphics { index, reply, .. } => drop(reply.send(open(index))),
                other @ (Command::Domains { .. }
                | Command::Find { .. }
                | Command::OpenConsole { .. }
                | Command::Definition { .. }
                | Command::Redefine { .. }
                | Command::IsMigrating { .. }) => {
                    panic!("nobody asked for {other:?}")
                }
            }
        }
    });
    Hypervisor::from_channel(commands, broadcast::channel(1).0, state, PATIENCE)
}

fn consoles(hypervisor: Hypervisor) -> Consoles {
    Consoles::new(hypervisor, External::default(), &"qemu:///system".parse().unwrap())
}

fn vnc(source: ConsoleSource, uuid: ConsoleUuid) -> ConsoleId {
    ConsoleId { source, uuid, kind: ConsoleKind::Vnc, index: 0 }
}

/// Bytes go both ways, and the end comes through.
async fn assert_talks(mut stream: ConsoleStream, mut far: impl AsyncRead + AsyncWrite + Unpin) {
    stream.write_all(b"hello").await.unwrap();
    let mut bytes = [0; 5];
    far.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"hello");
    far.write_all(b"there").await.unwrap();
    far.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"there");
}

#[tokio::test]
async fn a_descriptor_of_libvirts_becomes_a_stream() {
    let (ours, theirs) = StdUnixStream::pair().unwrap();
    let mut pair = Some(theirs.into());
    let xml = "<domain><devices><graphics type='spice'/><graphics type='vnc'/></devices></domain>";
    let libvirt = hypervisor(xml, move |index| {
        // VNC is the second device, and that is what libvirt counts.
        assert_eq!(index, 1);
        Ok(pair.take().unwrap())
    });
    let id = vnc(ConsoleSource::Libvirt, ConsoleUuid::random());
    let stream = open(&consoles(libvirt), &id, soon()).await.unwrap();
    ours.set_nonblocking(true).unwrap();
    assert_talks(stream, UnixStream::from_std(ours).unwrap()).await;
}

#[tokio::test]
async fn libvirts_refusals_keep_their_reasons() {
    let xml = "<domain><devices><graphics type='vnc'/></devices></domain>";
    for (error, reason) in [
        (OpenGraphicsError::Migrating, Reason::Migrating),
        (OpenGraphicsError::NotRunning, Reason::NotRunning),
        (OpenGraphicsError::NoSuchDomain, Reason::NoSuchConsole),
        (OpenGraphicsError::Call(crate::hypervisor::CallError::Disconnected), Reason::HypervisorDown),
        (OpenGraphicsError::Call(crate::hypervisor::CallError::DeadlineExceeded), Reason::Unreachable),
    ] {
        let libvirt = hypervisor(xml, move |_| Err(error.clone()));
        let id = vnc(ConsoleSource::Libvirt, ConsoleUuid::random());
        assert_eq!(open(&consoles(libvirt), &id, soon()).await.unwrap_err().reason(), reason);
    }
    let id = ConsoleId { kind: ConsoleKind::Spice, ..vnc(ConsoleSource::Libvirt, ConsoleUuid::random()) };
    let libvirt = hypervisor(xml, |_| panic!("there is no such console"));
    assert_eq!(open(&consoles(libvirt), &id, soon()).await.unwrap_err().reason(), Reason::NoSuchKind);
}

#[tokio::test]
async fn a_libvirt_that_does_not_answer_does_not_keep_anybody() {
    // The channel's end is alive and silent.
    let (commands, _silent) = mpsc::channel(4);
    let (_, state) = watch::channel(LinkState::Disabled);
    let libvirt = Hypervisor::from_channel(commands, broadcast::channel(1).0, state, Duration::from_hours(1));
    let id = vnc(ConsoleSource::Libvirt, ConsoleUuid::random());
    let error = open(&consoles(libvirt), &id, Instant::now() + Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(error, OpenError::Deadline), "{error}");
    assert_eq!(error.reason(), Reason::Unreachable);
}

#[tokio::test]
async fn an_external_console_is_dialled_by_address_and_by_name() {
    for (bind, host) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("127.0.0.1:0", "localhost")] {
        let listener = TcpListener::bind(bind).await.unwrap();
        let uuid = ConsoleUuid::random();
        let external: External = serde_json::from_value(json!({
            "networks": ["127.0.0.0/8", "::1/128"],
            "console": [{"uuid": uuid, "name": "bmc", "protocol": "vnc", "host": host,
                         "port": listener.local_addr().unwrap().port()}],
        }))
        .unwrap();
        let consoles = Consoles::new(Hypervisor::none(), external, &"qemu:///system".parse().unwrap());
        let id = vnc(ConsoleSource::External, uuid);
        let (opened, accepted) = tokio::join!(open(&consoles, &id, soon()), listener.accept());
        let stream = opened.unwrap();
        assert!(matches!(&stream, ConsoleStream::Tcp(tcp) if tcp.nodelay().unwrap()));
        assert_talks(stream, accepted.unwrap().0).await;
    }
}

#[tokio::test]
async fn nothing_outside_the_networks_is_dialled() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for (host, networks) in [
        ("127.0.0.1", &["10.0.0.0/8"][..]),
        ("127.0.0.1", &[]),
        ("127.0.0.1", &["::/0"]),
        // The same, in other words.
        ("[::ffff:127.0.0.1]", &["10.0.0.0/8", "::/0"]),
        ("[::ffff:7f00:1]", &["::ffff:0:0/96"]),
        // A name that leads where it should not.
        ("localhost", &["10.0.0.0/8", "2001:db8::/32"]),
    ] {
        let error = dial(&format!("{host}:{port}"), within(networks)).await.unwrap_err();
        assert!(matches!(error, OpenError::Forbidden { .. }), "{host}: {error}");
        assert!(error.to_string().contains("[external] networks"), "{error}");
        assert_eq!(error.reason(), Reason::Unreachable);
    }
    // Nobody knocked, so the first one who does is us.
    let probe = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert_eq!(listener.accept().await.unwrap().1, probe.local_addr().unwrap());

    let mapped = dial(&format!("[::ffff:127.0.0.1]:{port}"), within(&["127.0.0.0/8"])).await;
    assert!(mapped.is_ok(), "an allowed address is allowed however it is written: {mapped:?}");
}

#[tokio::test]
async fn what_does_not_answer_is_unreachable() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = dial(&closed.to_string(), Networks::Any).await.unwrap_err();
    assert!(matches!(error, OpenError::Connect { to, .. } if to == closed), "{error}");
    assert_eq!(error.reason(), Reason::Unreachable);
    let error = dial("no-such-host.invalid:5900", Networks::Any).await.unwrap_err();
    assert!(matches!(error, OpenError::Name { .. }), "{error}");
    assert_eq!(error.reason(), Reason::Unreachable);
}
