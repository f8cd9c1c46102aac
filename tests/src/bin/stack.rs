//! `stack up|down|status|demo [DIRECTORY]`: the trial stack behind `make up`, in `run/` or another directory.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use porthole_tests::trial::{Trial, first_steps};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> Result<()> {
    let (command, trial) = match arguments {
        [command] => (command, Trial::of_workspace()?),
        [command, directory] => (command, Trial::at(Path::new(directory))?),
        _ => bail!("usage: stack up|down|status|demo [DIRECTORY]"),
    };
    match command.as_str() {
        "up" => {
            let stack = trial.up().await?;
            println!("{}", first_steps(&stack, &trial.description()));
        }
        "down" => println!("{}", if trial.down().await? { "the stack has ended" } else { "nothing was running" }),
        "status" => match trial.stack() {
            Some(stack) => println!("{stack:#}"),
            None => println!("nothing runs: `make up`"),
        },
        "demo" => demo(&trial).await?,
        other => bail!("{other} is none of up, down, status, demo"),
    }
    Ok(())
}

/// Up, a console's URL, and down again on Ctrl-C.
async fn demo(trial: &Trial) -> Result<()> {
    let stack = trial.up().await?;
    let word = |pointer: &str| stack.pointer(pointer).and_then(Value::as_str).context("stack.json");
    let mut porthole = tokio::process::Command::new(word("/bin/porthole")?);
    porthole.args(["--socket", word("/agent/socket")?, "url", word("/domains/0/name")?]);
    let output = porthole.output().await.context("running porthole")?;
    if !output.status.success() {
        bail!("porthole url: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    println!("{}", String::from_utf8_lossy(&output.stdout).trim());
    eprintln!("Ctrl-C ends everything. (The certificate is our own: trust {}.)", word("/edge/ca")?);
    tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")?;
    trial.down().await?;
    Ok(())
}
