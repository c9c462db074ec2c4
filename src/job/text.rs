//! Texts that come from user code, made fit for a row; and instants, made fit for people.
//!
//! PostgreSQL refuses a NUL in a text, and a refused error text would leave its job hanging, so
//! every text that a handler can influence passes through here.

use std::fmt;

use chrono::{DateTime, Utc};

/// The longest error message or backtrace that is kept, in bytes; longer ones are cut with a mark.
pub const MAX_TEXT_BYTES: usize = 8 * 1024;

/// `text` without NUL characters and at most `limit` bytes long, with a mark where it was cut.
#[must_use]
pub fn bounded_text(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.replace('\0', "\u{fffd}");
    }
    let mark = format!("… [cut, {} bytes in all]", text.len());
    let room = limit.saturating_sub(mark.len());
    let kept = &text[..text.floor_char_boundary(room)];
    kept.replace('\0', "?") + &mark
}

/// An instant as people are told of it, to the second.
pub(crate) fn shown_instant(at: &DateTime<Utc>) -> impl fmt::Display {
    at.format("%Y-%m-%d %H:%M:%S UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_stay_and_lose_their_nul() {
        assert_eq!(bounded_text("as it is", 100), "as it is");
        assert_eq!(bounded_text("a\0b", 100), "a\u{fffd}b");
    }

    #[test]
    fn a_long_text_is_cut_with_a_mark_within_the_limit() {
        let cut = bounded_text(&"é\0".repeat(5_000_000), MAX_TEXT_BYTES);
        assert!(cut.len() <= MAX_TEXT_BYTES);
        assert!(
            cut.ends_with("… [cut, 15000000 bytes in all]"),
            "{}",
            &cut[cut.len() - 60..]
        );
        assert!(!cut.contains('\0'));
    }
}
