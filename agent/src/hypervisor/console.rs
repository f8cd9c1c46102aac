//! A console that only libvirt can open, as a socket: two threads carry its bytes for as long as either end lives.
//!
//! So whoever has the socket needs nothing of libvirt, and neither its calls nor its callbacks meet the runtime's threads.

use std::ffi::CString;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use porthole_shared::names::ConsoleUuid;
use virt::connect::Connect;
use virt::error::Error;

use super::ffi::Stream;

/// How much is carried at once.
const BUFFER: usize = 16 * 1024;

/// A console was not opened.
#[derive(Debug)]
pub(super) enum OpenFailure {
    /// libvirt refused.
    Libvirt(Error),
    /// The system did.
    System(io::Error),
}

/// Opens the console of this device, or the first. `force` ends whoever else has it open.
pub(super) fn open(
    libvirt: &Connect,
    uuid: ConsoleUuid,
    device: Option<&str>,
    force: bool,
) -> Result<OwnedFd, OpenFailure> {
    let domain = libvirt.lookup_domain_by_uuid(uuid.uuid()).map_err(OpenFailure::Libvirt)?;
    let device = device.map(CString::new).transpose().map_err(|error| OpenFailure::System(error.into()))?;
    let stream = Stream::open_console(libvirt, &domain, device.as_deref(), force).map_err(OpenFailure::Libvirt)?;
    let stream = Arc::new(stream);
    let (inside, outside) = UnixStream::pair().map_err(OpenFailure::System)?;
    let other_end = inside.try_clone().map_err(OpenFailure::System)?;
    let receiving = Arc::clone(&stream);
    thread::Builder::new()
        .name("console-out".to_owned())
        .spawn(move || receive(&receiving, &inside))
        .map_err(OpenFailure::System)?;
    // If this one does not start, the closed socket ends the first.
    thread::Builder::new()
        .name("console-in".to_owned())
        .spawn(move || send(&stream, &other_end))
        .map_err(OpenFailure::System)?;
    Ok(outside.into())
}

fn receive(stream: &Stream, mut socket: &UnixStream) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(length) = stream.receive(&mut buffer) {
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() || socket.write_all(bytes).is_err() {
            break;
        }
    }
    // Wakes the other thread; fails where the other end is gone already.
    drop(socket.shutdown(Shutdown::Both));
}

fn send(stream: &Stream, mut socket: &UnixStream) {
    let mut buffer = vec![0; BUFFER];
    'reading: while let Ok(length) = socket.read(&mut buffer) {
        let mut rest = buffer.get(..length).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        while !rest.is_empty() {
            match stream.send(rest) {
                Ok(0) | Err(_) => break 'reading,
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
            }
        }
    }
    stream.close();
    drop(socket.shutdown(Shutdown::Both));
}
