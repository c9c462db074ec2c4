//! Whether a child that ended is started again: [`Restart`].
//!
//! Pure: it knows an [`Exit`] and nothing of supervisors.

use super::Exit;

/// Whether a child that ended by itself is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Restart {
    /// Always, however it ended.
    #[default]
    Permanent,
    /// Only if it ended abnormally: an error, a panic, a kill. A stop with any reason is normal.
    Transient,
    /// Never; its specification is forgotten once it has ended.
    Temporary,
}

impl Restart {
    /// Says whether a child of this type is started again after `exit`.
    #[must_use]
    pub fn is_due_after(self, exit: &Exit) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => !exit.is_normal(),
            Self::Temporary => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exits() -> [Exit; 4] {
        [
            Exit::from_termination(Some("done".into())),
            Exit::from_termination(Some("killed".into())),
            Exit::from_failure("boom".into()),
            Exit::lost(),
        ]
    }

    #[test]
    fn a_kill_is_abnormal_and_a_stop_is_normal() {
        let due = |restart: Restart| exits().map(|exit| restart.is_due_after(&exit));
        assert_eq!(due(Restart::Permanent), [true, true, true, true]);
        assert_eq!(due(Restart::Transient), [false, true, true, true]);
        assert_eq!(due(Restart::Temporary), [false, false, false, false]);
    }
}
