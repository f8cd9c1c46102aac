//! Which consoles a guest is to have, as the command line says it.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;

use clap::Args;
use porthole_domain::host::{AbsolutePath, SocketFolder};
use porthole_domain::spec::{
    ConsoleLog, Keymap, PasswordRule, Serial, SerialPorts, SerialProtocol, SharePolicy, Transport, Vnc,
};
use porthole_domain::{Allocation, ConsoleSpec, Host, Passwords, RenderError, VncPassword};

use super::password::PasswordFile;
use crate::failure::{Exit, Failure};

/// Consoles, and where they are on the host, for XML that no agent has a say in.
#[derive(Debug, Args)]
pub(super) struct Wanted {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    place: Place,
}

/// Which consoles.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which consoles")]
pub(super) struct Which {
    /// A screen (VNC), in the place of all VNC devices that the guest has
    #[arg(long)]
    vnc: bool,
    /// The guest's keyboard, in QEMU's words (de, en-us, …), for viewers that send characters instead of keys
    #[arg(long, value_name = "KEYMAP", requires = "vnc")]
    keymap: Option<Keymap>,
    /// What happens when a second viewer comes: ignore (all stay), allow-exclusive or force-shared
    #[arg(long, value_name = "POLICY", requires = "vnc", default_value_t)]
    share: SharePolicy,
    /// Whose the screen's password is: random (nobody's; the default with --transport tcp), none (the default with sealed) or
    /// given (see --vnc-password-file)
    #[arg(long, value_name = "RULE", requires = "vnc")]
    vnc_password_rule: Option<PasswordRule>,
    #[command(flatten)]
    password: PasswordFile,
    /// So many serial ports (0 to 4), in the place of all that the guest has
    #[arg(long, value_name = "NUMBER", value_parser = ports)]
    serial: Option<SerialPorts>,
    /// As many serial ports as OpenStack Nova would give: what the flavor says (`hw:serial_port_count`; empty or 0: nothing)
    #[arg(long, value_name = "NUMBER", value_parser = said, conflicts_with = "serial")]
    serial_from_flavor: Option<u8>,
    /// The same: what the image says (`hw_serial_port_count`; empty or 0: nothing)
    #[arg(long, value_name = "NUMBER", value_parser = said, conflicts_with = "serial")]
    serial_from_image: Option<u8>,
    /// What is spoken on serial ports with --transport tcp: raw or telnet
    #[arg(long, value_name = "PROTOCOL", default_value_t)]
    serial_protocol: SerialProtocol,
    /// Where what the guest says on its serial ports is kept: host (in the host's folder for that), off, or a file
    #[arg(long, value_name = "host|off|PATH", default_value_t)]
    log: ConsoleLog,
    /// How the agent reaches them: sealed (no ports; unix sockets in a folder of the host's) or tcp
    #[arg(long, value_name = "TRANSPORT", default_value_t)]
    transport: Transport,
}

/// Where they are on the host.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where they are on the host")]
pub(super) struct Place {
    /// With --transport tcp: the address of the host that they listen on
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    /// With --transport tcp: the screen's port, 5900 or above
    #[arg(long, value_name = "PORT")]
    port_vnc: Option<NonZeroU16>,
    /// With --transport tcp: the serial ports' TCP ports, the first first
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    port_serial: Vec<NonZeroU16>,
    /// The host's folder of sealed serial ports' sockets
    #[arg(long, value_name = "PATH", default_value = Host::SOCKETS)]
    sockets: SocketFolder,
    /// The host's folder of logs of serial ports
    #[arg(long, value_name = "PATH", default_value = Host::LOGS)]
    logs: AbsolutePath,
}

fn ports(text: &str) -> Result<SerialPorts, String> {
    let number = text.parse::<u8>().map_err(|error| error.to_string())?;
    number.try_into().map_err(|error: porthole_domain::spec::InvalidPorts| error.to_string())
}

/// As scripts pass it on: a property that is not there is empty.
fn said(text: &str) -> Result<u8, String> {
    if text.is_empty() { Ok(0) } else { text.parse::<u8>().map_err(|error| error.to_string()) }
}

impl Which {
    /// The specification.
    pub(super) fn spec(&self) -> Result<ConsoleSpec, Failure> {
        let by_nova = self.serial_from_flavor.is_some() || self.serial_from_image.is_some();
        let ports = if by_nova {
            let ports = SerialPorts::from_flavor_and_image(self.serial_from_flavor, self.serial_from_image);
            Some(ports.map_err(|error| Failure::new(Exit::Refused, error.to_string()))?)
        } else {
            self.serial
        };
        if !self.vnc && ports.is_none() {
            return Err(
                Failure::new(Exit::Refused, "no console is asked for").next("Say --vnc, --serial NUMBER, or both.")
            );
        }
        let vnc = || Vnc { keymap: self.keymap.clone(), share: self.share, password: self.vnc_password_rule };
        let spec = ConsoleSpec {
            transport: self.transport,
            vnc: self.vnc.then(vnc),
            serial: ports.map(|ports| Serial { ports, protocol: self.serial_protocol, log: self.log.clone() }),
        };
        Ok(if self.password.is_said() { spec.with_given_password() } else { spec })
    }

    /// The screen's password, if one is given.
    pub(super) fn password(&self) -> Result<Option<VncPassword>, Failure> {
        self.password.read()
    }

    /// Whether that comes on standard input.
    pub(super) fn password_is_standard_input(&self) -> bool {
        self.password.is_standard_input()
    }
}

impl Wanted {
    /// The specification.
    pub(super) fn spec(&self) -> Result<ConsoleSpec, Failure> {
        self.which.spec()
    }

    /// Passwords for the screen.
    pub(super) fn passwords(&self) -> Result<Passwords, Failure> {
        let random = VncPassword::random(&aws_lc_rs::rand::SystemRandom::new())
            .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
        Ok(Passwords { random, given: self.which.password()? })
    }

    /// Whether that of the screen comes on standard input.
    pub(super) fn password_is_standard_input(&self) -> bool {
        self.which.password_is_standard_input()
    }

    /// The ports, if any are given.
    pub(super) fn allocation(&self) -> Option<Allocation> {
        let Place { address, port_vnc, port_serial, .. } = &self.place;
        let any = self.which.transport == Transport::Tcp || port_vnc.is_some() || !port_serial.is_empty();
        any.then(|| Allocation { address: *address, vnc: *port_vnc, serial: port_serial.clone() })
    }

    /// The host's folders.
    pub(super) fn host(&self) -> Host {
        Host { sockets: self.place.sockets.clone(), logs: self.place.logs.clone() }
    }
}

/// The passwords do not fit the consoles.
pub(super) fn password_misfit(error: porthole_domain::PasswordError) -> Failure {
    Failure::new(Exit::Refused, error.to_string())
        .next("--vnc-password-file gives one; --vnc-password-rule says whose it is (random, none, given).")
}

/// Something does not fit the consoles.
pub(super) fn unfit(error: &RenderError) -> Failure {
    match error {
        RenderError::Allocation(error) => misfit(error),
        RenderError::Password(error) => password_misfit(*error),
    }
}

/// The ports do not fit the consoles.
pub(super) fn misfit(error: &porthole_domain::AllocationError) -> Failure {
    Failure::new(Exit::Refused, error.to_string())
        .next("Ports go with --transport tcp: --port-vnc for the screen, --port-serial for each serial port.")
}
