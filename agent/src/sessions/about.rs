//! What is told of a session when it begins and ends.

use porthole_shared::reason::Reason;
use serde_json::{Value, json};

use super::SessionFacts;
use crate::callers::CallerName;
use crate::feed::{Feed, Kind};

/// What stays the same from its beginning to its end.
#[derive(Debug, Clone)]
pub(super) struct About {
    minted_by: Option<CallerName>,
    data: Value,
}

impl From<&SessionFacts> for About {
    fn from(facts: &SessionFacts) -> Self {
        let SessionFacts { id, token, console, name, requestor, minted_by, client_address, edge, rights, .. } = facts;
        let data = json!({
            "session": id, "token_id": token, "console": console, "name": name, "kind": console.kind,
            "requestor": requestor, "minted_by": minted_by, "client_address": client_address, "edge": edge,
            "read_only": rights.read_only,
        });
        Self { minted_by: minted_by.clone(), data }
    }
}

impl About {
    pub(super) fn tell_start(&self, feed: &Feed) {
        feed.tell(Kind::SessionStarted, self.minted_by.clone(), self.data.clone());
    }

    pub(super) fn tell_end(&self, feed: &Feed, reason: Reason) {
        let mut data = self.data.clone();
        if let Some(data) = data.as_object_mut() {
            data.insert("reason".to_owned(), reason.code().into());
        }
        feed.tell(Kind::SessionEnded, self.minted_by.clone(), data);
    }
}
