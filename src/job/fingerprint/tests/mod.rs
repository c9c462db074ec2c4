//! What changes a fingerprint, what does not, and that every trace ends.
//!
//! This file holds what the others share, and the types everybody uses.
#![allow(dead_code, reason = "most types below are only ever described")]

mod changes;
mod hostile;
mod recursion;
mod refusals;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use super::*;

/// The description of a type that must be seen whole.
fn whole<T: DeserializeOwned + 'static>() -> String {
    let text = describe::<T>();
    let traced = trace_anew::<T>();
    assert!(traced.is_complete(), "incomplete: {text}");
    assert!(!traced.is_self_describing(), "{text}");
    assert_eq!(traced, trace_anew::<T>());
    text
}

/// Asserts that every two of the types differ.
macro_rules! assert_all_differ {
    ($($name:ty),* $(,)?) => {
        let all = [$((fingerprint_of::<$name>(), describe::<$name>())),*];
        for (index, one) in all.iter().enumerate() {
            for other in &all[..index] {
                assert_ne!(one.0, other.0, "{} and {}", one.1, other.1);
            }
        }
    };
}

use assert_all_differ;

/// Declares types in their own modules, so that shapes can share a type name.
macro_rules! shapes {
    ($($module:ident { $($item:item)* })*) => {$(
        mod $module {
            #[allow(unused_imports, reason = "some shapes are made of primitives alone")]
            use super::*;
            $(#[derive(Deserialize)] $item)*
        }
    )*};
}

/// Stored jobs carry fingerprints: one that changes orphans them.
fn assert_pinned<T: DeserializeOwned + 'static>(expected: &str) {
    let shape = describe::<T>();
    assert_eq!(fingerprint_of::<T>().to_string(), expected, "{shape}");
}

shapes! {
    base { pub(super) struct Args { pub(super) id: i64, n: u32, name: String } }
    renamed_type { pub(super) struct Other { id: i64, n: u32, name: String } }
    reordered { pub(super) struct Args { n: u32, id: i64, name: String } }
    renamed { pub(super) struct Args { id: i64, count: u32, name: String } }
    added { pub(super) struct Args { id: i64, n: u32, name: String, more: u8 } }
    defaulted { pub(super) struct Args { id: i64, n: u32, name: String, #[serde(default)] more: u16 } }
    removed { pub(super) struct Args { id: i64, n: u32 } }
    widened { pub(super) struct Args { id: i64, n: u64, name: String } }
    signed { pub(super) struct Args { id: i64, n: i32, name: String } }
    blob { pub(super) struct Args { id: i64, n: u32, name: Vec<u8> } }
    optional { pub(super) struct Args { id: i64, n: Option<u32>, name: String } }
    wrapped { pub(super) struct Args { id: i64, n: (u32,), name: String } }
    skipping { pub(super) struct Args { id: i64, #[serde(skip)] hidden: u8, n: u32, name: String } }
    renamed_back { pub(super) struct Args { id: i64, #[serde(rename = "n")] count: u32, name: String } }
    swapped_one { pub(super) struct Args { from: i64, to: i64 } }
    swapped_two { pub(super) struct Args { to: i64, from: i64 } }
}

shapes! {
    plain { pub(super) enum E { A, B(u8), C { x: u8 } } }
    renamed_enum { pub(super) enum Elsewhere { A, B(u8), C { x: u8 } } }
    variants_reordered { pub(super) enum E { B(u8), A, C { x: u8 } } }
    variant_renamed { pub(super) enum E { A, B2(u8), C { x: u8 } } }
    variant_added { pub(super) enum E { A, B(u8), C { x: u8 }, D } }
    variant_removed { pub(super) enum E { A, B(u8) } }
    variant_widened { pub(super) enum E { A, B(u16), C { x: u8 } } }
    variant_pair { pub(super) enum E { A, B(u8, u8), C { x: u8 } } }
    variant_of_pair { pub(super) enum E { A, B((u8, u8)), C { x: u8 } } }
    variant_of_struct { pub(super) enum E { A, B(u8), C(Inner) } pub(super) struct Inner { x: u8 } }
    variant_field { pub(super) enum E { A, B(u8), C { y: u8 } } }
    variant_unit { pub(super) enum E { A, B, C { x: u8 } } }
    variant_empty { pub(super) enum E { A, B(()), C { x: u8 } } }
    variant_braces { pub(super) enum E { A, B {}, C { x: u8 } } }
}

#[derive(Deserialize)]
struct Wrapper(u8);

#[derive(Deserialize)]
struct Marker;

/// Asks for bytes, as the crate `serde_bytes` does.
struct Blob;

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Blob;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Blob, E> {
                Ok(Blob)
            }
        }
        deserializer.deserialize_byte_buf(V)
    }
}

#[test]
fn common_types_are_seen_whole() {
    assert_eq!(whole::<()>(), "unit");
    assert_eq!(whole::<Marker>(), "unit");
    assert_eq!(whole::<Wrapper>(), "newtype(u8)");
    assert_eq!(whole::<Blob>(), "bytes");
    assert_eq!(whole::<[u8; 32]>(), "(u8 × 32)");
    assert_eq!(whole::<Box<str>>(), "string");
    assert_eq!(whole::<Cow<'static, str>>(), "string");
    assert_eq!(whole::<PathBuf>(), "string");
    assert_eq!(whole::<HashMap<String, u8>>(), "map<string, u8>");
    assert_eq!(whole::<HashSet<String>>(), "[string]");
    assert_eq!(whole::<Duration>(), "{secs: u64, nanos: u32}");
    assert_eq!(whole::<Range<u8>>(), "{start: u8, end: u8}");
    assert_eq!(whole::<RangeInclusive<u8>>(), "{start: u8, end: u8}");
    assert_eq!(
        whole::<SystemTime>(),
        "{secs_since_epoch: u64, nanos_since_epoch: u32}"
    );
    assert_eq!(whole::<Result<u8, String>>(), "enum {Ok(u8), Err(string)}");
    assert_eq!(whole::<IpAddr>(), "enum {V4((u8 × 4)), V6((u8 × 16))}");
    assert_eq!(
        whole::<SocketAddr>(),
        "enum {V4(((u8 × 4), u16)), V6(((u8 × 16), u16))}"
    );
}

#[test]
fn equal_fingerprints_read_each_others_bytes() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Before {
        id: i64,
        at: Option<chrono::DateTime<chrono::Utc>>,
        key: uuid::Uuid,
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct After {
        id: i64,
        at: Option<chrono::DateTime<chrono::Utc>>,
        key: uuid::Uuid,
    }
    let (id, at, key) = (
        7,
        Some(chrono::DateTime::UNIX_EPOCH),
        uuid::Uuid::from_u128(9),
    );
    let bytes = postcard::to_stdvec(&Before { id, at, key }).expect("a plain struct serialises");
    assert_eq!(fingerprint_of::<Before>(), fingerprint_of::<After>());
    assert_eq!(postcard::from_bytes(&bytes), Ok(After { id, at, key }));
}

#[test]
fn fingerprints_travel_through_a_bigint() {
    let fingerprint = fingerprint_of::<base::Args>();
    assert_eq!(Fingerprint::from_i64(fingerprint.as_i64()), fingerprint);
    assert_eq!(Fingerprint::from_i64(-1).to_string(), "ffffffffffffffff");
    assert_eq!(Fingerprint::from_i64(10).to_string(), "000000000000000a");
}
