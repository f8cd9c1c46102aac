//! A serial port's bytes, wherever the emulator has them: a unix socket, a TCP port with or without telnet, a pseudo
//! terminal by way of libvirt.

use std::io;
use std::path::Path;

use porthole_shared::names::ConsoleUuid;
use porthole_shared::reason::Reason;
use tokio::io::{ReadHalf, WriteHalf, split};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Duration, Instant, sleep, timeout_at};

use super::telnet;
use crate::consoles::open::ConsoleStream;
use crate::consoles::{Backend, SerialPort};
use crate::hypervisor::{Hypervisor, OpenConsoleError};
use crate::tcp;

/// Between two attempts to connect where others wait.
const FULL: Duration = Duration::from_millis(10);

/// A port's bytes, opened.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) reader: ReadHalf<ConsoleStream>,
    pub(super) writer: WriteHalf<ConsoleStream>,
    /// Where the port speaks telnet.
    pub(super) telnet: Option<Box<telnet::Decoder>>,
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
    let speaks_telnet = matches!(port.backend, Backend::Tcp { telnet: true, .. });
    let (reader, writer) = split(stream);
    Ok(Source { reader, writer, telnet: speaks_telnet.then(Box::default) })
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
