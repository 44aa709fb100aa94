//! The signals that ask the program to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::report::{Exit, Failure};

/// `SIGINT` and `SIGTERM`. While this lives they no longer kill the process.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over.
    ///
    /// # Errors
    ///
    /// When the system does not let us.
    pub(super) fn listen() -> Result<Self, Failure> {
        let take = |kind| {
            signal(kind).map_err(|error: io::Error| {
                Failure::new(Exit::Failure, "cannot listen for signals").cause(error.to_string())
            })
        };
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
        })
    }

    /// Waits for one of them.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
