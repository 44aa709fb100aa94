//! The signals that ask the program to stop, and the one that asks it to read its files again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::report::{Exit, Failure};

/// What a signal asks for.
enum Ask {
    /// `SIGINT`, `SIGTERM`.
    Stop,
    /// `SIGHUP`.
    ReadAgain,
}

/// `SIGINT`, `SIGTERM` and `SIGHUP`. While this lives they no longer kill the process.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
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
            hangup: take(SignalKind::hangup())?,
        })
    }

    /// Waits for one of them.
    async fn next(&mut self) -> Ask {
        tokio::select! {
            _ = self.interrupt.recv() => Ask::Stop,
            _ = self.terminate.recv() => Ask::Stop,
            _ = self.hangup.recv() => Ask::ReadAgain,
        }
    }

    /// Waits for one that says stop; `read_again` is called for each of the others.
    pub(super) async fn stop(&mut self, read_again: impl Fn()) {
        while let Ask::ReadAgain = self.next().await {
            read_again();
        }
    }
}
