//! Why a request got no answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::http2::{Taken, Unanswered};
use super::{BoxError, http1};
use crate::clock;

/// How soon a connection that the other side has closed before shows it: one round trip, and time
/// to spare.
const STALE: Duration = Duration::from_secs(1);

/// A request without an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no connection to send it on. Others that waited for it hear the same.
    #[error("no connection")]
    Connect(#[from] Arc<ConnectError>),
    /// A connection of its own failed.
    #[error("no answer")]
    Http1 {
        /// Whether it had carried a request before and broke without a word about this one.
        reused: bool,
        /// What happened.
        #[source]
        fault: http1::Error,
    },
    /// A connection failed that others use at the same time, or this request on it.
    #[error("no answer")]
    Http2(#[from] Unanswered),
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        Self::Connect(Arc::new(error))
    }
}

/// What the other side may have seen of a request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing: it has said so, or cannot have read it.
    Nothing,
    /// Nothing, as a rule: the connection was older than the request and broke at once, so the
    /// other side was closing it, unused for long, when the request was on its way.
    Hardly,
    /// All of it.
    Perhaps,
}

impl Error {
    /// Why there was no connection, if there was none.
    pub(crate) fn connect(&self) -> Option<&ConnectError> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Http1 { .. } | Self::Http2(_) => None,
        }
    }

    /// What the other side has seen of a request that began at `begun`.
    pub(crate) fn seen(&self, begun: Instant) -> Seen {
        let older = match self {
            Self::Connect(_) => return Seen::Nothing,
            Self::Http1 { reused, .. } => *reused,
            Self::Http2(unanswered) => match unanswered.taken {
                Taken::Nothing => return Seen::Nothing,
                Taken::Unknown(opened) => opened < begun,
                Taken::Read => false,
            },
        };
        let at_once = clock::monotonic().saturating_duration_since(begun) < STALE;
        if older && at_once { Seen::Hardly } else { Seen::Perhaps }
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
