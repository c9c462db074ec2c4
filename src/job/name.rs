//! What a name of a kind or a queue may be.

use std::fmt;

/// The longest name of a kind, in bytes.
pub const MAX_KIND_BYTES: usize = 200;
/// The longest name of a queue, in bytes.
pub const MAX_QUEUE_BYTES: usize = 100;

/// The longest ordering key, in bytes.
pub const MAX_ORDERING_KEY_BYTES: usize = 200;
/// The longest limit key, in bytes.
pub const MAX_LIMIT_KEY_BYTES: usize = 200;

/// The longest name of a breaker, in bytes.
pub const MAX_BREAKER_BYTES: usize = 200;

/// The longest name of a version of a handler's code, in bytes.
pub const MAX_CODE_VERSION_BYTES: usize = 100;

/// What a checked name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameOf {
    /// A kind of job.
    Kind,
    /// A queue.
    Queue,
    /// An ordering key.
    OrderingKey,
    /// A limit key.
    LimitKey,
    /// A breaker.
    Breaker,
    /// A version of a handler's code.
    CodeVersion,
}

impl NameOf {
    const fn word(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Queue => "queue",
            Self::OrderingKey => "ordering key",
            Self::LimitKey => "limit key",
            Self::Breaker => "breaker",
            Self::CodeVersion => "code version",
        }
    }

    const fn limit(self) -> usize {
        match self {
            Self::Kind => MAX_KIND_BYTES,
            Self::Queue => MAX_QUEUE_BYTES,
            Self::OrderingKey => MAX_ORDERING_KEY_BYTES,
            Self::LimitKey => MAX_LIMIT_KEY_BYTES,
            Self::Breaker => MAX_BREAKER_BYTES,
            Self::CodeVersion => MAX_CODE_VERSION_BYTES,
        }
    }
}

/// A name that cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidName {
    of: NameOf,
    shown: String,
    why: String,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} {:?} {}", self.of.word(), self.shown, self.why)
    }
}

impl std::error::Error for InvalidName {}

/// Checks that `name` is not empty, not too long, and free of white space and control characters.
///
/// # Errors
///
/// Says which name breaks which rule; a long name is shown shortened.
pub fn check_name(of: NameOf, name: &str) -> Result<(), InvalidName> {
    let refuse = |why: String| {
        let shown = super::bounded_text(name, 60);
        Err(InvalidName { of, shown, why })
    };
    if name.is_empty() {
        return refuse("is empty; give it a name".into());
    }
    if name.len() > of.limit() {
        return refuse(format!(
            "has {} bytes; at most {} are allowed",
            name.len(),
            of.limit()
        ));
    }
    if let Some(bad) = name.chars().find(|c| c.is_control() || c.is_whitespace()) {
        return refuse(format!(
            "contains {bad:?}; white space and control characters are not allowed"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_use_are_accepted() {
        for name in [
            "mail.send_welcome",
            "app::reports::generate",
            "überweisung",
            "a-b/c",
        ] {
            assert_eq!(check_name(NameOf::Kind, name), Ok(()));
        }
    }

    #[test]
    fn a_refusal_shows_the_name_and_the_rule() {
        let long = "x".repeat(10_000);
        let message = check_name(NameOf::Kind, &long).unwrap_err().to_string();
        assert!(message.contains("10000 bytes; at most 200"), "{message}");
        assert!(message.len() < 250, "{message}");
        assert!(
            check_name(NameOf::Queue, "")
                .unwrap_err()
                .to_string()
                .contains("is empty")
        );
        assert!(
            check_name(NameOf::Queue, "a\0b")
                .unwrap_err()
                .to_string()
                .contains("'\\0'")
        );
    }
}
