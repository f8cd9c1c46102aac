//! An edge in this process, built from a configuration text as `main` builds it.

use std::net::SocketAddr;
use std::path::Path;
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

pub(crate) struct Edge {
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) site: Arc<Site>,
    pub(crate) agent: Agent,
    pub(crate) shutdown: Shutdown,
    pub(crate) tasks: TaskTracker,
    dir: TempDir,
}

impl Edge {
    /// An edge with one agent.
    pub(crate) async fn start(setup: Setup<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::new(dir.path());
        let agent = Agent::start(&pki, "compute-1").await;
        let nodes = format!("[[node]]\nname = \"{}\"\naddress = \"{}\"\n", agent.node, agent.address);
        std::fs::write(dir.path().join("nodes.toml"), nodes).unwrap();
        let config: Config = toml::from_str(&configuration(dir.path(), &pki, &setup)).unwrap();

        let (tasks, shutdown) = (TaskTracker::new(), Shutdown::default());
        let site = Arc::new(Site::build(&config, tasks.clone(), shutdown.clone()).unwrap());
        let listeners = Listeners::bind(&config.public.listen).unwrap();
        let address = listeners.addresses()[0];
        tasks.spawn(serve::run(listeners, Arc::clone(&site)));
        tasks.spawn(serve::drain_when_told(Arc::clone(&site)));
        Self { address, tls: !setup.plain, site, agent, shutdown, tasks, dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
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
         [agents]\ncertificate = {:?}\nkey = {:?}\nca = {:?}\nnodes = {:?}\n",
        setup.public,
        tunnel.certificate,
        tunnel.key,
        tunnel.ca,
        dir.join("nodes.toml"),
    )
}
