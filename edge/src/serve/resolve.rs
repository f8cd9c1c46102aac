//! Who can say what a token admits to. Today: nobody but the key of the node that signed it.
//!
//! This is the acting half of the gate: it fetches what the gate's pure half decides with. A token service of a cloud
//! would be asked here.

use std::sync::Arc;

use porthole_shared::clock::Clock;
use porthole_shared::reason::Reason;

use crate::directory::{Directory, Node};
use crate::gate::admission::Presents;
use crate::gate::{Admission, Candidate};
use crate::keys::Keys;

/// Resolves tokens that nodes have signed.
#[derive(Debug)]
pub struct SignedTokens {
    directory: Directory,
    keys: Keys,
    clock: Arc<dyn Clock>,
}

impl SignedTokens {
    /// Believes the nodes of this directory.
    pub fn new(directory: Directory, keys: Keys, clock: Arc<dyn Clock>) -> Self {
        Self { directory, keys, clock }
    }

    /// Admits a request, or says why not.
    pub async fn resolve<R: Presents>(&self, candidate: Candidate<R>) -> Result<(Node, Admission<R>), Reason> {
        let origin = candidate.origin();
        let node = self.directory.find(&origin.node).ok_or(Reason::UnknownNode)?;
        let keys = self.keys.for_token(&node, &origin.kid).await?;
        let admission = candidate.admit(&keys, self.clock.now())?;
        Ok((node, admission))
    }
}
