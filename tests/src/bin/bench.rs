//! `bench [--json] [--rounds N]`: measures, and prints what was measured. `make bench` runs it on release builds.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use porthole_tests::bench::{Noise, Report, first_pixels};

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
    let (mut json, mut rounds) = (false, 10);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => json = true,
            "--rounds" => {
                let number = arguments.next().and_then(|number| number.parse().ok()).filter(|rounds| *rounds > 0);
                rounds = number.context("--rounds wants a number above 0")?;
            }
            other => bail!("{other}: usage: bench [--json] [--rounds N]"),
        }
    }
    let mut noise = Noise::before().await?;
    eprintln!("opening a console {rounds} times in new browsers, and once more in each");
    let figures = first_pixels::measure(rounds, &mut noise).await?;
    let report = Report { figures, noise };
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.table());
    }
    Ok(())
}
