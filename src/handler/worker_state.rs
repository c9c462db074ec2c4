//! What a worker keeps across jobs, and how it is built.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

use crate::BoxError;

/// What a worker keeps across jobs: a loaded model, a client, a cache. Dropped with the worker.
pub(crate) struct WorkerState {
    /// Never locked, since its owner has it alone. It makes the context `Sync`, so that a handler may
    /// lend it across an await, whatever the state is.
    value: Mutex<Box<dyn Any + Send>>,
    type_name: &'static str,
}

impl WorkerState {
    pub(crate) fn new<S: Send + 'static>(state: S) -> Self {
        Self {
            value: Mutex::new(Box::new(state)),
            type_name: std::any::type_name::<S>(),
        }
    }

    /// There is none, and asking for it is answered with this.
    #[cfg(unix)]
    pub(crate) fn absent(why: &'static str) -> Self {
        struct Absent;
        Self {
            value: Mutex::new(Box::new(Absent)),
            type_name: why,
        }
    }

    pub(crate) fn get<S: 'static>(&mut self) -> Option<&mut S> {
        let value = self.value.get_mut();
        value.unwrap_or_else(PoisonError::into_inner).downcast_mut()
    }

    pub(crate) fn type_name(&self) -> &'static str {
        self.type_name
    }
}

impl fmt::Debug for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WorkerState").field(&self.type_name).finish()
    }
}

type Build = dyn Fn() -> BoxFuture<'static, Result<WorkerState, BoxError>> + Send + Sync;

/// Builds the state of a worker, at its first start and after every crash.
#[derive(Clone)]
pub(crate) struct StateFactory(Arc<Build>);

impl StateFactory {
    pub(crate) fn new<F, Fut, S, E>(build: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<S, E>> + Send + 'static,
        S: Send + 'static,
        E: Into<BoxError>,
    {
        Self(Arc::new(move || {
            let building = build();
            Box::pin(async move { building.await.map(WorkerState::new).map_err(Into::into) })
        }))
    }

    /// A worker that keeps nothing.
    pub(crate) fn nothing() -> Self {
        Self::new(|| async { Ok::<_, BoxError>(()) })
    }

    pub(crate) async fn build(&self) -> Result<WorkerState, BoxError> {
        (self.0)().await
    }
}

impl fmt::Debug for StateFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateFactory")
    }
}
