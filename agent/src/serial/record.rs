//! What the next run of the agent needs of a port that is held: its [`spool`], and its socket, which waits
//! with the service manager where that offers it.
//!
//! ```text
//!  open ─► (joined to its log) ─► spool begun ─► socket left with the manager
//!                                                     │ the agent ends, however; the socket stays connected
//!                                                     ▼
//!                           next run: same start of the guest? connected still? ─► goes on at its offset
//!                                          │ no                     │ no
//!                                          └──────────┬─────────────┘
//!                                                     └─► dropped; opened anew, joined to its log or marked
//! ```
//!
//! A socket that waits holds what the guest says meanwhile, and nothing is lost: QEMU's side of a unix socket has room for
//! 278 bytes of a UART. When that is full QEMU does not drop the rest, it waits, and so does a guest that says more. So the
//! restart of an agent holds such a guest up, as long as it takes; systemd ends that, if the agent does not come back, by
//! giving the sockets up when the unit has failed or is stopped.
//!
//! **Offsets** go on as if nothing had happened: each byte is in the spool before it is taken out of the socket, and for
//! what was in both when the agent ended the kernel knows whether it was taken (it counts what is peeked at, until it is).
//! Where the kernel does not count (TCP before 6.9) the bytes are compared; if they are the same, the guest may have said
//! them twice, and a mark says that something may be missing.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::socket::{MsgFlags, recv};
use porthole_shared::descriptors::Descriptors;
use porthole_shared::lifecycle::chain;
use tokio::task::spawn_blocking;

use super::log;
use super::port::{Key, Port};
use super::reading::READ;
use super::source::Source;
use super::spool::{self, Left, Spool};
use crate::consoles::{Backend, SerialPort};

/// What the names of our descriptors begin with.
pub(super) const NAMES: &str = "serial-";

/// What a port's socket is called in the manager's store.
pub(super) fn name(key: Key) -> String {
    format!("{NAMES}{}-{}", key.uuid, key.index)
}

/// Where a port is written down, and which start of its guest this is.
#[derive(Debug, Clone)]
pub(super) struct Record {
    path: PathBuf,
    guest: String,
    name: String,
    descriptors: Arc<Descriptors>,
}

/// Why a socket that waited is not gone on with.
#[derive(Debug, thiserror::Error)]
enum Stale {
    #[error("it is of another start of the guest, or nothing was written down of it")]
    OtherStart,
    #[error("the port is of a sort that is opened anew")]
    Sort(#[source] std::io::Error),
    #[error("its other side is gone")]
    Gone,
    #[error("what was written down cannot be gone on with")]
    Spool(#[source] std::io::Error),
}

impl Record {
    /// Of this start of a guest.
    pub(super) async fn of(
        key: Key,
        device: &SerialPort,
        guest: (String, Option<u32>),
        folder: PathBuf,
        descriptors: Arc<Descriptors>,
    ) -> Option<Self> {
        let socket = match &device.backend {
            Backend::Unix(path) => Some(path.clone()),
            Backend::Tcp { .. } | Backend::Pty | Backend::Elsewhere => None,
        };
        let (boot, number) = guest;
        let guest = spawn_blocking(move || log::guest(&boot, number, socket.as_deref())).await.ok()?;
        let path = folder.join(format!("{}-{}.spool", key.uuid, key.index));
        Some(Self { path, guest, name: name(key), descriptors })
    }

    /// What the last run wrote down of the port.
    pub(super) fn left(&self) -> Option<Left> {
        spool::load(&self.path)
    }

    /// Whether that was while this start of the guest ran.
    pub(super) fn is_of_this_start(&self, left: &Left) -> bool {
        left.header.guest == self.guest && !left.header.ended
    }

    /// From now on the next run will know. The socket is left with the manager. `early`: so many bytes were read of it.
    pub(super) fn begin(&self, port: &Port, source: &Source, early: usize) -> Option<Spool> {
        source.count_peeked();
        let (latest, end, start) = port.latest(u64::MAX);
        match Spool::create(&self.path, self.guest.clone(), start, (&latest, end), early) {
            Ok(spool) => {
                if source.outlives() {
                    self.descriptors.keep(&self.name, source.descriptor());
                }
                Some(spool)
            }
            Err(error) => {
                tracing::warn!(?port, error = chain(&error), "cannot keep what a serial port said for the next run");
                None
            }
        }
    }

    /// Nothing of it is to be gone on with.
    pub(super) fn give_up(&self) {
        self.descriptors.give_up(&self.name);
    }

    /// Goes on with a socket that has waited, if that is to be trusted. Otherwise it is dropped.
    pub(super) fn resume(&self, port: &Port, device: &SerialPort, socket: OwnedFd) -> Option<(Source, Spool)> {
        match self.try_to_resume(port, device, socket) {
            Ok(resumed) => {
                tracing::debug!(?port, "goes on with a serial port that has waited");
                Some(resumed)
            }
            Err(error) => {
                tracing::info!(?port, error = chain(&error), "a serial port that has waited is opened anew");
                self.give_up();
                None
            }
        }
    }

    fn try_to_resume(&self, port: &Port, device: &SerialPort, socket: OwnedFd) -> Result<(Source, Spool), Stale> {
        let left = self.left().filter(|left| self.is_of_this_start(left)).ok_or(Stale::OtherStart)?;
        let source = Source::adopt(socket, device).map_err(Stale::Sort)?;
        let doubtful = settle(&source, &left)?;
        let mut spool = Spool::resume(&self.path, &left).map_err(Stale::Spool)?;
        spool.taken().map_err(Stale::Spool)?;
        port.with_history(|history, start| {
            start.clone_from(&left.header.start);
            history.skip_to(left.mark.end - left.latest.len() as u64);
            history.append(&left.latest);
            if doubtful {
                history.mark();
            }
        });
        Ok((source, spool))
    }
}

/// Takes out of a socket what was written down of it already. Whether that may have been taken before.
fn settle(source: &Source, left: &Left) -> Result<bool, Stale> {
    let (peeked, descriptor) = (source.peeked(), source.descriptor().as_raw_fd());
    source.count_peeked();
    let mut buffer = vec![0; READ];
    let waiting = match recv(descriptor, &mut buffer, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) {
        Ok(0) => return Err(Stale::Gone),
        Ok(length) => length,
        Err(nix::errno::Errno::EAGAIN) => 0,
        Err(_) => return Err(Stale::Gone),
    };
    source.count_peeked();
    let pending = usize::try_from(left.mark.end - left.mark.head).map_err(|_| Stale::OtherStart)?;
    let written = left.latest.get(left.latest.len().saturating_sub(pending)..).unwrap_or_default();
    let same = pending > 0 && waiting >= pending && buffer.get(..pending) == Some(written);
    match peeked {
        Some(0) => return Ok(false),
        // Looked at, written down and not taken; or looked at after all that was written down had been taken.
        Some(_) if pending == 0 => return Ok(false),
        Some(_) if !same => return Err(Stale::Gone),
        None if !same => return Ok(false),
        Some(_) | None => {}
    }
    source.take_out(buffer.get_mut(..pending).unwrap_or_default()).map_err(|_| Stale::Gone)?;
    Ok(peeked.is_none())
}

#[cfg(test)]
mod tests;
