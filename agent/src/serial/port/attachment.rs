//! A viewer's place on a port: what it reads next, what it is told, what it types.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use porthole_shared::reason::Reason;
use tokio_util::sync::PollSender;

use super::{Input, Interest, Link, Viewer};
use crate::serial::history::{Cursor, History, Piece};
use crate::serial::roles::{Applicant, Role};
use crate::serial::wire::{May, State, Wanted, Why};

/// A viewer's place on a port. Dropped, it is free.
#[derive(Debug)]
pub struct Attachment {
    pub(super) interest: Interest,
    pub(super) viewer: Arc<Viewer>,
    pub(super) applicant: Applicant,
    /// None while its claim is pending.
    pub(super) role: Option<Role>,
    pub(super) cursor: Cursor,
    /// It has seen the latest byte once, so what it misses now it is too slow for.
    pub(super) caught_up: bool,
    /// Of the state that it was told last.
    pub(super) version: Option<u64>,
    pub(super) input: PollSender<Input>,
}

/// What comes next for a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::serial) enum Next {
    /// So many bytes were added to the buffer.
    Bytes(usize),
    /// These do not come.
    Skipped { from: u64, to: u64, why: Why },
    /// Nothing now.
    Nothing,
}

impl Attachment {
    /// Its link is used: what it claimed is its own now. Whoever had it is told.
    pub(crate) fn confirm(&mut self) {
        if self.role.is_none() {
            self.take_over();
        }
    }

    fn take_over(&mut self) {
        let port = &self.interest.0;
        let mut inner = port.inner();
        let evicted = inner.roles.confirm(self.viewer.id, &self.applicant, port.clock.now());
        inner.evict(evicted);
        self.role = Some(Role::Writer);
    }

    /// Why it must end, if it must. Otherwise `cx` is woken when that changes, and when there is something to read.
    pub(in crate::serial) fn told(&self, cx: &Context<'_>) -> Option<Reason> {
        self.viewer.waker.register(cx.waker());
        self.viewer.told.get().copied()
    }

    pub(in crate::serial) fn is_writer(&self) -> bool {
        self.role == Some(Role::Writer)
    }

    /// Goes to a part of what was said, and says where that is.
    pub(in crate::serial) fn go_to(&mut self, wanted: &Wanted) -> (String, u64) {
        let inner = self.interest.0.inner();
        let known =
            wanted.from.filter(|from| wanted.start.as_ref() == Some(&inner.start) && *from <= inner.history.end());
        let offset = match (known, wanted.last) {
            (Some(from), _) => from,
            (None, Some(bytes)) => inner.history.recent(bytes),
            (None, None) => 0,
        };
        (self.cursor, self.caught_up) = (Cursor::at(offset), false);
        (inner.start.clone(), offset)
    }

    /// Adds to `out` what comes next, at most so many bytes.
    pub(in crate::serial) fn read(&mut self, most: usize, out: &mut BytesMut) -> Next {
        let inner = self.interest.0.inner();
        let before = out.len();
        loop {
            let read = out.len() - before;
            match inner.history.at(self.cursor) {
                Piece::Bytes(bytes) if read < most => {
                    let bytes = bytes.get(..most - read).unwrap_or(bytes);
                    out.extend_from_slice(bytes);
                    self.cursor.advance(bytes.len());
                }
                // First what there is; then what there is not.
                _ if read > 0 => return Next::Bytes(read),
                Piece::Skip(to) => {
                    let (from, why) = (self.cursor.offset, if self.caught_up { Why::Slow } else { Why::NotKept });
                    self.cursor = Cursor::at(to);
                    return Next::Skipped { from, to, why };
                }
                Piece::Lost => {
                    let at = self.cursor.offset;
                    self.cursor = History::past_mark(self.cursor);
                    return Next::Skipped { from: at, to: at, why: Why::Lost };
                }
                Piece::Bytes(_) => return Next::Nothing,
                Piece::End => {
                    self.caught_up = true;
                    return Next::Nothing;
                }
            }
        }
    }

    /// How things are, if that is news.
    pub(in crate::serial) fn news(&mut self) -> Option<State> {
        let port = Arc::clone(&self.interest.0);
        let inner = port.inner();
        if self.version == Some(inner.version) {
            return None;
        }
        self.version = Some(inner.version);
        Some(State {
            role: self.role.unwrap_or(Role::Watcher),
            start: inner.start.clone(),
            oldest: inner.history.oldest(),
            end: inner.history.end(),
            writer: inner.roles.writer().cloned(),
            watchers: inner.roles.watchers(),
            may: match (self.applicant.read_only, self.applicant.force) {
                (true, _) => May::Watch,
                (false, false) => May::Write,
                (false, true) => May::Force,
            },
            can_break: port.can_break,
            attached: port.link() == Link::Open,
        })
    }

    /// Hands a piece of input on, if it is the writer's: ready once there is room in the queue. The piece is taken then.
    pub(in crate::serial) fn poll_input(&mut self, cx: &mut Context<'_>, input: &mut Option<Input>) -> Poll<()> {
        if input.is_none() {
            return Poll::Ready(());
        }
        match self.input.poll_reserve(cx) {
            Poll::Pending => return Poll::Pending,
            // The guest is gone, as this viewer is about to hear.
            Poll::Ready(Err(_)) => *input = None,
            Poll::Ready(Ok(())) => {
                if let Some(input) = input.take() {
                    drop(self.input.send_item(input));
                }
            }
        }
        Poll::Ready(())
    }

    /// Becomes the writer, if its link has that right.
    pub(in crate::serial) fn write(&mut self) -> Result<(), Reason> {
        let port = Arc::clone(&self.interest.0);
        let mut inner = port.inner();
        let evicted = inner.roles.step_up(self.viewer.id, &self.applicant, port.clock.now())?;
        inner.evict(evicted);
        self.role = Some(Role::Writer);
        Ok(())
    }

    /// Only watches from now on.
    pub(in crate::serial) fn watch(&mut self) {
        let port = Arc::clone(&self.interest.0);
        let mut inner = port.inner();
        if inner.roles.step_back(self.viewer.id) {
            self.role = Some(Role::Watcher);
            inner.tell();
        }
    }

    pub(in crate::serial) fn can_break(&self) -> bool {
        self.interest.0.can_break
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut inner = self.interest.0.inner();
        if let Some(role) = self.role {
            inner.roles.release(self.viewer.id, role);
        }
        inner.viewers.retain(|viewer| viewer.id != self.viewer.id);
        inner.tell();
    }
}
