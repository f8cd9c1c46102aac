//! The hypervisor module against a libvirtd of the test's own with QEMU guests: what goes wrong there, goes wrong here.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;
use porthole_shared::config::Duration as Length;
use porthole_shared::reason::Reason;
use porthole_tests::guest::{Graphics, Guest, Listen};
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::process::Identity;
use porthole_tests::wait::{PATIENCE, eventually, eventually_some, within};
use tokio_util::sync::DropGuard;

use super::super::*;

/// The agent's side, with short times, so that a test does not wait long for what cannot come.
struct Agent {
    hypervisor: Hypervisor,
    _shutdown: DropGuard,
}

impl Agent {
    async fn on(libvirt: &PrivateLibvirt, call_timeout: Length) -> Self {
        let shutdown = CancellationToken::new();
        let uri = libvirt.uri().parse().unwrap();
        let config = Config { uri, call_timeout, keepalive: Length::from_secs(1), ..Config::default() };
        let hypervisor = Hypervisor::connect(&config, shutdown.clone()).unwrap();
        let agent = Self { hypervisor, _shutdown: shutdown.drop_guard() };
        agent.wait_for("connected").await;
        agent
    }

    async fn wait_for(&self, word: &str) {
        let mut status = self.hypervisor.status();
        let reached = status.wait_for(|state| state.as_str() == word);
        drop(within(PATIENCE, format!("becoming {word}"), reached).await.unwrap());
    }

    async fn open(&self, guest: &Guest) -> Result<UnixStream, OpenGraphicsError> {
        let opened = self.hypervisor.open_graphics(uuid(guest), 0).await.map(UnixStream::from)?;
        opened.set_read_timeout(Some(PATIENCE)).unwrap();
        Ok(opened)
    }

    async fn wait_until_migrating(&self, guest: &Guest) {
        let refused = async || self.open(guest).await.is_err_and(|error| error == OpenGraphicsError::Migrating);
        eventually(PATIENCE, "being told of the migration", refused).await;
    }
}

fn uuid(guest: &Guest) -> ConsoleUuid {
    ConsoleUuid::new(guest.uuid())
}

fn read<const N: usize>(stream: &mut UnixStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// How the guest stopped, when it next does.
async fn stop_cause(events: &mut Events, guest: &Guest) -> StopCause {
    let next = async {
        loop {
            if let Some(Event::Domain(DomainEvent { uuid: of, kind: DomainEventKind::Stopped(cause), .. })) =
                events.next().await
                && of == uuid(guest)
            {
                return cause;
            }
        }
    };
    within(PATIENCE, "the guest's stop", next).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_console_outlives_libvirtd_and_new_ones_open_after_it() {
    let libvirt = PrivateLibvirt::start().await;
    let graphics = Graphics::vnc(Listen::None).password("s3cret");
    let guest = libvirt.guest("outlives").graphics([graphics]).start().await;
    let agent = Agent::on(&libvirt, Length::from_secs(5)).await;
    let mut events = agent.hypervisor.events();
    let mut console = agent.open(&guest).await.unwrap();
    assert_eq!(&read(&mut console), b"RFB 003.008\n");

    libvirt.stop_daemon().await;
    agent.wait_for("connecting").await;
    assert_eq!(agent.open(&guest).await.unwrap_err().reason(), Reason::HypervisorDown);
    console.write_all(b"RFB 003.008\n").unwrap();
    assert_eq!(read(&mut console), [1, 1], "one security type, None, in spite of the password");

    libvirt.start_daemon().await;
    agent.wait_for("connected").await;
    assert_eq!(within(PATIENCE, "an event", events.next()).await, Some(Event::Resync));
    console.write_all(&[1]).unwrap();
    assert_eq!(read(&mut console), [0; 4], "security is settled");
    assert_eq!(&read(&mut agent.open(&guest).await.unwrap()), b"RFB 003.008\n");
    let missing = agent.hypervisor.open_graphics(uuid(&guest), 1).await.unwrap_err();
    assert_eq!(missing, OpenGraphicsError::NoSuchGraphics { index: 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_of_a_guest_is_told_with_its_cause() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("ends").start().await;
    let agent = Agent::on(&libvirt, Length::from_secs(5)).await;
    let mut events = agent.hypervisor.events();

    guest.destroy().await;
    assert_eq!(stop_cause(&mut events, &guest).await, StopCause::Destroyed);
    assert_eq!(agent.open(&guest).await.unwrap_err(), OpenGraphicsError::NotRunning);
    guest.boot().await.unwrap();
    guest.kill_qemu();
    assert_eq!(stop_cause(&mut events, &guest).await, StopCause::Failed);
    guest.boot().await.unwrap();
    guest.virsh("managedsave", &[]).await.unwrap();
    assert_eq!(stop_cause(&mut events, &guest).await, StopCause::Saved);
    guest.boot().await.unwrap();
    guest.shutdown().await;
    assert_eq!(stop_cause(&mut events, &guest).await, StopCause::ShutOff);
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_emulators_delay_nobody_else() {
    let libvirt = PrivateLibvirt::start().await;
    let healthy = libvirt.guest("healthy").start().await;
    // More than libvirtd lets be under way on one connection, so that a shared one would end by its keepalive.
    let mut hanging = Vec::new();
    for _ in 0..6 {
        hanging.push(libvirt.guest("hanging").start().await);
    }
    let agent = Agent::on(&libvirt, Length::from_secs(1)).await;
    hanging.iter().for_each(Guest::freeze);

    let mut opening = tokio::task::JoinSet::new();
    for guest in &hanging {
        let (hypervisor, uuid) = (agent.hypervisor.clone(), uuid(guest));
        opening.spawn(async move { hypervisor.open_graphics(uuid, 0).await.map(drop) });
    }
    while let Some(opened) = opening.join_next().await {
        assert_eq!(opened.unwrap(), Err(OpenGraphicsError::Call(CallError::DeadlineExceeded)));
    }
    // Their calls are still under way, and stay so.
    let asked = Instant::now();
    assert_eq!(agent.open(&hanging[0]).await.unwrap_err(), OpenGraphicsError::Call(CallError::Busy));
    assert!(asked.elapsed() < Duration::from_secs(1), "told at once");
    let described = agent.hypervisor.describe(uuid(&hanging[0])).await.unwrap();
    assert_eq!(described.state, DomainState::Running);
    // Longer than the keepalive takes to give a connection up.
    let until = Instant::now() + Duration::from_secs(6);
    let mut rounds = 0;
    while Instant::now() < until {
        assert_eq!(agent.hypervisor.domains().await.unwrap().len(), 7);
        assert_eq!(&read(&mut agent.open(&healthy).await.unwrap()), b"RFB 003.008\n");
        assert_eq!(agent.hypervisor.status().borrow().as_str(), "connected");
        rounds += 1;
    }
    assert!(rounds > 10, "only {rounds} rounds in 6 s");

    hanging.iter().for_each(Guest::thaw);
    eventually(PATIENCE, "an open console after the thaw", async || agent.open(&hanging[0]).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_libvirtd_ends_in_deadlines_and_is_given_up() {
    let libvirt = PrivateLibvirt::start().await;
    let guest = libvirt.guest("stays").start().await;
    let agent = Agent::on(&libvirt, Length::from_secs(1)).await;
    libvirt.pause_daemon();
    let listed = agent.hypervisor.domains().await;
    assert_eq!(listed, Err(ListError(CallError::DeadlineExceeded)));
    agent.wait_for("connecting").await;
    assert_eq!(agent.hypervisor.domains().await, Err(ListError(CallError::Disconnected)));
    libvirt.resume_daemon();
    agent.wait_for("connected").await;
    eventually(PATIENCE, "an open console", async || agent.open(&guest).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migrating_guest_is_named_so_on_both_hosts() {
    let (source, destination) = (PrivateLibvirt::start().await, PrivateLibvirt::start().await);
    let guest = source.guest("moves").start().await;
    let here = Agent::on(&source, Length::from_secs(2)).await;
    let there = Agent::on(&destination, Length::from_secs(2)).await;
    let mut events = here.hypervisor.events();
    guest.virsh("migrate-setspeed", &["1"]).await.unwrap();

    let target = destination.uri();
    let socket = format!("unix://{}", source.sockets().join("migration").display());
    let options = [&target, "--live", "--p2p", "--unsafe", "--migrateuri", &socket];
    let migration = guest.virsh("migrate", &options);
    let watching = async {
        // So that it lasts until both have seen it. Not before bytes go over: until then libvirt talks with the emulator
        // there, and would wait for it.
        eventually(PATIENCE, "bytes to go over", async || {
            let job = guest.virsh("domjobinfo", &[]).await.unwrap_or_default();
            job.lines().any(|line| line.starts_with("Data processed:") && !line.ends_with(" 0.000 B"))
        })
        .await;
        let pid_file = destination.directory().join(format!("run/libvirt/qemu/{}.pid", guest.name()));
        let emulator = async || {
            let inner = std::fs::read_to_string(&pid_file).ok()?.trim().parse().ok()?;
            Identity::of(destination.outer_pid(inner)?)
        };
        let emulator = eventually_some(PATIENCE, "an emulator on the destination", emulator).await;
        assert!(emulator.signal(Signal::SIGSTOP));
        tokio::join!(here.wait_until_migrating(&guest), there.wait_until_migrating(&guest));
        assert!(emulator.signal(Signal::SIGCONT));
    };
    let (migrated, ()) = tokio::join!(migration, watching);
    migrated.unwrap();
    assert_eq!(stop_cause(&mut events, &guest).await.reason(), Reason::Migrated);
    assert_eq!(here.open(&guest).await.unwrap_err(), OpenGraphicsError::NotRunning);
    assert_eq!(&read(&mut there.open(&guest).await.unwrap()), b"RFB 003.008\n");
}

#[tokio::test]
async fn a_guest_that_is_being_started_is_described_as_one_that_runs_or_does_not() {
    let libvirt = PrivateLibvirt::start().await;
    let guest = libvirt.guest("starts").define().await.unwrap();
    let agent = Agent::on(&libvirt, Length::from_secs(5)).await;
    for _ in 0..3 {
        let starting = guest.boot();
        let describing = async {
            loop {
                let described = agent.hypervisor.describe(uuid(&guest)).await.unwrap();
                assert_eq!(described.state.is_active(), described.life.is_some(), "{described:?}");
                if described.state.is_active() {
                    break;
                }
            }
        };
        let (started, ()) = tokio::join!(starting, describing);
        started.unwrap();
        guest.destroy().await;
    }
}
