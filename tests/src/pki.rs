//! Certificates, as `porthole pki` makes them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::places;
use crate::wait::PATIENCE;

/// A folder of a CA and what it signed.
#[derive(Debug, Clone)]
pub struct Pki {
    directory: PathBuf,
}

/// A certificate with its key, and what its holder trusts in others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The CA of the other side.
    pub ca: PathBuf,
}

impl Pki {
    /// Makes a CA in the folder, or takes the one that is there.
    pub async fn open(directory: &Path) -> Result<Self> {
        let pki = Self { directory: directory.to_owned() };
        if !pki.ca().is_file() {
            pki.run(&["init"]).await?;
        }
        Ok(pki)
    }

    /// The CA's certificate.
    pub fn ca(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// An agent's, made where it is not there yet; for `127.0.0.1`.
    pub async fn agent(&self, node: &str) -> Result<Files> {
        let files = self.files(&format!("agents/{node}"));
        if !files.certificate.is_file() {
            self.run(&["agent", "--node", node, "--san", "127.0.0.1"]).await?;
        }
        Ok(files)
    }

    /// An edge's internal one, made where it is not there yet.
    pub async fn edge(&self, name: &str) -> Result<Files> {
        let files = self.files(&format!("edges/{name}"));
        if !files.certificate.is_file() {
            self.run(&["edge", "--name", name]).await?;
        }
        Ok(files)
    }

    /// One of a client of agents' APIs, made where it is not there yet.
    pub async fn client(&self, name: &str) -> Result<Files> {
        let files = self.files(&format!("clients/{name}"));
        if !files.certificate.is_file() {
            self.run(&["client", "--name", name]).await?;
        }
        Ok(files)
    }

    /// The public one, for `localhost` and its addresses, made where it is not there yet. Clients trust it itself.
    pub async fn public(&self) -> Result<Files> {
        let mut files = self.files("public");
        if !files.certificate.is_file() {
            self.run(&["public", "--san", "localhost", "--san", "127.0.0.1", "--san", "::1"]).await?;
        }
        files.ca = files.certificate.clone();
        Ok(files)
    }

    /// Runs `porthole pki` on the folder.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(places::binary("porthole")?);
        command.arg("pki").arg("--dir").arg(&self.directory).args(arguments);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await.context("porthole pki does not end")??;
        if !output.status.success() {
            bail!("porthole pki {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn files(&self, below: &str) -> Files {
        let directory = self.directory.join(below);
        Files { certificate: directory.join("cert.pem"), key: directory.join("key.pem"), ca: directory.join("ca.pem") }
    }
}
