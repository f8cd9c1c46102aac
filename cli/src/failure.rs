//! How a command fails: an exit code, what was wrong, and what to do.
//!
//! Modules have error types of their own; here they become what the person in front of the terminal, or the script
//! around the command, gets.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::output::visible;

/// The exit codes, as `porthole --help` documents them. Usage errors (2) are clap's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for was understood and refused.
    Refused,
    /// The agent cannot be reached, or does not answer in time.
    Unreachable,
    /// Anything else: a file that cannot be written, an answer that makes no sense.
    Internal,
}

impl Exit {
    /// The number.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Unreachable => 3,
            Self::Internal => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// A command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How the process ends.
    pub(crate) exit: Exit,
    /// The agent's word for it, where it gave one.
    pub(crate) code: Option<String>,
    /// What was wrong.
    pub(crate) message: String,
    /// What to do, a line each.
    pub(crate) next: Vec<String>,
}

impl Failure {
    /// A failure with nothing to advise yet.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, code: None, message: message.into(), next: Vec::new() }
    }

    /// Adds a line of advice.
    #[must_use]
    pub(crate) fn next(mut self, advice: impl Into<String>) -> Self {
        self.next.push(advice.into());
        self
    }

    /// What stands on standard error with `--json`.
    pub(crate) fn to_json(&self) -> Value {
        json!({"error": {
            "exit": self.exit.number(),
            "code": self.code,
            "message": self.message,
            "next": self.next,
        }})
    }

    /// What stands on standard error otherwise. Words of an agent's, and paths, may be in any of it.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("porthole: {}\n", visible(&self.message));
        for advice in &self.next {
            text.push_str("  ");
            text.push_str(&visible(advice));
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_well_and_parses() {
        let failure = Failure::new(Exit::Refused, "the guest is not running").next("Start it.");
        assert_eq!(failure.to_text(), "porthole: the guest is not running\n  Start it.\n");
        assert_eq!(failure.to_json()["error"]["exit"], 1);
        assert_eq!(failure.to_json()["error"]["next"][0], "Start it.");
    }

    #[test]
    fn neither_its_words_nor_its_advice_commands_the_terminal() {
        let text = Failure::new(Exit::Refused, "a\x1b[2J").next("porthole url \x1b[2J\u{9b}1m").to_text();
        assert!(!text.contains(['\x1b', '\u{9b}']) && text.lines().count() == 2, "{text:?}");
    }
}
