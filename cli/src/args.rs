//! The command line: what can be said, and the help that says so.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use porthole_shared::config::Duration;

use crate::commands::url;
use crate::commands::{api_tokens, audit, console, consoles, hook, keys, log, ports, sessions, tokens};
use crate::pki;

const LONG_ABOUT: &str = "Consoles of libvirt virtual machines in a browser: the operator's commands.\n\n\
    Most commands speak to this node's agent over its unix socket, as root or as a member of the group that the agent's \
    configuration names ([api] group); with --url, to an agent on another host, by TLS. `porthole pki` makes certificates \
    and speaks to nobody.";

const AFTER_HELP: &str = "\
Examples:
  porthole consoles                    what this node has
  porthole url web-01                  a link to the screen of the guest web-01
  porthole sessions                    who is connected
  porthole sessions --json | jq -r '.sessions[].id'
  porthole audit --since 1h            what happened in the last hour

Exit codes:
  0  done
  1  refused: the agent, or `porthole pki`, will not do it; the message says why and what to do
  2  the command line is wrong
  3  the agent cannot be reached, or did not answer within --timeout
  4  anything else: a file that cannot be written, an answer that makes no sense

With --json a result is one line on standard output that holds one JSON value (of the agent: its
own answer; of `porthole audit`, one line for each entry), and a failure one line on standard error: {\"error\":{\"exit\",\"code\",\"message\",\"next\"}}.";

/// The operator's commands
#[derive(Debug, Parser)]
#[command(name = "porthole", version, about = "Consoles of libvirt virtual machines in a browser")]
#[command(long_about = LONG_ABOUT, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct CommandLine {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) general: General,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What holds for every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "For every command")]
pub(crate) struct General {
    /// The agent's unix socket
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "PORTHOLE_SOCKET",
        default_value = "/run/porthole/agent.sock"
    )]
    pub(crate) socket: PathBuf,
    /// Where the agent is, if not at the socket.
    #[command(flatten)]
    pub(crate) network: Network,
    /// How long to wait for the agent's answer
    #[arg(long, global = true, value_name = "LENGTH", default_value = "15s")]
    pub(crate) timeout: Duration,
    /// Print one line of JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// An agent on the network.
#[derive(Debug, Args)]
#[command(next_help_heading = "For an agent on another host")]
pub(crate) struct Network {
    /// The agent's API on the network, where its agent.toml says it listens, instead of the socket
    #[arg(long, global = true, value_name = "https://HOST:PORT", env = "PORTHOLE_URL")]
    pub(crate) url: Option<String>,
    /// The certificates that the agent's must chain to (PEM)
    #[arg(long, global = true, value_name = "PATH", env = "PORTHOLE_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// Your certificate (PEM), with a name that its agent.toml gives a role
    #[arg(long, global = true, value_name = "PATH", env = "PORTHOLE_CERT")]
    pub(crate) cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, global = true, value_name = "PATH", env = "PORTHOLE_KEY")]
    pub(crate) key: Option<PathBuf>,
    /// A file with an API token (porthole api-token create)
    #[arg(long, global = true, value_name = "PATH", env = "PORTHOLE_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the consoles of this node's guests, or write them into a guest's XML
    #[command(visible_alias = "domains")]
    Consoles(consoles::Arguments),
    /// Make a link to a console; prints the URL alone
    Url(url::Request),
    /// Attach this terminal to a guest's serial port
    Console(console::Arguments),
    /// Show what a guest said on a serial port
    Log(log::Arguments),
    /// List live sessions, or end some
    Sessions(sessions::Arguments),
    /// List links, or withdraw some
    Tokens(tokens::Arguments),
    /// Show who did what: links made and used, sessions, refusals
    Audit(audit::Arguments),
    /// Show which of this host's ports are whose
    Ports(ports::Arguments),
    /// Say whether libvirt runs the hook
    Hook(hook::Arguments),
    /// Change the keys that links are signed with
    Keys(keys::Arguments),
    /// List, make and withdraw the tokens that programs call the API with
    ApiToken(api_tokens::Arguments),
    /// Show how the agent is
    #[command(after_help = "\
Examples:
  porthole status
  porthole status --json | jq -r .libvirt")]
    Status,
    /// Make and renew the certificates of agents and edges
    Pki(pki::Arguments),
    /// Print a shell's completion script
    #[command(after_help = "\
Examples:
  porthole completion bash > /usr/share/bash-completion/completions/porthole
  porthole completion zsh > /usr/share/zsh/site-functions/_porthole
  porthole completion fish > /usr/share/fish/vendor_completions.d/porthole.fish")]
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// The shells that completion is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        fn check(command: &mut clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            let help = command.render_long_help().to_string();
            assert!(help.contains("Examples:\n  porthole "), "{path} has no example:\n{help}");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path}: {} has no help", argument.get_id());
            }
            // clap's own `help` explains itself.
            let own = command.get_subcommands_mut().filter(|inner| inner.get_name() != "help");
            own.for_each(|inner| check(inner, &path));
        }
        check(&mut CommandLine::command(), "");
    }
}
