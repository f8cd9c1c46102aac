//! `porthole-hook`: libvirt runs it at each step of a domain's life, from `/etc/libvirt/hooks/qemu.d/`.
//!
//! The effects are here: arguments, input, the agent, output, exit status. What follows from what is decided in the
//! library of the same name.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use porthole_hook::ask::ask;
use porthole_hook::config::{self, Config};
use porthole_hook::glance::{Glance, glance};
use porthole_hook::input;
use porthole_hook::outcome::{Failure, Outcome};
use porthole_hook::spool::Spool;
use porthole_hook::step::Step;
use porthole_hook::wire::Message;

/// How long libvirt may take to give the domain's XML.
const INPUT_DEADLINE: Duration = Duration::from_millis(500);

const HELP: &str = "\
porthole-hook: tells Porthole's agent of each step of a libvirt domain's life

libvirt runs it as  porthole-hook NAME OPERATION SUB-OPERATION EXTRA  with the domain's XML on standard input.
Install it as /etc/libvirt/hooks/qemu.d/porthole (a link is enough) and restart libvirtd once, if that folder was
empty before. `porthole hook status` says whether libvirt calls it.

A script there may give other settings:  exec porthole-hook --config FILE \"$@\"
  --config FILE   instead of /etc/porthole/hook.toml
  --help, --version

At migrate and restore it prints the domain's XML with consoles of this host, or nothing: then the domain is as it was.
Exit status: 0, the domain goes on; 1, it does not (one line on standard error says why); 2, wrong usage.
";

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let [only] = arguments.as_slice() {
        return about(only);
    }
    // libvirt itself gives four; a domain may be called as it likes.
    let config = match arguments.as_slice() {
        [option, path, _, _, _, _] if option == "--config" => PathBuf::from(path),
        _ => PathBuf::from(config::PATH),
    };
    if arguments.len() == 6 {
        arguments.drain(..2);
    }
    match Step::of(&arguments) {
        Ok(step) => finish(step, &config),
        Err(no_step) => {
            // A libvirt that says something new must not lose its guests over it.
            say(&format!("porthole: passed over: {no_step}"));
            ExitCode::SUCCESS
        }
    }
}

fn about(option: &OsString) -> ExitCode {
    if option == "--help" || option == "-h" {
        return print(HELP.as_bytes());
    }
    if option == "--version" {
        return print(concat!("porthole-hook ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
    }
    say("porthole-hook is run by libvirt; see porthole-hook --help");
    ExitCode::from(2)
}

fn finish(step: Step, config: &std::path::Path) -> ExitCode {
    let (config, bad_config) = match Config::load(config) {
        Ok(config) => (config, None),
        Err(bad) => (Config::default(), Some(bad)),
    };
    let outcome = match input::read(io::stdin(), INPUT_DEADLINE) {
        Err(no_input) => Outcome::failed(step, Glance::default(), &no_input.into(), config.incoming_without_agent),
        Ok(xml) => {
            let seen = glance(&xml);
            let question = Message { head: step, xml };
            let answer = match bad_config {
                None => ask(&config.socket, &question).map_err(Failure::from),
                Some(bad) => Err(bad.into()),
            };
            let step = question.head;
            match answer {
                Ok(answer) => Outcome::answered(&step, answer.head, answer.xml),
                Err(failure) => Outcome::failed(step, seen, &failure, config.incoming_without_agent),
            }
        }
    };
    act(&outcome, &Spool::at(&config.spool))
}

fn act(outcome: &Outcome, spool: &Spool) -> ExitCode {
    if let Some(words) = &outcome.words {
        say(words);
    }
    if let Some(later) = &outcome.later
        && let Err(error) = spool.add(later, now())
    {
        say(&format!("porthole: and it cannot be told later: {error}"));
    }
    if !outcome.go {
        return ExitCode::FAILURE;
    }
    print(&outcome.xml)
}

fn print(text: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    // Half of a domain's XML would be refused, or worse.
    if out.write_all(text).and_then(|()| out.flush()).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::disallowed_methods, reason = "the names of spooled steps are in the order of time")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Nobody may hear it; that changes nothing.
fn say(words: &str) {
    drop(writeln!(io::stderr(), "{words}"));
}
