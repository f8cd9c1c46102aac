//! An edge in this process, built from a configuration text as `main` builds it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use porthole_edge::config::Config;
use porthole_edge::serve;
use porthole_edge::serve::listen::Listeners;
use porthole_edge::serve::site::Site;
use porthole_shared::lifecycle::Shutdown;
use porthole_shared::tls::Role;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::agent::Agent;
use super::pki::Pki;

/// What is special about an edge.
#[derive(Debug, Default)]
pub(crate) struct Setup<'s> {
    /// Further lines of `[public]`.
    pub(crate) public: &'s str,
    /// Speaks plain HTTP, as behind a load balancer.
    pub(crate) plain: bool,
    /// Files of `web_root`; without any there is no `web_root`.
    pub(crate) pages: &'s [(&'s str, &'s str)],
}

/// What an edge needs before it starts: certificates, a directory with one node, its agent, and `edge.toml`.
pub(crate) struct Ground {
    pub(crate) agent: Agent,
    dir: TempDir,
}

impl Ground {
    pub(crate) async fn lay(setup: &Setup<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::new(dir.path());
        let agent = Agent::start(&pki, "compute-1").await;
        let nodes = format!("[[node]]\nname = \"{}\"\naddress = \"{}\"\n", agent.node, agent.address);
        std::fs::write(dir.path().join("nodes.toml"), nodes).unwrap();
        std::fs::write(dir.path().join("edge.toml"), configuration(dir.path(), &pki, setup)).unwrap();
        Self { agent, dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir().join("edge.toml")
    }
}

pub(crate) struct Edge {
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) site: Arc<Site>,
    pub(crate) shutdown: Shutdown,
    pub(crate) tasks: TaskTracker,
    ground: Ground,
}

impl Deref for Edge {
    type Target = Ground;
    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl Edge {
    /// An edge with one agent.
    pub(crate) async fn start(setup: Setup<'_>) -> Self {
        let ground = Ground::lay(&setup).await;
        let config: Config = porthole_shared::config::load(&ground.config()).unwrap();
        let (tasks, shutdown) = (TaskTracker::new(), Shutdown::default());
        let site = Arc::new(Site::build(&config, tasks.clone(), shutdown.clone()).unwrap());
        let listeners = Listeners::bind(&config.public.listen).unwrap();
        let address = listeners.addresses()[0];
        tasks.spawn(serve::run(listeners, Arc::clone(&site)));
        tasks.spawn(serve::drain_when_told(Arc::clone(&site)));
        Self { address, tls: !setup.plain, site, shutdown, tasks, ground }
    }

    /// A target with a fresh token.
    pub(crate) fn target(&self) -> String {
        format!("/websockify?token={}", self.agent.token().expose())
    }
}

fn configuration(dir: &Path, pki: &Pki, setup: &Setup<'_>) -> String {
    let tunnel = pki.identity("edge", &Role::Edge("edge-1".parse().unwrap()));
    let public = pki.public("public", &["edge.example"]);
    let transport = if setup.plain {
        "behind_load_balancer = true".to_owned()
    } else {
        format!("tls = {{ certificate = {:?}, key = {:?} }}", public.certificate, public.key)
    };
    let mut web_root = String::new();
    for (name, content) in setup.pages {
        let path = dir.join("web").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        web_root = format!("web_root = {:?}", dir.join("web"));
    }
    format!(
        "[edge]\nname = \"edge-1\"\n[public]\nlisten = [\"127.0.0.1:0\"]\n{transport}\n{web_root}\n{}\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"trace\"\nformat = \"json\"\n[agents]\ncertificate = {:?}\nkey = {:?}\nca = {:?}\nnodes = {:?}\n",
        setup.public,
        tunnel.certificate,
        tunnel.key,
        tunnel.ca,
        dir.join("nodes.toml"),
    )
}
