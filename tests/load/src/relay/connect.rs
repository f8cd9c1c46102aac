//! Processor time for a new connection, from TCP to the `101`, and how many there are in a second.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use futures_util::future::try_join_all;
use rustls::client::Resumption;

use super::{EDGE, HAPROXY, TLS_FLOOR, cost, of};
use crate::backend::Manner;
use crate::client::Client;
use crate::compare::Results;
use crate::contender::{Contender, Key, Rig};

/// How many connections are made in a round, and by how many at once.
const CONNECTIONS: u32 = 400;
const AT_ONCE: u32 = 4;

const CONTENDERS: [&str; 4] = [EDGE, HAPROXY, "nginx", TLS_FLOOR];

pub(super) async fn round(rig: &Rig, results: &mut Results) -> Result<()> {
    for (key, called) in [(Key::Ecdsa, "ECDSA"), (Key::Rsa, "RSA")] {
        for (resumed, how) in [(false, "full"), (true, "resumed")] {
            for name in CONTENDERS {
                let contender = rig.contender(name, key)?;
                let (each, rate) = of(contender, connect(rig, contender, resumed).await)?;
                results.add(format!("a new connection, {called}, {how}"), "CPU ms", name, each);
                results.add(format!("connections, {called}, {how}"), "a second", name, rate);
            }
        }
    }
    Ok(())
}

/// Gives processor milliseconds for each, and how many there were in a second.
async fn connect(rig: &Rig, contender: &Contender, resumed: bool) -> Result<(f64, f64)> {
    let lane = &rig.lanes[0];
    let idle = Manner::Idle { interval: None };
    lane.be(&idle, &idle);
    let mut client = contender.clients[0].clone();
    if resumed {
        resume(&mut client);
    }
    let began = Instant::now();
    let (took, spent) = cost(
        contender,
        lane.run(async move {
            // The first of each brings a ticket.
            let callers = (0..AT_ONCE).map(|_| async {
                for _ in 0..CONNECTIONS / AT_ONCE {
                    drop(client.open().await?);
                }
                anyhow::Ok(())
            });
            try_join_all(callers).await?;
            Ok(began.elapsed())
        }),
    )
    .await?;
    let each = spent.as_secs_f64() * 1e3 / f64::from(CONNECTIONS);
    Ok((each, f64::from(CONNECTIONS) / took.as_secs_f64()))
}

fn resume(client: &mut Client) {
    if let Some((config, _)) = &mut client.tls {
        let mut resuming = rustls::ClientConfig::clone(config);
        resuming.resumption = Resumption::in_memory_sessions(16);
        *config = Arc::new(resuming);
    }
}
