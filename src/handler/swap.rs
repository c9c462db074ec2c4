//! Changes of handlers that are made together or not at all: pure, from one registry to the next.

use std::borrow::Cow;
use std::sync::Arc;

use super::registry::Registered;
use super::{Handler, Registry};
use crate::Error;
use crate::event::{HandlerChange, Swapped};

/// Changes of a board's handlers, made together or not at all; see [`Handlers::swap`](crate::board::Handlers::swap).
///
/// # Examples
///
/// ```
/// use callboard::{BoxError, Handler, Swap, function};
///
/// async fn send(to: String, cc: Vec<String>) -> Result<(), BoxError> { Ok(()) }
/// async fn archive(year: u16) -> Result<(), BoxError> { Ok(()) }
///
/// let send = Handler::from(function!(send).alias("mail::deliver")).code_version("2.1");
/// let swap = Swap::new().replace(send).add(function!(archive)).remove("mail::probe");
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a swap changes nothing until a board is given it"]
pub struct Swap {
    changes: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Add(Handler),
    Replace(Handler),
    Remove(Cow<'static, str>),
}

impl Swap {
    /// A swap that changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs jobs of this handler's kind too, which this node did not run.
    #[allow(
        clippy::should_implement_trait,
        reason = "it is the verb of `Handlers::add`, and nobody takes a swap for a number"
    )]
    pub fn add(mut self, handler: impl Into<Handler>) -> Self {
        self.changes.push(Change::Add(handler.into()));
        self
    }

    /// Runs jobs of this handler's kind with it instead of the handler that this node has for the kind, or for one
    /// of its older names. What that one was called besides, and this one is not, is not run here any more.
    ///
    /// Jobs that wait are read as its arguments. If these have another shape, give it another version, and an
    /// upcaster from the one before; otherwise they become dead letters.
    /// [`Client::verify`](crate::Client::verify) tells beforehand what it could not read.
    pub fn replace(mut self, handler: impl Into<Handler>) -> Self {
        self.changes.push(Change::Replace(handler.into()));
        self
    }

    /// Runs jobs of this kind no longer on this node, whatever other names they have.
    pub fn remove(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        self.changes.push(Change::Remove(kind.into()));
        self
    }

    /// Puts something else into the place of each handler.
    #[cfg(feature = "testing")]
    pub(crate) fn map_handlers(mut self, map: impl Fn(Handler) -> Handler) -> Self {
        for change in &mut self.changes {
            if let Change::Add(handler) | Change::Replace(handler) = change {
                *handler = map(handler.clone());
            }
        }
        self
    }
}

impl Registry {
    /// The registry after this swap, and what has changed from this one to that.
    ///
    /// # Errors
    ///
    /// Says which change cannot be made, and what to do instead.
    pub(crate) fn swapped(&self, swap: Swap) -> Result<(Self, Swapped), Error> {
        let generation = self.generation() + 1;
        let made =
            make(swap, self.handlers().to_vec(), generation).and_then(|(handlers, changes)| {
                let registry = Self::of(handlers, generation)?;
                Ok((registry, Swapped::new(generation, changes)))
            });
        made.map_err(|why| {
            Error::config("cannot swap handlers, and has changed nothing").because(why)
        })
    }
}

type Made = (Vec<Arc<Registered>>, Vec<HandlerChange>);

/// Makes the changes one after the other.
fn make(swap: Swap, mut handlers: Vec<Arc<Registered>>, generation: u64) -> Result<Made, Error> {
    if swap.changes.is_empty() {
        return Err(Error::config(
            "the swap has no changes; say what to add, to replace or to remove",
        ));
    }
    let mut changes = Vec::new();
    for change in swap.changes {
        changes.push(match change {
            Change::Add(handler) => add(&mut handlers, handler, generation)?,
            Change::Replace(handler) => replace(&mut handlers, handler, generation)?,
            Change::Remove(kind) => remove(&mut handlers, &kind)?,
        });
    }
    Ok((handlers, changes))
}

fn add(
    handlers: &mut Vec<Arc<Registered>>,
    handler: Handler,
    generation: u64,
) -> Result<HandlerChange, Error> {
    refuse_isolated(&handler, "added")?;
    if let [there, ..] = sharing_names(handlers, &handler)[..] {
        let there = &handlers[there];
        return Err(Error::config(format!(
            "the handler of {:?} at {} cannot be added: this node runs {:?} already, registered at {}; replace \
             that handler, or remove it first",
            handler.kind.name, handler.place, there.kind.name, there.place
        )));
    }
    let added = Registered::new(handler, generation);
    let change = HandlerChange::new(&added.kind.name, None, Some(&added.code_version));
    handlers.push(added);
    Ok(change)
}

fn replace(
    handlers: &mut [Arc<Registered>],
    handler: Handler,
    generation: u64,
) -> Result<HandlerChange, Error> {
    refuse_isolated(&handler, "put into the place of another")?;
    let (kind, place) = (&handler.kind.name, handler.place);
    let there = match sharing_names(handlers, &handler)[..] {
        [there] => there,
        [] => {
            return Err(Error::config(format!(
                "the handler of {kind:?} at {place} replaces none: this node does not run {kind:?}, or not any more after the changes before; add it"
            )));
        }
        [one, other, ..] => {
            let (one, other) = (&handlers[one], &handlers[other]);
            return Err(Error::config(format!(
                "the handler of {kind:?} at {place} cannot replace two: its names are those of {:?}, registered at \
                 {}, and of {:?}, registered at {}; remove one of them first",
                one.kind.name, one.place, other.kind.name, other.place
            )));
        }
    };
    let by = Registered::new(handler, generation);
    let was = std::mem::replace(&mut handlers[there], Arc::clone(&by));
    let versions = (Some(&*was.code_version), Some(&*by.code_version));
    Ok(HandlerChange::new(&by.kind.name, versions.0, versions.1))
}

fn remove(handlers: &mut Vec<Arc<Registered>>, name: &str) -> Result<HandlerChange, Error> {
    let there = handlers
        .iter()
        .position(|handler| handler.kind.name == name);
    if let Some(there) = there {
        let removed = handlers.remove(there);
        return Ok(HandlerChange::new(name, Some(&removed.code_version), None));
    }
    let mut named_so = handlers.iter();
    let named_so = named_so.find(|handler| handler.kind.names().any(|known| known == name));
    Err(Error::config(match named_so {
        Some(handler) => format!(
            "{name:?} cannot be removed: it is an older name of {:?}; remove that, or replace it by a handler without \
             the name",
            handler.kind.name
        ),
        None => format!("{name:?} cannot be removed: this node does not run it"),
    }))
}

/// The places of those that run jobs under a name of this one.
fn sharing_names(handlers: &[Arc<Registered>], handler: &Handler) -> Vec<usize> {
    let is_named_so = |name: &str| handler.kind.names().any(|of_new| of_new == name);
    let places = handlers.iter().enumerate();
    let sharing = places.filter(|(_, there)| there.kind.names().any(is_named_so));
    sharing.map(|(place, _)| place).collect()
}

/// What isolates run is in the program from its start, so a new handler would never be asked.
#[cfg(unix)]
fn refuse_isolated(handler: &Handler, verb: &str) -> Result<(), Error> {
    if handler.isolated.is_none() {
        return Ok(());
    }
    Err(Error::config(format!(
        "the handler of {:?} at {} is isolated and cannot be {verb}: its processes run what the program gave to \
         run_if_child at its start; give it to the builder and start the node anew, or swap it in without isolation",
        handler.kind.name, handler.place
    )))
}

#[cfg(not(unix))]
fn refuse_isolated(_handler: &Handler, _verb: &str) -> Result<(), Error> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::function_of;
    use crate::job::{Breaker, Codec, Defaults, Kind};

    async fn work() {}

    /// A handler of this kind, whatever its function is called.
    fn named(kind: &str) -> Handler {
        with_aliases(kind, &[])
    }

    fn with_aliases(kind: &str, aliases: &[&str]) -> Handler {
        let codec = Codec::<()> {
            version: 1,
            upcasters: Vec::new(),
        };
        let kind = Kind::new(kind, aliases, Defaults::default(), Arc::new(codec));
        Handler {
            kind: Arc::new(kind),
            ..function_of(work).into()
        }
    }

    fn registry() -> Registry {
        let handlers = [with_aliases("mail", &["post"]), named("bill")];
        Registry::new(handlers).unwrap()
    }

    fn kinds(registry: &Registry) -> Vec<&str> {
        let kinds = registry.repertoire().kinds().iter();
        kinds.map(String::as_str).collect()
    }

    fn changes(swapped: &Swapped) -> Vec<String> {
        swapped.changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn changes_are_made_together_and_in_their_order() {
        let before = registry();
        let swap = Swap::new()
            .replace(named("mail").code_version("r7"))
            .remove("bill")
            .add(named("bill"))
            .add(named("post"));
        let (after, swapped) = before.swapped(swap).unwrap();
        assert_eq!(kinds(&after), ["bill", "mail", "post"]);
        assert_eq!(after.code_versions(), ["1.1", "r7", "1.1"]);
        assert_eq!((swapped.generation, after.generation()), (1, 1));
        let said = [
            "\"mail\" replaced (1.0 by r7)",
            "\"bill\" removed (1.0)",
            "\"bill\" added (1.1)",
            "\"post\" added (1.1)",
        ];
        assert_eq!(changes(&swapped), said);
        assert_eq!(kinds(&before), ["bill", "mail", "post"], "as it was");
        assert_eq!(before.code_versions(), ["1.0", "1.0", "1.0"]);
    }

    #[test]
    fn what_is_not_swapped_stays_the_same_value() {
        let before = registry();
        let (after, _) = before.swapped(Swap::new().replace(named("bill"))).unwrap();
        let same = |kind: &str| {
            let of = |registry: &Registry| Arc::clone(registry.handler(kind).unwrap());
            Arc::ptr_eq(&of(&before), &of(&after))
        };
        assert!(same("mail") && same("post") && !same("bill"));
    }

    #[test]
    fn a_handler_takes_the_place_of_one_under_its_older_name() {
        let renamed = with_aliases("letters", &["mail"]);
        let (after, swapped) = registry().swapped(Swap::new().replace(renamed)).unwrap();
        assert_eq!(kinds(&after), ["bill", "letters", "mail"], "without post");
        assert_eq!(changes(&swapped), ["\"letters\" replaced (1.0 by 1.1)"]);
    }

    #[test]
    fn what_cannot_be_made_is_refused_with_the_way_out() {
        let breaker = |failures: f64| Some(Breaker::named("bank").failure_rate(failures));
        let with = |kind, breaker| Handler {
            breaker,
            ..named(kind)
        };
        let cases: [(Swap, &[&str]); 9] = [
            (Swap::new(), &["no changes"]),
            (
                Swap::new().add(named("post")),
                &["\"post\"", "runs \"mail\" already", "replace"],
            ),
            (
                Swap::new().replace(named("fax")),
                &["\"fax\"", "replaces none", "add it"],
            ),
            (
                Swap::new().replace(with_aliases("all", &["post", "bill"])),
                &["cannot replace two", "\"mail\"", "\"bill\""],
            ),
            (Swap::new().remove("fax"), &["\"fax\"", "does not run it"]),
            (Swap::new().remove("post"), &["older name of \"mail\""]),
            (
                Swap::new().add(named("fax")).add(named("fax")),
                &["\"fax\"", "already"],
            ),
            (
                Swap::new().add(named("fax").code_version("a b")),
                &["code version", "white space"],
            ),
            (
                Swap::new()
                    .add(with("bank", breaker(0.5)))
                    .add(with("fax", breaker(0.9))),
                &["breaker \"bank\"", "different options"],
            ),
        ];
        let before = registry();
        for (swap, parts) in cases {
            let refused = before.swapped(swap).unwrap_err();
            assert!(refused.is_config());
            let text = refused.to_string();
            for part in parts.iter().chain(&["has changed nothing"]) {
                assert!(text.contains(part), "{part:?} is not in: {text}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn isolated_handlers_do_not_come_while_the_node_runs_but_they_may_go() {
        use crate::handler::isolation::Isolation;

        let isolated = || named("bill").isolated(Isolation::new());
        let refused = registry().swapped(Swap::new().replace(isolated()));
        let text = refused.unwrap_err().to_string();
        assert!(
            text.contains("run_if_child") && text.contains("start the node anew"),
            "{text}"
        );
        let before = Registry::new([isolated()]).unwrap();
        assert!(before.swapped(Swap::new().replace(named("bill"))).is_ok());
        assert!(before.swapped(Swap::new().remove("bill")).is_ok());
    }
}
