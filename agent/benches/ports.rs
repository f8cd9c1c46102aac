//! How fast one core gives domains ports, four at a time, from a range that is empty, half full and all but full; and how
//! fast it compares the table with a thousand domains of libvirt's test driver. The use cases alone, without HTTP; every
//! port is tried on the host as it is in earnest. `make bench` pins it to a core.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use porthole_agent::hypervisor::{Hypervisor, LinkState};
use porthole_agent::ports::{Absent, Config, Device, DeviceKind, Picture, Ports};
use porthole_agent::reconcile;
use porthole_agent::store::Store;
use porthole_shared::clock::{Clock, ManualClock, UnixTime};
use porthole_shared::names::ConsoleUuid;
use porthole_tests::bench::{Figure, Noise, Report};
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 5;

/// So many allocations are a round's: at 99 % there is room for no more of them than [`TOGETHER`] at once.
const PER_ROUND: usize = 480;
const TOGETHER: usize = 24;
const EACH: u8 = 4;

const DOMAINS: u16 = 1000;

const START: UnixTime = UnixTime(1_800_000_000);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // As a test of all targets, it is only built.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let mut noise = Noise::before().await?;
    let mut figures = Vec::new();
    for (percent, rates, tails) in [
        (0, "4 ports given, range empty", "… p99"),
        (50, "4 ports given, range half full", "… p99"),
        (99, "4 ports given, range 99 % full", "… p99"),
    ] {
        let (mut rate, mut tail) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (per_second, p99) = allocations(percent).await?;
            rate.push(per_second);
            tail.push(p99);
            noise.look().await?;
        }
        figures.extend([Figure::of(rates, "/s", rate), Figure::of(tails, "ms", tail)]);
    }
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (new, known) = comparisons().await?;
        first.push(new);
        later.push(known);
        noise.look().await?;
    }
    figures.extend([
        Figure::of("1,000 domains compared, 2,000 ports adopted", "ms", first),
        Figure::of("1,000 domains compared, nothing new", "ms", later),
    ]);
    std::io::stdout().write_all(Report { figures, noise }.table().as_bytes())?;
    Ok(())
}

/// A table of 10,000 ports for serial ports.
async fn table(dir: &Path, clock: &ManualClock) -> Result<(Ports, Store)> {
    let store = Store::open(dir, START).await?;
    let config = Config { serial: "10000:20000".parse()?, graphics: "20000:30000".parse()?, ..Config::default() };
    Ok((Ports::new(config, store.clone(), Arc::new(clock.clone())), store))
}

fn serials(count: u8) -> Vec<Device> {
    (0..count).map(|index| Device { kind: DeviceKind::Serial, index }).collect()
}

/// How many allocations a second there are, and how many milliseconds all but a hundredth of them take at most.
async fn allocations(percent: usize) -> Result<(f64, f64)> {
    let (dir, clock) = (tempfile::tempdir()?, ManualClock::at(START));
    let (ports, store) = table(dir.path(), &clock).await?;
    for _ in 0..percent {
        for count in [50, 50] {
            ports.allocate(ConsoleUuid::random(), &serials(count)).await?;
        }
    }
    let (wanted, mut took) = (serials(EACH), Vec::new());
    while took.len() < PER_ROUND {
        let mut given = HashSet::new();
        for _ in 0..TOGETHER {
            let domain = ConsoleUuid::random();
            let start = Instant::now();
            ports.allocate(domain, &wanted).await.context("an allocation")?;
            took.push(start.elapsed().as_secs_f64());
            given.insert(domain);
        }
        // Nobody has seen these domains, so their time is over some day. Nor the others, but of them nothing is said.
        clock.advance(2 * 60 * 60);
        let absent = Picture { began: clock.now(), seen: [].into(), absent: Absent::These(given) };
        let freed = ports.learn(&absent, [].into()).await?;
        ensure!(freed == u64::from(EACH) * TOGETHER as u64, "{freed} ports became free");
    }
    store.close().await;
    took.sort_by(f64::total_cmp);
    let p99 = took.get(took.len() * 99 / 100).context("no measurement")? * 1000.0;
    Ok((count(took.len()) / took.iter().sum::<f64>(), p99))
}

/// How many milliseconds it takes to compare with all domains, first when none of their ports is known, then when all are.
async fn comparisons() -> Result<(f64, f64)> {
    let (dir, clock) = (tempfile::tempdir()?, ManualClock::at(START));
    let file = dir.path().join("node.xml");
    std::fs::write(&file, node()?)?;
    let (ports, store) = table(&dir.path().join("state"), &clock).await?;
    let stop = CancellationToken::new();
    let config = serde_json::from_value(serde_json::json!({ "uri": format!("test://{}", file.display()) }))?;
    let hypervisor = Hypervisor::connect(&config, stop.clone())?;
    hypervisor.status().wait_for(|state| matches!(state, LinkState::Connected { .. })).await?;
    let mut took = Vec::new();
    for expected in [2 * u64::from(DOMAINS), 0] {
        let start = Instant::now();
        let changed = reconcile::all_domains(&ports, &hypervisor).await?.changed;
        took.push(start.elapsed().as_secs_f64() * 1000.0);
        ensure!(changed == expected, "{changed} rows changed, not {expected}");
    }
    stop.cancel();
    store.close().await;
    match took.as_slice() {
        [first, later] => Ok((*first, *later)),
        _ => unreachable!("two comparisons"),
    }
}

/// The test driver's file: domains that run, each with VNC and a serial port on ports of their own.
fn node() -> Result<String> {
    let mut xml = "<node>".to_owned();
    for number in 0..DOMAINS {
        let uuid = ConsoleUuid::random();
        write!(
            xml,
            "<domain type='test'><name>guest-{number}</name><uuid>{uuid}</uuid><memory>8192</memory><vcpu>1</vcpu>\
             <os><type>hvm</type></os><devices>\
             <serial type='tcp'><source mode='bind' host='127.0.0.1' service='{}'/><protocol type='raw'/></serial>\
             <graphics type='vnc' port='{}' autoport='no'/></devices></domain>",
            10_000 + number,
            20_000 + number,
        )?;
    }
    xml.push_str("</node>");
    Ok(xml)
}

#[expect(clippy::cast_precision_loss, reason = "hundreds")]
const fn count(number: usize) -> f64 {
    number as f64
}
