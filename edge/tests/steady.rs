//! A session that goes on takes no memory for what it carries: counted on the thread that carries it, not timed.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream as StdTcpStream;
use std::pin::pin;
use std::sync::{Arc, Barrier};
use std::thread;

use allocation_counter::measure;
use bytes::Bytes;
use porthole_edge::relay::{Counters, Relay, Summary};
use porthole_shared::leg::Leg;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// So many bytes are one write.
const CHUNK: usize = 16 * 1024;

/// How often both sides write, to be measured; a tenth of that comes before.
const ROUNDS: usize = 2000;

/// What `block_on` and the waiting around a session may take: not a matter of how much it carries.
const FIXED: u64 = 32;

/// Both sides write so often, and read what the other wrote, in step.
fn exchange(sides: &mut [StdTcpStream; 2], rounds: usize, over: &Notify) {
    let (sent, mut got) = (vec![b'x'; CHUNK], vec![0; CHUNK]);
    let [client, agent] = sides;
    for _ in 0..rounds {
        client.write_all(&sent).unwrap();
        agent.read_exact(&mut got).unwrap();
        agent.write_all(&sent).unwrap();
        client.read_exact(&mut got).unwrap();
    }
    over.notify_one();
}

fn connected(runtime: &Runtime) -> (tokio::net::TcpStream, StdTcpStream) {
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = StdTcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().await.unwrap().0, far)
    })
}

#[test]
fn bytes_cost_no_allocation() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let ((near_client, client), (near_agent, agent)) = (connected(&runtime), connected(&runtime));
    let (counters, stop) = (Counters::default(), CancellationToken::new());
    let (client_leg, agent_leg) = (Leg::plain(near_client), Leg::plain(near_agent));
    let mut relay = Relay::between(client_leg, Bytes::new(), agent_leg, Bytes::new());
    let mut running = pin!(relay.run(&counters, &stop));
    let (warm, over, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Barrier::new(2)));
    let (ended, last, barrier) = (Arc::clone(&warm), Arc::clone(&over), Arc::clone(&go_on));
    let ends = thread::spawn(move || {
        let mut sides = [client, agent];
        exchange(&mut sides, ROUNDS / 10, &ended);
        barrier.wait();
        exchange(&mut sides, ROUNDS, &last);
        sides
    });
    let mut until = |notify: &Notify| {
        let over: Option<Summary> = runtime.block_on(async {
            tokio::select! {
                summary = running.as_mut() => Some(summary),
                () = notify.notified() => None,
            }
        });
        assert_eq!(over, None, "the session ended");
    };
    until(&warm);
    go_on.wait();
    let taken = measure(|| until(&over));
    drop(ends.join().unwrap());
    assert!(taken.count_total <= FIXED, "{} allocations for {ROUNDS} exchanges: {taken:?}", taken.count_total);
    assert_eq!(counters.to_agent(), ((ROUNDS + ROUNDS / 10) * CHUNK) as u64);
}
