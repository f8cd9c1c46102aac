//! `porthole url`: a link to a console.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use porthole_shared::config::Duration;
use porthole_shared::names::{ConsoleKind, ConsoleName, Requestor};
use porthole_shared::reason::Reason;

use crate::client::Agent;
use crate::client::api::{CONSOLES, Console, Consoles, Index, Mint, Minted, Policy, TOKENS};
use crate::failure::Failure;
use crate::output::{Output, visible};

/// What clap takes for a kind: our words and Nova's.
const KINDS: [&str; 6] = ["vnc", "novnc", "spice", "spice-html5", "serial", "tcp"];

/// A link that is wanted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole url web-01
  porthole url web-01 --type spice
  porthole url web-01 --type serial --port any
  porthole url 7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e --policy once --ttl 2m
  porthole url web-01 --read-only --idle 15m --longest 1h
  xdg-open \"$(porthole url web-01)\"

Whoever has the link has the console: give it only to whom it is for.")]
pub(crate) struct Request {
    /// The guest or external console: its name or UUID
    #[arg(value_name = "NAME")]
    console: ConsoleName,
    /// What kind of console [default: vnc; of an external console: the one it has]
    #[arg(long = "type", value_name = "KIND",
          value_parser = PossibleValuesParser::new(KINDS).try_map(|word| word.parse::<ConsoleKind>()))]
    kind: Option<ConsoleKind>,
    /// Which console of that kind, from 0; with serial ports also `any`: the first that nobody types on
    #[arg(long, visible_alias = "port", value_name = "INDEX")]
    index: Option<Index>,
    /// How often, and by whom, the link can be used [default: the configured one: bound]
    #[arg(long, value_enum)]
    policy: Option<Policy>,
    /// How long the link can be used for the first time [default: the configured length: 10m]
    #[arg(long, value_name = "LENGTH", value_parser = whole_seconds)]
    ttl: Option<Duration>,
    /// Let its holder watch only: keys, pointer and clipboard do not reach the guest (not with SPICE)
    #[arg(long)]
    read_only: bool,
    /// Let it take over a console that admits one viewer at a time and has one
    #[arg(long)]
    force: bool,
    /// End a session that had no input for so long [default: the configured limit, if there is one]
    #[arg(long, value_name = "LENGTH", value_parser = whole_seconds)]
    idle: Option<Duration>,
    /// End a session after so long [default: the configured length: 12h]
    #[arg(long, value_name = "LENGTH", value_parser = whole_seconds)]
    longest: Option<Duration>,
    /// How long after its longest session the link is still known [default: the configured length: 60s]
    #[arg(long, value_name = "LENGTH")]
    grace: Option<Duration>,
    /// For whom it is; kept for the record
    #[arg(long, value_name = "WHO")]
    requestor: Option<Requestor>,
}

/// The API counts in seconds.
fn whole_seconds(text: &str) -> Result<Duration, String> {
    let length: Duration = text.parse().map_err(|error| format!("{error}"))?;
    if length.as_seconds() > 0 { Ok(length) } else { Err("use a second at least".to_owned()) }
}

/// Makes it.
pub(super) fn run(request: &Request, agent: &Agent, output: Output) -> Result<(), Failure> {
    let mint = Mint {
        console: &request.console,
        kind: request.kind,
        index: request.index,
        policy: request.policy,
        ttl: request.ttl.map(Duration::as_seconds),
        grace: request.grace.map(Duration::as_seconds),
        read_only: request.read_only,
        force: request.force,
        idle: request.idle.map(Duration::as_seconds),
        longest: request.longest.map(Duration::as_seconds),
        requestor: request.requestor.as_ref(),
    };
    match agent.post::<Minted>(TOKENS, &mint) {
        Ok(answer) => output.result(&answer.json, || format!("{}\n", visible(&answer.parsed.url))),
        Err(error) => Err(advise(error.into(), &request.console, agent)),
    }
}

/// Where the name was the trouble, says which names there are. That is a courtesy: if the list cannot be had, the
/// refusal stands as it is.
fn advise(failure: Failure, asked: &ConsoleName, agent: &Agent) -> Failure {
    let about_the_name = |code: &str| code == Reason::NoSuchConsole.code() || code.contains("ambiguous");
    if !failure.code.as_deref().is_some_and(about_the_name) {
        return failure;
    }
    let Ok(answer) = agent.list::<Consoles>(CONSOLES, "consoles") else { return failure };
    let consoles = answer.parsed.consoles;
    let same: Vec<&Console> = consoles.iter().filter(|console| console.name == asked.as_str()).collect();
    if same.len() > 1 {
        return same.iter().fold(failure.next("Ask by UUID:"), |failure, console| {
            failure.next(format!("  porthole url {}    ({}, {})", console.uuid, console.source, console.state))
        });
    }
    match alike(asked.as_str(), consoles.iter().map(|console| console.name.as_str())) {
        names if names.is_empty() => failure,
        names => failure.next(format!("Did you mean {}?", visible(&names.join(", ")))),
    }
}

/// At most three names that are nearly the one asked for: in other case, longer or shorter, or two slips away.
fn alike<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let asked = asked.to_lowercase();
    let near = |name: &&str| {
        let name = name.to_lowercase();
        let contained = asked.len() > 2 && (name.contains(&asked) || asked.contains(&name));
        contained || distance(&asked, &name) <= 2
    };
    let mut found: Vec<&str> = names.filter(near).collect();
    found.sort_by_key(|name| distance(&asked, &name.to_lowercase()));
    found.truncate(3);
    found
}

/// How many characters must be put in, left out or changed (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (above, a) in one.chars().enumerate() {
        let (mut diagonal, mut left) = (above, above + 1);
        let mut next = vec![left];
        for (b, &up) in other.chars().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(a != b)).min(up + 1).min(left + 1);
            diagonal = up;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_can_be_asked_for() {
        for word in KINDS {
            assert!(word.parse::<ConsoleKind>().is_ok(), "{word}");
        }
        for kind in ConsoleKind::ALL {
            assert!(KINDS.contains(&kind.as_str()));
            assert!(kind.nova_name().is_none_or(|name| KINDS.contains(&name)));
        }
    }

    #[test]
    fn slips_are_counted() {
        for (one, other, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("web-1", "web-01", 1),
            ("ü", "u", 1),
            ("abc", "abc", 0),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
            assert_eq!(distance(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn near_names_are_suggested_the_nearest_first() {
        let names = ["db-01", "web-01", "WEB-1", "web-1-staging", "x"];
        assert_eq!(alike("web-1", names.into_iter()), ["WEB-1", "web-01", "web-1-staging"]);
        assert!(alike("mail", names.into_iter()).is_empty());
    }
}
