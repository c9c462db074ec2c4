//! The trace context of who enqueued a job, as text: W3C's `traceparent`.

/// How long a `traceparent` is, in bytes.
pub const TRACEPARENT_BYTES: usize = 55;

/// Whether this is a `traceparent` of [W3C's trace context](https://www.w3.org/TR/trace-context/): in hex, in
/// lower case, a version, the id of a trace, the id of a span and flags; the ids are not zero.
#[must_use]
pub fn is_traceparent(text: &str) -> bool {
    let fields: Vec<&str> = text.split('-').collect();
    let [version, trace, span, flags] = fields[..] else {
        return false;
    };
    let is_hex = |field: &str| {
        field
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_some = |field: &str| field.bytes().any(|b| b != b'0');
    [version.len(), trace.len(), span.len(), flags.len()] == [2, 32, 16, 2]
        && fields.iter().all(|field| is_hex(field))
        && version != "ff"
        && is_some(trace)
        && is_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_w3c_describes_is_a_traceparent() {
        let right = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(right.len(), TRACEPARENT_BYTES);
        assert!(is_traceparent(right));
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47\u{e9}-00f067aa0ba902b7-01",
        ] {
            assert!(!is_traceparent(wrong), "{wrong}");
        }
    }
}
