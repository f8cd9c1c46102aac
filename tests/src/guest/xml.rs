//! The domain XML of a test's guest.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::NAMESPACE;
use super::builder::GuestBuilder;
use super::system::Boot;
use crate::libvirt::PrivateLibvirt;

/// A graphical console.
#[derive(Debug, Clone)]
pub struct Graphics {
    kind: &'static str,
    listen: Listen,
    password: Option<String>,
}

/// Where a graphical console listens.
#[derive(Debug, Clone)]
pub enum Listen {
    /// Nowhere: only libvirt hands out connections.
    None,
    /// On a port of 127.0.0.1.
    Tcp(u16),
    /// On a unix socket.
    Socket(PathBuf),
}

/// A serial port.
#[derive(Debug, Clone)]
pub enum Serial {
    /// On a unix socket, with a log.
    Unix,
    /// On a unix socket, without one.
    UnixUnlogged,
    /// On a port of 127.0.0.1, by telnet, with a log.
    Telnet(u16),
    /// A pty.
    Pty,
    /// On a port of 127.0.0.1.
    Tcp(u16),
}

impl Graphics {
    /// VNC.
    pub fn vnc(listen: Listen) -> Self {
        Self { kind: "vnc", listen, password: None }
    }

    /// SPICE.
    pub fn spice(listen: Listen) -> Self {
        Self { kind: "spice", listen, password: None }
    }

    /// With a password (VNC: 8 characters count).
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// The port it listens on, if it does.
    pub fn port(&self) -> Option<u16> {
        match self.listen {
            Listen::Tcp(port) => Some(port),
            Listen::None | Listen::Socket(_) => None,
        }
    }

    fn xml(&self) -> String {
        let password = self.password.as_ref().map(|password| format!(" passwd='{password}'")).unwrap_or_default();
        let kind = self.kind;
        match &self.listen {
            Listen::None => format!("<graphics type='{kind}'{password}><listen type='none'/></graphics>"),
            Listen::Tcp(port) => format!(
                "<graphics type='{kind}' port='{port}' autoport='no'{password}>\
                 <listen type='address' address='127.0.0.1'/></graphics>"
            ),
            Listen::Socket(path) => format!(
                "<graphics type='{kind}'{password}><listen type='socket' socket='{}'/></graphics>",
                path.display()
            ),
        }
    }
}

pub(super) fn serial_socket(libvirt: &PrivateLibvirt, name: &str, port: usize) -> PathBuf {
    libvirt.sockets().join(format!("{name}-{port}"))
}

pub(super) fn serial_log(libvirt: &PrivateLibvirt, name: &str, port: usize) -> PathBuf {
    libvirt.directory().join(format!("log/{name}-serial{port}.log"))
}

fn serial(kind: &Serial, socket: &Path, log: &Path, port: usize) -> String {
    let log = format!("<log file='{}' append='on'/>", log.display());
    match kind {
        Serial::Unix => format!(
            "<serial type='unix'><source mode='bind' path='{}'/>{log}<target port='{port}'/></serial>",
            socket.display()
        ),
        Serial::UnixUnlogged => format!(
            "<serial type='unix'><source mode='bind' path='{}'/><target port='{port}'/></serial>",
            socket.display()
        ),
        Serial::Telnet(service) => format!(
            "<serial type='tcp'><source mode='bind' host='127.0.0.1' service='{service}'/><protocol type='telnet'/>\
             {log}<target port='{port}'/></serial>"
        ),
        Serial::Pty => format!("<serial type='pty'>{log}<target port='{port}'/></serial>"),
        Serial::Tcp(service) => format!(
            "<serial type='tcp'><source mode='bind' host='127.0.0.1' service='{service}'/><protocol type='raw'/>\
             {log}<target port='{port}'/></serial>"
        ),
    }
}

pub(super) fn domain(guest: &GuestBuilder, boot: &Boot) -> String {
    let mut devices = String::new();
    for (port, kind) in guest.serials.iter().enumerate() {
        let socket = serial_socket(&guest.libvirt, &guest.name, port);
        let log = serial_log(&guest.libvirt, &guest.name, port);
        devices.push_str(&serial(kind, &socket, &log, port));
    }
    guest.graphics.iter().for_each(|graphics| devices.push_str(&graphics.xml()));
    if guest.panic_device {
        devices.push_str("<panic model='isa'/>");
    }
    devices.push_str(&guest.extra_devices);

    // As Porthole marks the domains whose consoles are its own.
    let metadata = if guest.managed {
        format!("<metadata><porthole:consoles xmlns:porthole='{NAMESPACE}' transport='sealed'/></metadata>")
    } else {
        String::new()
    };
    let mut xml = String::new();
    // Writing to a String cannot fail.
    let _always = write!(
        xml,
        "<domain type='qemu'>
  <name>{name}</name><uuid>{uuid}</uuid>{metadata}
  <memory unit='MiB'>{memory}</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>{files}</os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices>
    <controller type='usb' model='none'/>
    {devices}
    <video><model type='vga' vram='16384'/></video>
    <memballoon model='none'/>
  </devices>
</domain>
",
        name = guest.name,
        uuid = guest.uuid,
        memory = boot.memory,
        files = boot.xml(),
    );
    xml
}
