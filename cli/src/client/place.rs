//! Where the agent is: at its unix socket, or at an address on the network, by TLS and never without.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderValue;
use porthole_shared::config::{HostPort, InvalidHostPort};
use porthole_shared::tls::{TlsError, load_certificates, load_key, load_roots, provider};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::args::Network;

/// The longest file of a token.
const LONGEST_TOKEN_FILE: u64 = 4096;

/// Where it is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// At this socket.
    Socket(PathBuf),
    /// At this address.
    Network(Box<Remote>),
}

/// An address, how it is recognised, and what shows it who asks.
#[derive(Clone)]
pub(crate) struct Remote {
    address: HostPort,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    authorization: Option<HeaderValue>,
}

/// The command line does not say how to reach an agent on the network.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// No such URL.
    #[error("{url:?} is no agent's URL: write https://HOST:PORT, such as https://compute-1.example.org:6092")]
    Url {
        /// What was given.
        url: String,
        /// What of it is wrong, beyond its form.
        #[source]
        source: Option<InvalidHostPort>,
    },
    /// Nobody says whom to believe.
    #[error("--url needs --ca: the certificates (PEM) that the agent's must chain to")]
    NoCa,
    /// Half of a certificate.
    #[error("--cert and --key go together")]
    HalfIdentity,
    /// Nothing shows who asks.
    #[error("--url needs --token-file, or --cert and --key: they show the agent who you are")]
    Nobody,
    /// A PEM file cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The file of the token cannot be read.
    #[error("cannot read {}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no token in it.
    #[error("{} holds no API token: it should be one line that begins with pth_", path.display())]
    NotAToken {
        /// The file.
        path: PathBuf,
    },
}

impl Place {
    /// The agent on the network, where one is given; else the one at the socket.
    pub(crate) fn of(socket: PathBuf, network: &Network) -> Result<Self, PlaceError> {
        match &network.url {
            None => Ok(Self::Socket(socket)),
            Some(url) => Remote::at(url, network).map(|remote| Self::Network(Box::new(remote))),
        }
    }

    /// What `Host` says.
    pub(crate) fn host(&self) -> String {
        match self {
            Self::Socket(_) => "localhost".to_owned(),
            Self::Network(remote) => remote.address.to_string(),
        }
    }

    /// What `Authorization` says, if anything.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        match self {
            Self::Socket(_) => None,
            Self::Network(remote) => remote.authorization.as_ref(),
        }
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Self::Network(remote) => {
                let stream = TcpStream::connect((remote.address.host(), remote.address.port())).await?;
                stream.set_nodelay(true)?;
                Box::new(TlsConnector::from(Arc::clone(&remote.tls)).connect(remote.name.clone(), stream).await?)
            }
        })
    }
}

/// A byte stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Remote {
    fn at(url: &str, network: &Network) -> Result<Self, PlaceError> {
        let malformed = |source| PlaceError::Url { url: url.to_owned(), source };
        let rest = url.strip_prefix("https://").ok_or_else(|| malformed(None))?;
        let address: HostPort =
            rest.strip_suffix('/').unwrap_or(rest).parse().map_err(|error| malformed(Some(error)))?;
        let name = ServerName::try_from(address.host().to_owned()).map_err(|_| malformed(None))?;
        let ca = network.ca.as_deref().ok_or(PlaceError::NoCa)?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Config)?
            .with_root_certificates(load_roots(ca)?);
        let authorization = network.token_file.as_deref().map(bearer).transpose()?;
        let mut tls = match (&network.cert, &network.key) {
            (Some(certificate), Some(key)) => builder
                .with_client_auth_cert(load_certificates(certificate)?, load_key(key)?)
                .map_err(|source| TlsError::Mismatch { certificate: certificate.clone(), key: key.clone(), source })?,
            (None, None) if authorization.is_none() => return Err(PlaceError::Nobody),
            (None, None) => builder.with_no_client_auth(),
            (Some(_), None) | (None, Some(_)) => return Err(PlaceError::HalfIdentity),
        };
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { address, name, tls: Arc::new(tls), authorization })
    }
}

/// The header that shows the token in a file.
fn bearer(path: &Path) -> Result<HeaderValue, PlaceError> {
    let token = |source| PlaceError::Token { path: path.to_owned(), source };
    let not_a_token = || PlaceError::NotAToken { path: path.to_owned() };
    if std::fs::metadata(path).map_err(token)?.len() > LONGEST_TOKEN_FILE {
        return Err(not_a_token());
    }
    let text = std::fs::read_to_string(path).map_err(token)?;
    let text = text.trim();
    let fits = text.starts_with("pth_") && !text.contains(char::is_whitespace);
    let mut value = HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| not_a_token())?;
    value.set_sensitive(true);
    if fits { Ok(value) } else { Err(not_a_token()) }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Network(remote) => write!(f, "https://{}", remote.address),
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("address", &self.address).finish_non_exhaustive()
    }
}
