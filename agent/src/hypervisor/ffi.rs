//! The calls of libvirt that the crate `virt` has not, or has wrongly. The only `unsafe` of the product.
//!
//! `virt` 0.5 opens connections, lists and finds domains, reads names and XML: that is sound, and used. Here is what
//! it lacks: the event loop's thread, the error handler, events and the close callback; and what it does wrongly:
//!
//! - `Domain::state` drops the error and answers an unknown state instead;
//! - `Domain::job_stats` builds a `Vec` over memory of C's allocator (undefined for no parameters, where the pointer is
//!   null), leaks strings and panics on a parameter of another type than it expects;
//! - `Domain::open_graphics_fd` answers a bare number that nothing closes;
//! - `Stream` keeps the address of a value that can move, and can panic when it is dropped.
//!
//! **Invariant**: no Rust pointer is handed to libvirt for keeping. A callback's opaque value is a number, looked up in
//! a registry, so a callback that comes late finds nothing instead of freed memory.
#![expect(unsafe_code, reason = "libvirt is a C library; this is the one file of the product that calls C")]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_int, c_void};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use std::{mem, ptr, thread};

use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;

/// Starts libvirt's event loop on a thread of its own, once for the process. It must run before the first connection
/// is opened: a connection that was opened earlier has neither events nor keepalive.
pub(super) fn start_event_loop() -> Result<(), String> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    STARTED
        .get_or_init(|| {
            // SAFETY: the handler is a function without state, and `OnceLock` keeps this from running twice or in two
            // threads at once; no other part of this process calls libvirt earlier.
            unsafe { virt_sys::virSetErrorFunc(ptr::null_mut(), Some(on_error)) };
            // SAFETY: has no arguments; called once, before any connection, as libvirt asks.
            if unsafe { virt_sys::virEventRegisterDefaultImpl() } < 0 {
                return Err(Error::last_error().to_string());
            }
            let spawned = thread::Builder::new().name("libvirt-events".to_owned()).spawn(run_event_loop);
            spawned.map(drop).map_err(|error| error.to_string())
        })
        .clone()
}

fn run_event_loop() {
    loop {
        // SAFETY: has no arguments; the default implementation was registered before this thread was started, and
        // only this thread runs it.
        if unsafe { virt_sys::virEventRunDefaultImpl() } < 0 {
            tracing::warn!(error = %Error::last_error(), "libvirt's event loop failed one turn");
            // A failure that stays would otherwise take a whole core.
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// libvirt's own handler prints to stderr. Whoever made the call gets the error as its result; here it is only for a
/// reader of debug logs.
unsafe extern "C" fn on_error(_opaque: *mut c_void, error: virt_sys::virErrorPtr) {
    // SAFETY: libvirt passes a pointer that is valid during this call, or null.
    let Some(error) = (unsafe { error.as_ref() }) else { return };
    if error.message.is_null() {
        return;
    }
    // SAFETY: not null, and libvirt's messages end with a zero byte.
    let message = unsafe { CStr::from_ptr(error.message) }.to_string_lossy();
    tracing::debug!(code = error.code, %message, "libvirt reports an error");
}

/// What libvirt tells without having been asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// A step in a domain's life (`virDomainEventType` and its detail).
    Lifecycle {
        /// The domain.
        uuid: Uuid,
        /// Its name.
        name: String,
        /// What happened.
        event: c_int,
        /// More of it.
        detail: c_int,
    },
    /// The connection is gone (`virConnectCloseReason`).
    Closed {
        /// Why.
        reason: c_int,
    },
}

/// Whoever takes notices.
#[derive(Clone)]
struct Observer(Arc<dyn Fn(Notice) + Send + Sync>);

/// The observers, by the numbers that libvirt was given for them.
static OBSERVERS: Mutex<BTreeMap<usize, Observer>> = Mutex::new(BTreeMap::new());
static NEXT_OBSERVER: AtomicUsize = AtomicUsize::new(1);

/// A connection whose lifecycle events and whose end are observed until this is dropped. Dropping it may wait for
/// libvirt: never on an asynchronous thread.
#[derive(Debug)]
pub(super) struct Observed {
    connection: Connect,
    observer: usize,
    lifecycle: c_int,
    /// In-process drivers (`test:///default`) have no close callback, as nothing can close.
    closes: bool,
}

impl Observed {
    /// Begins to observe; `observer` is called on libvirt's event thread and must not wait for anything.
    pub(super) fn new(connection: Connect, observer: impl Fn(Notice) + Send + Sync + 'static) -> Result<Self, Error> {
        let id = NEXT_OBSERVER.fetch_add(1, Ordering::Relaxed);
        observers().insert(id, Observer(Arc::new(observer)));
        // SAFETY: `connection` is alive and owned here. The callback has the type that libvirt documents for
        // VIR_DOMAIN_EVENT_ID_LIFECYCLE; C casts it in the same way (`VIR_DOMAIN_EVENT_CALLBACK`). The opaque value is
        // a number that nobody dereferences, so there is nothing to free.
        let lifecycle = unsafe {
            let callback = mem::transmute::<
                unsafe extern "C" fn(
                    virt_sys::virConnectPtr,
                    virt_sys::virDomainPtr,
                    c_int,
                    c_int,
                    *mut c_void,
                ) -> c_int,
                unsafe extern "C" fn(virt_sys::virConnectPtr, virt_sys::virDomainPtr, *mut c_void),
            >(on_lifecycle);
            virt_sys::virConnectDomainEventRegisterAny(
                connection.as_ptr(),
                ptr::null_mut(),
                virt_sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE.cast_signed(),
                Some(callback),
                ptr::without_provenance_mut(id),
                None,
            )
        };
        if lifecycle < 0 {
            observers().remove(&id);
            return Err(Error::last_error());
        }
        // SAFETY: as above; the callback has the declared type.
        let closes = unsafe {
            virt_sys::virConnectRegisterCloseCallback(
                connection.as_ptr(),
                Some(on_close),
                ptr::without_provenance_mut(id),
                None,
            )
        } == 0;
        Ok(Self { connection, observer: id, lifecycle, closes })
    }

    /// The connection.
    pub(super) const fn connection(&self) -> &Connect {
        &self.connection
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        // First, so that nothing is told to an observer that is on its way out.
        observers().remove(&self.observer);
        // Both fail on a connection that is gone, after having taken the callback off on our side.
        // SAFETY: the connection is alive until this function returns, and the callback was registered on it.
        let _failed = unsafe { virt_sys::virConnectDomainEventDeregisterAny(self.connection.as_ptr(), self.lifecycle) };
        if self.closes {
            // SAFETY: as above.
            let _failed =
                unsafe { virt_sys::virConnectUnregisterCloseCallback(self.connection.as_ptr(), Some(on_close)) };
        }
    }
}

fn observers() -> MutexGuard<'static, BTreeMap<usize, Observer>> {
    OBSERVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn notify(opaque: *mut c_void, notice: Notice) {
    // Cloned, so that the observer runs without the lock.
    let observer = observers().get(&opaque.addr()).cloned();
    if let Some(Observer(observe)) = observer {
        observe(notice);
    }
}

unsafe extern "C" fn on_lifecycle(
    _connection: virt_sys::virConnectPtr,
    domain: virt_sys::virDomainPtr,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    let mut uuid = [0_u8; virt_sys::VIR_UUID_BUFLEN as usize];
    // SAFETY: libvirt passes a domain that is valid during this call, and the buffer has the length that it writes.
    let has_uuid = unsafe { virt_sys::virDomainGetUUID(domain, uuid.as_mut_ptr()) } == 0;
    // SAFETY: as above; the name belongs to the domain.
    let name = unsafe { virt_sys::virDomainGetName(domain) };
    if has_uuid && !name.is_null() {
        // SAFETY: not null, ended by a zero byte, and copied before the domain goes.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
        notify(opaque, Notice::Lifecycle { uuid: Uuid::from_bytes(uuid), name, event, detail });
    }
    0
}

unsafe extern "C" fn on_close(_connection: virt_sys::virConnectPtr, reason: c_int, opaque: *mut c_void) {
    notify(opaque, Notice::Closed { reason });
}

/// A domain's state (`virDomainState`). Takes no job: answers while the emulator hangs.
pub(super) fn state(domain: &Domain) -> Result<u32, Error> {
    let mut state: c_int = 0;
    // SAFETY: the domain is alive, the pointer is valid for the call, and null is allowed for the reason.
    let failed = unsafe { virt_sys::virDomainGetState(domain.as_ptr(), &raw mut state, ptr::null_mut(), 0) } < 0;
    if failed { Err(Error::last_error()) } else { Ok(state.cast_unsigned()) }
}

/// The long operation that holds the domain (`virDomainJobOperation`), if any. Waits behind whoever is at the
/// emulator's monitor.
pub(super) fn job_operation(domain: &Domain) -> Result<Option<u32>, Error> {
    let (mut kind, mut length): (c_int, c_int) = (0, 0);
    let mut parameters: virt_sys::virTypedParameterPtr = ptr::null_mut();
    // SAFETY: the domain is alive, and the pointers are valid for the call. On success `parameters` is an array of
    // `length` that is ours to free (null if that is 0).
    let failed = unsafe {
        virt_sys::virDomainGetJobStats(domain.as_ptr(), &raw mut kind, &raw mut parameters, &raw mut length, 0)
    } < 0;
    if failed {
        return Err(Error::last_error());
    }
    let mut operation: c_int = 0;
    // SAFETY: the array is as libvirt returned it; the call only reads it, and checks the parameter's type.
    let found = unsafe {
        virt_sys::virTypedParamsGetInt(
            parameters,
            length,
            virt_sys::VIR_DOMAIN_JOB_OPERATION.as_ptr(),
            &raw mut operation,
        )
    };
    // SAFETY: as libvirt returned it, freed once, not used after.
    unsafe { virt_sys::virTypedParamsFree(parameters, length) };
    let active = kind.cast_unsigned() == virt_sys::VIR_DOMAIN_JOB_BOUNDED
        || kind.cast_unsigned() == virt_sys::VIR_DOMAIN_JOB_UNBOUNDED;
    Ok(active.then(|| if found == 1 { operation.cast_unsigned() } else { virt_sys::VIR_DOMAIN_JOB_OPERATION_UNKNOWN }))
}

/// A new connection to a domain's graphics, past its password: who may open it was decided before.
pub(super) fn open_graphics(domain: &Domain, index: u8) -> Result<OwnedFd, Error> {
    // SAFETY: the domain is alive; the call has no other precondition.
    let fd = unsafe {
        virt_sys::virDomainOpenGraphicsFD(domain.as_ptr(), index.into(), virt_sys::VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH)
    };
    if fd < 0 {
        return Err(Error::last_error());
    }
    // SAFETY: libvirt received this descriptor for this call and hands it over; nothing else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A console's bytes, both ways, by way of libvirt. One thread may receive while another sends.
#[derive(Debug)]
pub(super) struct Stream {
    raw: virt_sys::virStreamPtr,
    number: usize,
    gate: Arc<Gate>,
    connection: Connect,
}

// SAFETY: libvirt locks its streams itself; the pointer is ours until this is dropped.
unsafe impl Send for Stream {}
// SAFETY: as above; that different threads receive and send is what libvirt's own `virsh console` does.
unsafe impl Sync for Stream {}

/// What a stream's threads wait at.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<Waiting>,
    changed: Condvar,
}

/// libvirt's bits (`virStreamEventType`).
#[derive(Debug, Default)]
struct Waiting {
    wanted: c_int,
    ready: c_int,
    closed: bool,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gates, by the numbers that libvirt was given for them.
static GATES: Mutex<BTreeMap<usize, Arc<Gate>>> = Mutex::new(BTreeMap::new());

fn gates() -> MutexGuard<'static, BTreeMap<usize, Arc<Gate>>> {
    GATES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What libvirt answers to a call that would have to wait.
const LATER: c_int = -2;

/// What wakes whoever waits, whatever it waits for.
const ANY_END: c_int = (virt_sys::VIR_STREAM_EVENT_ERROR | virt_sys::VIR_STREAM_EVENT_HANGUP).cast_signed();

/// A stream whose daemon is gone is not always told so: it is looked after now and then.
const LOOK: Duration = Duration::from_secs(2);

unsafe extern "C" fn on_stream(stream: virt_sys::virStreamPtr, events: c_int, opaque: *mut c_void) {
    let gate = gates().get(&opaque.addr()).cloned();
    let Some(gate) = gate else { return };
    let mut state = gate.state();
    state.ready |= events;
    // Told once: whoever waits again says so again.
    state.wanted &= !events;
    // SAFETY: libvirt passes a stream that is valid during this call, and calls without its lock.
    let _failed = unsafe { virt_sys::virStreamEventUpdateCallback(stream, state.wanted) };
    gate.changed.notify_all();
}

impl Stream {
    /// Opens a domain's console: the device of this name, or the first. `force` ends whoever else has it open.
    pub(super) fn open_console(
        connection: &Connect,
        domain: &Domain,
        device: Option<&CStr>,
        force: bool,
    ) -> Result<Self, Error> {
        // SAFETY: the connection is alive; the stream takes a reference to it.
        let raw = unsafe { virt_sys::virStreamNew(connection.as_ptr(), virt_sys::VIR_STREAM_NONBLOCK) };
        if raw.is_null() {
            return Err(Error::last_error());
        }
        let number = NEXT_OBSERVER.fetch_add(1, Ordering::Relaxed);
        let gate = Arc::new(Gate::default());
        gates().insert(number, Arc::clone(&gate));
        // From here on dropping it gives all back.
        let stream = Self { raw, number, gate, connection: connection.clone() };
        let flags = if force { virt_sys::VIR_DOMAIN_CONSOLE_FORCE } else { 0 };
        let device = device.map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: domain and stream are alive; the name ends with a zero byte, or null stands for the first device.
        if unsafe { virt_sys::virDomainOpenConsole(domain.as_ptr(), device, stream.raw, flags) } < 0 {
            return Err(Error::last_error());
        }
        // SAFETY: the stream is alive until its callback is taken off. The opaque value is a number that nobody
        // dereferences, so there is nothing to free.
        let added = unsafe {
            virt_sys::virStreamEventAddCallback(
                stream.raw,
                0,
                Some(on_stream),
                ptr::without_provenance_mut(number),
                None,
            )
        };
        if added < 0 { Err(Error::last_error()) } else { Ok(stream) }
    }

    /// Waits for bytes; how many were received, 0 at the end.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            // SAFETY: the stream is alive, and the buffer is valid for its length.
            let received = unsafe { virt_sys::virStreamRecv(self.raw, buffer.as_mut_ptr().cast(), buffer.len()) };
            match usize::try_from(received) {
                Ok(length) => return Ok(length),
                Err(_) if received != LATER => return Err(Error::last_error()),
                Err(_) if !self.wait(virt_sys::VIR_STREAM_EVENT_READABLE) => return Ok(0),
                Err(_) => {}
            }
        }
    }

    /// Waits until bytes can be sent; how many were, 0 at the end.
    pub(super) fn send(&self, bytes: &[u8]) -> Result<usize, Error> {
        loop {
            // SAFETY: the stream is alive, and the bytes are valid for their length; libvirt copies them.
            let sent = unsafe { virt_sys::virStreamSend(self.raw, bytes.as_ptr().cast(), bytes.len()) };
            match usize::try_from(sent) {
                Ok(length) => return Ok(length),
                Err(_) if sent != LATER => return Err(Error::last_error()),
                Err(_) if !self.wait(virt_sys::VIR_STREAM_EVENT_WRITABLE) => return Ok(0),
                Err(_) => {}
            }
        }
    }

    /// Whoever waits, now or later, is at the end.
    pub(super) fn close(&self) {
        self.gate.state().closed = true;
        self.gate.changed.notify_all();
    }

    /// False: it is closed.
    fn wait(&self, event: u32) -> bool {
        let event = event.cast_signed();
        let mut state = self.gate.state();
        state.ready &= !event;
        state.wanted |= event;
        // SAFETY: the stream is alive and has its callback; libvirt calls that without the stream's lock, so that whoever
        // has the gate's lock may take the stream's.
        let failed = unsafe { virt_sys::virStreamEventUpdateCallback(self.raw, state.wanted) } < 0;
        while !failed && !state.closed && state.ready & (event | ANY_END) == 0 {
            let (next, looked) = self.gate.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if looked.timed_out() && !self.connection.is_alive().unwrap_or(false) {
                return false;
            }
        }
        !failed && !state.closed
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // First, so that a late callback finds nothing.
        gates().remove(&self.number);
        // SAFETY: the stream is ours and alive; the first two fail where there is nothing to take off or to end. It is not
        // used after the last.
        unsafe {
            virt_sys::virStreamEventRemoveCallback(self.raw);
            virt_sys::virStreamAbort(self.raw);
            virt_sys::virStreamFree(self.raw);
        }
    }
}
