//! The calls themselves, as they run on a thread that may wait: from a command to its answer.
//!
//! libvirt's words may be translated (by the daemon's locale), so decisions go by error numbers and states wherever
//! libvirt makes that possible.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use porthole_shared::names::ConsoleUuid;
use porthole_shared::secret::Secret;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;

use super::command::Command;
use super::console::{self, OpenFailure};
use super::definition::{Definition, DefinitionError, RedefineError};
use super::domain::{DomainDescription, DomainState, DomainSummary, Life, NameOrUuid, console_name};
use super::error::{CallError, DescribeError, FindError, LibvirtError, ListError, OpenConsoleError, OpenGraphicsError};
use super::link::{Lease, Link};
use super::{MAX_XML_BYTES, ffi};

/// Asks libvirt and answers. Takes as long as libvirt takes.
pub(super) fn answer(link: &Arc<Link>, command: Command) {
    let mut lease = link.lease().map_err(|error| {
        tracing::warn!(%error, "cannot open a further connection to libvirt");
        CallError::Disconnected
    });
    let libvirt = lease.as_ref().map(Lease::connection).map_err(Clone::clone);
    // A send fails when nobody waits any more; the answer is then dropped, and with it a descriptor closed.
    match command {
        Command::Domains { reply } => drop(reply.send(libvirt.map_err(ListError).and_then(domains))),
        Command::Find { wanted, reply } => {
            drop(reply.send(libvirt.map_err(FindError::from).and_then(|libvirt| find(libvirt, &wanted))));
        }
        Command::Describe { uuid, reply } => {
            drop(reply.send(libvirt.map_err(DescribeError::from).and_then(|libvirt| describe(libvirt, uuid))));
        }
        Command::Definition { uuid, reply } => {
            drop(reply.send(libvirt.map_err(DefinitionError::from).and_then(|libvirt| definition(libvirt, uuid))));
        }
        Command::Redefine { uuid, seen, wanted, reply } => {
            let redefined = |libvirt| redefine(libvirt, uuid, &seen, &wanted);
            drop(reply.send(libvirt.map_err(RedefineError::from).and_then(redefined)));
        }
        Command::OpenGraphics { uuid, index, reply } => {
            let opened = |libvirt| open_graphics(libvirt, uuid, index);
            drop(reply.send(libvirt.map_err(OpenGraphicsError::from).and_then(opened)));
        }
        Command::OpenConsole { uuid, device, force, reply } => {
            let opened = |libvirt| open_console(libvirt, uuid, device.as_deref(), force);
            let opened = libvirt.map_err(OpenConsoleError::from).and_then(opened);
            if let (Ok(_), Ok(lease)) = (&opened, &mut lease) {
                lease.give_away();
            }
            drop(reply.send(opened));
        }
        Command::IsMigrating { uuid, reply } => {
            drop(reply.send(libvirt.and_then(|libvirt| is_migrating(libvirt, uuid))));
        }
    }
}

fn domains(libvirt: &Connect) -> Result<Vec<DomainSummary>, ListError> {
    let failed = |error| ListError(call_error(libvirt, &error));
    let domains = libvirt.list_all_domains(0).map_err(failed)?;
    let mut summaries = Vec::with_capacity(domains.len());
    for domain in &domains {
        // The list itself says which ones do not run: one call less for each of those.
        let listed = if domain.id().is_some() { summary(domain) } else { named(domain, DomainState::ShutOff) };
        match listed {
            Ok(summary) => summaries.push(summary),
            // It went between the two calls.
            Err(error) if is_no_domain(&error) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(summaries)
}

fn find(libvirt: &Connect, wanted: &NameOrUuid) -> Result<DomainSummary, FindError> {
    let found = match wanted {
        NameOrUuid::Name(name) => libvirt.lookup_domain_by_name(name.as_str()),
        NameOrUuid::Uuid(uuid) => libvirt.lookup_domain_by_uuid(uuid.uuid()),
    };
    found.and_then(|domain| summary(&domain)).map_err(|error| {
        if is_no_domain(&error) { FindError::NoSuchDomain } else { call_error(libvirt, &error).into() }
    })
}

/// How often a domain is read that starts or stops meanwhile.
const READS: usize = 3;

fn describe(libvirt: &Connect, uuid: ConsoleUuid) -> Result<DomainDescription, DescribeError> {
    let lookup = || libvirt.lookup_domain_by_uuid(uuid.uuid());
    let read = || {
        let mut reads = 0;
        loop {
            let domain = lookup()?;
            // No flags: of the running domain, if it runs; without secrets.
            let read = (summary(&domain)?, domain.xml_desc(0)?, life(&domain));
            reads += 1;
            // The number is of the time of the lookup, and what was read since waits for a domain that is being started:
            // if there is another number now, or none, they are not of one moment.
            if reads == READS || lookup()?.id() == domain.id() {
                return Ok(read);
            }
        }
    };
    let (DomainSummary { uuid, name, state }, live_xml, life) = read().map_err(|error| {
        if is_no_domain(&error) { DescribeError::NoSuchDomain } else { call_error(libvirt, &error).into() }
    })?;
    if live_xml.len() > MAX_XML_BYTES {
        return Err(DescribeError::TooLarge { bytes: live_xml.len() });
    }
    Ok(DomainDescription { uuid, name, state, live_xml, life })
}

fn life(domain: &Domain) -> Option<Life> {
    let number = domain.id()?;
    let worked = domain.info().map_or(0, |info| info.cpu_time / 1_000_000);
    Some(Life { number, worked })
}

/// With secrets: libvirt would take a definition without them for one that has none.
const DEFINED: u32 = virt_sys::VIR_DOMAIN_XML_INACTIVE | virt_sys::VIR_DOMAIN_XML_SECURE;

fn definition(libvirt: &Connect, uuid: ConsoleUuid) -> Result<Definition, DefinitionError> {
    let failed = |error: Error| {
        if is_no_domain(&error) { DefinitionError::NoSuchDomain } else { call_error(libvirt, &error).into() }
    };
    let domain = libvirt.lookup_domain_by_uuid(uuid.uuid()).map_err(failed)?;
    if !domain.is_persistent().map_err(failed)? {
        return Err(DefinitionError::Transient);
    }
    let defined = short_enough(domain.xml_desc(DEFINED).map_err(failed)?)?;
    let DomainSummary { uuid, name, state } = summary(&domain).map_err(failed)?;
    let live = if state.is_active() {
        Some(short_enough(domain.xml_desc(virt_sys::VIR_DOMAIN_XML_SECURE).map_err(failed)?)?)
    } else {
        None
    };
    // Drivers that cannot save have nothing saved.
    let is_saved = domain.has_managed_save(0).unwrap_or(false);
    Ok(Definition { uuid, name, state, defined, live, is_saved })
}

fn short_enough(xml: String) -> Result<Secret<String>, DefinitionError> {
    if xml.len() > MAX_XML_BYTES { Err(DefinitionError::TooLarge { bytes: xml.len() }) } else { Ok(Secret::new(xml)) }
}

/// libvirt has no way to change a definition only if it is as expected, so it is looked at once more right before.
fn redefine(
    libvirt: &Connect,
    uuid: ConsoleUuid,
    seen: &Secret<String>,
    wanted: &Secret<String>,
) -> Result<(), RedefineError> {
    if definition(libvirt, uuid)?.defined != *seen {
        return Err(RedefineError::Changed);
    }
    libvirt.define_domain_xml(wanted.expose()).map(drop).map_err(|error| call_error(libvirt, &error).into())
}

fn summary(domain: &Domain) -> Result<DomainSummary, Error> {
    named(domain, DomainState::from_raw(ffi::state(domain)?))
}

fn named(domain: &Domain, state: DomainState) -> Result<DomainSummary, Error> {
    let uuid = ConsoleUuid::new(domain.uuid()?);
    let name = console_name(&domain.name()?, uuid);
    Ok(DomainSummary { uuid, name, state })
}

/// Opening graphics needs the domain's job. libvirt waits 30 s for a job that something else holds, so what holds it is
/// asked first; the answer may be outdated by the time of the call, hence once more after it has failed.
fn open_graphics(libvirt: &Connect, uuid: ConsoleUuid, index: u8) -> Result<OwnedFd, OpenGraphicsError> {
    let domain = libvirt.lookup_domain_by_uuid(uuid.uuid()).map_err(|error| open_error(libvirt, &error, index))?;
    check_free(libvirt, &domain, index)?;
    ffi::open_graphics(&domain, index).map_err(|error| match open_error(libvirt, &error, index) {
        // A domain that ended or left while the call waited makes for many errors ("monitor must not be NULL").
        OpenGraphicsError::Occupied | OpenGraphicsError::Call(CallError::Libvirt(_)) => {
            check_free(libvirt, &domain, index).err().unwrap_or_else(|| open_error(libvirt, &error, index))
        }
        decided @ (OpenGraphicsError::NoSuchDomain
        | OpenGraphicsError::NotRunning
        | OpenGraphicsError::Migrating
        | OpenGraphicsError::NoSuchGraphics { .. }
        | OpenGraphicsError::Remote
        | OpenGraphicsError::Unsupported
        | OpenGraphicsError::Call(CallError::Disconnected | CallError::DeadlineExceeded | CallError::Busy)) => decided,
    })
}

/// Whether the domain runs, and nothing holds it that would keep graphics from being opened.
fn check_free(libvirt: &Connect, domain: &Domain, index: u8) -> Result<(), OpenGraphicsError> {
    let state = ffi::state(domain).map_err(|error| open_error(libvirt, &error, index))?;
    if !DomainState::from_raw(state).is_active() {
        return Err(OpenGraphicsError::NotRunning);
    }
    match ffi::job_operation(domain) {
        Ok(Some(operation)) if is_migration(operation) => Err(OpenGraphicsError::Migrating),
        Ok(Some(operation)) => match operation {
            virt_sys::VIR_DOMAIN_JOB_OPERATION_SAVE
            | virt_sys::VIR_DOMAIN_JOB_OPERATION_RESTORE
            | virt_sys::VIR_DOMAIN_JOB_OPERATION_DUMP
            | virt_sys::VIR_DOMAIN_JOB_OPERATION_SNAPSHOT
            | virt_sys::VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_REVERT
            | virt_sys::VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_DELETE => Err(OpenGraphicsError::Occupied),
            // A backup, for one, lets others change the domain meanwhile.
            _ => Ok(()),
        },
        Ok(None) => Ok(()),
        Err(error) if is_incoming(&error) => Err(OpenGraphicsError::Migrating),
        Err(error) => match code(&error) {
            // The state above said that it runs: it has stopped since.
            virt_sys::VIR_ERR_OPERATION_INVALID => Err(OpenGraphicsError::NotRunning),
            virt_sys::VIR_ERR_OPERATION_TIMEOUT => Err(OpenGraphicsError::Occupied),
            // A driver without jobs has nothing that could hold the domain.
            virt_sys::VIR_ERR_NO_SUPPORT => Ok(()),
            _ => Err(open_error(libvirt, &error, index)),
        },
    }
}

fn open_console(
    libvirt: &Connect,
    uuid: ConsoleUuid,
    device: Option<&str>,
    force: bool,
) -> Result<OwnedFd, OpenConsoleError> {
    console::open(libvirt, uuid, device, force).map_err(|failure| match failure {
        OpenFailure::System(error) => OpenConsoleError::System(error.to_string()),
        OpenFailure::Libvirt(error) => match code(&error) {
            virt_sys::VIR_ERR_NO_DOMAIN => OpenConsoleError::NoSuchDomain,
            virt_sys::VIR_ERR_OPERATION_INVALID => OpenConsoleError::NotRunning,
            // The only thing that this call fails at by this number.
            virt_sys::VIR_ERR_OPERATION_FAILED => OpenConsoleError::InUse,
            virt_sys::VIR_ERR_NO_SUPPORT | virt_sys::VIR_ERR_CONFIG_UNSUPPORTED => OpenConsoleError::Unsupported,
            _ => call_error(libvirt, &error).into(),
        },
    })
}

fn is_migrating(libvirt: &Connect, uuid: ConsoleUuid) -> Result<bool, CallError> {
    let job = libvirt.lookup_domain_by_uuid(uuid.uuid()).and_then(|domain| ffi::job_operation(&domain));
    match job {
        Ok(operation) => Ok(operation.is_some_and(is_migration)),
        Err(error) if is_incoming(&error) => Ok(true),
        Err(error) => Err(call_error(libvirt, &error)),
    }
}

const fn is_migration(operation: u32) -> bool {
    matches!(
        operation,
        virt_sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN | virt_sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT
    )
}

/// QEMU's driver says so of a domain that is coming in: statistics are "available only on the source host".
fn is_incoming(error: &Error) -> bool {
    code(error) == virt_sys::VIR_ERR_OPERATION_UNSUPPORTED
}

fn open_error(libvirt: &Connect, error: &Error, index: u8) -> OpenGraphicsError {
    match code(error) {
        virt_sys::VIR_ERR_NO_DOMAIN => OpenGraphicsError::NoSuchDomain,
        virt_sys::VIR_ERR_OPERATION_TIMEOUT => OpenGraphicsError::Occupied,
        virt_sys::VIR_ERR_NO_SUPPORT | virt_sys::VIR_ERR_ARGUMENT_UNSUPPORTED => OpenGraphicsError::Unsupported,
        // libvirt has no number for this one. In another language it is told as libvirt words it.
        virt_sys::VIR_ERR_INTERNAL_ERROR if error.message().contains("No graphics backend") => {
            OpenGraphicsError::NoSuchGraphics { index }
        }
        _ => call_error(libvirt, error).into(),
    }
}

/// What libvirt said; or, when the connection is gone (which libvirt does not tell by a number), that.
fn call_error(libvirt: &Connect, error: &Error) -> CallError {
    if libvirt.is_alive().unwrap_or(false) {
        CallError::Libvirt(LibvirtError { code: code(error), message: error.message().to_owned() })
    } else {
        CallError::Disconnected
    }
}

fn is_no_domain(error: &Error) -> bool {
    code(error) == virt_sys::VIR_ERR_NO_DOMAIN
}

fn code(error: &Error) -> u32 {
    error.code().to_raw()
}
