//! `bench`: measures all, or what is named. `make bench` runs it on release builds.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use clap::builder::PossibleValuesParser;
use porthole_load::floor::Floor;
use porthole_load::{relay, soak};
use porthole_tests::bench::{Figure, Noise, Report, control, first_pixels, hook};
use porthole_tests::process::run_briefly;
use serde::Serialize;

/// What is measured besides [`relay::PARTS`], and what is done only where it is named.
const OTHERS: [&str; 3] = ["pixels", "control", "hook"];
const SOAK: &str = "soak";

/// Measures Porthole, beside what people run today.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Options {
    /// Print JSON: one document for each group of measurements.
    #[arg(long)]
    json: bool,
    /// How often each is measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How long the soak takes, besides a fifth of that before it.
    #[arg(long, default_value_t = 10)]
    minutes: u16,
    /// What to measure; everything but the soak, if nothing is named.
    #[arg(value_parser = PossibleValuesParser::new(names()))]
    parts: Vec<String>,
}

fn names() -> Vec<&'static str> {
    [&OTHERS[..], &relay::PARTS, &[SOAK]].concat()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let run = match arguments.get(1) {
        // Not for people: what a contender is started by.
        Some(first) if first == "floor" => match Floor::parse(&arguments[2..]) {
            Ok(floor) => floor.run().await,
            Err(error) => Err(error),
        },
        _ => run(Options::parse()).await,
    };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Options { json, rounds, minutes, parts }: Options) -> Result<()> {
    let rounds = usize::from(rounds);
    let mut noise = Noise::before().await?;
    let named = |name: &str| parts.iter().any(|part| part == name);
    let wanted = |name: &'static str| parts.is_empty() || named(name);
    let figures = others(rounds, wanted, &mut noise).await?;
    if !figures.is_empty() {
        let report = Report { figures, noise: noise.clone() };
        print(json, &report, &report.table())?;
    }
    let compared: Vec<&str> = relay::PARTS.into_iter().filter(|part| wanted(part)).collect();
    if !compared.is_empty() {
        keep_to_the_second_processor()?;
        let comparison = relay::measure(rounds, &compared, &mut noise).await?.compare(relay::AIMS, noise);
        print(json, &comparison, &comparison.to_string())?;
    }
    if named(SOAK) {
        eprintln!("a thousand sessions for {minutes} minutes, and a fifth of that before");
        keep_to_the_second_processor()?;
        let outcomes = soak::run(Duration::from_mins(1) * u32::from(minutes)).await?;
        print(json, &outcomes, &format!("{outcomes:#?}\nnothing grew, and nobody had less than a share\n"))?;
    }
    Ok(())
}

fn print(json: bool, document: &impl Serialize, text: &str) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(document)?);
    } else {
        print!("{text}");
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
