//! What the hook does after it has asked, or could not: exit status, XML, words, and what the agent must hear later.
//!
//! The one place where a guest can be kept from starting or coming. Pure.

use crate::ask::Unanswered;
use crate::config::{BadConfig, WithoutAgent};
use crate::glance::Glance;
use crate::input::NoInput;
use crate::spool::Waiting;
use crate::step::{Bearing, Step};
use crate::wire::Verdict;

/// The longest line that libvirt is given; it shows it to whoever asked for the start or the migration.
const LONGEST_WORDS: usize = 1000;

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// libvirt lets the domain go on.
    pub go: bool,
    /// What the domain is from now on; empty: what it was.
    pub xml: Vec<u8>,
    /// A line for the user or the log.
    pub words: Option<String>,
    /// What the agent must hear later.
    pub later: Option<Waiting>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Of the hook's settings.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// Of what libvirt gave it.
    #[error(transparent)]
    Input(#[from] NoInput),
    /// Of the agent.
    #[error(transparent)]
    Agent(#[from] Unanswered),
}

impl Outcome {
    const fn go() -> Self {
        Self { go: true, xml: Vec::new(), words: None, later: None }
    }

    fn refuse(words: &str) -> Self {
        Self { go: false, words: Some(line(words)), ..Self::go() }
    }

    /// After an answer.
    pub fn answered(step: &Step, verdict: Verdict, xml: Vec<u8>) -> Self {
        match (step.operation.bearing(), verdict) {
            (Bearing::Permits | Bearing::Rewrites, Verdict::Refuse { why }) => Self::refuse(&why),
            (Bearing::Rewrites, Verdict::Rewritten) => Self { xml, ..Self::go() },
            (_, Verdict::Go | Verdict::Rewritten | Verdict::Refuse { .. }) => Self::go(),
        }
    }

    /// Without one. What is not managed goes on in any case.
    pub fn failed(step: Step, seen: Glance, failure: &Failure, incoming: WithoutAgent) -> Self {
        let words = Some(line(&format!("{} of {}: {failure}", step.operation, step.name)));
        match step.operation.bearing() {
            Bearing::Rewrites if seen.managed && incoming == WithoutAgent::Refuse => Self::refuse(&format!(
                "{} cannot be given console ports of this host ({failure}); start the agent, or let such domains come \
                 unchanged by incoming_without_agent in hook.toml",
                step.name
            )),
            Bearing::Rewrites | Bearing::Permits | Bearing::Tells => Self { words, ..Self::go() },
            Bearing::TellsLater => Self { words, later: Some(Waiting { step, uuid: seen.uuid }), ..Self::go() },
        }
    }
}

/// Whose words they are, in one line of ordinary characters.
fn line(words: &str) -> String {
    let words = words.chars().map(|c| if c.is_control() { ' ' } else { c });
    "porthole: ".chars().chain(words).take(LONGEST_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Operation;
    use uuid::Uuid;

    const MANAGED: Glance = Glance { uuid: Some(Uuid::nil()), managed: true };

    fn step(operation: Operation) -> Step {
        Step { name: "web\n01".to_owned(), operation, sub_operation: "begin".to_owned(), extra: "-".to_owned() }
    }

    fn late() -> Failure {
        Unanswered::Late.into()
    }

    /// The operations at which libvirt must hear of no failure, whatever the agent says.
    const HARMLESS: [Operation; 5] =
        [Operation::Started, Operation::Stopped, Operation::Release, Operation::Reconnect, Operation::Attach];

    #[test]
    fn a_refusal_counts_only_where_it_harms_no_running_guest() {
        for &operation in Operation::ALL {
            let refused = Outcome::answered(&step(operation), Verdict::Refuse { why: "port\n1".to_owned() }, vec![]);
            if HARMLESS.contains(&operation) {
                assert_eq!(refused, Outcome::go(), "{operation}");
            } else {
                assert_eq!((refused.go, refused.words.as_deref()), (false, Some("porthole: port 1")), "{operation}");
            }
        }
    }

    #[test]
    fn xml_is_printed_only_where_libvirt_takes_it() {
        for &operation in Operation::ALL {
            let outcome = Outcome::answered(&step(operation), Verdict::Rewritten, b"<domain/>".to_vec());
            let rewrites = matches!(operation, Operation::Migrate | Operation::Restore);
            assert_eq!((outcome.go, outcome.xml.is_empty()), (true, !rewrites), "{operation}");
            assert_eq!(Outcome::answered(&step(operation), Verdict::Go, Vec::new()), Outcome::go());
        }
    }

    #[test]
    fn without_an_agent_the_guest_goes_on() {
        for &operation in Operation::ALL {
            let outcome = Outcome::failed(step(operation), MANAGED, &late(), WithoutAgent::Unchanged);
            assert!(outcome.go && outcome.xml.is_empty(), "{operation}");
            assert!(outcome.words.unwrap().starts_with(&format!("porthole: {operation} of web 01: Porthole's agent")));
            let waits = matches!(operation, Operation::Stopped | Operation::Release);
            assert_eq!(outcome.later.is_some(), waits, "{operation}");
        }
    }

    #[test]
    fn managed_domains_stay_away_if_that_is_wanted() {
        for &operation in Operation::ALL {
            let incoming = matches!(operation, Operation::Migrate | Operation::Restore);
            let outcome = Outcome::failed(step(operation), MANAGED, &late(), WithoutAgent::Refuse);
            assert_eq!(outcome.go, !incoming, "{operation}");
            let others = Outcome::failed(step(operation), Glance::default(), &late(), WithoutAgent::Refuse);
            assert!(others.go, "{operation}");
        }
    }

    #[test]
    fn words_are_a_line_of_some_length() {
        let outcome = Outcome::refuse(&"\u{1b}[31m\r\n".repeat(1000));
        let words = outcome.words.unwrap();
        assert_eq!((words.chars().count(), words.chars().any(char::is_control)), (LONGEST_WORDS, false));
    }
}
