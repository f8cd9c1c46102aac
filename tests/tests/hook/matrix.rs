//! Whatever happens to a guest, tokens, sessions and ports come to the same, whether the agent hears of it by libvirt's
//! hook, by its events, by both, or by neither because it was away.

use nix::sys::signal::Signal;
use porthole_tests::agent::Mint;
use porthole_tests::wait::{PATIENCE, eventually};

use crate::world::{Agent, Expected, World};

/// As it was.
const THERE: Expected = Expected { void: false, ports: true };

/// It does not run any more, or is another run; ports go with the definition.
const STOPPED: Expected = Expected { void: true, ports: true };

/// It is not here any more.
const GONE: Expected = Expected { void: true, ports: false };

async fn all(mut world: World) {
    let file = world.host.directory().join("saved").to_string_lossy().into_owned();
    world.comes("start", async |world| world.virsh("start", &[]).await).await;
    world.happens("reset", async |world| world.virsh("reset", &[]).await, THERE).await;
    // By SIGKILL: libvirtd may take long to end when a guest has just been started.
    let restart = async |world: &mut World| {
        world.host.kill_daemon().await;
        world.host.start_daemon().await;
    };
    world.happens("libvirtd restarts", restart, THERE).await;
    // Who is away restarts each time, and who is cut off does not get ready.
    if world.agent == Agent::Listens {
        let restart = async |world: &mut World| {
            world.stack.agent.stop().await;
            world.stack.agent.start_again().await;
        };
        world.happens("the agent restarts", restart, THERE).await;
    }
    world.happens("stop", async |world| world.virsh("destroy", &[]).await, STOPPED).await;
    world.happens_off("rename", async |world| world.virsh("domrename", &["renamed"]).await).await;
    world.comes("start after that", async |world| world.virsh("start", &[]).await).await;
    world.stack.mint(Mint::of("renamed")).await;
    world.happens("crash", crash, STOPPED).await;
    world.comes("start again", async |world| world.virsh("start", &[]).await).await;
    world.happens("save", async |world| world.virsh("save", &[&file]).await, STOPPED).await;
    let restore = async |world: &mut World| drop(world.host.virsh(&["restore", &file]).await.expect("it is restored"));
    world.comes("restore", restore).await;
    let stop_and_start = async |world: &mut World| {
        world.virsh("destroy", &[]).await;
        world.virsh("start", &[]).await;
    };
    world.happens("stop and start", stop_and_start, STOPPED).await;
    let options = ["--live", "--persistent", "--undefinesource"];
    let leave = async |world: &mut World| {
        let to = world.elsewhere.uri_for_hosts();
        world.virsh("migrate", &[&options[..], &[&to]].concat()).await;
    };
    world.happens("migration to elsewhere", leave, GONE).await;
    let come_back = async |world: &mut World| {
        let (uuid, to) = (world.uuid.to_string(), world.host.uri_for_hosts());
        let migrate = [&["migrate", &uuid, &to], &options[..]].concat();
        world.elsewhere.virsh(&migrate).await.expect("it comes back");
    };
    world.comes("migration from elsewhere", come_back).await;
    world.happens("undefine", async |world| world.virsh("undefine", &[]).await, THERE).await;
    world.happens("stop after that", async |world| world.virsh("destroy", &[]).await, GONE).await;
}

async fn crash(world: &mut World) {
    world.host.emulator(world.uuid).await.signal(Signal::SIGKILL);
    let off = async || world.host.virsh(&["domstate", "renamed"]).await.is_ok_and(|state| state == "shut off");
    eventually(PATIENCE, "libvirt to notice", off).await;
}

#[tokio::test]
async fn by_hook_and_events() {
    all(World::new(true, Agent::Listens).await).await;
}

#[tokio::test]
async fn by_events_alone() {
    all(World::new(false, Agent::Listens).await).await;
}

#[tokio::test]
async fn by_the_hook_alone() {
    all(World::new(true, Agent::IsCutOff).await).await;
}

#[tokio::test]
async fn by_what_the_hook_left_behind() {
    all(World::new(true, Agent::IsAway).await).await;
}

#[tokio::test]
async fn by_looking_afterwards() {
    all(World::new(false, Agent::IsAway).await).await;
}
