//! The way out of the express lane, for an attempt that needs the executing row that it has not there.

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Shared by the attempts that one transaction holds, and by whoever ends it.
#[derive(Debug, Default)]
pub(crate) struct LaneExit {
    due: Notify,
    is_over: CancellationToken,
}

impl LaneExit {
    /// Has the transaction ended, and waits for that: the attempt is executing by its row then, or it is lost.
    pub(super) async fn take(&self) {
        self.due();
        self.is_over.cancelled().await;
    }

    /// It is to end now.
    pub(crate) fn due(&self) {
        self.due.notify_one();
    }

    /// Waits until it is to end.
    pub(crate) async fn until_due(&self) {
        self.due.notified().await;
    }

    /// It has ended.
    pub(crate) fn over(&self) {
        self.is_over.cancel();
    }
}

/// Leaves the express lane, if the attempt is there.
pub(super) async fn leave_lane(exit: Option<&LaneExit>) {
    if let Some(exit) = exit {
        exit.take().await;
    }
}
