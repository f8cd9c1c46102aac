//! `porthole pki`: a CA for agents and edges, and the certificates that it signs.
//!
//! ```text
//! arguments ─► issue ─► authority (makes certificates)  ─► report (what was written, what to do with it)
//!                   └─► folder    (puts files in place)
//!              show  ─► facts     (reads certificates)
//! ```
//!
//! Nothing here speaks to an agent: the folder is best kept on a machine of its own, and each agent and edge is given
//! its three files. An operator's own PKI does as well; see [`porthole_shared::tls`].

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use porthole_shared::clock::SystemClock;
use porthole_shared::names::{ClientName, EdgeName, NodeName};

use crate::failure::Failure;
use crate::output::Output;

mod authority;
mod error;
mod facts;
mod folder;
mod issue;
mod names;
mod report;
mod show;

use authority::KeyType;
use names::{Purpose, SubjectName};

/// Where everything lies unless told otherwise.
const DEFAULT_DIR: &str = "/etc/porthole/pki";

/// Where everything lies, and what to do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  porthole pki init
  porthole pki agent --node compute-1 --san 10.0.0.5
  porthole pki edge --name edge-1
  porthole pki show

Everything lies below --dir:
  ca.pem ca.key          the CA; whoever has ca.key can be any agent and any edge
  agents/NODE/           cert.pem key.pem ca.pem, for the node's agent
  edges/NAME/            cert.pem key.pem ca.pem, for the edge's connections to agents
  clients/NAME/          cert.pem key.pem ca.pem, for a client of agents' APIs
  public/                cert.pem key.pem, for browsers, on trials")]
pub(crate) struct Arguments {
    /// The folder that keys and certificates lie in
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_DIR)]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the CA
    #[command(after_help = "\
Examples:
  porthole pki init
  porthole pki init --dir ./pki --days 3650")]
    Init {
        /// The CA's name [default: Porthole CA and eight random digits]
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        making: Making,
    },
    /// Make the certificate of a node's agent
    #[command(after_help = "\
Examples:
  porthole pki agent --node compute-1 --san 10.0.0.5
  porthole pki agent --node compute-1.example.org --san 2001:db8::5 --san 10.0.0.5")]
    Agent {
        /// The node's name, as in its agent.toml; also a DNS name of the certificate
        #[arg(long)]
        node: NodeName,
        /// A further DNS name or address of the node; may be given several times
        #[arg(long = "san", value_name = "NAME")]
        names: Vec<SubjectName>,
        #[command(flatten)]
        making: Making,
    },
    /// Make the certificate that an edge shows to agents
    #[command(after_help = "\
Examples:
  porthole pki edge --name edge-1")]
    Edge {
        /// The edge's name, as in its edge.toml
        #[arg(long)]
        name: EdgeName,
        #[command(flatten)]
        making: Making,
    },
    /// Make the certificate that a client shows to agents' APIs
    #[command(after_help = "\
Examples:
  porthole pki client --name dashboard.example.org

What it may do stands with its name in each agent.toml, as [[api.client]].")]
    Client {
        /// The client's name: the one DNS name of its certificate
        #[arg(long)]
        name: ClientName,
        #[command(flatten)]
        making: Making,
    },
    /// Make a self-signed certificate that an edge shows to browsers, for trials
    #[command(after_help = "\
Examples:
  porthole pki public --san localhost --san 127.0.0.1 --san ::1

Browsers warn of it. For anything but a trial, take a certificate of a public CA.")]
    Public {
        /// A DNS name (may be *.example.org) or address that people type; may be given several times
        #[arg(long = "san", value_name = "NAME", required = true)]
        names: Vec<SubjectName>,
        #[command(flatten)]
        making: Making,
    },
    /// Make one certificate anew, with the names that it has
    #[command(after_help = "\
Examples:
  porthole pki renew agent compute-1
  porthole pki renew edge edge-1 --keep-key
  porthole pki renew ca

Agents and edges take new files up by themselves; no session ends.")]
    Renew {
        #[command(subcommand)]
        what: Renewal,
        /// How many days from now it is valid [default: 365; public: 397; ca: 3650]
        #[arg(long, global = true, value_parser = clap::value_parser!(u32).range(1..=36500))]
        days: Option<u32>,
    },
    /// Show what there is, and until when
    #[command(
        visible_alias = "status",
        after_help = "\
Examples:
  porthole pki show
  porthole pki show --within 60
  porthole pki show --json | jq -r '.certificates[] | select(.state != \"valid\") | .path'"
    )]
    Show {
        /// Warn of certificates that expire within so many days
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        within: u32,
    },
}

/// How a new certificate is made.
#[derive(Debug, Clone, Copy, Args)]
struct Making {
    /// How many days from now it is valid [default: 365; public: 397; ca: 3650]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: Option<u32>,
    /// The sort of its key
    #[arg(long, value_name = "TYPE", value_enum, default_value_t)]
    key_type: KeyType,
}

#[derive(Debug, Subcommand)]
enum Renewal {
    /// The CA: same name and key, so that what it signed stays good
    #[command(after_help = "\
Examples:
  porthole pki renew ca --days 3650")]
    Ca,
    /// A node's agent
    #[command(after_help = "\
Examples:
  porthole pki renew agent compute-1
  porthole pki renew agent compute-1 --san 10.0.0.6     it has another address now")]
    Agent {
        /// The node
        node: NodeName,
        #[command(flatten)]
        key: RenewedKey,
        /// Its DNS names and addresses from now on, besides its own name [default: as before]
        #[arg(long = "san", value_name = "NAME")]
        names: Vec<SubjectName>,
    },
    /// An edge's certificate for agents
    #[command(after_help = "\
Examples:
  porthole pki renew edge edge-1")]
    Edge {
        /// The edge
        name: EdgeName,
        #[command(flatten)]
        key: RenewedKey,
    },
    /// A client's certificate for agents' APIs
    #[command(after_help = "\
Examples:
  porthole pki renew client dashboard.example.org")]
    Client {
        /// The client
        name: ClientName,
        #[command(flatten)]
        key: RenewedKey,
    },
    /// The self-signed one for browsers
    #[command(after_help = "\
Examples:
  porthole pki renew public")]
    Public {
        #[command(flatten)]
        key: RenewedKey,
        /// Its DNS names and addresses from now on [default: as before]
        #[arg(long = "san", value_name = "NAME")]
        names: Vec<SubjectName>,
    },
}

/// The key of a renewed certificate.
#[derive(Debug, Clone, Copy, Args)]
struct RenewedKey {
    /// Keep the key; otherwise a new one is made
    #[arg(long, conflicts_with = "key_type")]
    keep_key: bool,
    /// The sort of the new key
    #[arg(long, value_name = "TYPE", value_enum, default_value_t)]
    key_type: KeyType,
}

/// A command to type, about this folder.
fn command(root: &Path, words: &str) -> String {
    if root == Path::new(DEFAULT_DIR) {
        format!("porthole pki {words}")
    } else {
        format!("porthole pki {words} --dir {}", root.display())
    }
}

/// Does it.
pub(crate) fn run(arguments: Arguments, output: Output) -> Result<(), Failure> {
    let workshop = issue::Workshop { root: arguments.dir, clock: SystemClock };
    let written = match arguments.command {
        Command::Init { name, making } => workshop.init(name, making),
        Command::Agent { node, names, making } => workshop.add(Purpose::Agent(node), names, making),
        Command::Edge { name, making } => workshop.add(Purpose::Edge(name), Vec::new(), making),
        Command::Client { name, making } => workshop.add(Purpose::Client(name), Vec::new(), making),
        Command::Public { names, making } => workshop.add(Purpose::Public, names, making),
        Command::Renew { what, days } => match what {
            Renewal::Ca => workshop.renew_authority(days),
            Renewal::Agent { node, key, names } => workshop.renew(Purpose::Agent(node), names, key, days),
            Renewal::Edge { name, key } => workshop.renew(Purpose::Edge(name), Vec::new(), key, days),
            Renewal::Client { name, key } => workshop.renew(Purpose::Client(name), Vec::new(), key, days),
            Renewal::Public { key, names } => workshop.renew(Purpose::Public, names, key, days),
        },
        Command::Show { within } => return show::run(&workshop.root, &workshop.clock, within, output),
    }
    .map_err(|error| error.into_failure(&workshop.root))?;
    output.result(&written.to_json(), || written.to_text())
}
