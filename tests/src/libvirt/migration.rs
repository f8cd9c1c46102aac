//! A live migration between two private libvirtds that the test can hold up.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::PrivateLibvirt;
use crate::network::NEAR;
use crate::ports::free_port;

/// A migration whose stream between the emulators goes through the test, which holds it as long as it likes.
#[derive(Debug)]
pub struct Migration {
    /// What `virsh migrate` comes to.
    pub command: JoinHandle<Result<String>>,
    /// The source's emulator has connected.
    pub begun: oneshot::Receiver<()>,
    /// Lets the stream go on. Dropped, it breaks.
    pub go: oneshot::Sender<()>,
}

impl Migration {
    /// Begins one, with options of `virsh migrate`. The destination listens on its own address, or on 127.0.0.1; the
    /// source is told another one, where the test listens.
    ///
    /// # Panics
    /// When the test cannot listen there.
    pub async fn begin(from: &PrivateLibvirt, guest: Uuid, to: &PrivateLibvirt, how: &[&str]) -> Self {
        let port = free_port();
        let (listen, near) = match to.address() {
            Some(address) => (address, NEAR),
            None => (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)),
        };
        let (by, listen_address) = (format!("tcp://{near}:{port}"), listen.to_string());
        let near = TcpListener::bind((near, port)).await.expect("an address for the stream");
        let ((told, begun), (go, gone)) = (oneshot::channel(), oneshot::channel());
        tokio::spawn(async move {
            let (mut source, _) = near.accept().await?;
            let _nobody_waits = told.send(());
            if gone.await.is_ok() {
                let mut destination = TcpStream::connect(SocketAddr::from((listen, port))).await?;
                copy_bidirectional(&mut source, &mut destination).await?;
            }
            std::io::Result::Ok(())
        });
        let (from, to) = (from.clone(), to.uri_for_hosts());
        let options = ["migrate", "--live", "--listen-address", &listen_address].into_iter().chain(how.iter().copied());
        let mut arguments: Vec<String> = options.map(str::to_owned).collect();
        arguments.extend([guest.to_string(), to, by]);
        let command = tokio::spawn(async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            from.virsh(&arguments).await
        });
        Self { command, begun, go }
    }
}
