//! `bench [--json] [--rounds N] [PART…]`: measures all, or what is named. `make bench` runs it on release builds.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use porthole_load::floor::Floor;
use porthole_load::relay;
use porthole_tests::bench::{Figure, Noise, Report, control, first_pixels, hook};
use porthole_tests::process::run_briefly;

/// What is measured besides [`relay::PARTS`].
const OTHERS: [&str; 3] = ["pixels", "control", "hook"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let run = match arguments.split_first() {
        Some((first, rest)) if first == "floor" => match Floor::parse(rest) {
            Ok(floor) => floor.run().await,
            Err(error) => Err(error),
        },
        _ => run(&arguments).await,
    };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> Result<()> {
    let (mut json, mut rounds, mut named) = (false, 10, Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => json = true,
            "--rounds" => {
                let number = arguments.next().and_then(|number| number.parse().ok()).filter(|rounds| *rounds > 0);
                rounds = number.context("--rounds wants a number above 0")?;
            }
            part if OTHERS.contains(&part) || relay::PARTS.contains(&part) => named.push(part),
            other => {
                let parts = [&OTHERS[..], &relay::PARTS].concat().join(" | ");
                bail!("{other}: usage: bench [--json] [--rounds N] [{parts}]…")
            }
        }
    }
    let mut noise = Noise::before().await?;
    let wanted = |name: &'static str| named.is_empty() || named.contains(&name);
    let figures = others(rounds, wanted, &mut noise).await?;
    if !figures.is_empty() {
        let report = Report { figures, noise: noise.clone() };
        if json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{}", report.table());
        }
    }
    let parts: Vec<&str> = relay::PARTS.into_iter().filter(|part| wanted(part)).collect();
    if !parts.is_empty() {
        keep_to_the_second_processor()?;
        let comparison = relay::measure(rounds, &parts, &mut noise).await?.compare(relay::AIMS, noise);
        if json {
            println!("{}", serde_json::to_string_pretty(&comparison)?);
        } else {
            print!("{comparison}");
        }
    }
    Ok(())
}

async fn others(rounds: usize, wanted: impl Fn(&'static str) -> bool, noise: &mut Noise) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if wanted("pixels") {
        eprintln!("opening a console {rounds} times in new browsers, and once more in each");
        figures.extend(first_pixels::measure(rounds, noise).await?);
    }
    if wanted("control") {
        eprintln!("making links, opening and listing sessions");
        figures.extend(control::measure(rounds, noise).await?);
    }
    if wanted("hook") {
        eprintln!("running libvirt's hook, and starting a guest with and without");
        figures.extend(hook::measure(rounds, noise).await?);
    }
    Ok(figures)
}

/// The first one is the contenders'.
fn keep_to_the_second_processor() -> Result<()> {
    let processors = std::thread::available_parallelism()?.get();
    ensure!(processors > 1, "the load wants a processor of its own, and there is one in all");
    let mut taskset = Command::new("taskset");
    taskset.args(["--all-tasks", "--pid", "--cpu-list", "1", &std::process::id().to_string()]);
    ensure!(run_briefly(&mut taskset, Duration::from_secs(5)), "taskset failed");
    Ok(())
}
