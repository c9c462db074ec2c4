//! What a supervisor makes known of one child: [`Record`].

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::detail::ReadDetail;
use super::node::Node;
use super::{ChildInfo, ChildPath, Snapshot};

/// When an actor was started, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    pub(super) at: SystemTime,
    pub(super) instant: Instant,
}

/// What a supervisor makes known of one child.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) info: ChildInfo,
    pub(super) started: Option<Started>,
    pub(super) path: ChildPath,
    pub(super) nested: Option<Arc<Node>>,
    pub(super) detail: Option<ReadDetail>,
    #[cfg(feature = "testing")]
    pub(super) switch: Option<super::fault::Switch>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("path", &self.path)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl Started {
    pub(super) fn now() -> Self {
        Self {
            at: SystemTime::now(),
            instant: Instant::now(),
        }
    }
}

impl Record {
    /// The information with the age of the child as of now.
    pub(super) fn info(&self) -> ChildInfo {
        let mut info = self.info.clone();
        info.started_at = self.started.map(|started| started.at);
        info.detail = self.detail.as_ref().map(|read| read());
        info.age = self.started.map(|started| started.instant.elapsed());
        info
    }
}

impl Record {
    /// The child and all below it.
    pub(super) fn into_snapshot(self) -> Snapshot {
        let children = self
            .nested
            .as_ref()
            .map_or_else(Vec::new, |nested| nested.branches());
        Snapshot {
            info: self.info(),
            path: self.path,
            children,
        }
    }
}
