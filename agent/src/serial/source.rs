//! A serial port's bytes, wherever the emulator has them: a unix socket, a TCP port with or without telnet, a pseudo
//! terminal by way of libvirt.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::sys::socket::sockopt::{GetStruct, SetStruct, SockType};
use nix::sys::socket::{MsgFlags, getsockopt, recv, setsockopt};
use nix::{getsockopt_impl, setsockopt_impl};
use porthole_shared::names::ConsoleUuid;
use porthole_shared::reason::Reason;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Duration, Instant, sleep, timeout_at};

use super::telnet;
use crate::consoles::open::ConsoleStream;
use crate::consoles::{Backend, SerialPort};
use crate::hypervisor::{Hypervisor, OpenConsoleError};
use crate::tcp;

/// Between two attempts to connect where others wait.
const FULL: Duration = Duration::from_millis(10);

/// How many bytes of a socket were peeked at and not taken; the next peek begins behind them. The kernel keeps count (of
/// unix sockets; of TCP since 6.9), whatever becomes of the process. Below 0 it does not, and each peek begins at the first
/// byte.
#[derive(Debug, Clone, Copy)]
struct PeekOff;

getsockopt_impl!(PeekOff, libc::SOL_SOCKET, libc::SO_PEEK_OFF, i32, GetStruct<i32>);
setsockopt_impl!(PeekOff, libc::SOL_SOCKET, libc::SO_PEEK_OFF, i32, SetStruct<i32>);

/// A port's bytes, opened.
#[derive(Debug)]
pub(super) struct Source {
    stream: ConsoleStream,
    /// Where the port speaks telnet.
    pub(super) telnet: Option<Box<telnet::Decoder>>,
}

impl Source {
    fn new(stream: ConsoleStream, port: &SerialPort) -> Self {
        let speaks_telnet = matches!(port.backend, Backend::Tcp { telnet: true, .. });
        Self { stream, telnet: speaks_telnet.then(Box::default) }
    }

    /// One that was opened by an earlier run of the agent.
    pub(super) fn adopt(socket: OwnedFd, port: &SerialPort) -> io::Result<Self> {
        // It must be such a socket; nothing else has these.
        getsockopt(&socket, SockType)?;
        let stream = match &port.backend {
            Backend::Unix(_) => ConsoleStream::adopt(socket)?,
            Backend::Tcp { telnet: false, .. } => {
                let stream = std::net::TcpStream::from(socket);
                stream.set_nonblocking(true)?;
                ConsoleStream::Tcp(TcpStream::from_std(stream)?)
            }
            // What was read of a command is not known any more; a pseudo terminal is libvirt's.
            Backend::Tcp { telnet: true, .. } | Backend::Pty | Backend::Elsewhere => {
                return Err(io::ErrorKind::Unsupported.into());
            }
        };
        Ok(Self::new(stream, port))
    }

    /// Whether a later run of the agent may go on with it.
    pub(super) const fn outlives(&self) -> bool {
        self.telnet.is_none()
    }

    /// Its descriptor.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.stream {
            ConsoleStream::Unix(stream) => stream.as_fd(),
            ConsoleStream::Tcp(stream) => stream.as_fd(),
        }
    }

    /// Waits until there is something to read.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.stream {
            ConsoleStream::Unix(stream) => stream.poll_read_ready(cx),
            ConsoleStream::Tcp(stream) => stream.poll_read_ready(cx),
        }
    }

    /// As [`Self::poll_readable`].
    pub(super) async fn readable(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_readable(cx)).await
    }

    /// Takes bytes out of the socket; 0 is its end.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.stream {
            ConsoleStream::Unix(stream) => stream.try_read(buffer),
            ConsoleStream::Tcp(stream) => stream.try_read(buffer),
        }
    }

    /// Looks at the next bytes without taking them; 0 is its end.
    pub(super) fn try_peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let socket = self.descriptor().as_raw_fd();
        let peek = || Ok(recv(socket, buffer, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)?);
        match &self.stream {
            ConsoleStream::Unix(stream) => stream.try_io(Interest::READABLE, peek),
            ConsoleStream::Tcp(stream) => stream.try_io(Interest::READABLE, peek),
        }
    }

    /// Takes bytes out of the socket that are known to be there.
    pub(super) fn take_out(&self, mut bytes: &mut [u8]) -> io::Result<()> {
        let socket = self.descriptor().as_raw_fd();
        while !bytes.is_empty() {
            match recv(socket, bytes, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => bytes = bytes.get_mut(length..).unwrap_or_default(),
                // To be waited for is what is not there.
                Err(Errno::EAGAIN) => return Err(io::ErrorKind::InvalidData.into()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// How many bytes were peeked at and not taken, where the kernel counts them.
    pub(super) fn peeked(&self) -> Option<u64> {
        getsockopt(&self.descriptor(), PeekOff).ok().and_then(|peeked| u64::try_from(peeked).ok())
    }

    /// From now on the kernel counts what is peeked at, if it does that; from the first byte.
    pub(super) fn count_peeked(&self) {
        // Where it does not, `peeked` says so.
        let _known = setsockopt(&self.descriptor(), PeekOff, &0);
    }

    /// Writes what finds room, once some does.
    pub(super) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let written = match &self.stream {
                ConsoleStream::Unix(stream) => {
                    stream.writable().await?;
                    stream.try_write(bytes)
                }
                ConsoleStream::Tcp(stream) => {
                    stream.writable().await?;
                    stream.try_write(bytes)
                }
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written,
            }
        }
    }
}

/// A port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// It goes somewhere else than to a console.
    #[error("the port is no console: it leads to a file, a device or a connection of the emulator's own")]
    NoConsole,
    /// libvirt is elsewhere, and so is the port.
    #[error("libvirt is not on this host, and the port listens where only that host reaches it")]
    OutOfReach,
    /// It does not take a connection.
    #[error("cannot connect to {to}")]
    Connect {
        /// Where.
        to: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// libvirt does not open it.
    #[error("libvirt does not open the port")]
    Console(#[from] OpenConsoleError),
}

impl SourceError {
    /// What a client is told.
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::NoConsole | Self::OutOfReach => Reason::Unsupported,
            Self::Connect { .. } => Reason::Unreachable,
            Self::Console(error) => error.reason(),
        }
    }
}

/// Opens it, until `deadline`. A pseudo terminal that somebody else has open is taken from them only by `force`.
pub(super) async fn open(
    hypervisor: &Hypervisor,
    uuid: ConsoleUuid,
    port: &SerialPort,
    force: bool,
    deadline: Instant,
) -> Result<Source, SourceError> {
    // libvirt's own streams go over a network too.
    if !hypervisor.is_local() && port.backend != Backend::Pty {
        return Err(SourceError::OutOfReach);
    }
    let stream = match &port.backend {
        Backend::Elsewhere => return Err(SourceError::NoConsole),
        Backend::Unix(path) => {
            let connected = within(deadline, connect(path)).await;
            ConsoleStream::Unix(connected.map_err(|source| at(path.display(), source))?)
        }
        Backend::Tcp { host, port, .. } => {
            let connecting = within(deadline, TcpStream::connect((reached(host), *port)));
            let stream = connecting.await.and_then(|stream| tcp::tune(&stream).map(|()| stream));
            ConsoleStream::Tcp(stream.map_err(|source| at(format_args!("{host}:{port}"), source))?)
        }
        Backend::Pty => {
            let socket = hypervisor.open_console(uuid, port.alias.clone(), force).await?;
            ConsoleStream::adopt(socket).map_err(|source| at("libvirt's stream", source))?
        }
    };
    Ok(Source::new(stream, port))
}

/// The emulator takes one client at a time, and hardly any may wait: whoever has just left is seen off first.
async fn connect(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(FULL).await,
            connected => return connected,
        }
    }
}

/// Who listens on all addresses is reached by loopback.
fn reached(host: &str) -> &str {
    match host {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    }
}

async fn within<T>(deadline: Instant, connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout_at(deadline, connecting).await.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
}

fn at(to: impl std::fmt::Display, source: io::Error) -> SourceError {
    SourceError::Connect { to: to.to_string(), source }
}

#[cfg(test)]
impl Source {
    /// As on a kernel that does not count what is peeked at.
    pub(super) fn forget_peeked(&self) {
        setsockopt(&self.descriptor(), PeekOff, &-1).unwrap();
    }
}
