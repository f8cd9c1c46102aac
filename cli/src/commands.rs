//! The operator's commands, one module each.

use std::io::Write as _;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::args::{Command, CommandLine, General, Shell};
use crate::client::{Agent, Place};
use crate::failure::Failure;
use crate::output::{Output, plain};
use crate::pki;

pub(crate) mod api_tokens;
pub(crate) mod audit;
pub(crate) mod console;
pub(crate) mod consoles;
pub(crate) mod hook;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod ports;
mod serial;
pub(crate) mod sessions;
mod status;
pub(crate) mod tokens;
pub(crate) mod url;

/// Does what the command line says.
pub(crate) fn run(line: CommandLine, output: Output) -> Result<(), Failure> {
    let General { socket, network, timeout, .. } = line.general;
    let agent = || Ok::<_, Failure>(Agent::at(Place::of(socket, &network)?, timeout.get())?);
    match line.command {
        Command::Console(arguments) => console::run(&arguments, &agent()?),
        Command::Consoles(arguments) => consoles::run(arguments, agent, output),
        Command::Log(arguments) => log::run(&arguments, &agent()?, output),
        Command::Url(request) => url::run(&request, &agent()?, output),
        Command::Sessions(arguments) => sessions::run(&arguments, &agent()?, output),
        Command::Tokens(arguments) => tokens::run(&arguments, &agent()?, output),
        Command::Audit(arguments) => audit::run(&arguments, &agent()?, output),
        Command::Ports(arguments) => ports::run(&arguments, &agent()?, output),
        Command::Hook(arguments) => hook::run(&arguments, &agent()?, output),
        Command::Keys(arguments) => keys::run(&arguments, &agent()?, output),
        Command::ApiToken(arguments) => api_tokens::run(&arguments, &agent()?, output),
        Command::Status => status::run(&agent()?, output),
        Command::Pki(arguments) => pki::run(arguments, output),
        Command::Completion { shell } => completion(shell),
    }
}

/// Prints what clap has to say: help and version to standard output, mistakes to standard error.
pub(crate) fn usage(said: &clap::Error) -> ExitCode {
    // Where it cannot be printed, the exit code must do.
    drop(said.print());
    drop(std::io::stdout().flush());
    u8::try_from(said.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn completion(shell: Shell) -> Result<(), Failure> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "porthole", &mut script);
    plain(&String::from_utf8_lossy(&script))
}
