//! Guests of a private libvirtd, with whatever graphics and serial ports: the tests' own tiny one (`tests/guest`), or
//! Linux (`tests/guest/linux`).

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use uuid::Uuid;

use crate::libvirt::PrivateLibvirt;
use crate::picture::Picture;
use crate::process::{Identity, run_briefly};
use crate::wait::{PATIENCE, eventually, try_eventually};

mod builder;
mod hello;
mod serial;
mod system;
mod xml;

pub use builder::GuestBuilder;
pub use hello::assert_says_hello;
pub use serial::SerialConnection;
pub use system::System;
pub use xml::{Graphics, Listen, Serial};

/// Porthole's namespace in a domain's metadata.
pub const NAMESPACE: &str = "https://porthole.dev/xmlns/consoles/1.0";

/// How the background of the guest's text screen looks in QEMU, which makes 6 bits of colour 8.
const BLUE: [u8; 3] = [0, 0, 0xa8];

/// What a Linux guest's serial port says before its first prompt.
const LINUX_GREETING: &str = "A serial port of a real QEMU guest.";

/// A guest. Dropped, it is destroyed and undefined.
#[derive(Debug)]
pub struct Guest {
    libvirt: PrivateLibvirt,
    name: String,
    uuid: Uuid,
    system: System,
    graphics: Vec<Graphics>,
    serials: Vec<Serial>,
    kept: bool,
}

impl Guest {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its UUID.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The libvirtd that it is on.
    pub fn libvirt(&self) -> &PrivateLibvirt {
        &self.libvirt
    }

    /// Starts a shut-off guest and waits until it is ready.
    pub async fn boot(&self) -> Result<()> {
        let said_before = self.serial_log(0).len();
        self.virsh("start", &[]).await?;
        self.libvirt.keep_capabilities();
        self.wait_until_ready_after(said_before).await
    }

    /// Waits until the guest itself runs and shows its text screen.
    pub async fn wait_until_ready(&self) -> Result<()> {
        self.wait_until_ready_after(0).await
    }

    /// As [`Self::wait_until_ready`], after a reboot: Linux says that it is ready on its first serial port, where it must
    /// come after the first so many bytes of [`Self::serial_log`].
    pub async fn wait_until_ready_after(&self, said_before: usize) -> Result<()> {
        match self.system {
            System::Tiny => self.wait_for_greeting().await,
            System::Linux => self.wait_for_shell(said_before).await,
        }
    }

    async fn wait_for_greeting(&self) -> Result<()> {
        let ready = try_eventually(PATIENCE, async || {
            let picture = self.screenshot().await.ok()?;
            // Its text screen, 720 by 400: blue down to the last corner, with the greeting's white in the first row.
            let greeting = (0..16).flat_map(|y| (0..80).map(move |x| (x, y)));
            let (right, bottom) = (picture.width.checked_sub(1)?, picture.height.checked_sub(1)?);
            (picture.at(right, bottom) == BLUE && greeting.into_iter().any(|(x, y)| picture.at(x, y) != BLUE))
                .then_some(())
        });
        ready.await.with_context(|| format!("guest {} does not get ready", self.name))
    }

    async fn wait_for_shell(&self, said_before: usize) -> Result<()> {
        let prompt = self.system.prompt(&self.name);
        let ready = try_eventually(2 * PATIENCE, async || {
            let said = self.serial_log(0);
            // A log that was rotated meanwhile is all new. The greeting first: a shell that ends prompts once more.
            let (_, greeted) = said.get(said_before..).unwrap_or(&said).split_once(LINUX_GREETING)?;
            greeted.contains(&prompt).then_some(())
        });
        ready.await.with_context(|| {
            format!("guest {}: no shell on its first serial port, which said: {}", self.name, self.serial_log(0))
        })
    }

    /// QEMU's pid, while it runs.
    pub fn qemu_pid(&self) -> Option<i32> {
        self.libvirt.emulator_pid(&self.name)
    }

    /// QEMU as a process, while it runs.
    pub fn qemu(&self) -> Option<Identity> {
        self.qemu_pid().and_then(Identity::of)
    }

    /// Freezes QEMU itself (SIGSTOP), which libvirt does not notice: calls on this guest hang.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        assert!(self.qemu().is_some_and(|qemu| qemu.signal(Signal::SIGSTOP)), "QEMU of {} runs", self.name);
    }

    /// Undoes [`Self::freeze`].
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self) {
        assert!(self.qemu().is_some_and(|qemu| qemu.signal(Signal::SIGCONT)), "QEMU of {} runs", self.name);
    }

    /// Kills QEMU. libvirt's state then says "crashed", its event "failed" (where the guest itself crashes, both say
    /// "crashed": see [`GuestBuilder::panic_device`]).
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill_qemu(&self) {
        assert!(self.qemu().is_some_and(|qemu| qemu.signal(Signal::SIGKILL)), "QEMU of {} runs", self.name);
    }

    /// Asks the guest to shut down, which it does.
    pub async fn shutdown(&self) {
        self.must("shutdown", &[]).await;
    }

    /// Pulls the plug.
    pub async fn destroy(&self) {
        self.must("destroy", &[]).await;
    }

    /// Pauses the guest (QEMU goes on).
    pub async fn suspend(&self) {
        self.must("suspend", &[]).await;
    }

    /// Undoes [`Self::suspend`].
    pub async fn resume(&self) {
        self.must("resume", &[]).await;
    }

    /// Its state in libvirt's words: `running`, `shut off`, `paused`…
    pub async fn state(&self) -> Result<String> {
        Ok(self.virsh("domstate", &[]).await?.trim().to_owned())
    }

    /// Waits for a state.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn wait_for_state(&self, state: &str) {
        let what = format!("guest {} to be {state}", self.name);
        eventually(PATIENCE, what, async || self.state().await.is_ok_and(|now| now == state)).await;
    }

    /// What it shows.
    pub async fn screenshot(&self) -> Result<Picture> {
        let file = self.libvirt.directory().join(format!("{}.{}.png", self.name, Uuid::new_v4().simple()));
        self.virsh("screenshot", &[&file.to_string_lossy()]).await?;
        let bytes = fs::read(&file).context("reading the screenshot")?;
        fs::remove_file(&file).context("removing the screenshot")?;
        Picture::from_png(&bytes)
    }

    /// Presses and releases keys, by libvirt's names (`KEY_A`).
    pub async fn send_keys(&self, keys: &[&str]) {
        for key in keys {
            self.must("send-key", &[key]).await;
        }
    }

    /// Its live XML.
    pub async fn live_xml(&self) -> Result<String> {
        self.virsh("dumpxml", &[]).await
    }

    /// What QEMU was started with and what it complained about.
    pub fn qemu_log(&self) -> String {
        let path = self.libvirt.directory().join(format!("log/qemu/{}.log", self.name));
        fs::read_to_string(path).unwrap_or_default()
    }

    /// The port of its first graphics that listens on one.
    ///
    /// # Panics
    /// When none does.
    pub fn graphics_port(&self) -> u16 {
        self.graphics.iter().find_map(Graphics::port).expect("graphics on TCP")
    }

    /// The unix socket of a serial port.
    pub fn serial_socket(&self, port: usize) -> PathBuf {
        xml::serial_socket(&self.libvirt, &self.name, port)
    }

    /// All that a serial port ever said, whoever was connected: virtlogd keeps it.
    pub fn serial_log(&self, port: usize) -> String {
        let bytes = fs::read(xml::serial_log(&self.libvirt, &self.name, port)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Connects to a serial port itself, past the product. It serves one client at a time.
    ///
    /// # Panics
    /// When it cannot be connected to.
    pub async fn serial(&self, port: usize) -> SerialConnection {
        assert!(matches!(self.serials.get(port), Some(Serial::Unix)), "serial port {port} is a unix socket");
        SerialConnection::open(&self.serial_socket(port)).await
    }

    /// Runs a command in the shell of a Linux guest's first serial port, and gives what it wrote.
    pub async fn shell(&self, command: &str) -> String {
        let mut serial = self.serial(0).await;
        // The shell echoes the line as it is typed, in which these words are apart.
        serial.say(&format!("echo 'begin of'' output'; {command}; echo 'end of'' output'\r")).await;
        serial.read_until("begin of output\r\n").await;
        let written = serial.read_until("end of output").await;
        serial.read_until(&self.system.prompt(&self.name)).await;
        written.trim_end_matches("end of output").replace("\r\n", "\n")
    }

    /// Has the tiny guest do what one of its commands says (`gfx`, `poweroff`, `reboot`…), over its first serial port.
    pub async fn command(&self, command: &str) {
        let mut serial = self.serial(0).await;
        serial.say(&format!("{command}\r")).await;
        serial.read_until(&format!("you said: {command}")).await;
    }

    /// Shows the four quadrants, and waits until they are on the screen.
    pub async fn show_quadrants(&self) {
        self.command("gfx").await;
        eventually(PATIENCE, "the quadrants", async || self.screenshot().await.is_ok_and(|seen| seen.is_quadrants()))
            .await;
    }

    /// Runs `virsh COMMAND GUEST ARGUMENTS…`.
    pub async fn virsh(&self, command: &str, arguments: &[&str]) -> Result<String> {
        let uuid = self.uuid.to_string();
        let mut all = vec![command, uuid.as_str()];
        all.extend(arguments);
        self.libvirt.virsh(&all).await
    }

    async fn must(&self, command: &str, arguments: &[&str]) {
        self.virsh(command, arguments).await.unwrap_or_else(|error| panic!("{error:#}"));
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Some(qemu) = self.qemu() {
            qemu.signal(Signal::SIGKILL);
        }
        if !self.libvirt.is_paused() {
            let commands = format!("destroy {uuid}; undefine {uuid}", uuid = self.uuid);
            run_briefly(Command::new("virsh").args(["-c", &self.libvirt.uri(), &commands]), Duration::from_secs(3));
        }
    }
}
