//! Another site: a page of another origin, such as a dashboard that shows a console in a frame.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::pki::Pki;

/// A site, whose address is known before what it shows is.
#[derive(Debug)]
pub struct Site {
    host: String,
    listener: TcpListener,
}

impl Site {
    /// At a free port of this host; names under `test` lead here.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn reserve(host: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self { host: host.to_owned(), listener }
    }

    /// Its origin.
    ///
    /// # Panics
    /// When it has no address.
    pub fn origin(&self) -> String {
        format!("https://{}:{}", self.host, self.listener.local_addr().expect("its address").port())
    }

    /// Shows this document at every path, with the certificate that the tests' browsers trust. Gives its origin.
    ///
    /// # Panics
    /// When there is no certificate.
    pub async fn show(self, pki: &Pki, document: &str) -> String {
        let origin = self.origin();
        let acceptor = acceptor(pki).await.unwrap_or_else(|error| panic!("TLS of {origin}: {error:#}"));
        let document = Bytes::from(document.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = self.listener.accept().await {
                let (acceptor, document) = (acceptor.clone(), document.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let answer = service_fn(async |_| {
                        let response = Response::builder().header("content-type", "text/html; charset=utf-8");
                        Ok::<_, Infallible>(response.body(Full::new(document.clone())).unwrap_or_default())
                    });
                    let serving = hyper::server::conn::http1::Builder::new();
                    let _browser_left = serving.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        origin
    }
}

async fn acceptor(pki: &Pki) -> Result<TlsAcceptor> {
    let files = pki.public().await?;
    let chain = CertificateDer::pem_file_iter(&files.certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&files.key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key)?)))
}
