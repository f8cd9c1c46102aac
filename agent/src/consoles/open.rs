//! Opening a console's byte stream, under one deadline for all it takes: asking libvirt, name servers and the console.
//!
//! | endpoint | is opened by |
//! |---|---|
//! | [`Endpoint::GraphicsFd`] | libvirt: a descriptor, past the console's password |
//! | [`Endpoint::Tcp`] | connecting to an address that the name resolved to *and* that is within the networks |
//!
//! **Invariant**: what is connected to is the very address that was judged. A name is resolved once; an answer that
//! changes between the judgement and the connection (DNS rebinding) changes nothing.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use porthole_shared::config::HostPort;
use porthole_shared::names::ConsoleId;
use porthole_shared::reason::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use super::{Consoles, Endpoint, Networks, ResolveError};
use crate::hypervisor::{Hypervisor, OpenGraphicsError};
use crate::tcp;

/// The most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// A console's bytes, both ways. Each direction is a plain socket's: unbuffered, and readiness is the kernel's.
#[derive(Debug)]
pub enum ConsoleStream {
    /// A descriptor from libvirt.
    Unix(UnixStream),
    /// Over a network.
    Tcp(TcpStream),
}

/// A console cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not known where it is.
    #[error("cannot tell where the console is")]
    Resolve(#[from] ResolveError),
    /// libvirt does not open it.
    #[error("libvirt does not open the console")]
    Graphics(#[from] OpenGraphicsError),
    /// What libvirt opened cannot be used.
    #[error("the console's descriptor is no usable socket")]
    Descriptor(#[source] io::Error),
    /// Its host's name cannot be resolved.
    #[error("cannot resolve {}", address.host())]
    Name {
        /// Where the console should be.
        address: HostPort,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its host is not where consoles may be.
    #[error("{address} resolves to {}, which is in none of [external] networks", list(resolved))]
    Forbidden {
        /// Where the console should be.
        address: HostPort,
        /// What that resolved to.
        resolved: Vec<SocketAddr>,
    },
    /// It does not accept a connection.
    #[error("cannot connect to {to}")]
    Connect {
        /// The last address that was tried.
        to: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It took too long.
    #[error("the console was not open in time")]
    Deadline,
}

impl OpenError {
    /// What the client is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Resolve(error) => error.reason(),
            Self::Graphics(error) => error.reason(),
            Self::Descriptor(_) => Reason::Internal,
            Self::Name { .. } | Self::Forbidden { .. } | Self::Connect { .. } | Self::Deadline => Reason::Unreachable,
        }
    }
}

/// Opens a console's byte stream until `deadline`, or says why not.
pub async fn open(consoles: &Consoles, id: &ConsoleId, deadline: Instant) -> Result<ConsoleStream, OpenError> {
    let opening = async {
        let endpoint = consoles.console(id).await?.endpoint;
        reach(consoles.hypervisor(), endpoint, deadline).await
    };
    timeout_at(deadline, opening).await.unwrap_or(Err(OpenError::Deadline))
}

async fn reach(hypervisor: &Hypervisor, endpoint: Endpoint, deadline: Instant) -> Result<ConsoleStream, OpenError> {
    match endpoint {
        Endpoint::GraphicsFd { uuid, position } => {
            let socket = hypervisor.open_graphics(uuid, position).await?;
            ConsoleStream::adopt(socket).map_err(OpenError::Descriptor)
        }
        Endpoint::Tcp { address, within } => connect(&address, &within, deadline).await,
    }
}

async fn connect(address: &HostPort, within: &Networks, deadline: Instant) -> Result<ConsoleStream, OpenError> {
    let resolved: Vec<SocketAddr> = lookup_host((address.host(), address.port()))
        .await
        .map_err(|source| OpenError::Name { address: address.clone(), source })?
        .take(MAX_ADDRESSES)
        .collect();
    let allowed: Vec<SocketAddr> = resolved.iter().copied().filter(|to| within.allow(to.ip())).collect();
    let mut failure = OpenError::Forbidden { address: address.clone(), resolved };
    for (tried, to) in (0_u32..).zip(&allowed) {
        // An address that does not answer leaves the others their share of the time.
        let others = u32::try_from(allowed.len()).unwrap_or(u32::MAX).saturating_sub(tried).max(1);
        let until = Instant::now() + deadline.saturating_duration_since(Instant::now()) / others;
        let connected = timeout_at(until, TcpStream::connect(to)).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
        match connected.and_then(|stream| tcp::tune(&stream).map(|()| stream)) {
            Ok(stream) => return Ok(ConsoleStream::Tcp(stream)),
            Err(source) => failure = OpenError::Connect { to: *to, source },
        }
    }
    Err(failure)
}

fn list(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    if texts.is_empty() { "nothing".to_owned() } else { texts.join(", ") }
}

impl ConsoleStream {
    /// A socket that libvirt handed out.
    pub(crate) fn adopt(socket: OwnedFd) -> io::Result<Self> {
        let stream = StdUnixStream::from(socket);
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream).map(Self::Unix)
    }
}

impl AsyncRead for ConsoleStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for ConsoleStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
