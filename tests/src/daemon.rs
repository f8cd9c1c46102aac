//! What agent and edge have in common: a configuration file, a process that reads it, a log, stops and starts.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::places;
use crate::process::{Identity, Lifetime, Process};
use crate::settings::Settings;
use crate::wait::{PATIENCE, try_eventually};

/// In a detached daemon's directory: which process it is.
const RECORD: &str = "daemon.json";

/// A daemon of the product.
#[derive(Debug)]
pub struct Daemon {
    binary: &'static str,
    directory: PathBuf,
    lifetime: Lifetime,
    /// What it is started with next.
    settings: Settings,
    process: Option<Process>,
    /// A command that becomes the one behind it, which is then this daemon.
    under: Vec<String>,
}

impl Daemon {
    /// Not started yet; its files are in the directory.
    pub(crate) fn new(binary: &'static str, directory: &Path, settings: Settings, lifetime: Lifetime) -> Self {
        Self { binary, directory: directory.to_owned(), lifetime, settings, process: None, under: Vec::new() }
    }

    /// Starts it by a command that becomes the one behind it (`nsenter`, `taskset`): the process keeps its id.
    pub(crate) fn start_under(&mut self, command: Vec<String>) {
        self.under = command;
    }

    /// Takes one that an earlier process started, if it still runs with the same settings and the same binary.
    fn adopt(&mut self) -> Option<Identity> {
        let record: Record = serde_json::from_slice(&std::fs::read(self.record_path()).ok()?).ok()?;
        let same = record == self.record(record.identity).ok()?;
        if !same {
            return None;
        }
        self.process = Process::adopt(self.binary, record.identity, &self.log_path());
        self.process.as_ref().map(Process::identity)
    }

    /// Ends the one that an earlier process started in this directory, whatever its settings; false when none runs.
    pub(crate) async fn end_recorded(binary: &'static str, directory: &Path) -> Result<bool> {
        let path = directory.join(RECORD);
        let Ok(bytes) = std::fs::read(&path) else { return Ok(false) };
        let record: Record = serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display()))?;
        let process = Process::adopt(binary, record.identity, &log_path(binary, directory));
        if let Some(process) = &process {
            process.end(PATIENCE).await;
        }
        std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        Ok(process.is_some())
    }

    /// Takes the one that an earlier process started, where it is as this one would be; else ends it, and starts this.
    pub(crate) async fn start_or_adopt(&mut self, ready: impl AsyncFn() -> bool) -> Result<()> {
        if self.adopt().is_some() && ready().await {
            return Ok(());
        }
        self.process = None;
        Self::end_recorded(self.binary, &self.directory).await?;
        self.start(ready).await
    }

    /// Writes its configuration file.
    pub fn write_settings(&self) -> Result<()> {
        self.settings.write(&self.config_path())
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) async fn start(&mut self, ready: impl AsyncFn() -> bool) -> Result<()> {
        self.write_settings()?;
        let mut command = self.program()?;
        command.arg("--config").arg(self.config_path()).current_dir("/");
        let process = Process::spawn(self.binary, &command, &self.log_path(), self.lifetime, Stdio::null())?;
        if self.lifetime == Lifetime::Detached {
            std::fs::write(self.record_path(), serde_json::to_vec(&self.record(process.identity())?)?)?;
        }
        let is_ready =
            try_eventually(
                PATIENCE,
                async || {
                    if ready().await { Some(true) } else { (!process.is_running()).then_some(false) }
                },
            );
        match is_ready.await {
            Some(true) => {}
            Some(false) => bail!("{} ended at once; it said:\n{}", self.binary, process.log()),
            None => bail!("{} does not get ready; it said:\n{}", self.binary, process.log()),
        }
        self.process = Some(process);
        Ok(())
    }

    fn program(&self) -> Result<Command> {
        let binary = places::binary(self.binary)?;
        let Some((first, rest)) = self.under.split_first() else { return Ok(Command::new(binary)) };
        let mut command = Command::new(first);
        command.args(rest).arg(binary);
        Ok(command)
    }

    /// Its process.
    ///
    /// # Panics
    /// When it is not started.
    pub fn process(&self) -> &Process {
        self.process.as_ref().unwrap_or_else(|| panic!("{} is not started", self.binary))
    }

    /// Its configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.directory.join(format!("{}.toml", self.binary.trim_start_matches("porthole-")))
    }

    /// Its log: of all its runs in this directory.
    pub fn log_path(&self) -> PathBuf {
        log_path(self.binary, &self.directory)
    }

    /// What it is started with next: change it before a restart, or before a reload with [`Self::write_settings`].
    pub fn settings(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Stops it (SIGTERM), and says how it ended.
    ///
    /// # Panics
    /// When it does not end in time.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        let status = self.process().terminate().await;
        self.process = None;
        status
    }

    /// Kills it, as a crash would.
    pub(crate) fn crash(&mut self) {
        self.process().kill();
        self.process = None;
    }

    fn record_path(&self) -> PathBuf {
        self.directory.join(RECORD)
    }

    fn record(&self, identity: Identity) -> Result<Record> {
        let binary = std::fs::metadata(places::binary(self.binary)?)?;
        let built = binary.modified()?.duration_since(std::time::UNIX_EPOCH)?.as_nanos().to_string();
        Ok(Record { identity, settings: self.settings.to_toml()?, built })
    }
}

fn log_path(binary: &str, directory: &Path) -> PathBuf {
    directory.join(format!("{}.log", binary.trim_start_matches("porthole-")))
}

/// What a later `make up` must know of a detached daemon.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Record {
    identity: Identity,
    settings: String,
    built: String,
}
