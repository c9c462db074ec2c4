//! Where a handler panicked: a panic hook keeps the place and the backtrace for the attempt's record.
//!
//! The hook that was there before still runs, so nothing is printed or reported less than without us.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::sync::Once;

use crate::job::{Failure, FailureKind};

tokio::task_local! {
    /// Set while a handler is polled, so that other panics are left alone.
    pub(crate) static IN_HANDLER: ();
}

thread_local! {
    static LAST: RefCell<Option<Trace>> = const { RefCell::new(None) };
}

struct Trace {
    place: String,
    backtrace: Backtrace,
}

/// Installs the hook, once in a process.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if IN_HANDLER.try_with(|()| ()).is_ok() {
                remember(info);
            }
            previous(info);
        }));
    });
}

fn remember(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let trace = Trace {
        place,
        backtrace: Backtrace::force_capture(),
    };
    LAST.set(Some(trace));
}

/// A panic that was caught on one thread, to go on on another.
pub(super) struct Carried {
    payload: Box<dyn Any + Send>,
    trace: Option<Trace>,
}

/// Runs a handler's work on a thread that is not the handler's.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Carried> {
    // What the work leaves broken is dropped with it: the panic goes on in the handler.
    let caught = IN_HANDLER.sync_scope((), || catch_unwind(AssertUnwindSafe(work)));
    caught.map_err(|payload| Carried {
        payload,
        trace: LAST.take(),
    })
}

impl Carried {
    /// Goes on as if it had happened here.
    pub(super) fn resume(self) -> ! {
        LAST.set(self.trace);
        resume_unwind(self.payload)
    }
}

/// A handler's panic, caught.
#[derive(Debug)]
pub(crate) struct Panicked {
    message: String,
    backtrace: Option<Backtrace>,
}

/// The panic that was caught on this thread just now.
pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Panicked {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is not a text".to_owned());
    match LAST.take() {
        Some(trace) => Panicked {
            message: format!("panicked at {}: {text}", trace.place),
            backtrace: Some(trace.backtrace),
        },
        None => Panicked {
            message: format!("panicked: {text}"),
            backtrace: None,
        },
    }
}

impl Panicked {
    /// What it said, and where.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The record of it. Finding the names of its backtrace takes a millisecond, and a good deal more
    /// the first time in a process.
    pub(crate) fn into_failure(self) -> Failure {
        let backtrace = self.backtrace.map(|backtrace| backtrace.to_string());
        Failure::new(FailureKind::Panic, &self.message)
            .with_backtrace(backtrace.as_deref().map(own_part))
    }
}

/// The handler's own part of a backtrace: without the panic machinery above it and the executor
/// below it.
fn own_part(backtrace: &str) -> &str {
    let after_machinery = backtrace
        .find("core::panicking::panic_fmt")
        .or_else(|| backtrace.find("rust_begin_unwind"))
        // A frame is two lines: name and place.
        .and_then(|start| backtrace[start..].splitn(3, '\n').nth(2));
    let rest = after_machinery.unwrap_or(backtrace);
    let executor = [
        "callboard::queue::performing",
        "callboard::handler::isolation",
    ]
    .iter()
    .find_map(|below| rest.find(below))
    .and_then(|at| rest[..at].rfind('\n'));
    executor.map_or(rest, |end| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtrace_is_cut_to_the_handlers_own_part() {
        let backtrace = "   0: remember\n   at a\n   1: core::panicking::panic_fmt\n   at b\n   \
                         2: app::boom\n   at c\n   3: callboard::queue::performing::run\n   at d";
        assert_eq!(own_part(backtrace), "   2: app::boom\n   at c");
        assert_eq!(own_part("strange"), "strange");
    }
}
