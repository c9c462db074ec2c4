//! The handlers of a board, by the names of their kinds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{BatchHandler, Handler};
use crate::Error;
use crate::job::{Breaker, Kind};

/// The handlers of a board, by every name under which their jobs may lie there.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_name: HashMap<String, Handler>,
    names: Arc<[String]>,
    has_batches: bool,
    breakers: Vec<DeclaredBreaker>,
}

/// A breaker, and the names of the kinds that share it.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredBreaker {
    pub(crate) name: Arc<str>,
    pub(crate) breaker: Breaker,
    pub(crate) kinds: Arc<[String]>,
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
            if let Some(breaker) = &handler.breaker {
                breaker.check(&handler.kind.name).map_err(refused)?;
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
            breakers: declared(&by_name, &names)?,
            has_batches: by_name.values().any(|handler| handler.batch.is_some()),
            by_name,
            names: names.into(),
        })
    }

    /// The breakers of its kinds.
    pub(crate) fn breakers(&self) -> &[DeclaredBreaker] {
        &self.breakers
    }

    pub(crate) fn handler(&self, kind: &str) -> Option<&Handler> {
        self.by_name.get(kind)
    }

    /// The handler of a kind whose jobs run many at once, and how. Hardly a look where there is no such kind.
    pub(crate) fn batch_handler(&self, kind: &str) -> Option<(&Handler, &BatchHandler)> {
        let handler = self.has_batches.then(|| self.handler(kind))??;
        Some((handler, handler.batch.as_ref()?))
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

/// The breakers of these kinds, each once.
fn declared(
    by_name: &HashMap<String, Handler>,
    names: &[String],
) -> Result<Vec<DeclaredBreaker>, Error> {
    let mut breakers: BTreeMap<&str, (&Handler, &Breaker, Vec<String>)> = BTreeMap::new();
    for name in names {
        let handler = &by_name[name];
        let Some(breaker) = &handler.breaker else {
            continue;
        };
        let of = breaker.name.as_deref().unwrap_or(&handler.kind.name);
        let (first, shared, kinds) = breakers
            .entry(of)
            .or_insert_with(|| (handler, breaker, Vec::new()));
        if *shared != breaker {
            return Err(Error::config(format!(
                "the breaker {of:?} has different options in the kinds {:?} and {:?}, registered at {} and \
                 at {}; kinds that share a breaker give it the same options",
                first.kind.name, handler.kind.name, first.place, handler.place
            )));
        }
        kinds.push(name.clone());
    }
    let declared = breakers
        .into_iter()
        .map(|(name, (_, breaker, kinds))| DeclaredBreaker {
            name: name.into(),
            breaker: breaker.clone(),
            kinds: kinds.into(),
        });
    Ok(declared.collect())
}
