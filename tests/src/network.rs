//! A network of the test's own, of which the machine's notices nothing.
//!
//! ```text
//!  the machine │ the test, its edge ── bridge, 10.77.0.1 ──┬── 10.77.0.2: a host, its agent, its guests
//!              │                                           └── 10.77.0.3: another
//! ```
//!
//! The test's thread is in a network namespace with all that it starts from then on, and each host that joins is in one
//! beyond a pair of virtual interfaces. None of it has a name outside, so tests beside this one have the same addresses;
//! a namespace ends with its last process, whatever way that one ends, and takes its interfaces with it.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, setns, unshare};
use tokio::process::Command;

/// The test's own address.
pub const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// A network. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Network(Arc<AtomicU8>);

impl Network {
    /// Takes this thread into a network of its own. Before it starts anything: what runs already stays where it is.
    ///
    /// # Panics
    /// When there can be none: it needs root.
    pub async fn enter() -> Self {
        Self::try_enter().await.unwrap_or_else(|error| panic!("a network of the test's own: {error:#}"))
    }

    async fn try_enter() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("a network namespace")?;
        let own = format!("{NEAR}/24");
        for command in [
            &["link", "set", "lo", "up"][..],
            &["link", "add", "hosts", "type", "bridge"],
            &["addr", "add", &own, "dev", "hosts"],
            &["link", "set", "hosts", "up"],
        ] {
            run("ip", command).await?;
        }
        let [.., last] = NEAR.octets();
        Ok(Self(Arc::new(AtomicU8::new(last))))
    }

    /// An address that nobody has yet.
    pub(crate) fn address(&self) -> Ipv4Addr {
        let [a, b, c, _] = NEAR.octets();
        Ipv4Addr::new(a, b, c, self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Joins the network namespace of a process, which has this address from then on.
    pub(crate) async fn join(&self, process: i32, address: Ipv4Addr) -> Result<()> {
        let [.., last] = address.octets();
        let (near, process, address) = (format!("host{last}"), process.to_string(), format!("{address}/24"));
        run("ip", &["link", "add", &near, "type", "veth", "peer", "name", "eth0", "netns", &process]).await?;
        run("ip", &["link", "set", &near, "master", "hosts", "up"]).await?;
        for command in [
            &["link", "set", "lo", "up"][..],
            &["addr", "add", &address, "dev", "eth0"],
            &["link", "set", "eth0", "up"],
        ] {
            run("nsenter", &[&["-t", &process, "-n", "--", "ip"], command].concat()).await?;
        }
        Ok(())
    }
}

/// Listens on this port of all addresses, in the network namespace of a process.
pub(crate) fn listen(process: i32, port: u16) -> Result<TcpListener> {
    // A thread that ends after that, because it stays where it has gone.
    let listening = thread::spawn(move || -> Result<TcpListener> {
        setns(File::open(format!("/proc/{process}/ns/net"))?, CloneFlags::CLONE_NEWNET)?;
        Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?)
    });
    let listening = listening.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    listening.with_context(|| format!("listening on port {port} of another host"))
}

async fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output().await.with_context(|| format!("running {program}"))?;
    if !output.status.success() {
        bail!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
