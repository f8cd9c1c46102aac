//! `porthole tokens`: which links there are, and withdrawing them.

use clap::{Args, Subcommand};
use porthole_shared::names::{Requestor, TokenId};
use serde_json::json;

use crate::client::api::{Ended, TOKENS, Token, Tokens};
use crate::client::{Agent, query};
use crate::failure::Failure;
use crate::output::{Cell, Output, Table, Tone};

/// What to do with links.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole tokens list
  porthole tokens revoke 5f0c2f5e-8f0b-4f0e-9a64-3f3b6f1f2a77
  porthole tokens revoke --requestor alice")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List links that can still be used; never the links themselves, which nobody keeps
    #[command(after_help = "\
Examples:
  porthole tokens list
  porthole tokens list --console web-01 --all
  porthole tokens list --json --limit 1000 | jq -r '.tokens[] | select(.uses == 0) | .id'")]
    List(List),
    /// Withdraw links; sessions that they opened end
    #[command(after_help = "\
Examples:
  porthole tokens revoke 5f0c2f5e-8f0b-4f0e-9a64-3f3b6f1f2a77
  porthole tokens revoke --console web-01
  porthole tokens revoke --requestor alice --keep-sessions")]
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    which: Which,
    /// Also those that open nothing any more, with the reason
    #[arg(long)]
    all: bool,
    /// How many, at most 1000
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: u32,
    /// Those behind this one: `next` of an earlier list
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
}

#[derive(Debug, Args)]
struct Revoke {
    /// The token's id: `id` of `porthole url --json`, `token_id` of `porthole sessions --json`
    #[arg(required_unless_present_any = ["console", "requestor"], conflicts_with_all = ["console", "requestor"])]
    id: Option<TokenId>,
    #[command(flatten)]
    which: Which,
    /// Let live sessions go on; they cannot be connected to again
    #[arg(long)]
    keep_sessions: bool,
}

/// Whose links or sessions.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Those of this guest or external console, by name or UUID
    #[arg(long, value_name = "NAME")]
    pub(crate) console: Option<String>,
    /// Those that were asked for by this requestor
    #[arg(long, value_name = "WHO")]
    pub(crate) requestor: Option<Requestor>,
}

impl Which {
    /// As the API's query says it.
    pub(crate) fn pairs(&self) -> [(&'static str, Option<&str>); 2] {
        [("console", self.console.as_deref()), ("requestor", self.requestor.as_ref().map(Requestor::as_str))]
    }
}

/// Does it.
pub(super) fn run(arguments: &Arguments, agent: &Agent, output: Output) -> Result<(), Failure> {
    match &arguments.command {
        Command::List(wanted) => list(wanted, agent, output),
        Command::Revoke(wanted) => revoke(wanted, agent, output),
    }
}

fn list(List { which, all, limit, after }: &List, agent: &Agent, output: Output) -> Result<(), Failure> {
    let limit = limit.to_string();
    let [console, requestor] = which.pairs();
    let all = ("all", all.then_some("true"));
    let path = query(TOKENS, &[console, requestor, all, ("limit", Some(&limit)), ("after", after.as_deref())]);
    let answer = agent.read::<Tokens>(&path)?;
    let mut table = Table::new(["ID", "CONSOLE", "KIND", "REQUESTOR", "POLICY", "RIGHTS", "USES", "EXPIRES", "STATE"]);
    for token in &answer.parsed.tokens {
        table.row(row(token));
    }
    output.table(&answer.json, &table, "There is no link that could be used.")?;
    match answer.parsed.next {
        Some(next) => output.remark(&format!("There are more: --after {next}")),
        None => Ok(()),
    }
}

fn row(token: &Token) -> [Cell; 9] {
    let rights = if token.read_only { "read-only" } else { "all" };
    let state = match (&token.void_reason, token.usable, token.uses) {
        (Some(reason), ..) => Cell::toned(reason, Tone::Warning),
        (None, false, _) => Cell::toned("over", Tone::Warning),
        (None, true, 0) => "unused".into(),
        (None, true, _) => "used".into(),
    };
    // Until its first use that must come in time; later, what counts is the end of all.
    let expires = if token.uses == 0 { &token.redeem_by } else { &token.expires };
    [
        (&token.id).into(),
        (&token.console.name).into(),
        (&token.kind).into(),
        token.requestor.as_deref().unwrap_or("-").into(),
        (&token.policy).into(),
        rights.into(),
        token.uses.to_string().into(),
        expires.into(),
        state,
    ]
}

fn revoke(Revoke { id, which, keep_sessions }: &Revoke, agent: &Agent, output: Output) -> Result<(), Failure> {
    let keep = ("keep_sessions", keep_sessions.then_some("true"));
    if let Some(id) = id {
        agent.delete(&query(&format!("{TOKENS}/{id}"), &[keep]))?;
        return output.result(&json!({ "revoked": id }), || format!("Token {id} was revoked.\n"));
    }
    let [console, requestor] = which.pairs();
    let answer = agent.remove::<Ended>(&query(TOKENS, &[console, requestor, keep]))?;
    let Ended { tokens, connections } = answer.parsed;
    output.result(&answer.json, || format!("Tokens revoked: {tokens}. Connections ended: {connections}.\n"))
}
