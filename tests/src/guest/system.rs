//! What a guest boots: the tests' tiny kernel, or Linux.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::places;

/// What the Linux guest is told. A TCG guest cannot calibrate its clocks well, and says so at length unless it is told
/// not to try; the serial port comes last, so that the kernel's own words go there and the screen stays tidy.
const LINUX: &str = "console=tty0 console=ttyS0,115200 quiet loglevel=3 tsc=unstable no_timer_check nokaslr panic=1";

/// What a guest boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// `tests/guest/guest.c`: ready in 0.1 s, 8 MB.
    Tiny,
    /// `tests/guest/linux`: a shell on the screen and on each serial port, 128 MB.
    Linux,
}

/// What the domain's XML says of it.
#[derive(Debug)]
pub(super) struct Boot {
    /// In MiB. With 64 Linux fails, and says nothing.
    pub(super) memory: u32,
    kernel: PathBuf,
    initramfs: Option<PathBuf>,
    command_line: Option<String>,
}

impl System {
    /// Its files, if they are there.
    pub(super) fn boot(self, name: &str) -> Result<Boot> {
        match self {
            Self::Tiny => {
                let kernel = PathBuf::from(places::GUEST_KERNEL);
                if !kernel.is_file() {
                    bail!("the guest's kernel {} is missing: build the tests again", kernel.display());
                }
                Ok(Boot { memory: 8, kernel, initramfs: None, command_line: None })
            }
            Self::Linux => {
                let (kernel, initramfs) = places::linux_guest()?;
                let command_line = Some(format!("{LINUX} porthole.name={name}"));
                Ok(Boot { memory: 128, kernel, initramfs: Some(initramfs), command_line })
            }
        }
    }

    /// What its serial ports say when they can be spoken to.
    pub(super) fn prompt(self, name: &str) -> String {
        match self {
            Self::Tiny => "> ".to_owned(),
            Self::Linux => format!("{name}:~# "),
        }
    }
}

impl Boot {
    pub(super) fn xml(&self) -> String {
        let element = |name: &str, text: String| format!("<{name}>{text}</{name}>");
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let mut xml = element("kernel", path(&self.kernel));
        if let Some(initramfs) = &self.initramfs {
            xml.push_str(&element("initrd", path(initramfs)));
        }
        if let Some(command_line) = &self.command_line {
            xml.push_str(&element("cmdline", command_line.clone()));
        }
        xml
    }
}
