//! Types that do not accept every value, or ask for what postcard cannot answer.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::num::{NonZeroI8, NonZeroU32};

use serde::de::SeqAccess;

use super::*;

#[derive(Deserialize)]
struct Picky<T> {
    first: T,
    second: Option<T>,
    after: plain::E,
}

#[test]
fn fields_after_a_picky_one_are_seen() {
    fn after<T: DeserializeOwned + 'static>(shape: &str) {
        let expected =
            format!("{{first: {shape}, second: {shape}?, after: enum {{A, B(u8), C{{x: u8}}}}}}");
        assert_eq!(whole::<Picky<T>>(), expected);
    }
    after::<NonZeroU32>("u32");
    after::<NonZeroI8>("i8");
    after::<uuid::Uuid>("bytes");
    after::<chrono::DateTime<chrono::Utc>>("string");
    after::<chrono::DateTime<chrono::FixedOffset>>("string");
    after::<chrono::NaiveDate>("string");
    after::<chrono::NaiveTime>("string");
    after::<chrono::NaiveDateTime>("string");
    after::<chrono::Weekday>("string");
    after::<chrono::Month>("string");
    after::<Email>("string");
    after::<Period>("{start: string, end: string}");
    after::<Growing>("{low: u8, high: u8}");
    after::<OneOf>("{a: u8?, b: u8?}");
    after::<Pair>("[u8]");
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Email;

impl TryFrom<String> for Email {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.contains('@').then_some(Self).ok_or("no @")
    }
}

#[derive(Deserialize)]
struct RawPeriod {
    start: String,
    end: String,
}

/// Both parts must be dates, which is checked after both were read.
#[derive(Deserialize)]
#[serde(try_from = "RawPeriod")]
struct Period;

impl TryFrom<RawPeriod> for Period {
    type Error = chrono::ParseError;
    fn try_from(raw: RawPeriod) -> Result<Self, Self::Error> {
        raw.start.parse::<chrono::NaiveDate>()?;
        raw.end.parse::<chrono::NaiveDate>().map(|_| Self)
    }
}

#[derive(Deserialize)]
struct RawGrowing {
    low: u8,
    high: u8,
}

#[derive(Deserialize)]
#[serde(try_from = "RawGrowing")]
struct Growing;

impl TryFrom<RawGrowing> for Growing {
    type Error = &'static str;
    fn try_from(raw: RawGrowing) -> Result<Self, Self::Error> {
        (raw.low < raw.high).then_some(Self).ok_or("must grow")
    }
}

#[derive(Deserialize)]
struct RawOneOf {
    a: Option<u8>,
    b: Option<u8>,
}

#[derive(Deserialize)]
#[serde(try_from = "RawOneOf")]
struct OneOf;

impl TryFrom<RawOneOf> for OneOf {
    type Error = &'static str;
    fn try_from(raw: RawOneOf) -> Result<Self, Self::Error> {
        (raw.a.is_some() != raw.b.is_some())
            .then_some(Self)
            .ok_or("one of them")
    }
}

#[derive(Deserialize)]
#[serde(try_from = "Vec<u8>")]
struct Pair;

impl TryFrom<Vec<u8>> for Pair {
    type Error = &'static str;
    fn try_from(bytes: Vec<u8>) -> Result<Self, Self::Error> {
        (bytes.len() == 2).then_some(Self).ok_or("not two")
    }
}

/// Accepts no sample.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Secret;

impl TryFrom<String> for Secret {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Err(text)
    }
}

#[derive(Deserialize)]
struct Guarded {
    id: i64,
    list: Vec<Secret>,
    maybe: Option<Secret>,
    map: BTreeMap<u8, Secret>,
    choice: SecretOr,
    after: plain::E,
}

#[derive(Deserialize)]
enum SecretOr {
    Secret(Secret),
    Open(u8),
}

#[derive(Deserialize)]
struct Blocked {
    id: i64,
    secret: Secret,
    unseen: u8,
}

#[test]
fn what_accepts_no_sample_is_left_out_and_marked() {
    assert_eq!(
        describe::<Guarded>(),
        "{id: i64, list: [string!], maybe: string!?, map: map<u8, string!>, \
         choice: enum {Secret(string!)!, Open(u8)}, after: enum {A, B(u8), C{x: u8}}}"
    );
    assert!(!trace::<Guarded>().is_complete());
    assert_eq!(
        describe::<Blocked>(),
        "{id: i64, secret: string!, unseen: -} …"
    );
    assert!(!trace::<Blocked>().is_complete());
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Untagged {
    A(u8),
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Internal {
    A { x: u8 },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    A(u8),
    B,
}

#[derive(Deserialize)]
struct Flat {
    #[serde(flatten)]
    inner: base::Args,
}

#[derive(Deserialize)]
struct Loose {
    id: i64,
    value: Option<serde_json::Value>,
    after: u8,
}

#[test]
fn types_postcard_cannot_read_are_told_apart() {
    assert!(trace::<Untagged>().is_self_describing());
    assert!(trace::<Internal>().is_self_describing());
    assert!(trace::<serde_json::Value>().is_self_describing());
    assert!(trace::<Loose>().is_self_describing());
    assert!(trace::<de::IgnoredAny>().is_self_describing());
    assert!(!trace::<base::Args>().is_self_describing());
    assert_eq!(describe::<Loose>(), "{id: i64, value: any!?, after: u8}");
    // Its tag is read as an identifier, and postcard does refuse it.
    assert!(trace::<Adjacent>().is_self_describing());
    let bytes = postcard::to_stdvec(&Adjacent::A(1)).expect("writing it works");
    postcard::from_bytes::<Adjacent>(&bytes).expect_err("reading it does not");
    // Read as a map with field identifiers, which postcard has not.
    assert!(trace::<Flat>().is_self_describing());
}

/// Reads a tag and then what the tag says.
struct Tagged<const MIDDLE: bool, T>(PhantomData<T>);

impl<'de, const MIDDLE: bool, T: Deserialize<'de>> Deserialize<'de> for Tagged<MIDDLE, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        enum Tag {
            A,
            B,
            C,
            D,
        }
        struct V<const MIDDLE: bool, T>(PhantomData<T>);
        impl<'de, const MIDDLE: bool, T: Deserialize<'de>> Visitor<'de> for V<MIDDLE, T> {
            type Value = Tagged<MIDDLE, T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a tag and its content")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                match seq.next_element()? {
                    Some(Tag::B) => seq.next_element::<String>().map(drop)?,
                    Some(Tag::C) if MIDDLE => seq.next_element::<String>().map(drop)?,
                    Some(Tag::D) => seq.next_element::<T>().map(drop)?,
                    _ => seq.next_element::<u32>().map(drop)?,
                }
                Ok(Tagged(PhantomData))
            }
        }
        deserializer.deserialize_tuple(2, V(PhantomData))
    }
}

#[test]
fn content_that_depends_on_a_tag_counts() {
    assert_all_differ!(Tagged<true, plain::E>, Tagged<false, plain::E>, Tagged<true, variant_widened::E>);
    let text = whole::<Tagged<true, plain::E>>();
    let shape = "(enum {A, B, C, D}, <u32 | string | enum {A, B(u8), C{x: u8}}>) by ";
    assert!(text.starts_with(shape), "{text}");
}

#[derive(Deserialize)]
struct Aliased {
    id: i64,
    #[serde(alias = "old")]
    n: u32,
}

#[derive(Deserialize)]
enum AliasedEnum {
    #[serde(alias = "Old")]
    A(u8),
    B,
}

#[test]
fn aliases_are_listed_apart() {
    assert_eq!(whole::<Aliased>(), "{id, n, old = i64, u32}");
    assert_eq!(whole::<AliasedEnum>(), "enum {A, Old, B = (u8) / }");
}

#[test]
fn platform_strings_are_seen_but_for_the_foreign_variant() {
    let text = describe::<OsString>();
    assert!(text.contains("Unix"), "{text}");
}

#[test]
fn fingerprints_of_picky_types_are_pinned() {
    assert_pinned::<Picky<uuid::Uuid>>("5a5e8f480b274f00");
    assert_pinned::<Guarded>("66d6133c58d9b781");
    assert_pinned::<Tagged<true, plain::E>>("ef29e5f5b585c7e6");
}
