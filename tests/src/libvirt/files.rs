//! What a private libvirtd reads: its configuration, and the script that starts it.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use uuid::Uuid;

use crate::places;

const HOST_SCRIPT: &str = include_str!("host.sh");

/// Users and labels as they are here (everything is root's, inside namespaces), and nothing that would need systemd,
/// cgroups or a capability that a container lacks. virtlogd keeps the serial logs, as in production.
const QEMU_CONF: &str = r#"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "logd"
"#;

/// libvirt's own folder of hooks has this one.
pub(super) fn hook(directory: &Path) -> PathBuf {
    directory.join("etc/hooks/qemu.d/porthole")
}

pub(super) fn hook_config(directory: &Path) -> PathBuf {
    directory.join("hook.toml")
}

pub(super) fn hook_spool(directory: &Path) -> PathBuf {
    directory.join("spool")
}

pub(super) fn hook_socket(sockets: &Path) -> PathBuf {
    sockets.join("hook.sock")
}

/// Installs the hook.
pub(super) fn write_hook(directory: &Path, sockets: &Path) -> Result<()> {
    let (hook, config, spool) = (hook(directory), hook_config(directory), hook_spool(directory));
    fs::create_dir_all(hook.parent().unwrap_or(directory)).context("creating the folder of hooks")?;
    fs::create_dir_all(&spool).context("creating the hook's spool")?;
    let script = format!(
        "#!/bin/sh\nexec '{}' --config '{}' \"$@\"\n",
        places::binary("porthole-hook")?.display(),
        config.display()
    );
    fs::write(&hook, script).context("writing the hook")?;
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).context("letting the hook run")?;
    let settings = format!("socket = '{}'\nspool = '{}'\n", hook_socket(sockets).display(), spool.display());
    fs::write(config, settings).context("writing hook.toml")
}

/// Prepares the directory; gives the one for the sockets.
pub(super) fn write(directory: &Path, host_uuid: Uuid, gives_away: bool, address: Option<Ipv4Addr>) -> Result<PathBuf> {
    let etc = directory.join("etc");
    for below in ["etc", "lib", "cache", "log", "run"] {
        let path = directory.join(below);
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
    }
    // What the machine's libvirt has in /run and in the log is of an earlier host that has ended.
    fs::remove_dir_all(directory.join("run")).context("emptying run")?;
    fs::create_dir(directory.join("run")).context("creating run")?;
    let _none = fs::remove_file(directory.join("host.log"));

    let sockets = places::sockets_directory(directory);
    fs::create_dir_all(&sockets).with_context(|| format!("creating {}", sockets.display()))?;
    fs::set_permissions(&sockets, fs::Permissions::from_mode(0o700)).context("closing the sockets' directory")?;

    let copied = Command::new("cp").args(["-r", "/etc/libvirt/."]).arg(&etc).status().context("cp")?;
    if !copied.success() {
        bail!("/etc/libvirt cannot be copied: is libvirt-daemon-system installed? (`make deps`)");
    }
    // The machine's own hooks and autostarted guests are not ours.
    for foreign in ["hooks", "qemu"] {
        let _none = fs::remove_dir_all(etc.join(foreign));
        fs::create_dir(etc.join(foreign)).context("creating a directory of etc")?;
    }
    let libvirtd = format!(
        "unix_sock_dir = \"{}\"\nunix_sock_rw_perms = \"0700\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n\
         host_uuid = \"{host_uuid}\"\nlog_outputs = \"3:file:{}\"\n\
         listen_tls = 0\nlisten_tcp = 1\nauth_tcp = \"none\"\n",
        sockets.display(),
        directory.join("log/libvirtd.log").display(),
    );
    fs::write(etc.join("libvirtd.conf"), libvirtd).context("writing libvirtd.conf")?;
    let qemu = if gives_away {
        QEMU_CONF
            .replace("group = \"root\"", "group = \"kvm\"")
            .replace("dynamic_ownership = 0", "dynamic_ownership = 1")
    } else {
        QEMU_CONF.to_owned()
    };
    // Ports that libvirt finds by itself: two libvirtds that look at the same ones find the same.
    let low = 6000 + 100 * u16::try_from(host_uuid.as_u128() % 39).unwrap_or_default();
    let displays = format!("remote_display_port_min = {low}\nremote_display_port_max = {}\n", low + 99);
    // Where others reach it: nobody else knows its name.
    let reached = address.map(|address| format!("migration_host = \"{address}\"\n")).unwrap_or_default();
    fs::write(etc.join("qemu.conf"), format!("{qemu}{displays}{reached}")).context("writing qemu.conf")?;
    fs::write(directory.join("host.sh"), HOST_SCRIPT).context("writing host.sh")?;
    Ok(sockets)
}
