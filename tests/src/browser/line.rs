//! A line between browser and edge that a test can cut, while the processes at both ends live on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::ports::free_port;

/// What a line does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It carries them.
    Sound,
    /// Both ends see theirs end; new ones end at once.
    Cut,
    /// As cut for the browser; the edge sees nothing of it, as when the network is gone without a word.
    HalfCut,
}

/// A TCP proxy on 127.0.0.1.
#[derive(Debug)]
pub struct Line {
    port: u16,
    to: SocketAddr,
    condition: watch::Sender<Condition>,
}

impl Line {
    /// One that leads to an edge.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn to(edge: SocketAddr) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
        let (condition, seen) = watch::channel(Condition::Sound);
        // What the edge still has of half-cut connections.
        let kept = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, edge, seen.clone(), Arc::clone(&kept)));
            }
        });
        Self { port, to: edge, condition }
    }

    /// The same link over this line.
    pub fn link(&self, url: &str) -> String {
        url.replace(&format!(":{}/", self.to.port()), &format!(":{}/", self.port))
    }

    /// The origin of pages that come over this line.
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Changes what it does, with the connections that it has and with those to come.
    pub fn set(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }
}

async fn carry(
    mut near: TcpStream,
    to: SocketAddr,
    mut condition: watch::Receiver<Condition>,
    kept: Arc<Mutex<Vec<TcpStream>>>,
) {
    if *condition.borrow_and_update() != Condition::Sound {
        return;
    }
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    tokio::select! {
        _ended = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _changed = condition.changed() => {
            if *condition.borrow() == Condition::HalfCut {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(far);
            }
        }
    }
}
