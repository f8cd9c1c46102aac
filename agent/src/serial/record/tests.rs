use super::*;
use crate::serial::history::{Budget, CHUNK, History, Sizes};
use crate::serial::port::About;
use porthole_shared::clock::SystemClock;
use porthole_shared::names::ConsoleUuid;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use tempfile::TempDir;

/// When the agent is killed: after it has peeked at some bytes, written them down, taken them, noted that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Killed {
    Before,
    Peeked,
    Written,
    Taken,
    Noted,
}

const MOMENTS: [Killed; 5] = [Killed::Before, Killed::Peeked, Killed::Written, Killed::Taken, Killed::Noted];

struct World {
    folder: TempDir,
    qemu: UnixStream,
    /// The manager's copy.
    kept: UnixStream,
}

fn device() -> SerialPort {
    SerialPort { backend: Backend::Unix("/nowhere".into()), ..SerialPort::default() }
}

fn port() -> Arc<Port> {
    let about = About {
        key: Key { uuid: ConsoleUuid::random(), index: 0 },
        number: Some(1),
        can_break: false,
        keep: true,
        start: "new".to_owned(),
        history: History::new(Sizes { head: 0, tail: 64 * CHUNK }, Budget::of(64 * CHUNK)),
        most_watchers: 8,
    };
    Port::new(about, Arc::new(SystemClock)).0
}

impl World {
    fn new() -> Self {
        let (qemu, kept) = UnixStream::pair().unwrap();
        Self { folder: tempfile::tempdir().unwrap(), qemu, kept }
    }

    fn record(&self, guest: &str) -> Record {
        Record {
            path: self.folder.path().join("spool"),
            guest: guest.to_owned(),
            name: "serial-x".to_owned(),
            descriptors: Arc::default(),
        }
    }

    fn waited(&self) -> OwnedFd {
        self.kept.try_clone().unwrap().into()
    }

    /// An agent that has taken some bytes before, takes more, and is killed at that.
    fn run(&mut self, before: &[u8], more: &[u8], killed: Killed, counted: bool) {
        let (source, port) = (Source::adopt(self.waited(), &device()).unwrap(), port());
        let mut spool = self.record("g").begin(&port, &source, 0).unwrap();
        if !counted {
            source.forget_peeked();
        }
        for (bytes, killed) in [(before, Killed::Noted), (more, killed)] {
            self.qemu.write_all(bytes).unwrap();
            let (descriptor, mut buffer) = (source.descriptor().as_raw_fd(), vec![0; READ]);
            if killed >= Killed::Peeked {
                assert_eq!(recv(descriptor, &mut buffer, MsgFlags::MSG_PEEK), Ok(bytes.len()));
            }
            if killed >= Killed::Written {
                spool.append(bytes).unwrap();
            }
            if killed >= Killed::Taken {
                assert_eq!(recv(descriptor, &mut buffer[..bytes.len()], MsgFlags::empty()), Ok(bytes.len()));
            }
            if killed >= Killed::Noted {
                spool.taken().unwrap();
            }
        }
    }

    /// All that the next run knows, and whether something may be missing.
    fn resumed(&mut self) -> Option<(Vec<u8>, bool)> {
        let port = port();
        let (source, _spool) = self.record("g").resume(&port, &device(), self.waited())?;
        let (latest, end, start) = port.latest(u64::MAX);
        let marked = port.with_history(|history, _| {
            history.at(crate::serial::history::Cursor::at(end)) == crate::serial::history::Piece::Lost
        });
        assert_eq!(start, "new");
        let mut buffer = vec![0; READ];
        let waiting = recv(source.descriptor().as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT).unwrap_or(0);
        // What comes before a mark is not the latest any more.
        let known = if marked { Vec::new() } else { latest };
        Some(([known, buffer[..waiting].to_vec()].concat(), marked))
    }
}

#[tokio::test]
async fn whenever_the_agent_is_killed_each_byte_is_there_once() {
    for killed in MOMENTS {
        for more in [b"more".as_slice(), b"before", b"e"] {
            let mut world = World::new();
            world.run(b"before", more, killed, true);
            world.qemu.write_all(b"while away").unwrap();
            let whole = [b"before", more, b"while away"].concat();
            assert_eq!(world.resumed(), Some((whole, false)), "{killed:?} {more:?}");
        }
    }
}

#[tokio::test]
async fn where_the_kernel_does_not_count_bytes_are_compared_and_doubts_are_told() {
    for killed in MOMENTS {
        let mut world = World::new();
        world.run(b"before", b"more", killed, false);
        world.qemu.write_all(b"while away").unwrap();
        let resumed = world.resumed().unwrap();
        if killed == Killed::Written {
            assert_eq!(resumed, (b"while away".to_vec(), true), "the same may have been said again");
        } else {
            assert_eq!(resumed, (b"beforemorewhile away".to_vec(), false), "{killed:?}");
        }
    }
}

#[tokio::test]
async fn a_socket_of_another_start_or_without_another_side_is_dropped() {
    let mut world = World::new();
    world.run(b"before", b"more", Killed::Noted, true);
    assert!(world.record("another").resume(&port(), &device(), world.waited()).is_none());
    let telnet = Backend::Tcp { host: String::new(), port: 1, telnet: true };
    let telnet = SerialPort { backend: telnet, ..device() };
    assert!(world.record("g").resume(&port(), &telnet, world.waited()).is_none());
    drop(world.qemu.shutdown(std::net::Shutdown::Both));
    assert!(world.resumed().is_none());
    let mut unknown = World::new();
    assert!(unknown.resumed().is_none(), "nothing was written down");
}
