//! Reading what a port says, into its history; and, where the next run of the agent is to go on, in such an order that it
//! knows what this one had: see [`spool`](super::spool).

use std::borrow::Cow;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};

use porthole_shared::lifecycle::chain;

use super::port::Port;
use super::source::Source;
use super::spool::Spool;
use super::telnet;

/// How much is read at once.
pub(super) const READ: usize = 64 * 1024;

thread_local! {
    /// What is being read. Never borrowed across a turn's end, so ports that say nothing share it.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// Reads once. What telnet wants to be answered is given back. Where it cannot be written down there is no spool any more.
pub(super) async fn read(
    port: &Port,
    source: &Source,
    mut telnet: Option<&mut telnet::Decoder>,
    spool: &mut Option<Spool>,
) -> io::Result<Vec<u8>> {
    poll_fn(|cx| {
        loop {
            ready!(source.poll_readable(cx))?;
            let read = SCRATCH.with_borrow_mut(|scratch| match spool {
                None => at_once(port, source, telnet.as_deref_mut(), scratch),
                Some(_) => by_and_by(port, source, telnet.as_deref_mut(), spool, scratch),
            });
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => write_down(port, spool, Spool::drained),
                read => return Poll::Ready(read),
            }
        }
    })
    .await
}

fn at_once(
    port: &Port,
    source: &Source,
    telnet: Option<&mut telnet::Decoder>,
    scratch: &mut [u8],
) -> io::Result<Vec<u8>> {
    let length = source.try_read(scratch)?;
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (data, answer) = decode(telnet, scratch.get(..length).unwrap_or_default());
    port.append(&data);
    Ok(answer)
}

fn by_and_by(
    port: &Port,
    source: &Source,
    telnet: Option<&mut telnet::Decoder>,
    spool: &mut Option<Spool>,
    scratch: &mut [u8],
) -> io::Result<Vec<u8>> {
    let length = source.try_peek(scratch)?;
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (data, answer) = decode(telnet, scratch.get(..length).unwrap_or_default());
    write_down(port, spool, |spool| spool.append(&data));
    // No viewer is ahead of what the next run would know.
    port.append(&data);
    source.take_out(scratch.get_mut(..length).unwrap_or_default())?;
    write_down(port, spool, Spool::taken);
    Ok(answer)
}

/// What of a port's bytes is data, and what must be answered to the rest.
fn decode<'a>(telnet: Option<&mut telnet::Decoder>, bytes: &'a [u8]) -> (Cow<'a, [u8]>, Vec<u8>) {
    let Some(decoder) = telnet else { return (Cow::Borrowed(bytes), Vec::new()) };
    let (mut data, mut answer) = (Vec::with_capacity(bytes.len()), Vec::new());
    decoder.decode(bytes, &mut data, &mut answer);
    (Cow::Owned(data), answer)
}

fn write_down(port: &Port, spool: &mut Option<Spool>, write: impl FnOnce(&mut Spool) -> io::Result<()>) {
    if let Some(Err(error)) = spool.as_mut().map(write) {
        tracing::warn!(?port, error = chain(&error), "cannot keep what a serial port says for the next run");
        *spool = None;
    }
}
