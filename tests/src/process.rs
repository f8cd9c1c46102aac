//! Processes of a test: started with their output in a file, found again by identity, and ended with the test.
//!
//! An attached process dies with the one that started it, even by SIGKILL: the kernel's parent-death signal does that.
//! The signal comes when the *thread* that forked ends, and test threads end early, so all children are forked by one
//! thread that never does. It forks them into the network of the test that asks.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;

use crate::wait::{PATIENCE, try_eventually};

mod identity;

pub use identity::{Identity, children_of, pid_in_namespace_of};

/// Whether a process ends with this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// It is killed when this process ends, whatever way that one ends. For tests.
    Attached,
    /// It goes on, in a session of its own. For `make up`.
    Detached,
}

/// A child process. Dropped, it is killed and reaped (unless it is detached); when a test fails, the end of its output
/// is shown.
#[derive(Debug)]
pub struct Process {
    name: String,
    identity: Identity,
    lifetime: Lifetime,
    log: PathBuf,
    /// None for a process that an earlier process started.
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Starts it, with standard output and error in one file (appended to). Standard input is empty, or with
    /// `input` a pipe that closes with this process.
    pub fn spawn(name: &str, command: &Command, log: &Path, lifetime: Lifetime, input: Stdio) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("opening {}", log.display()))?;
        let mut wrapped = match lifetime {
            Lifetime::Attached => {
                let mut setpriv = Command::new("setpriv");
                setpriv.args(["--pdeathsig", "KILL", "--"]);
                setpriv
            }
            Lifetime::Detached => Command::new("setsid"),
        };
        wrapped.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(key, value),
                None => wrapped.env_remove(key),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            wrapped.current_dir(directory);
        }
        wrapped.stdin(input).stdout(output.try_clone()?).stderr(output);
        let child = spawn_on_lasting_thread(wrapped).with_context(|| format!("starting {name}"))?;
        let identity = Identity::of(child.id().cast_signed()).context("the process ended at once")?;
        Ok(Self { name: name.to_owned(), identity, lifetime, log: log.to_owned(), child: Mutex::new(Some(child)) })
    }

    /// One that an earlier process started detached, if it still runs.
    pub fn adopt(name: &str, identity: Identity, log: &Path) -> Option<Self> {
        let (name, log, child) = (name.to_owned(), log.to_owned(), Mutex::new(None));
        identity.is_alive().then_some(Self { name, identity, lifetime: Lifetime::Detached, log, child })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.identity.pid
    }

    /// What finds it again from another process.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Where its output goes.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Its output so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits for a line of output that contains the text, and gives that line.
    ///
    /// # Panics
    /// When none comes in time, or the process ends without one.
    pub async fn wait_for_log_line(&self, text: &str) -> String {
        let found = try_eventually(PATIENCE, async || {
            let running = self.is_running();
            match self.log().lines().find(|line| line.contains(text)) {
                Some(line) => Some(Some(line.to_owned())),
                None => (!running).then_some(None),
            }
        });
        match found.await.flatten() {
            Some(line) => line,
            None => panic!("{} did not say {text:?}; it said:\n{}", self.name, self.log()),
        }
    }

    /// How it ended, if it has ended. Never known of an adopted process.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child().as_mut().and_then(|child| child.try_wait().unwrap_or(None))
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        // Asking reaps it, so that it is no zombie when it has ended.
        self.exit_status().is_none() && self.identity.is_alive()
    }

    /// Sends a signal; false when it has ended.
    pub fn signal(&self, signal: Signal) -> bool {
        self.is_running() && self.identity.signal(signal)
    }

    /// Waits for its end.
    pub async fn wait(&self, within: Duration) -> Result<ExitStatus> {
        match try_eventually(within, async || self.exit_status()).await {
            Some(status) => Ok(status),
            None => bail!("{} still runs after {within:?}", self.name),
        }
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn terminate(&self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        match self.wait(PATIENCE).await {
            Ok(status) => status,
            Err(error) => panic!("{error}; it said:\n{}", self.log()),
        }
    }

    /// Ends it by SIGKILL.
    pub fn kill(&self) {
        self.identity.signal(Signal::SIGKILL);
        if let Some(child) = self.child().as_mut() {
            let _reaped = child.wait();
        }
    }

    /// Ends it by SIGTERM, and where that does not help in time by SIGKILL. False when it had to be killed.
    pub async fn end(&self, within: Duration) -> bool {
        self.signal(Signal::SIGTERM);
        let ended = try_eventually(within, async || (!self.is_running()).then_some(())).await;
        if ended.is_none() {
            self.kill();
        }
        ended.is_some()
    }

    /// Open descriptors, sockets among them.
    pub fn open_descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    /// Resident memory, in bytes.
    pub fn resident_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kibibytes.unwrap_or(0) * 1024
    }

    /// The writing end of its standard input, where `spawn` was given a pipe.
    pub fn take_input(&self) -> Option<ChildStdin> {
        self.child().as_mut().and_then(|child| child.stdin.take())
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Attached {
            if std::thread::panicking() {
                let log = self.log();
                let skipped = log.lines().count().saturating_sub(60);
                eprintln!("--- end of the output of {} ({})", self.name, self.log.display());
                log.lines().skip(skipped).for_each(|line| eprintln!("{line}"));
            }
            self.kill();
        }
    }
}

/// Runs a short command to its end, for use where nothing can be awaited (in `Drop`). True where it succeeded.
pub fn run_briefly(command: &mut Command, within: Duration) -> bool {
    let Ok(mut child) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
        return false;
    };
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ended = child.kill();
    let _reaped = child.wait();
    false
}

fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    type Order = (Command, File, mpsc::SyncSender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, incoming) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, network, answer) in incoming {
                let _gone = answer.send(go_to(network).and_then(|()| command.spawn()));
            }
        });
        Mutex::new(orders)
    });
    let (answer, result) = mpsc::sync_channel(1);
    let gone = || io::Error::other("the spawning thread is gone");
    let order = (command, own_network()?, answer);
    spawner.lock().unwrap_or_else(PoisonError::into_inner).send(order).map_err(|_| gone())?;
    result.recv().map_err(|_| gone())?
}

/// The network namespace of this thread.
fn own_network() -> io::Result<File> {
    File::open("/proc/thread-self/ns/net")
}

/// Where this thread is already it may go without being root.
fn go_to(network: File) -> io::Result<()> {
    if own_network()?.metadata()?.ino() == network.metadata()?.ino() {
        return Ok(());
    }
    Ok(setns(network, CloneFlags::CLONE_NEWNET)?)
}
