//! Which of all tokens or sessions are meant.

use std::net::IpAddr;

use porthole_shared::names::Requestor;

use super::table::Applicant;
use crate::callers::CallerName;
use crate::hypervisor::NameOrUuid;

/// What all of them have in common. Nothing said means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// Their console: by its owner's UUID, or the name that it had when the token was made.
    pub console: Option<NameOrUuid>,
    /// Who asked for the link.
    pub requestor: Option<Requestor>,
    /// Which caller of the API had the link made.
    pub minted_by: Option<CallerName>,
    /// From where the viewer comes; sessions only.
    pub client: Option<IpAddr>,
}

impl Selector {
    /// Whether it means everything.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn fits(&self, applicant: &Applicant) -> bool {
        let console = self.console.as_ref().is_none_or(|console| match console {
            NameOrUuid::Name(name) => applicant.name == *name,
            NameOrUuid::Uuid(uuid) => applicant.console.uuid == *uuid,
        });
        console
            && self.requestor.as_ref().is_none_or(|requestor| applicant.requestor.as_ref() == Some(requestor))
            && self.minted_by.as_ref().is_none_or(|caller| applicant.minted_by.as_ref() == Some(caller))
            && self.client.is_none_or(|client| applicant.client == client)
    }
}
