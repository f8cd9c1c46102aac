//! What libvirt feels of the hook: how long one step takes, with an agent that does nothing else and with one that makes
//! links all the while; and how long `virsh start` takes with and without.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{Figure, Noise, control};
use crate::guest::NAMESPACE;
use crate::libvirt::PrivateLibvirt;
use crate::places;
use crate::stack::Stack;

/// Steps of a round.
const STEPS: usize = 100;

/// Measures so many rounds of each.
pub async fn measure(rounds: usize, noise: &mut Noise) -> Result<Vec<Figure>> {
    let (with, without) = (PrivateLibvirt::builder().hooked().start().await?, PrivateLibvirt::builder().start().await?);
    let external = uuid::Uuid::new_v4();
    let stack = Stack::builder().libvirt(&with).agent(move |agent| {
        agent.set("log.level", "info").external(external, "raw", "tcp", ([127, 0, 0, 1], 9).into())
    });
    let stack = stack.try_start().await?;
    let guest = with.guest("measured").define().await?;
    let element = "<consoles transport='sealed'><vnc share='ignore'/></consoles>";
    guest.virsh("metadata", &["--uri", NAMESPACE, "--key", "porthole", "--set", element, "--config"]).await?;
    let xml = with.virsh(&["dumpxml", guest.name()]).await?;
    let other = without.guest("measured").define().await?;

    let (mut idle, mut loaded) = ([vec![], vec![]], [vec![], vec![]]);
    let (mut hooked, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        collect(&mut idle, steps(&with, guest.name(), &xml).await?);
        let minting = control::mint(&stack, usize::MAX);
        let busy = tokio::select! {
            steps = steps(&with, guest.name(), &xml) => steps?,
            minted = minting => { minted?; anyhow::bail!("links are made for ever") }
        };
        collect(&mut loaded, busy);
        hooked.push(start(&with, guest.name()).await?);
        plain.push(start(&without, other.name()).await?);
        noise.look().await?;
    }
    let [idle, idle_slowest] = idle;
    let [loaded, loaded_slowest] = loaded;
    Ok(vec![
        Figure::of("a hook's step, median of a round", "ms", idle),
        Figure::of("a hook's step, 99 of 100 are quicker", "ms", idle_slowest),
        Figure::of("the same while the agent makes links, median", "ms", loaded),
        Figure::of("the same while the agent makes links, 99 of 100", "ms", loaded_slowest),
        Figure::of("virsh start with the hook", "ms", hooked),
        Figure::of("virsh start without", "ms", plain),
    ])
}

fn collect([medians, slowest]: &mut [Vec<f64>; 2], mut steps: Vec<f64>) {
    steps.sort_by(f64::total_cmp);
    medians.push(steps[STEPS / 2]);
    slowest.push(steps[STEPS - 2]);
}

/// How long each of some steps took, in milliseconds.
async fn steps(libvirt: &PrivateLibvirt, name: &str, xml: &str) -> Result<Vec<f64>> {
    let mut took = Vec::with_capacity(STEPS);
    for _ in 0..STEPS {
        let start = Instant::now();
        let mut command = Command::new(places::binary("porthole-hook")?);
        command.arg("--config").arg(libvirt.hook_config()).args([name, "prepare", "begin", "-"]);
        let mut hook = command.stdin(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut input = hook.stdin.take().context("a pipe")?;
        input.write_all(xml.as_bytes()).await?;
        drop(input);
        ensure!(hook.wait().await?.success(), "the hook has failed");
        took.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(took)
}

async fn start(libvirt: &PrivateLibvirt, name: &str) -> Result<f64> {
    let start = Instant::now();
    libvirt.virsh(&["start", name]).await?;
    let took = start.elapsed().as_secs_f64() * 1000.0;
    libvirt.virsh(&["destroy", name]).await?;
    Ok(took)
}
