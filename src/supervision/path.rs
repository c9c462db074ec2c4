//! Where a child stands in its tree: [`ChildPath`].

use std::fmt;
use std::sync::Arc;

/// The ids from the root of a tree down to a child; empty for the root itself.
///
/// Displays as the ids joined by `/`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildPath(Arc<[Arc<str>]>);

impl ChildPath {
    pub(super) fn root() -> Self {
        Self(Arc::from([]))
    }

    pub(super) fn join(&self, id: &Arc<str>) -> Self {
        Self(self.0.iter().chain([id]).cloned().collect())
    }

    /// The ids, outermost first.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.0.iter().map(|id| &**id)
    }

    /// The id of the child itself; `None` for the root.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.0.last().map(|id| &**id)
    }

    /// Says whether this is the path of the root of a tree.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for ChildPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, id) in self.ids().enumerate() {
            let slash = if depth == 0 { "" } else { "/" };
            write!(f, "{slash}{id}")?;
        }
        Ok(())
    }
}

impl<const N: usize> PartialEq<[&str; N]> for ChildPath {
    fn eq(&self, other: &[&str; N]) -> bool {
        self.ids().eq(other.iter().copied())
    }
}
