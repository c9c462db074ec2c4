//! Which errors are alike: a fingerprint of an error without what differs from one time to the next.
//!
//! Pure text. It is stored with a dead letter at its burial, so the rules are part of the data: a changed
//! rule splits a group into the letters before it and those after. Tests pin them.

use std::fmt;

use super::fingerprint::Fnv;
use super::{Failure, FailureKind, normal_message};

/// What errors of one sort have in common: how they failed, and [the message](normal_message) without its
/// variable parts. With the kind of the job it names a group of dead letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorFingerprint(u64);

impl ErrorFingerprint {
    /// Of letters that were buried by a build which did not take fingerprints.
    pub const UNKNOWN: Self = Self(0);

    /// The fingerprint of a failure. Its backtrace does not count.
    #[must_use]
    pub fn of(failure: &Failure) -> Self {
        match failure.kind {
            // Its text names the process, which is a different one every time.
            FailureKind::ProcessDied => Self::hash(failure.kind, ""),
            kind => Self::hash(kind, &normal_message(&failure.message)),
        }
    }

    fn hash(kind: FailureKind, message: &str) -> Self {
        let mut fnv = Fnv::default();
        fnv.bytes(kind.as_str().as_bytes());
        fnv.bytes(&[0]);
        fnv.bytes(message.as_bytes());
        Self(fnv.finish())
    }

    /// The fingerprint read back from a `bigint` column.
    #[must_use]
    pub const fn from_i64(column: i64) -> Self {
        Self(column.cast_unsigned())
    }

    /// The same 64 bits for a `bigint` column.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        self.0.cast_signed()
    }
}

/// 16 lowercase hexadecimal digits.
impl fmt::Display for ErrorFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ErrorFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ErrorFingerprint({self})")
    }
}

impl std::str::FromStr for ErrorFingerprint {
    type Err = std::num::ParseIntError;

    /// From its hexadecimal digits, as people copy them.
    fn from_str(digits: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(digits, 16).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_otherwise_is_another_group_and_stored_fingerprints_keep_their_value() {
        let of = |kind, message: &str| ErrorFingerprint::of(&Failure::new(kind, message));
        assert_eq!(
            of(FailureKind::Error, "user 1"),
            of(FailureKind::Error, "user 2")
        );
        assert_ne!(
            of(FailureKind::Error, "user 1"),
            of(FailureKind::Panic, "user 1")
        );
        assert_ne!(
            of(FailureKind::Error, "user 1"),
            of(FailureKind::Error, "order 1")
        );
        let died = |who: &str| of(FailureKind::ProcessDied, who);
        assert_eq!(died("the process a:1 died"), died("the process b:2 died"));
        let stored = of(FailureKind::Error, "user 17 not found");
        assert_eq!(ErrorFingerprint::from_i64(stored.as_i64()), stored);
        assert_eq!(stored.to_string().parse(), Ok(stored));
        assert_eq!(stored.to_string(), "f0ef4eef398e5e78");
    }
}
