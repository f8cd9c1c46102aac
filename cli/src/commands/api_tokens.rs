//! `porthole api-token`: the tokens that programs call the API with.

use clap::{Args, Subcommand};
use porthole_shared::config::Duration;
use porthole_shared::names::{ApiTokenId, ApiTokenName};
use serde_json::json;

use crate::client::Agent;
use crate::client::api::{API_TOKENS, ApiTokenMade, ApiTokens, NewApiToken, Role};
use crate::failure::{Exit, Failure};
use crate::output::{Output, Table, visible};

/// What to do with them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole api-token create dashboard --role minter --expires 90d
  porthole api-token list
  porthole api-token revoke dashboard")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make one; prints it alone, this once
    #[command(after_help = "\
Examples:
  porthole api-token create night-shift --role operator --expires 12h
  (umask 077; porthole api-token create dashboard --role minter > dashboard.token)

The agent keeps a hash of it only: it cannot be shown again. A program sends it as `Authorization: Bearer pth_…`.
Tokens of one name are one caller, so that a new one can take over from an old one without a gap.")]
    Create {
        /// Who will use it
        name: ApiTokenName,
        /// What it allows
        #[arg(long, value_enum)]
        role: Role,
        /// How long it is good [default: for ever]
        #[arg(long, value_name = "LENGTH")]
        expires: Option<Duration>,
    },
    /// List them, without their texts
    #[command(after_help = "\
Examples:
  porthole api-token list
  porthole api-token list --json | jq -r '.api_tokens[] | select(.role == \"admin\") | .name'")]
    List,
    /// Withdraw one: it is of no use from that moment on
    #[command(after_help = "\
Examples:
  porthole api-token revoke dashboard
  porthole api-token revoke 5f0c2f5e-8f0b-4f0e-9a64-3f3b6f1f2a77

Links that were made with it stay good: porthole tokens withdraws those.")]
    Revoke {
        /// Its id, or its name if no other has that
        #[arg(value_name = "ID|NAME")]
        which: String,
    },
}

/// Does it.
pub(super) fn run(arguments: &Arguments, agent: &Agent, output: Output) -> Result<(), Failure> {
    match &arguments.command {
        Command::Create { name, role, expires } => {
            let wanted = NewApiToken { name, role: *role, expires_in: expires.map(Duration::as_seconds) };
            let answer = agent.post::<ApiTokenMade>(API_TOKENS, &wanted)?;
            output.result(&answer.json, || format!("{}\n", visible(&answer.parsed.token)))
        }
        Command::List => list(agent, output),
        Command::Revoke { which } => {
            let id = match which.parse::<ApiTokenId>() {
                Ok(id) => id.to_string(),
                Err(_) => id_of(which, agent)?,
            };
            agent.delete(&format!("{API_TOKENS}/{id}"))?;
            output.result(&json!({ "revoked": id }), || format!("API token {id} was withdrawn.\n"))
        }
    }
}

fn list(agent: &Agent, output: Output) -> Result<(), Failure> {
    let answer = agent.list::<ApiTokens>(API_TOKENS, "api_tokens")?;
    let mut table = Table::new(["NAME", "ROLE", "CREATED", "EXPIRES", "LAST USED", "ID"]);
    for token in &answer.parsed.api_tokens {
        table.row([
            (&token.name).into(),
            (&token.role).into(),
            (&token.created).into(),
            token.expires.as_deref().unwrap_or("never").into(),
            token.last_used.as_deref().unwrap_or("-").into(),
            (&token.id).into(),
        ]);
    }
    output.table(&answer.json, &table, "There are no API tokens.")
}

/// The id of the one of this name.
fn id_of(name: &str, agent: &Agent) -> Result<String, Failure> {
    let all = agent.list::<ApiTokens>(API_TOKENS, "api_tokens")?.parsed.api_tokens;
    let same: Vec<_> = all.iter().filter(|token| token.name == name).collect();
    match same.as_slice() {
        [one] => Ok(one.id.clone()),
        [] => Err(Failure::new(Exit::Refused, format!("there is no API token {name}"))
            .next("Which there are: porthole api-token list")),
        several => {
            let failure = Failure::new(Exit::Refused, format!("there are {} API tokens {name}", several.len()));
            Err(several.iter().fold(failure.next("Withdraw one by its id:"), |failure, token| {
                failure.next(format!("  porthole api-token revoke {}    (created {})", token.id, token.created))
            }))
        }
    }
}
