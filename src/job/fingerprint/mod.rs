//! A fingerprint of the shape of a type, taken from its `Deserialize` implementation.
//!
//! Stored arguments are postcard bytes, which do not describe themselves: bytes of one shape decode as another without
//! complaint (`-3` where `5` was written, two fields swapped). So every stored job carries the fingerprint of the type
//! it was written from, and is only decoded by a type with the same one.
//!
//! The shape is the tree of requests `T::deserialize` makes: primitives, options, sequences, maps, tuples, newtypes,
//! field and variant names in their order. Type names are no part of it. [`describe`] shows it, and the fingerprint is
//! the FNV-1a hash of that text, so equal descriptions are equal fingerprints. Known to whoever registers handlers or
//! enqueues; knows only serde. The notation and the search are pinned by tests: changing either orphans stored jobs.
//!
//! # Limits
//!
//! - Shape is not meaning: a unit changed from seconds to minutes, or a `String` that became a `DateTime` (a string in
//!   postcard too), goes unseen.
//! - Refusals are worked around with sample values. Where no sample is accepted the nearest option, sequence, map or
//!   variant around it is left out; with none around it, the trace ends there and later fields are not seen
//!   ([`Traced::is_complete`] is false).
//! - `#[serde(alias)]` adds to the names, so it changes the fingerprint.
//! - A hand-written `Deserialize` that asks differently after different scalars is seen for one value of each, and
//!   that is not marked. After different enum variants it is seen for each.
//! - A type met inside itself is told by its visitor. Visitors that carry state (`erased_serde`, seeds) may look like
//!   one type and hide what is inside. An implementation that panics on a sample panics here.
//! - `OsString` holds a variant of another platform, so it is never complete and differs between platforms.
//! - Past 65 536 positions, 16 384 passes, a million requests or 128 levels the trace ends, marked. About ten types
//!   that all contain each other are enough for that.

mod fnv;
mod probe;
mod sample;
mod shape;
mod tracer;

#[cfg(test)]
mod tests;

pub(super) use fnv::Fnv;

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasherDefault;

use serde::de::DeserializeOwned;

use super::by_id::IdHasher;

/// Bytes of a description before it is cut; the fingerprint covers all of it.
const MAX_DESCRIPTION: usize = 8 * 1024;

/// The fingerprint of a shape: equal for types which read each other's bytes field by field, by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The fingerprint read back from a `bigint` column.
    #[must_use]
    pub const fn from_i64(column: i64) -> Self {
        Self(column.cast_unsigned())
    }

    /// The same 64 bits for a `bigint` column; half of all fingerprints are negative there.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        self.0.cast_signed()
    }
}

/// 16 lowercase hexadecimal digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// What tracing a type found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traced {
    fingerprint: Fingerprint,
    is_self_describing: bool,
    is_complete: bool,
}

impl Traced {
    /// The fingerprint of the shape.
    #[must_use]
    pub fn fingerprint(self) -> Fingerprint {
        self.fingerprint
    }

    /// Whether the type needs a self-describing format, so that postcard can write but never read it.
    ///
    /// True of `#[serde(untagged)]`, `#[serde(tag = "…")]` without `content`, `#[serde(flatten)]`, `IgnoredAny` and
    /// `serde_json::Value`. Such a type must be refused as an argument.
    #[must_use]
    pub fn is_self_describing(self) -> bool {
        self.is_self_describing
    }

    /// Whether every part of the shape was seen, so that every change of it changes the fingerprint.
    #[must_use]
    pub fn is_complete(self) -> bool {
        self.is_complete
    }
}

thread_local! {
    static KNOWN: RefCell<HashMap<TypeId, Traced, BuildHasherDefault<IdHasher>>> = RefCell::default();
}

/// The fingerprint of `T`, traced once per thread.
///
/// The first call takes microseconds to, for large enums, milliseconds; later ones are a lookup.
///
/// # Panics
///
/// Only if `T::deserialize` panics on a sample value.
///
/// # Examples
///
/// ```
/// # use callboard::job::{describe, fingerprint_of};
/// #[derive(serde::Deserialize)]
/// struct Welcome { user_id: i64, template: String }
///
/// #[derive(serde::Deserialize)]
/// struct Greeting { user_id: i64, template: String }
///
/// #[derive(serde::Deserialize)]
/// struct Narrowed { user_id: i32, template: String }
///
/// assert_eq!(fingerprint_of::<Welcome>(), fingerprint_of::<Greeting>());
/// assert_ne!(fingerprint_of::<Welcome>(), fingerprint_of::<Narrowed>());
/// assert_eq!(describe::<Welcome>(), "{user_id: i64, template: string}");
/// ```
#[must_use]
pub fn fingerprint_of<T: DeserializeOwned + 'static>() -> Fingerprint {
    trace::<T>().fingerprint
}

/// The fingerprint of `T` and how far it can be trusted, traced once per thread.
///
/// # Panics
///
/// Only if `T::deserialize` panics on a sample value.
#[must_use]
pub fn trace<T: DeserializeOwned + 'static>() -> Traced {
    let id = TypeId::of::<T>();
    // `try_with` fails only while the thread is being torn down; then the trace is made again.
    let known = KNOWN.try_with(|known| known.borrow().get(&id).copied());
    if let Ok(Some(traced)) = known {
        return traced;
    }
    let traced = trace_anew::<T>();
    KNOWN
        .try_with(|known| known.borrow_mut().insert(id, traced))
        .map_or(traced, |_| traced)
}

/// The shape of `T` in words, for error messages: `{user_id: i64, template: string}`.
///
/// `?` follows an option, `[…]` is a sequence, `(…)` a tuple, `^2` the type two levels around it, `!` follows what
/// accepted no sample, `-` stands for nothing asked, `…` for a trace that ended
/// early or a text longer than 8 KiB. Traced anew by every call.
///
/// # Panics
///
/// Only if `T::deserialize` panics on a sample value.
#[must_use]
pub fn describe<T: DeserializeOwned>() -> String {
    let mut text = tracer::explore::<T>().describe();
    if text.len() > MAX_DESCRIPTION {
        text.truncate(text.floor_char_boundary(MAX_DESCRIPTION));
        text.push('…');
    }
    text
}

fn trace_anew<T: DeserializeOwned>() -> Traced {
    let tracer = tracer::explore::<T>();
    let mut hash = fnv::Fnv::default();
    hash.bytes(tracer.describe().as_bytes());
    Traced {
        fingerprint: Fingerprint(hash.finish()),
        is_self_describing: tracer.needs_any(),
        is_complete: tracer.is_complete(),
    }
}
