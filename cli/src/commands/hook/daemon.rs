//! Since when libvirtd runs: by its pid file, and what the kernel says of that process (proc(5)).

use std::fs;
use std::path::Path;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Where the daemons leave their pids: one for all, or that of QEMU's own.
const PID_FILES: [&str; 4] =
    ["/run/libvirt/virtqemud.pid", "/run/virtqemud.pid", "/run/libvirtd.pid", "/run/libvirt/libvirtd.pid"];

/// The field of `/proc/PID/stat` that tells when a process began, counted behind the name, which may hold anything.
const STARTED: usize = 19;

/// When it began, in RFC 3339 and whole seconds, if it runs.
pub(super) fn started(pid_file: Option<&Path>) -> Option<String> {
    let pid = match pid_file {
        Some(file) => fs::read_to_string(file).ok(),
        None => PID_FILES.iter().find_map(|file| fs::read_to_string(file).ok()),
    }?;
    let pid: u32 = pid.trim().parse().ok()?;
    let process = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks: i64 = process.rsplit_once(") ")?.1.split_whitespace().nth(STARTED)?.parse().ok()?;
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let booted: i64 = machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    let began = OffsetDateTime::from_unix_timestamp(booted + ticks.checked_div(per_second)?).ok()?;
    began.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_process_that_runs_began_at_some_time() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{}", std::process::id()).unwrap();
        let began = started(Some(file.path())).unwrap();
        let began = OffsetDateTime::parse(&began, &Rfc3339).unwrap();
        let ago = fs::metadata(file.path()).unwrap().modified().unwrap() - began;
        assert!(ago.whole_minutes().abs() < 60 * 24, "{ago}");
        assert_eq!(started(Some(Path::new("/nonexistent"))), None);
    }
}
