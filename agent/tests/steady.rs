//! A session that goes on takes no memory for what it carries: counted on the thread that carries it, not timed.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::io::{Read, Write};
use std::net::TcpStream as StdTcpStream;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::thread;

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use porthole_agent::websocket::{Inbound, Meter, Pings, Relay, Socket};
use porthole_shared::leg::Leg;
use porthole_shared::names::ConsoleKind;
use porthole_shared::reason::Reason;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use tokio::net::{TcpListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

/// So many frames are one write of the client, and each is so long.
const FRAMES: usize = 256;
const PAYLOAD: usize = 64;

/// So many bytes are one write of the console.
const CHUNK: usize = 64 * 1024;

/// How often both write, to be measured; a tenth of that comes before.
const ROUNDS: usize = 200;

/// What `block_on` and the waiting around a session may take: not a matter of how much it carries.
const FIXED: u64 = 32;

/// The two far ends, each driven by a thread of its own, so that nothing of theirs is counted.
struct Ends<C> {
    client: C,
    console: StdUnixStream,
}

impl<C: Read + Write + Send> Ends<C> {
    /// Both write so often and read what the other wrote, in step; then the session is told.
    fn exchange(&mut self, rounds: usize, over: &Notify) {
        let Self { client, console } = self;
        let mut frame = vec![0x82, 0x80 | u8::try_from(PAYLOAD).unwrap(), 1, 2, 3, 4];
        frame.extend(vec![b'x'; PAYLOAD]);
        let (frames, chunk) = (frame.repeat(FRAMES), vec![b'y'; CHUNK]);
        let (mut up, mut down) = (vec![0; FRAMES * PAYLOAD], vec![0; 16 * 1024]);
        for _ in 0..rounds {
            client.write_all(&frames).unwrap();
            console.read_exact(&mut up).unwrap();
            thread::scope(|scope| {
                scope.spawn(|| console.write_all(&chunk).unwrap());
                // Heads come on top; how many depends on how the chunk was read.
                let mut read = 0;
                while read < CHUNK {
                    read += client.read(&mut down).unwrap();
                }
            });
        }
        over.notify_one();
    }
}

/// What the relay's thread took while both ends exchanged, after they had exchanged a little.
fn carried<C: Read + Write + Send + 'static>(runtime: &Runtime, leg: Leg, client: C) -> AllocationInfo {
    let (console, near) = StdUnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let _entered = runtime.enter();
    let hours = std::time::Duration::from_hours(1);
    let pings = Pings { interval: hours, timeout: hours };
    let socket = Socket::new(leg, Bytes::new(), None);
    let inbound = Inbound::new(ConsoleKind::Tcp, false);
    let mut relay = Relay::new(socket, UnixStream::from_std(near).unwrap(), inbound, Meter::default(), pings);
    let mut running = pin!(relay.run(std::future::pending()));
    let (warm, over) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (ended, go_on) = (Arc::clone(&warm), Arc::new(std::sync::Barrier::new(2)));
    let (last, barrier) = (Arc::clone(&over), Arc::clone(&go_on));
    let ends = thread::spawn(move || {
        let mut ends = Ends { client, console };
        ends.exchange(ROUNDS / 10, &ended);
        barrier.wait();
        ends.exchange(ROUNDS, &last);
        ends
    });
    let mut until = |notify: &Notify| {
        let reason: Option<Reason> = runtime.block_on(async {
            tokio::select! {
                reason = running.as_mut() => Some(reason),
                () = notify.notified() => None,
            }
        });
        assert_eq!(reason, None, "the session ended");
    };
    until(&warm);
    go_on.wait();
    let taken = measure(|| until(&over));
    drop(ends.join().unwrap());
    taken
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Both sides of a TCP connection: the relay's, and a client's that blocks.
fn connected(runtime: &Runtime) -> (tokio::net::TcpStream, StdTcpStream) {
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = StdTcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().await.unwrap().0, client)
    })
}

#[test]
fn messages_cost_no_allocation() {
    let runtime = runtime();
    let (near, client) = connected(&runtime);
    let taken = carried(&runtime, Leg::plain(near), client);
    let messages = FRAMES * ROUNDS;
    assert!(taken.count_total <= FIXED, "{} allocations for {messages} messages: {taken:?}", taken.count_total);
}

#[test]
fn under_tls_records_do_and_messages_do_not() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["far".to_owned()]).unwrap();
    let provider = porthole_shared::tls::provider();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let server = server.unwrap().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = Arc::new(client.with_root_certificates(roots).with_no_client_auth());

    let runtime = runtime();
    let (near, far) = connected(&runtime);
    let shaking = thread::spawn(move || {
        let connection = ClientConnection::new(client, ServerName::try_from("far").unwrap()).unwrap();
        let mut stream = StreamOwned::new(connection, far);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        stream
    });
    let near = runtime.block_on(Leg::accept(near, Arc::new(server))).unwrap();
    let taken = carried(&runtime, near, shaking.join().unwrap());
    // Records of 16 KiB, both ways, each decrypted into or encrypted to a buffer of its own by rustls, which also resizes
    // its buffer for what comes as it fills and empties.
    let bytes = ROUNDS * (CHUNK + FRAMES * (PAYLOAD + 6));
    let records = (bytes / (16 * 1024)) as u64;
    assert!(taken.count_total <= 4 * records + FIXED, "{} allocations for {records} records", taken.count_total);
}
