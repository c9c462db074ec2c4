//! What a handler leaves for the history, made fit for a row.
//!
//! An output that is too large or too deep would keep its answer from ever being written, or overflow
//! the stack of whoever writes, reads or drops it. A note takes its place: the job is done all the same.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Serializer, Value, json};

/// The largest output that is kept, in bytes of JSON.
pub const MAX_OUTPUT_BYTES: usize = 256 * 1024;
/// How deep arrays and objects of an output may be nested. serde_json reads no more than 127 levels.
pub const MAX_OUTPUT_DEPTH: usize = 100;

/// `output` as JSON, or a note if it is beyond the limits.
pub(super) fn output_of(output: &impl Serialize) -> Result<Value, serde_json::Error> {
    match measure(output) {
        Ok(()) => serde_json::to_value(output),
        Err(beyond) if beyond.is_io() => Ok(note(&beyond)),
        Err(unwritable) => Err(unwritable),
    }
}

/// `output`, or a note if it is beyond the limits.
pub(crate) fn bounded_output(output: Value) -> Value {
    match measure(&output) {
        Ok(()) => output,
        Err(beyond) => {
            dismantle(output);
            note(&beyond)
        }
    }
}

fn note(beyond: &serde_json::Error) -> Value {
    json!({ "not_kept": beyond.to_string() })
}

/// Writes it to nowhere, and fails at the first step beyond a limit.
fn measure(output: &impl Serialize) -> Result<(), serde_json::Error> {
    let (size, depth) = (Size::default(), Depth::default());
    output.serialize(&mut Serializer::with_formatter(size, depth))
}

/// Counts what is written.
#[derive(Debug, Default)]
struct Size(usize);

impl Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        if self.0 > MAX_OUTPUT_BYTES {
            let text = format!("the output takes more than {MAX_OUTPUT_BYTES} bytes as JSON");
            return Err(io::Error::other(text));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts how deep the writer is.
#[derive(Debug, Default)]
struct Depth(usize);

impl Depth {
    fn enter<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.0 += 1;
        if self.0 > MAX_OUTPUT_DEPTH {
            let text = format!("the output is nested more than {MAX_OUTPUT_DEPTH} levels deep");
            return Err(io::Error::other(text));
        }
        writer.write_all(bracket)
    }

    fn leave<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.0 -= 1;
        writer.write_all(bracket)
    }
}

impl Formatter for Depth {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.enter(writer, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.leave(writer, b"]")
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.enter(writer, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.leave(writer, b"}")
    }
}

/// Drops a value of any depth, which its own `drop` does by recursion.
fn dismantle(value: Value) {
    let mut rest = vec![value];
    while let Some(value) = rest.pop() {
        match value {
            Value::Array(items) => rest.extend(items),
            Value::Object(fields) => rest.extend(fields.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> Value {
        // Not by json!, which serializes what it is given.
        (0..levels).fold(json!(1), |inner, level| match level % 2 {
            0 => Value::Array(vec![inner]),
            _ => Value::Object([("a".to_owned(), inner)].into_iter().collect()),
        })
    }

    #[test]
    fn what_is_within_the_limits_stays_as_it_is() {
        let deep = nested(MAX_OUTPUT_DEPTH);
        assert_eq!(bounded_output(deep.clone()), deep);
        let large = json!("x".repeat(MAX_OUTPUT_BYTES - 2));
        assert_eq!(bounded_output(large.clone()), large);
        assert_eq!(output_of(&large).unwrap(), large);
    }

    #[test]
    fn a_note_takes_the_place_of_what_is_beyond_them() {
        let large = json!("x".repeat(MAX_OUTPUT_BYTES - 1));
        let expected = json!({ "not_kept": "the output takes more than 262144 bytes as JSON" });
        assert_eq!(output_of(&large).unwrap(), expected);
        assert_eq!(bounded_output(large), expected);
        let expected = json!({ "not_kept": "the output is nested more than 100 levels deep" });
        assert_eq!(bounded_output(nested(MAX_OUTPUT_DEPTH + 1)), expected);
        assert_eq!(bounded_output(nested(200_000)), expected);
    }
}
