//! Who is at the other end of the unix socket, by the kernel's word, and whether that is somebody who may be.

use std::ffi::CString;
use std::io;

use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use tokio::net::UnixStream;

/// Root, the agent's own user, and the members of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed {
    own: Uid,
    group: Option<Gid>,
}

/// A peer that is not one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("user {0} may not use the agent: it is neither root nor in the group that the socket's configuration names")]
pub(crate) struct NotAllowed(u32);

impl Allowed {
    pub(crate) fn new(group: Option<Gid>) -> Self {
        Self { own: geteuid(), group }
    }

    /// The group's id by its name.
    pub(crate) fn group(name: &str) -> io::Result<Option<Gid>> {
        Ok(Group::from_name(name)?.map(|group| group.gid))
    }

    /// The peer's user id, if it may be here.
    pub(crate) async fn admit(self, stream: &UnixStream) -> io::Result<Result<u32, NotAllowed>> {
        let peer = stream.peer_cred()?;
        let (uid, gid) = (Uid::from_raw(peer.uid()), Gid::from_raw(peer.gid()));
        if uid.is_root() || uid == self.own || self.group == Some(gid) {
            return Ok(Ok(uid.as_raw()));
        }
        let Some(group) = self.group else { return Ok(Err(NotAllowed(uid.as_raw()))) };
        // Asks the host's user database, which may be a directory service far away.
        let member = tokio::task::spawn_blocking(move || is_member(uid, group)).await.map_err(io::Error::other)??;
        Ok(if member { Ok(uid.as_raw()) } else { Err(NotAllowed(uid.as_raw())) })
    }
}

fn is_member(uid: Uid, group: Gid) -> io::Result<bool> {
    let Some(user) = User::from_uid(uid)? else { return Ok(false) };
    let name = CString::new(user.name).map_err(io::Error::other)?;
    Ok(getgrouplist(&name, user.gid)?.contains(&group))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn judge(allowed: Allowed) -> Result<u32, NotAllowed> {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        allowed.admit(&ours).await.unwrap()
    }

    #[tokio::test]
    async fn the_own_user_may() {
        assert_eq!(judge(Allowed::new(None)).await, Ok(geteuid().as_raw()));
    }

    #[test]
    fn groups_are_found_by_name_and_members_by_the_user_database() {
        assert_eq!(Allowed::group("root").unwrap(), Some(Gid::from_raw(0)));
        assert_eq!(Allowed::group("no-such-group-here").unwrap(), None);
        assert!(is_member(Uid::from_raw(0), Gid::from_raw(0)).unwrap());
        // The user `daemon` is everywhere, and nowhere in root's group.
        assert!(!is_member(Uid::from_raw(1), Gid::from_raw(0)).unwrap());
        assert!(!is_member(Uid::from_raw(4_000_000_000), Gid::from_raw(0)).unwrap());
    }
}
