//! Background work that shutdown waits for. Every spawn of the program goes through here.

use std::future::Future;

use tokio_util::task::TaskTracker;

/// Spawns tasks and knows when all of them have ended.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
}

impl Tasks {
    /// Runs `work` until it ends, whatever becomes of the request that asked for it.
    pub(crate) fn spawn<F>(&self, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(work)
    }

    /// Resolves once every task has ended.
    pub(crate) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
