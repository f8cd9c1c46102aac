//! `stack up|down|status|demo`: the trial stack behind `make up` and `make demo`, in `run/` or another directory.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use porthole_tests::trial::{Reach, Trial, demo, first_steps};

const USAGE: &str = "usage: stack up|down|status|demo [--listen ADDRESS] [--host NAME] [--port PORT] [DIRECTORY]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be left to read it: the terminal can be gone.
            let _gone = writeln!(std::io::stderr(), "stack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> Result<()> {
    let (command, trial, reach) = parse(arguments)?;
    match command {
        "up" => {
            let stack = trial.up(&reach).await?;
            println!("{}", first_steps(&stack, &trial.description()));
        }
        "down" => println!("{}", if trial.down().await? { "the stack has ended" } else { "nothing was running" }),
        "status" => match trial.stack() {
            Some(stack) => println!("{stack:#}"),
            None => println!("nothing runs: `make up`"),
        },
        "demo" => demo::run(&trial, &reach).await?,
        other => bail!("{other} is none of up, down, status, demo; {USAGE}"),
    }
    Ok(())
}

fn parse(arguments: &[String]) -> Result<(&str, Trial, Reach)> {
    let (mut words, mut listen, mut host, mut port) = (Vec::new(), "", "", "");
    let mut arguments = arguments.iter().map(String::as_str);
    while let Some(argument) = arguments.next() {
        let setting = match argument {
            "--listen" => &mut listen,
            "--host" => &mut host,
            "--port" => &mut port,
            word if word.starts_with("--") => bail!("{USAGE}"),
            word => {
                words.push(word);
                continue;
            }
        };
        let Some(value) = arguments.next() else { bail!("{USAGE}") };
        *setting = value;
    }
    let reach = Reach::parse(listen, host, port)?;
    match words.as_slice() {
        [command] => Ok((command, Trial::of_workspace()?, reach)),
        [command, directory] => Ok((command, Trial::at(Path::new(directory))?, reach)),
        _ => bail!("{USAGE}"),
    }
}
