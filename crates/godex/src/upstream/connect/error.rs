//! Why a request got no answer.

use std::time::{Duration, Instant};

use hyper_util::client::legacy;

use super::{BoxError, Since, http1};
use crate::clock;

/// How soon a connection that the other side has closed before shows it: one round trip, and time
/// to spare.
const STALE: Duration = Duration::from_secs(1);

/// A request without an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no connection to send it on.
    #[error("no connection")]
    Connect(#[from] ConnectError),
    /// A connection of our own failed.
    #[error("no answer")]
    Http1 {
        /// Whether it had carried a request before and broke without a word about this one.
        reused: bool,
        /// What happened.
        #[source]
        fault: http1::Error,
    },
    /// A connection of the shared client failed, or there was none.
    #[error("no answer")]
    Shared(#[from] legacy::Error),
}

impl Error {
    /// Why there was no connection, if there was none.
    pub(crate) fn connect(&self) -> Option<&ConnectError> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Http1 { .. } => None,
            Self::Shared(error) => ConnectError::within(error),
        }
    }

    /// Whether it broke a request that began at `begun` on a connection that was older: as a rule
    /// the other side was about to close it, unused for long, when the request was on its way.
    pub(crate) fn is_stale(&self, begun: Instant) -> bool {
        let older = match self {
            Self::Connect(_) => false,
            Self::Http1 { reused, .. } => *reused,
            Self::Shared(error) => {
                let mut extras = http::Extensions::new();
                if let Some(connected) = error.connect_info() {
                    connected.get_extras(&mut extras);
                }
                extras.get().is_some_and(|Since(opened)| *opened < begun)
            }
        };
        older && clock::monotonic().saturating_duration_since(begun) < STALE
    }
}

/// Why there is no connection. Names no URL: a proxy's may carry a password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Name, TCP, proxy and TLS together took longer than the connect timeout.
    #[error("no connection within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The name does not resolve, or nobody listens there.
    #[error("cannot connect")]
    Unreachable(#[source] BoxError),
    /// The proxy of the environment refused, or does not speak the protocol it should.
    #[error("the proxy refused the connection")]
    Proxy(#[source] BoxError),
    /// The certificate is not trusted, or the other side does not speak TLS.
    #[error("no secure connection")]
    Tls(#[source] BoxError),
}

impl ConnectError {
    /// The one that made `error` happen, if it happened before there was a connection.
    fn within(error: &legacy::Error) -> Option<&Self> {
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}
