//! Where a handler panicked: a panic hook keeps the place and the backtrace for the attempt's record.
//!
//! The hook that was there before still runs, so nothing is printed or reported less than without us.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::Once;

use crate::job::{Failure, FailureKind};

tokio::task_local! {
    /// Set while a handler is polled, so that other panics are left alone.
    pub(super) static IN_HANDLER: ();
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
    LAST.with(|last| *last.borrow_mut() = Some(trace));
}

/// The record of a panic that was caught on this thread just now.
pub(super) fn failure_of(payload: &(dyn Any + Send)) -> Failure {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is not a text".to_owned());
    match LAST.with(|last| last.borrow_mut().take()) {
        Some(trace) => {
            let message = format!("panicked at {}: {text}", trace.place);
            let backtrace = trace.backtrace.to_string();
            Failure::new(FailureKind::Panic, &message).with_backtrace(Some(own_part(&backtrace)))
        }
        None => Failure::new(FailureKind::Panic, &format!("panicked: {text}")),
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
    let executor = rest
        .find("callboard::queue::executor")
        .and_then(|at| rest[..at].rfind('\n'));
    executor.map_or(rest, |end| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtrace_is_cut_to_the_handlers_own_part() {
        let backtrace = "   0: remember\n   at a\n   1: core::panicking::panic_fmt\n   at b\n   \
                         2: app::boom\n   at c\n   3: callboard::queue::executor::run\n   at d";
        assert_eq!(own_part(backtrace), "   2: app::boom\n   at c");
        assert_eq!(own_part("strange"), "strange");
    }
}
