//! Bytes both ways, whatever carries them: what the protocol clients of the tests speak over.

use std::future::Future;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::wait::PATIENCE;

/// A stream of bytes. Every operation has a deadline ([`PATIENCE`]).
pub trait ByteStream: Send {
    /// The next bytes; none at the end.
    fn receive(&mut self) -> impl Future<Output = Result<Vec<u8>>> + Send;

    /// Sends all of it.
    fn send(&mut self, bytes: &[u8]) -> impl Future<Output = Result<()>> + Send;
}

/// A socket as it is.
#[derive(Debug)]
pub struct Plain<S>(pub S);

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for Plain<S> {
    async fn receive(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(64 * 1024);
        tokio::time::timeout(PATIENCE, self.0.read_buf(&mut bytes)).await.context("nothing came")??;
        Ok(bytes)
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sending = async {
            self.0.write_all(bytes).await?;
            self.0.flush().await
        };
        Ok(tokio::time::timeout(PATIENCE, sending).await.context("the peer does not read")??)
    }
}
