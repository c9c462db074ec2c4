//! The handlers of a board, by the names of their kinds: one state of them, which never changes. A swap makes
//! the next one.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{BatchHandler, Handler};
use crate::Error;
use crate::job::{Breaker, Kind, NameOf, Repertoire, check_name};

/// The handlers of a board, by every name under which their jobs may lie there.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// In the order in which they came.
    handlers: Vec<Arc<Registered>>,
    by_name: HashMap<String, Arc<Registered>>,
    repertoire: Arc<Repertoire>,
    has_batches: bool,
    breakers: Vec<DeclaredBreaker>,
    generation: u64,
}

/// A handler as a board has it, from one swap to another.
#[derive(Debug)]
pub(crate) struct Registered {
    handler: Handler,
    /// How the code is called.
    pub(crate) code_version: String,
    /// Since when it is there, by this process's clock.
    pub(crate) since: DateTime<Utc>,
}

/// A breaker, and the kinds that share it.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredBreaker {
    pub(crate) name: Arc<str>,
    pub(crate) breaker: Breaker,
    pub(crate) kinds: Arc<Repertoire>,
}

impl Registered {
    /// Registers a handler with the swap of this number, or at the start (0).
    pub(super) fn new(handler: Handler, generation: u64) -> Arc<Self> {
        let given = handler.code_version.as_deref().map(str::to_owned);
        let by_numbers = || format!("{}.{generation}", handler.kind.newest_version());
        Arc::new(Self {
            code_version: given.unwrap_or_else(by_numbers),
            since: Utc::now(),
            handler,
        })
    }
}

impl Deref for Registered {
    type Target = Handler;

    fn deref(&self) -> &Handler {
        &self.handler
    }
}

impl Registry {
    /// A registry of these handlers.
    pub(crate) fn new(handlers: impl IntoIterator<Item = Handler>) -> Result<Self, Error> {
        let handlers = handlers.into_iter();
        Self::of(
            handlers
                .map(|handler| Registered::new(handler, 0))
                .collect(),
            0,
        )
    }

    /// The registry that these handlers make, with the swap of this number.
    pub(super) fn of(handlers: Vec<Arc<Registered>>, generation: u64) -> Result<Self, Error> {
        let mut by_name: HashMap<String, Arc<Registered>> = HashMap::new();
        for handler in &handlers {
            check(handler)?;
            for name in handler.kind.names() {
                if let Some(earlier) = by_name.insert(name.to_owned(), Arc::clone(handler)) {
                    return Err(Error::config(format!(
                        "the kind {name:?} has two handlers, registered at {} and at {}; a kind has one",
                        earlier.place, handler.place
                    )));
                }
            }
        }
        let of_name = |(name, handler): (&String, &Arc<Registered>)| {
            (name.clone(), handler.kind.newest_version())
        };
        let repertoire = Repertoire::new(by_name.iter().map(of_name));
        Ok(Self {
            breakers: declared(&by_name, &repertoire)?,
            has_batches: handlers.iter().any(|handler| handler.batch.is_some()),
            handlers,
            by_name,
            repertoire: Arc::new(repertoire),
            generation,
        })
    }

    /// How many swaps there were before it and with it.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The handlers, in the order in which they came.
    pub(crate) fn handlers(&self) -> &[Arc<Registered>] {
        &self.handlers
    }

    /// The breakers of its kinds.
    pub(crate) fn breakers(&self) -> &[DeclaredBreaker] {
        &self.breakers
    }

    pub(crate) fn handler(&self, kind: &str) -> Option<&Arc<Registered>> {
        self.by_name.get(kind)
    }

    /// The handler of a kind whose jobs run many at once, and how. Hardly a look where there is no such kind.
    pub(crate) fn batch_handler(&self, kind: &str) -> Option<(&Handler, &BatchHandler)> {
        let handler = self.has_batches.then(|| self.handler(kind))??;
        Some((handler, handler.batch.as_ref()?))
    }

    /// What this node can run.
    pub(crate) fn repertoire(&self) -> &Arc<Repertoire> {
        &self.repertoire
    }

    /// How the code is called that runs each kind of its repertoire.
    pub(crate) fn code_versions(&self) -> Vec<String> {
        let kinds = self.repertoire.kinds().iter();
        kinds
            .map(|kind| self.by_name[kind].code_version.clone())
            .collect()
    }

    /// What a client needs to know of the kinds.
    pub(crate) fn kinds(&self) -> HashMap<String, Arc<Kind>> {
        let kind = |(name, handler): (&String, &Arc<Registered>)| {
            (name.clone(), Arc::clone(&handler.kind))
        };
        self.by_name.iter().map(kind).collect()
    }
}

/// Checks what a handler says of itself.
fn check(handler: &Registered) -> Result<(), Error> {
    let refused =
        |why| Error::config(format!("the handler registered at {}", handler.place)).because(why);
    handler.kind.check().map_err(refused)?;
    if let Some(batch) = &handler.batch {
        let checked = batch.limits.check(&handler.kind.name);
        checked.map_err(refused)?;
    }
    if let Some(breaker) = &handler.breaker {
        breaker.check(&handler.kind.name).map_err(refused)?;
    }
    let named = check_name(NameOf::CodeVersion, &handler.code_version);
    named.map_err(|why| refused(why.into()))
}

/// The breakers of these kinds, each once.
fn declared(
    by_name: &HashMap<String, Arc<Registered>>,
    all: &Repertoire,
) -> Result<Vec<DeclaredBreaker>, Error> {
    let mut breakers: BTreeMap<&str, (&Handler, &Breaker, Vec<&str>)> = BTreeMap::new();
    for name in all.kinds() {
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
        kinds.push(name);
    }
    let declared = breakers
        .into_iter()
        .map(|(name, (_, breaker, kinds))| DeclaredBreaker {
            name: name.into(),
            breaker: breaker.clone(),
            kinds: Arc::new(all.only(|kind| kinds.contains(&kind))),
        });
    Ok(declared.collect())
}
