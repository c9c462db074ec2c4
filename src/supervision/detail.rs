//! What a child shows of itself in snapshots: [`Detail`].

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// What a child shows of itself: a value of its own type, and a line for people.
pub trait Detail: Any + fmt::Debug + fmt::Display + Send + Sync {}

impl<T: Any + fmt::Debug + fmt::Display + Send + Sync> Detail for T {}

/// Reads a child's detail, without asking the child.
pub(super) type ReadDetail = Arc<dyn Fn() -> Arc<dyn Detail> + Send + Sync>;
