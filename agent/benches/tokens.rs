//! How many tokens one core makes and redeems in a second, in a database that survives SIGKILL: the use cases alone,
//! without HTTP and TLS. `make bench` pins it to a core.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use futures_util::future::try_join_all;
use porthole_agent::audit::Audit;
use porthole_agent::consoles::Consoles;
use porthole_agent::hypervisor::Hypervisor;
use porthole_agent::sessions::{self, Sessions};
use porthole_agent::store::Store;
use porthole_agent::tokens::{self, MintRequest, Parts, Policy, SigningKeys, Tokens};
use porthole_shared::clock::{Clock, SystemClock};
use porthole_shared::names::{EdgeName, NodeId};
use porthole_shared::token::Token;
use porthole_shared::tunnel::{ClientFacts, Presented};
use porthole_tests::bench::{Figure, Noise, Report};
use serde_json::json;
use tokio_util::task::TaskTracker;

const ROUNDS: usize = 5;
const PER_ROUND: usize = 4000;

/// How many are under way at once: more wait for SQLite's one writer anyway.
const TOGETHER: usize = 16;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // As a test of all targets, it is only built.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let config = sessions::Config { max: 100_000, max_per_console: 100_000, ..sessions::Config::default() };
    let store = Store::open(dir.path(), clock.now()).await?;
    let audit = Audit::open(&serde_json::from_value(json!({ "log": false }))?, dir.path(), Arc::clone(&clock)).await?;
    let external = serde_json::from_value(json!({ "networks": ["127.0.0.0/8"], "console": [
        { "uuid": "00000000-0000-4000-8000-000000000001", "name": "raw", "protocol": "tcp", "host": "127.0.0.1", "port": 1 },
    ] }))?;
    let token_config = tokens::Config::default();
    let keys = SigningKeys::open(dir.path(), &token_config, config.longest.as_seconds(), clock.now())?;
    let tokens = Tokens::new(Parts {
        node: NodeId::derived_from(&"compute-1".parse()?),
        config: token_config,
        urls: serde_json::from_value(json!({ "tcp": "https://c.example.org/tcp.html" }))?,
        lengths: (&config).into(),
        consoles: Consoles::new(Hypervisor::none(), external, &"qemu:///system".parse()?),
        keys,
        store: store.clone(),
        clock,
        audit: audit.clone(),
        tasks: TaskTracker::new(),
    });
    let live = Sessions::new(&config);

    let mut noise = Noise::before().await?;
    let (mut minted, mut redeemed) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let made = try_join_all((0..TOGETHER).map(|_| mint(&tokens))).await?.concat();
        minted.push(rate(start));
        let start = Instant::now();
        try_join_all(made.chunks(PER_ROUND / TOGETHER).map(|share| redeem(&tokens, &live, share))).await?;
        redeemed.push(rate(start));
        noise.look().await?;
    }
    let figures = vec![
        Figure::of("tokens made, with rows and audit", "/s", minted),
        Figure::of("tokens redeemed, sessions begun and ended", "/s", redeemed),
    ];
    std::io::stdout().write_all(Report { figures, noise }.table().as_bytes())?;
    store.close().await;
    audit.close().await;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn rate(start: Instant) -> f64 {
    PER_ROUND as f64 / start.elapsed().as_secs_f64()
}

async fn mint(tokens: &Tokens) -> Result<Vec<Token>> {
    let mut made = Vec::new();
    for _ in 0..PER_ROUND / TOGETHER {
        let request = MintRequest {
            console: "raw".to_owned(),
            kind: None,
            index: 0,
            policy: Some(Policy::Once),
            ttl: None,
            grace: None,
            rights: tokens::RightsWanted::default(),
            requestor: None,
            minted_by: None,
        };
        made.push(tokens.mint(request).await.context("a mint")?.token);
    }
    Ok(made)
}

/// Up to the `101`, and the end.
async fn redeem(tokens: &Tokens, sessions: &Sessions, share: &[Token]) -> Result<()> {
    let edge: EdgeName = "edge-1".parse()?;
    let edge_instance = "00000000-0000-4000-8000-00000000ed9e".parse()?;
    let client = ClientFacts { address: "192.0.2.7:40000".parse()?, tls: None, edge_instance };
    for token in share {
        let presented = Presented { token: token.clone(), binding: None, client: client.clone() };
        let refused = |reason| anyhow!("refused: {reason}");
        let examined = tokens.examine(&presented).await.map_err(refused)?;
        let place = sessions.reserve(&examined, &client, &edge).map_err(refused)?;
        let redeemed = tokens.redeem(&examined, &client, &edge).await.map_err(refused)?;
        drop(sessions.begin(place, redeemed));
    }
    Ok(())
}
