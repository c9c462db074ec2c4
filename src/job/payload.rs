//! Arguments as bytes, and back.
//!
//! Postcard does not describe itself: bytes of one shape may decode as another into wrong values.
//! So a payload is decoded only when its version and its fingerprint are the ones that the reader
//! expects, and only when no byte is left over. Nothing else in the crate knows postcard.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use super::{Fingerprint, describe, fingerprint_of, trace};

/// The largest payload that is accepted at the enqueue unless configured, in bytes.
pub const DEFAULT_PAYLOAD_LIMIT: usize = 1024 * 1024;
/// The largest payload limit that can be configured, in bytes.
pub const MAX_PAYLOAD_LIMIT: usize = 16 * 1024 * 1024;

/// Why some types are no arguments, and the way out.
pub(super) const NOT_READABLE: &str = "postcard cannot read them back: serde's untagged, flatten and \
     serde_json::Value need a format that describes itself; wrap such a value as a String";

/// The first byte of every payload: the format of what follows (postcard 1.x).
const FORMAT: u8 = 1;

/// Arguments that could not be encoded.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the arguments ({shape}) cannot be written as postcard: {cause}")]
pub struct EncodeError {
    shape: String,
    cause: String,
}

/// Why a payload was not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes do not begin with a format byte that this build knows.
    #[error("the payload has the unknown format {0:?}")]
    Format(Option<u8>),
    /// The bytes were written by another shape of the same version.
    #[error(
        "the arguments were enqueued with the shape {found} (version {version}), this build expects \
         {expected} = {description}; count the version up and register an upcaster from version {version}"
    )]
    Shape {
        /// The version of both.
        version: i32,
        /// The stored fingerprint.
        found: Fingerprint,
        /// The reader's fingerprint.
        expected: Fingerprint,
        /// The reader's shape, in words.
        description: String,
    },
    /// The bytes are of a version for which the handler has no upcaster.
    #[error(
        "the arguments are of version {found}, this build reads version {expected} and has no \
         upcaster from version {found}"
    )]
    Version {
        /// The stored version.
        found: i32,
        /// The reader's version.
        expected: i32,
    },
    /// The bytes do not hold what they should.
    #[error("the arguments do not decode: {0}")]
    Bytes(String),
}

/// Arguments as they lie in a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stored<'a> {
    /// The argument version of the kind when the job was enqueued.
    pub version: i32,
    /// The shape of the arguments when the job was enqueued.
    pub fingerprint: Fingerprint,
    /// The format byte and the postcard bytes.
    pub bytes: &'a [u8],
}

impl fmt::Debug for Stored<'_> {
    // Payloads may hold secrets, so they stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Stored(version {}, {}, {} bytes)",
            self.version,
            self.fingerprint,
            self.bytes.len()
        )
    }
}

/// Writes arguments as a payload.
///
/// # Errors
///
/// When postcard could not read them back (`flatten`, untagged enums, `serde_json::Value`), or cannot
/// write them (`skip_serializing_if`, sequences of unknown length).
pub fn encode<A>(arguments: &A) -> Result<Vec<u8>, EncodeError>
where
    A: Serialize + DeserializeOwned + 'static,
{
    let refused = |cause: String| EncodeError {
        shape: std::any::type_name::<A>().to_owned(),
        cause,
    };
    // Postcard writes such types without complaint; only their reader would hear of it.
    if trace::<A>().is_self_describing() {
        return Err(refused(NOT_READABLE.to_owned()));
    }
    let bytes = postcard::to_extend(arguments, vec![FORMAT]);
    bytes.map_err(|cause| refused(cause.to_string()))
}

fn decode_exact<A: DeserializeOwned>(bytes: &[u8]) -> Result<A, DecodeError> {
    let [FORMAT, rest @ ..] = bytes else {
        return Err(DecodeError::Format(bytes.first().copied()));
    };
    match postcard::take_from_bytes(rest) {
        Ok((arguments, [])) => Ok(arguments),
        Ok((_, left)) => Err(DecodeError::Bytes(format!(
            "{} bytes are left over",
            left.len()
        ))),
        Err(cause) => Err(DecodeError::Bytes(cause.to_string())),
    }
}

type Upcast<A> = dyn Fn(Stored<'_>) -> Result<A, DecodeError> + Send + Sync;

/// Turns arguments of an older version into today's.
pub struct Upcaster<A> {
    version: i32,
    upcast: Arc<Upcast<A>>,
}

impl<A> Clone for Upcaster<A> {
    fn clone(&self) -> Self {
        Self {
            version: self.version,
            upcast: Arc::clone(&self.upcast),
        }
    }
}

impl<A> fmt::Debug for Upcaster<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upcaster(from version {})", self.version)
    }
}

impl<A> Upcaster<A> {
    /// An upcaster from `version`, whose arguments had the shape of `Old`.
    pub fn from_version<Old>(
        version: i32,
        upcast: impl Fn(Old) -> A + Send + Sync + 'static,
    ) -> Self
    where
        Old: DeserializeOwned + 'static,
    {
        let decode = move |stored: Stored<'_>| {
            check_shape::<Old>(stored)?;
            Ok(upcast(decode_exact::<Old>(stored.bytes)?))
        };
        Self {
            version,
            upcast: Arc::new(decode),
        }
    }
}

fn check_shape<A: DeserializeOwned + 'static>(stored: Stored<'_>) -> Result<(), DecodeError> {
    let expected = fingerprint_of::<A>();
    if stored.fingerprint == expected {
        return Ok(());
    }
    Err(DecodeError::Shape {
        version: stored.version,
        found: stored.fingerprint,
        expected,
        description: describe::<A>(),
    })
}

/// How the arguments of one kind are read: today's version, and the way from older ones.
#[derive(Debug)]
pub struct Codec<A> {
    /// Today's argument version, from 1.
    pub version: i32,
    /// The way from older versions.
    pub upcasters: Vec<Upcaster<A>>,
}

impl<A> Codec<A> {
    /// The newest version that it has a way from.
    pub(super) fn newest(&self) -> i32 {
        let older = self.upcasters.iter().map(|upcaster| upcaster.version);
        older.fold(self.version, i32::max)
    }
}

impl<A: DeserializeOwned + 'static> Codec<A> {
    /// Decodes arguments of today's version, or of an older one through its upcaster.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] says which rule refused the bytes. It never decodes into a wrong shape.
    pub fn decode(&self, stored: Stored<'_>) -> Result<A, DecodeError> {
        if stored.version == self.version {
            // An upcaster may be given for today's version too: for a change of shape that went
            // out without counting the version up.
            return match check_shape::<A>(stored) {
                Ok(()) => decode_exact(stored.bytes),
                Err(shape) => self.upcast(stored).unwrap_or(Err(shape)),
            };
        }
        let missing = DecodeError::Version {
            found: stored.version,
            expected: self.version,
        };
        self.upcast(stored).unwrap_or(Err(missing))
    }

    fn upcast(&self, stored: Stored<'_>) -> Option<Result<A, DecodeError>> {
        let mut answers = self
            .upcasters
            .iter()
            .filter(|upcaster| upcaster.version == stored.version)
            .map(|upcaster| (upcaster.upcast)(stored));
        let first = answers.next()?;
        Some(answers.fold(first, |best, next| best.or(next)))
    }
}

impl<A: Serialize + DeserializeOwned + 'static> Codec<A> {
    /// The arguments as JSON, for people.
    ///
    /// # Errors
    ///
    /// As [`Codec::decode`]; also when the arguments have no JSON form.
    pub fn to_json(&self, stored: Stored<'_>) -> Result<serde_json::Value, DecodeError> {
        let arguments = self.decode(stored)?;
        serde_json::to_value(&arguments).map_err(|cause| DecodeError::Bytes(cause.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        id: u64,
        n: u64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Swapped {
        n: u64,
        id: u64,
    }

    fn stored<A: Serialize + DeserializeOwned + 'static>(version: i32, bytes: &[u8]) -> Stored<'_> {
        Stored {
            version,
            fingerprint: fingerprint_of::<A>(),
            bytes,
        }
    }

    fn codec<A>(version: i32, upcasters: Vec<Upcaster<A>>) -> Codec<A> {
        Codec { version, upcasters }
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let bytes = encode(&Old { id: 5, n: 300 }).unwrap();
        let decoded = codec::<Old>(1, vec![]).decode(stored::<Old>(1, &bytes));
        assert_eq!(decoded, Ok(Old { id: 5, n: 300 }));
    }

    #[test]
    fn swapped_fields_are_refused_and_never_decoded_wrongly() {
        let bytes = encode(&Old { id: 5, n: 300 }).unwrap();
        let refused = codec::<Swapped>(1, vec![])
            .decode(stored::<Old>(1, &bytes))
            .unwrap_err();
        assert!(matches!(refused, DecodeError::Shape { .. }), "{refused}");
    }

    #[test]
    fn trailing_bytes_and_unknown_formats_are_refused() {
        let mut bytes = encode(&Old { id: 5, n: 300 }).unwrap();
        bytes.push(0);
        let left = codec::<Old>(1, vec![]).decode(stored::<Old>(1, &bytes));
        assert_eq!(
            left,
            Err(DecodeError::Bytes("1 bytes are left over".into()))
        );
        let format = codec::<Old>(1, vec![]).decode(stored::<Old>(1, &[9]));
        assert_eq!(format, Err(DecodeError::Format(Some(9))));
    }

    #[test]
    fn an_older_version_goes_through_its_upcaster() {
        let bytes = encode(&Old { id: 5, n: 300 }).unwrap();
        let upcaster = Upcaster::from_version(1, |old: Old| Swapped {
            n: old.n,
            id: old.id,
        });
        let new = codec(2, vec![upcaster]);
        assert_eq!(
            new.decode(stored::<Old>(1, &bytes)),
            Ok(Swapped { n: 300, id: 5 })
        );
        let unknown = new.decode(stored::<Old>(7, &bytes));
        assert_eq!(
            unknown,
            Err(DecodeError::Version {
                found: 7,
                expected: 2
            })
        );
    }

    #[test]
    fn arguments_are_shown_as_json() {
        let bytes = encode(&Old { id: 5, n: 300 }).unwrap();
        let json = codec::<Old>(1, vec![])
            .to_json(stored::<Old>(1, &bytes))
            .unwrap();
        assert_eq!(json, serde_json::json!({ "id": 5, "n": 300 }));
    }
}
