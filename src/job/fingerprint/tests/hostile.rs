//! Implementations of `Deserialize` nobody should write.

use serde::de::{MapAccess, SeqAccess};

use super::recursion::Tree;
use super::refusals::Secret;
use super::*;

/// Asks for ever, whatever it is told.
struct Greedy;

impl<'de> Deserialize<'de> for Greedy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Greedy;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("everything")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Greedy, A::Error> {
                loop {
                    seq.next_element::<u8>()?;
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Greedy, A::Error> {
                loop {
                    map.next_value::<u8>()?;
                }
            }
        }
        deserializer.deserialize_tuple(usize::MAX, V)
    }
}

/// Asks for nothing and fails.
struct Sulking;

impl<'de> Deserialize<'de> for Sulking {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("never"))
    }
}

/// Refuses inside and goes on as if nothing had happened.
struct Forgiving;

impl<'de> Deserialize<'de> for Forgiving {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Secret::deserialize(deserializer).map_or(Self, |_| Self))
    }
}

/// Its own inside, by hand and without a way out.
struct Bottomless;

impl<'de> Deserialize<'de> for Bottomless {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <(Bottomless, Bottomless)>::deserialize(deserializer).map(|_| Self)
    }
}

/// Never the same twice.
struct Fickle;

impl<'de> Deserialize<'de> for Fickle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        match CALLS.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => plain::E::deserialize(deserializer).map(|_| Self),
            1 => Tree::deserialize(deserializer).map(|_| Self),
            _ => Secret::deserialize(deserializer).map(|_| Self),
        }
    }
}

#[test]
fn hostile_implementations_end() {
    assert!(!trace::<Greedy>().is_complete());
    assert!(!trace::<Sulking>().is_complete());
    assert!(!trace::<Bottomless>().is_complete());
    assert!(!trace::<(u8, Vec<Bottomless>)>().is_complete());
    let _: Traced = trace::<Fickle>(); // Only that it ends can be said.
    assert_eq!(describe::<Forgiving>(), "string");
}

/// An array longer than the limits of a trace.
struct Long;

impl<'de> Deserialize<'de> for Long {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Long;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("many")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Long, A::Error> {
                while seq.next_element::<(u8, bool)>()?.is_some() {}
                Ok(Long)
            }
        }
        deserializer.deserialize_tuple(100_000, V)
    }
}

#[test]
fn long_shapes_are_cut_and_marked() {
    assert!(!trace::<Long>().is_complete());
    assert!(describe::<Long>().len() < 100);
}
