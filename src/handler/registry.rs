//! The handlers of a board, by the names of their kinds.

use std::collections::HashMap;
use std::sync::Arc;

use super::Handler;
use crate::Error;
use crate::job::Kind;

/// The handlers of a board, by every name under which their jobs may lie there.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_name: HashMap<String, Handler>,
    names: Arc<[String]>,
}

impl Registry {
    /// A registry of these handlers.
    pub(crate) fn new(handlers: impl IntoIterator<Item = Handler>) -> Result<Self, Error> {
        let mut by_name: HashMap<String, Handler> = HashMap::new();
        for handler in handlers {
            let refused = |why| {
                Error::config(format!("the handler registered at {}", handler.place)).because(why)
            };
            handler.kind.check().map_err(refused)?;
            if let Some(batch) = &handler.batch {
                let checked = batch.limits.check(&handler.kind.name);
                checked.map_err(refused)?;
            }
            for name in handler.kind.names() {
                if let Some(earlier) = by_name.insert(name.to_owned(), handler.clone()) {
                    return Err(Error::config(format!(
                        "the kind {name:?} has two handlers, registered at {} and at {}; a kind has one",
                        earlier.place, handler.place
                    )));
                }
            }
        }
        let mut names: Vec<String> = by_name.keys().cloned().collect();
        names.sort_unstable();
        Ok(Self {
            by_name,
            names: names.into(),
        })
    }

    pub(crate) fn handler(&self, kind: &str) -> Option<&Handler> {
        self.by_name.get(kind)
    }

    /// The names that this node can run.
    pub(crate) fn names(&self) -> Arc<[String]> {
        Arc::clone(&self.names)
    }

    /// What a client needs to know of the kinds.
    pub(crate) fn kinds(&self) -> HashMap<String, Arc<Kind>> {
        let kind = |(name, handler): (&String, &Handler)| (name.clone(), Arc::clone(&handler.kind));
        self.by_name.iter().map(kind).collect()
    }
}
