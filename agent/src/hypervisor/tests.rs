//! The handle against a channel that the test answers; in `driver`, against libvirt's in-process driver; in `qemu`,
//! against private libvirtds with real guests.

mod driver;
mod qemu;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use super::*;

/// A handle, and the other end of it.
fn channel(call_timeout: Duration) -> (Hypervisor, mpsc::Receiver<Command>) {
    let (commands, received) = mpsc::channel(1);
    let (events, _) = broadcast::channel(1);
    let (_, state) = watch::channel(LinkState::Connected { since: Instant::now() });
    (Hypervisor::from_channel(commands, events, state, call_timeout), received)
}

#[tokio::test]
async fn without_libvirt_there_are_no_domains() {
    let config = Config { enabled: false, ..Config::default() };
    let hypervisor = Hypervisor::connect(&config, CancellationToken::new()).unwrap();
    assert_eq!(*hypervisor.status().borrow(), LinkState::Disabled);
    assert_eq!(hypervisor.domains().await, Ok(Vec::new()));
    assert_eq!(hypervisor.find(&"web".parse().unwrap()).await, Err(FindError::NoSuchDomain));
    let uuid = ConsoleUuid::random();
    assert_eq!(hypervisor.describe(uuid).await, Err(DescribeError::NoSuchDomain));
    assert_eq!(hypervisor.open_graphics(uuid, 0).await.unwrap_err(), OpenGraphicsError::NoSuchDomain);
}

#[tokio::test]
async fn an_answer_brings_its_descriptor_along() {
    let (hypervisor, mut commands) = channel(Duration::from_secs(5));
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let uuid = ConsoleUuid::random();
    let answering = async {
        match commands.recv().await {
            Some(Command::OpenGraphics { uuid: asked, index: 1, reply }) if asked == uuid => {
                reply.send(Ok(ours.into())).unwrap();
            }
            other => panic!("{other:?}"),
        }
    };
    let (opened, ()) = tokio::join!(hypervisor.open_graphics(uuid, 1), answering);
    theirs.write_all(b"RFB").unwrap();
    let mut read = [0; 3];
    UnixStream::from(opened.unwrap()).read_exact(&mut read).unwrap();
    assert_eq!(&read, b"RFB");
}

#[tokio::test]
async fn a_silent_libvirt_ends_in_a_deadline_and_a_late_descriptor_is_closed() {
    let (hypervisor, mut commands) = channel(Duration::from_millis(50));
    let before = Instant::now();
    let error = hypervisor.open_graphics(ConsoleUuid::random(), 0).await.unwrap_err();
    assert_eq!(error, OpenGraphicsError::Call(CallError::DeadlineExceeded));
    assert!(before.elapsed() >= Duration::from_millis(50));

    let Some(Command::OpenGraphics { reply, .. }) = commands.recv().await else { panic!("no command") };
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    assert!(reply.send(Ok(ours.into())).is_err(), "nobody waits");
    assert_eq!(theirs.read(&mut [0; 1]).unwrap(), 0, "the descriptor was closed");
}

#[tokio::test]
async fn what_keeps_a_call_waiting_is_asked_for_and_named() {
    let (hypervisor, mut commands) = channel(Duration::from_secs(1));
    let uuid = ConsoleUuid::random();
    let answering = async {
        // Kept without an answer.
        let silent = commands.recv().await;
        match commands.recv().await {
            Some(Command::IsMigrating { uuid: asked, reply }) if asked == uuid => reply.send(Ok(true)).unwrap(),
            other => panic!("{other:?}"),
        }
        drop(silent);
    };
    let (opened, ()) = tokio::join!(hypervisor.open_graphics(uuid, 0), answering);
    assert_eq!(opened.unwrap_err(), OpenGraphicsError::Migrating);
}

#[tokio::test]
async fn the_deadline_holds_when_the_channel_is_full() {
    let (hypervisor, _commands) = channel(Duration::from_millis(50));
    let uuid = ConsoleUuid::random();
    let (one, other) = tokio::join!(hypervisor.describe(uuid), hypervisor.describe(uuid));
    let expected = Err(DescribeError::Call(CallError::DeadlineExceeded));
    assert_eq!((one, other), (expected.clone(), expected));
}

#[tokio::test]
async fn when_the_other_end_has_gone_calls_say_disconnected() {
    let (hypervisor, commands) = channel(Duration::from_secs(5));
    drop(commands);
    assert_eq!(hypervisor.domains().await, Err(ListError(CallError::Disconnected)));
}

#[tokio::test]
async fn no_descriptor_comes_over_a_network() {
    let config = Config { uri: "test+tcp://localhost/default".parse().unwrap(), ..Config::default() };
    let shutdown = CancellationToken::new();
    let hypervisor = Hypervisor::connect(&config, shutdown.clone()).unwrap();
    assert!(!hypervisor.is_local());
    let error = hypervisor.open_graphics(ConsoleUuid::random(), 0).await.unwrap_err();
    assert_eq!(error, OpenGraphicsError::Remote);
    shutdown.cancel();
}
