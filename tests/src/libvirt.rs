//! A libvirtd of the test's own: own namespaces, sockets, state and QEMUs; the machine's libvirt is never touched.
//!
//! `host.sh` is the init of a PID namespace in which libvirtd, virtlogd and all guests run, so ending it ends
//! everything. Several of them can live at once, each with its own host name and UUID. Processes inside have other pids
//! inside than outside: everything here gives those of the outside.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use uuid::Uuid;

use crate::guest::GuestBuilder;
use crate::network;
use crate::places;
use crate::process::{Identity, Process, pid_in_namespace_of};
use crate::wait::{PATIENCE, try_eventually};

mod builder;
mod capabilities;
mod files;
mod migration;

pub use builder::Builder;
pub use migration::Migration;

/// A running private libvirtd. Clones are the same one; it ends with the last of them.
#[derive(Debug, Clone)]
pub struct PrivateLibvirt(Arc<Host>);

#[derive(Debug)]
struct Host {
    directory: PathBuf,
    sockets: PathBuf,
    /// The namespaces' first process, as seen from outside.
    init: Identity,
    /// `unshare`, which ends when the namespace is empty. None for a host that an earlier process started.
    outer: Option<Process>,
    /// Keeps an attached host alive: closing it, as the end of this process does too, ends the host.
    input: Option<std::process::ChildStdin>,
    /// It runs `porthole-hook`.
    hooked: bool,
    /// Its own in a network of the test's, where it is in a network namespace of its own.
    address: Option<Ipv4Addr>,
    paused: Mutex<bool>,
    temporary: Option<TempDir>,
}

impl PrivateLibvirt {
    /// One for this test alone.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start() -> Self {
        Self::builder().start().await.expect("a private libvirtd")
    }

    /// One for all tests of this process that do not stop, freeze or count what is in it. (Under nextest each test is a
    /// process.)
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn shared() -> Self {
        // Weak, because statics are never dropped: it ends with the last test that uses it.
        static SHARED: tokio::sync::Mutex<Weak<Host>> = tokio::sync::Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(host) = shared.upgrade() {
            return Self(host);
        }
        let new = Self::start().await;
        *shared = Arc::downgrade(&new.0);
        new
    }

    /// With settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// One that was started detached in this directory, if it still runs.
    pub fn find(directory: &Path) -> Option<Self> {
        let record = fs::read_to_string(directory.join("host.json")).ok()?;
        let init: Identity = serde_json::from_str(&record).ok()?;
        if !init.is_alive() {
            return None;
        }
        let sockets = places::sockets_directory(directory);
        let directory = directory.to_owned();
        let (hooked, paused) = (files::hook(&directory).exists(), Mutex::new(false));
        let (outer, input, address, temporary) = (None, None, None, None);
        let host = Host { directory, sockets, init, outer, input, hooked, address, paused, temporary };
        Some(Self(Arc::new(host)))
    }

    /// Ends it with all its guests, and waits until they are gone.
    pub async fn stop(&self) -> Result<()> {
        self.0.init.signal(Signal::SIGKILL);
        let gone = try_eventually(PATIENCE, async || (!self.0.init.is_alive()).then_some(())).await;
        gone.context("the private libvirtd's namespace did not end")
    }

    /// What clients connect to.
    pub fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.0.sockets.join("libvirt-sock").display())
    }

    /// What other hosts connect to.
    pub fn uri_for_hosts(&self) -> String {
        self.0.address.map_or_else(|| self.uri(), |address| format!("qemu+tcp://{address}/system"))
    }

    /// Its own address, where it has one.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.0.address
    }

    /// Its network namespace, where it has one of its own.
    pub(crate) fn network_namespace(&self) -> Option<String> {
        self.0.address.map(|_| format!("/proc/{}/ns/net", self.0.init.pid))
    }

    /// Takes a port of this host's own network, until the listener is dropped.
    ///
    /// # Panics
    /// When it is taken already.
    pub fn take_port(&self, port: u16) -> TcpListener {
        network::listen(self.0.init.pid, port).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Where its state is: `etc`, `run`, `lib`, `cache` and `log` are its `/etc/libvirt` and so on.
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// Where sockets that both sides reach belong: a path short enough for `sun_path`.
    pub fn sockets(&self) -> &Path {
        &self.0.sockets
    }

    /// Where its hook asks an agent, if it runs one.
    pub fn hook_socket(&self) -> Option<PathBuf> {
        self.0.hooked.then(|| files::hook_socket(&self.0.sockets))
    }

    /// Where its hook leaves what no agent heard.
    pub fn hook_spool(&self) -> PathBuf {
        files::hook_spool(&self.0.directory)
    }

    /// The hook's settings.
    pub fn hook_config(&self) -> PathBuf {
        files::hook_config(&self.0.directory)
    }

    /// A guest to define and start here. Its name gets a suffix that no other guest has.
    pub fn guest(&self, name: &str) -> GuestBuilder {
        GuestBuilder::new(self.clone(), name)
    }

    /// Runs `virsh` with these arguments, for at most half a minute.
    pub async fn virsh(&self, arguments: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new("virsh");
        command.args(["-q", "-c", &self.uri()]).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output());
        let output =
            output.await.with_context(|| format!("virsh {arguments:?} did not end"))?.context("running virsh")?;
        if !output.status.success() {
            bail!("virsh {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// libvirtd's pid.
    pub fn daemon_pid(&self) -> Option<i32> {
        let inner = fs::read_to_string(self.0.directory.join("libvirtd.pid")).ok()?;
        pid_in_namespace_of(self.0.init.pid, inner.trim().parse().ok()?)
    }

    /// The outside's pid of a process that is known by the inside's.
    pub fn outer_pid(&self, inner: i32) -> Option<i32> {
        pid_in_namespace_of(self.0.init.pid, inner)
    }

    /// The emulator of a running guest.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn emulator(&self, guest: Uuid) -> Identity {
        let name = self.virsh(&["domname", &guest.to_string()]).await.expect("a name");
        self.emulator_pid(&name).and_then(Identity::of).expect("it runs")
    }

    /// The outside's pid of the emulator of a guest of this name.
    pub(crate) fn emulator_pid(&self, name: &str) -> Option<i32> {
        let file = self.0.directory.join(format!("run/libvirt/qemu/{name}.pid"));
        self.outer_pid(fs::read_to_string(file).ok()?.trim().parse().ok()?)
    }

    /// Ends libvirtd; the guests go on.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop_daemon(&self) {
        let daemon = self.daemon_pid().and_then(Identity::of).expect("libvirtd runs");
        daemon.signal(Signal::SIGTERM);
        let ended = try_eventually(PATIENCE, async || (!daemon.is_alive()).then_some(())).await;
        assert!(ended.is_some(), "libvirtd did not end; its log: {}", self.daemon_log());
    }

    /// Ends libvirtd by SIGKILL; the guests go on.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn kill_daemon(&self) {
        let daemon = self.daemon_pid().and_then(Identity::of).expect("libvirtd runs");
        daemon.signal(Signal::SIGKILL);
        let ended = try_eventually(PATIENCE, async || (!daemon.is_alive()).then_some(())).await;
        assert!(ended.is_some(), "libvirtd was not killed");
    }

    /// Starts libvirtd again.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_daemon(&self) {
        let mut command = tokio::process::Command::new("nsenter");
        command.args(["-t", &self.0.init.pid.to_string(), "-m", "-u", "-p", "--wd=/"]);
        match self.0.address {
            Some(_) => command.args(["-n", "--", "libvirtd", "--daemon", "--listen"]),
            None => command.args(["--", "libvirtd", "--daemon"]),
        };
        command.arg("--pid-file").arg(self.0.directory.join("libvirtd.pid"));
        // To files, not pipes: the daemon inherits them, and reading a pipe to its end would wait for the daemon's.
        let output = fs::File::options().create(true).append(true).open(self.0.directory.join("host.log"));
        let output = output.expect("host.log");
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("dup")).stderr(output).kill_on_drop(true);
        let status = tokio::time::timeout(PATIENCE, command.status()).await.expect("libvirtd starts in time");
        assert!(status.expect("nsenter").success(), "libvirtd did not start; its log: {}", self.daemon_log());
        self.wait_until_answering().await.expect("libvirtd answers");
    }

    /// A libvirtd restart, as a package upgrade does it: the guests go on.
    pub async fn restart_daemon(&self) {
        self.stop_daemon().await;
        self.start_daemon().await;
    }

    /// Freezes libvirtd (SIGSTOP): connections to it hang.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pause_daemon(&self) {
        let daemon = self.daemon_pid().and_then(Identity::of).expect("libvirtd runs");
        assert!(daemon.signal(Signal::SIGSTOP), "libvirtd runs");
        *self.0.paused.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Undoes [`Self::pause_daemon`].
    ///
    /// # Panics
    /// When it does not run.
    pub fn resume_daemon(&self) {
        let daemon = self.daemon_pid().and_then(Identity::of).expect("libvirtd runs");
        assert!(daemon.signal(Signal::SIGCONT), "libvirtd runs");
        *self.0.paused.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Cuts all of libvirtd's clients off, this moment's.
    ///
    /// # Panics
    /// When that fails.
    pub async fn disconnect_clients(&self) {
        let listed = self.admin(&["client-list", "libvirtd"]).await.expect("libvirtd's clients");
        // A head, a line, and then one for each, which begins with its number.
        for client in listed.lines().filter_map(|line| line.split_whitespace().next()) {
            if client.parse::<u64>().is_ok() {
                // One that has gone meanwhile is no loss.
                drop(self.admin(&["client-disconnect", "libvirtd", client]).await);
            }
        }
    }

    async fn admin(&self, arguments: &[&str]) -> Result<String> {
        let uri = format!("libvirtd:///system?socket={}", self.0.sockets.join("libvirt-admin-sock").display());
        let mut command = tokio::process::Command::new("virt-admin");
        command.args(["-c", &uri]).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await.context("virt-admin did not end")??;
        if !output.status.success() {
            bail!("virt-admin {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// libvirtd's own log.
    pub fn daemon_log(&self) -> String {
        fs::read_to_string(self.0.directory.join("log/libvirtd.log")).unwrap_or_default()
    }

    /// Whether libvirtd was paused and not resumed, so that asking it anything would hang.
    pub(crate) fn is_paused(&self) -> bool {
        *self.0.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what libvirtd found out about QEMU, once it has, for the next private libvirtd.
    pub(crate) fn keep_capabilities(&self) {
        capabilities::keep(&self.0.directory);
    }

    async fn wait_until_answering(&self) -> Result<()> {
        let answer = try_eventually(PATIENCE, async || self.virsh(&["uri"]).await.ok()).await;
        answer.map(drop).with_context(|| format!("libvirtd does not answer; its log: {}", self.daemon_log()))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let (Some(outer), Some(input)) = (&self.outer, self.input.take()) else { return };
        drop(input);
        // `unshare` ends when the last process of the namespace has, so nothing writes to the directory any more.
        let deadline = Instant::now() + Duration::from_secs(10);
        while outer.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.init.signal(Signal::SIGKILL);
        drop(self.temporary.take());
    }
}
