//! Which servers offer HTTP/2. That shows on the first connection, which the shared client then
//! goes on with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::connector::Stream;
use super::pool::Origin;

/// The servers, each with the connection on which it said so, until that is taken.
#[derive(Clone, Default)]
pub(super) struct Offers(Arc<Mutex<HashMap<Origin, Option<Stream>>>>);

impl Offers {
    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Option<Stream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this server is one of them.
    pub(super) fn has(&self, origin: &Origin) -> bool {
        origin.is_secure() && self.lock().contains_key(origin)
    }

    /// One more server, and a connection to it.
    pub(super) fn add(&self, origin: Origin, stream: Stream) {
        self.lock().insert(origin, Some(stream));
    }

    /// The connection to this server that nobody has taken yet.
    pub(super) fn take(&self, origin: &Origin) -> Option<Stream> {
        self.lock().get_mut(origin)?.take()
    }
}
