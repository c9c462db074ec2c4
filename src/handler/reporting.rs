//! The progress notes of an attempt on their way to the database: of those that come while one is written, the
//! latest is next.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::ProgressNote;

#[derive(Default)]
pub(super) struct Reporting(Mutex<State>);

#[derive(Default)]
struct State {
    /// What is to be written next.
    latest: Option<ProgressNote>,
    stage: Stage,
}

#[derive(Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    /// Somebody writes, or pauses after it.
    Writing,
    /// The attempt has ended, or lost its job.
    Over,
}

impl Reporting {
    /// Writes this next. `begin` is called if nobody writes, and has somebody take the [`next`](Self::next) note
    /// until there is none.
    pub(super) fn note(&self, note: ProgressNote, begin: impl FnOnce()) {
        let mut state = self.state();
        if state.stage == Stage::Over {
            return;
        }
        state.latest = Some(note);
        if state.stage == Stage::Idle {
            state.stage = Stage::Writing;
            begin();
        }
    }

    /// What to write next. `None`: nothing, and whoever comes next begins anew.
    pub(super) fn next(&self) -> Option<ProgressNote> {
        let mut state = self.state();
        let next = state.latest.take();
        if next.is_none() && state.stage == Stage::Writing {
            state.stage = Stage::Idle;
        }
        next
    }

    /// Nothing more is written.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.stage = Stage::Over;
        state.latest = None;
    }

    /// Does this unless the attempt has ended, and never while it ends. Whether it was done.
    pub(super) fn unless_over(&self, act: impl FnOnce()) -> bool {
        let state = self.state();
        let is_over = state.stage == Stage::Over;
        if !is_over {
            act();
        }
        !is_over
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, so a poisoned one guards a whole state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
