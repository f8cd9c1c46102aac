//! Words for whoever runs the command: why there is no answer, and what to look at.

use std::io;

use http::StatusCode;
use porthole_shared::lifecycle::chain;
use porthole_shared::reason::Reason;

use super::api::Problem;
use super::{ClientError, Place, PlaceError};
use crate::failure::{Exit, Failure};
use crate::output::visible;

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Connect { place, source } if matches!(**place, Place::Network(_)) => {
                unreachable(&error, source)
            }
            ClientError::Connect { place: socket, source } => {
                let failure = Self::new(Exit::Unreachable, chain(&error));
                #[expect(clippy::wildcard_enum_match_arm, reason = "the system's other errors get the same advice")]
                match source.kind() {
                    io::ErrorKind::NotFound => failure
                        .next("Nothing is there: is the agent running? systemctl status porthole-agent")
                        .next("If its [api] socket is elsewhere, say so: --socket PATH, or PORTHOLE_SOCKET."),
                    io::ErrorKind::ConnectionRefused => failure.next(
                        "The socket is there, but nobody listens: is the agent running? systemctl status porthole-agent",
                    ),
                    io::ErrorKind::PermissionDenied => failure.next(permission(&socket.to_string())),
                    _ => failure.next(format!("Is {socket} the agent's socket?")),
                }
            }
            ClientError::TimedOut { .. } => Self::new(Exit::Unreachable, chain(&error))
                .next("It may be busy or stuck: journalctl -u porthole-agent. To wait longer: --timeout 1m"),
            ClientError::Broken { place, .. } => Self::new(Exit::Unreachable, chain(&error))
                .next(format!("It closed the connection, or {place} is not where its API is."))
                .next("Its log may say why: journalctl -u porthole-agent"),
            ClientError::Nonsense { .. } | ClientError::TooLong => Self::new(Exit::Internal, chain(&error))
                .next("Are `porthole` and `porthole-agent` of the same release? porthole --version"),
            ClientError::Runtime(_) => Self::new(Exit::Internal, chain(&error)),
            ClientError::Refused(problem) => refusal(problem),
        }
    }
}

impl From<PlaceError> for Failure {
    fn from(error: PlaceError) -> Self {
        Self::new(Exit::Refused, chain(&error)).next("How an agent on another host is reached: porthole --help")
    }
}

/// Why an agent on the network was not reached.
fn unreachable(error: &ClientError, source: &io::Error) -> Failure {
    let failure = Failure::new(Exit::Unreachable, chain(error));
    if source.kind() == io::ErrorKind::ConnectionRefused {
        return failure.next("Nobody listens there: is the agent running, and is the address in its [api] listen?");
    }
    let by_tls = source.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>);
    if by_tls {
        return failure
            .next("Is --ca what the agent's certificate chains to, and is the host of --url a name in it?")
            .next("If the agent refused your certificate, its log says why: journalctl -u porthole-agent");
    }
    failure
}

fn refusal(problem: &Problem) -> Failure {
    let reason: Option<Reason> = problem.code.parse().ok();
    // The agent's own sentence names names; the table's is for where there is none.
    let message = match (problem.detail.as_str(), reason) {
        ("", Some(reason)) => reason.words().to_owned(),
        ("", None) => {
            let Problem { status, title, code, .. } = problem;
            [format!("the agent refused: {status}").as_str(), title, code].join(" ").trim_end().to_owned()
        }
        (detail, _) => detail.to_owned(),
    };
    let mut failure = Failure::new(Exit::Refused, visible(&message));
    failure.code = Some(visible(&problem.code)).filter(|code| !code.is_empty());
    match reason.and_then(|reason| advice(reason, problem.detail.is_empty())) {
        Some(advice) => failure.next(advice),
        None if problem.status == StatusCode::UNAUTHORIZED.as_u16() => failure
            .next("Have a token made on the agent's host (porthole api-token create), and give it by --token-file."),
        // Who is admitted in another role is told which it takes; more than that, only an admin can do.
        None if problem.needed_role.is_some() => failure,
        None if problem.status == StatusCode::FORBIDDEN.as_u16() => failure.next(permission("the agent's socket")),
        None => failure,
    }
}

/// What an operator does: where to look, and, if the agent has not said it already, what to change. The table's own
/// next steps are for whoever sits before the viewer.
fn advice(reason: Reason, unsaid: bool) -> Option<&'static str> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "for the others the table's own advice is right here too")]
    match reason {
        Reason::HypervisorDown => Some("How libvirt is: porthole status"),
        Reason::Busy => {
            Some("Ask again in a moment. If it stays so, the host lacks processor time or its disk is slow.")
        }
        Reason::Full => Some("Who is connected: porthole sessions"),
        Reason::Internal => Some("The agent's log says more: journalctl -u porthole-agent"),
        Reason::Migrating => Some("Ask again when it has arrived, on the node that it moves to."),
        _ if !unsaid => None,
        Reason::NoSuchConsole | Reason::NoSuchKind => Some("What this node has: porthole consoles"),
        Reason::NotRunning => Some("Start it, then ask again."),
        other => Some(other.next_step()),
    }
}

fn permission(socket: &str) -> String {
    format!("Run this as root, or as a member of the group that [api] group names in agent.toml (ls -l {socket}).")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn problem(code: &str, title: &str, detail: &str) -> Problem {
        let (title, detail, code) = (title.to_owned(), detail.to_owned(), code.to_owned());
        Problem { status: 409, title, detail, code, needed_role: None }
    }

    #[test]
    fn the_agents_own_sentence_goes_before_the_tables() {
        let failure = refusal(&problem("not_running", "Conflict", "web-01 is shut off: start it first"));
        assert_eq!(failure.to_text(), "porthole: web-01 is shut off: start it first\n");
        assert_eq!((failure.exit, failure.code.as_deref()), (Exit::Refused, Some("not_running")));
        let failure = refusal(&problem("not_running", "Conflict", ""));
        assert_eq!(failure.to_text(), "porthole: The guest is not running.\n  Start it, then ask again.\n");
        let failure = refusal(&problem("hypervisor_down", "", "cannot list the consoles"));
        assert_eq!(failure.next, ["How libvirt is: porthole status"]);
    }

    #[test]
    fn a_code_that_is_not_in_the_table_is_shown_where_there_is_no_sentence() {
        assert_eq!(refusal(&problem("too_early", "Conflict", "ask at noon")).message, "ask at noon");
        let bare = refusal(&problem("too_early", "Conflict", ""));
        assert_eq!(bare.message, "the agent refused: 409 Conflict too_early");
        assert_eq!(refusal(&problem("", "", "")).message, "the agent refused: 409");
    }

    #[test]
    fn words_from_the_agent_cannot_command_the_terminal() {
        let failure = refusal(&problem("x\x1b[2J", "a\x1b[2J", "b\nc"));
        assert!(!failure.to_text().contains('\x1b'), "{failure:?}");
        assert_eq!(failure.to_text().lines().count(), 1);
    }

    #[test]
    fn who_may_not_connect_is_told_who_may() {
        let source = io::ErrorKind::PermissionDenied.into();
        let failure =
            Failure::from(ClientError::Connect { place: Arc::new(Place::Socket("/run/a.sock".into())), source });
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(failure.to_text().contains("ls -l /run/a.sock") && failure.to_text().contains("[api] group"));
    }

    #[test]
    fn every_reason_has_advice_where_the_agent_gave_none() {
        for &reason in Reason::ALL {
            assert!(advice(reason, true).is_some_and(|advice| !advice.is_empty()), "{reason}");
        }
    }
}
