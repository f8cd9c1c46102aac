//! Processor time for bytes in bulk: several sessions at once move as much as they can.

use std::sync::Arc;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;

use super::{AGENT, BOTH, EDGE, HAPROXY, TCP_FLOOR, TLS_FLOOR, WEBSOCKIFY, cost, of};
use crate::backend::Manner;
use crate::compare::Results;
use crate::contender::{Contender, Far, Key, Rig};
use crate::frames::{Block, From};

/// How many sessions move bytes at once.
const SESSIONS: u64 = 4;

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
const MIB: u64 = 1 << 20;
const UNIT: &str = "CPU s/GiB";

/// Frames of these sizes, and how that is called.
const SIZES: [(usize, &str); 3] = [(16 * 1024, "16 KiB"), (1024, "1 KiB"), (64, "64 B")];

/// Those who pass frames on as they are.
const OPAQUE: [&str; 5] = [EDGE, HAPROXY, "nginx", TLS_FLOOR, TCP_FLOOR];

/// Those who make frames and take them apart.
const FRAMING: [&str; 3] = [AGENT, WEBSOCKIFY, BOTH];

pub(super) async fn round(rig: &Rig, results: &mut Results) -> Result<()> {
    for (size, called) in SIZES {
        for name in OPAQUE {
            let contender = rig.contender(name, Key::Ecdsa)?;
            let spent = of(contender, down(rig, contender, Block::of(size, From::Server), 512 * MIB).await)?;
            results.add(format!("down, frames of {called}"), UNIT, name, spent);
        }
    }
    for name in FRAMING {
        let contender = rig.contender(name, Key::Ecdsa)?;
        let spent = of(contender, down(rig, contender, Block::raw(), 512 * MIB).await)?;
        results.add("down, as the console sends", UNIT, name, spent);
    }
    for (size, called) in SIZES {
        for name in OPAQUE {
            let contender = rig.contender(name, Key::Ecdsa)?;
            let spent = of(contender, up(rig, contender, Block::of(size, From::Client), 512 * MIB).await)?;
            results.add(format!("up, frames of {called}"), UNIT, name, spent);
        }
        for name in FRAMING {
            let contender = rig.contender(name, Key::Ecdsa)?;
            // Minutes otherwise.
            let total = match (name, size) {
                (WEBSOCKIFY, ..1024) => 4 * MIB,
                (WEBSOCKIFY, _) => 64 * MIB,
                _ => 256 * MIB,
            };
            let spent = of(contender, up(rig, contender, Block::of(size, From::Client), total).await)?;
            results.add(format!("up to a console, frames of {called}"), UNIT, name, spent);
        }
    }
    Ok(())
}

/// From the far end to the client: at least so many bytes. Gives processor seconds per GiB.
async fn down(rig: &Rig, contender: &Contender, block: Block, total: u64) -> Result<f64> {
    let lane = &rig.lanes[0];
    let length = block.bytes.len() as u64;
    let each = (total / SESSIONS).div_ceil(length) * length;
    let flood = Manner::Flood { block: Arc::new(block), total: each };
    lane.be(&flood, &flood);
    let client = contender.clients[0].clone();
    let moving = lane.run(async move {
        let sessions = (0..SESSIONS).map(|_| async {
            let mut wire = client.open().await?;
            wire.receive_bytes(each).await
        });
        Ok(try_join_all(sessions).await?.iter().sum::<u64>())
    });
    let (received, spent) = cost(contender, moving).await?;
    // Those who frame add their headers.
    let sent = each * SESSIONS;
    let exact = contender.name == TCP_FLOOR || contender.far == Far::Tunnel;
    ensure!(if exact { received == sent } else { received >= sent }, "{received} bytes came of {sent}");
    Ok(per_gib(spent.as_secs_f64(), sent))
}

/// From the client to the far end, at least so many bytes of frames, which that end confirms.
async fn up(rig: &Rig, contender: &Contender, block: Block, total: u64) -> Result<f64> {
    let lane = &rig.lanes[0];
    let blocks = (total / SESSIONS).div_ceil(block.bytes.len() as u64);
    let arriving = match contender.far {
        Far::Console if contender.name != TCP_FLOOR => block.payload,
        Far::Console | Far::Tunnel => block.bytes.len(),
    };
    let sink = Manner::Sink { total: blocks * arriving as u64 };
    lane.be(&sink, &sink);
    let (client, block) = (contender.clients[0].clone(), Arc::new(block));
    let sent = blocks * block.bytes.len() as u64 * SESSIONS;
    let moving = lane.run(async move {
        let sessions = (0..SESSIONS).map(|_| async {
            let mut wire = client.open().await?;
            for _ in 0..blocks {
                wire.send(&block.bytes).await?;
            }
            // The far end's word that all of it came.
            wire.receive_bytes(1).await
        });
        try_join_all(sessions).await
    });
    let (_confirmed, spent) = cost(contender, moving).await?;
    Ok(per_gib(spent.as_secs_f64(), sent))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn per_gib(seconds: f64, bytes: u64) -> f64 {
    seconds * GIB / bytes as f64
}
