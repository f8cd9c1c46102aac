//! Relays that do nothing but relay: what everything else is to be seen against.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use porthole_tests::pki::Files;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::identity::{Identity, trusting};

/// How much it reads and writes at once.
const BUFFER: usize = 64 * 1024;

/// What a floor is told on its command line.
#[derive(Debug, Clone)]
pub struct Floor {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it connects.
    pub to: SocketAddr,
    /// Its certificate towards clients, and the one towards the far end; without, it relays TCP.
    pub tls: Option<(Files, Files)>,
}

impl Floor {
    /// As arguments of the program `bench`.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["floor".to_owned(), self.listen.to_string(), self.to.to_string()];
        for files in self.tls.iter().flat_map(|(near, far)| [near, far]) {
            let paths = [&files.certificate, &files.key, &files.ca];
            arguments.extend(paths.map(|path| path.to_string_lossy().into_owned()));
        }
        arguments
    }

    /// From what [`Self::arguments`] gave, but for its first.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let [listen, to, files @ ..] = arguments else { bail!("floor LISTEN TO [FILE…]") };
        let read = |files: &[String]| match files {
            [certificate, key, ca] => {
                Ok(Files { certificate: certificate.into(), key: key.into(), ca: PathBuf::from(ca) })
            }
            _ => bail!("floor wants six files, or none"),
        };
        let tls = match files.split_at_checked(3) {
            Some((near, far)) => Some((read(near)?, read(far)?)),
            None => None,
        };
        Ok(Self { listen: listen.parse()?, to: to.parse()?, tls })
    }

    /// Relays until it is killed.
    pub async fn run(self) -> Result<()> {
        let listener = TcpListener::bind(self.listen).await.context("the floor cannot listen")?;
        let legs = match &self.tls {
            None => None,
            Some((near, far)) => Some((
                TlsAcceptor::from(Arc::new(Identity::load(near)?.server(None)?)),
                TlsConnector::from(Arc::new(trusting(&far.ca, Some(far))?)),
            )),
        };
        loop {
            let (near, _) = listener.accept().await?;
            let (to, legs) = (self.to, legs.clone());
            drop(tokio::spawn(async move {
                near.set_nodelay(true)?;
                let far = TcpStream::connect(to).await?;
                far.set_nodelay(true)?;
                let Some((acceptor, connector)) = legs else { return relay(near, far).await };
                let name = ServerName::from(to.ip());
                relay(acceptor.accept(near).await?, connector.connect(name, far).await?).await
            }));
        }
    }
}

async fn relay<N, F>(mut near: N, mut far: F) -> Result<()>
where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER).await?;
    Ok(())
}
