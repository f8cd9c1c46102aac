//! `bench [--json] [--rounds N] [pixels] [control] [hook]`: measures all, or what is named. `make bench` runs it on release
//! builds.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use porthole_tests::bench::{Noise, Report, control, first_pixels, hook};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
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
            "pixels" | "control" | "hook" => named.push(argument.as_str()),
            other => bail!("{other}: usage: bench [--json] [--rounds N] [pixels] [control] [hook]"),
        }
    }
    let mut noise = Noise::before().await?;
    let wanted = |name| named.is_empty() || named.contains(&name);
    let mut figures = Vec::new();
    if wanted("pixels") {
        eprintln!("opening a console {rounds} times in new browsers, and once more in each");
        figures.extend(first_pixels::measure(rounds, &mut noise).await?);
    }
    if wanted("control") {
        eprintln!("making links, opening and listing sessions");
        figures.extend(control::measure(rounds, &mut noise).await?);
    }
    if wanted("hook") {
        eprintln!("running libvirt's hook, and starting a guest with and without");
        figures.extend(hook::measure(rounds, &mut noise).await?);
    }
    let report = Report { figures, noise };
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.table());
    }
    Ok(())
}
