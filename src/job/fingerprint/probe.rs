//! The serde side of a trace: a `Deserializer` without input, which answers from the tracer.
//!
//! Knows [`Tracer`] and nothing of what a trace is for. It behaves as postcard's deserializer does: not human
//! readable, structs and tuples as sequences, variants as `u32` indices, no `deserialize_any`. It catches no panic.

use std::any::type_name;
use std::fmt;

use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::sample::{self, Samples};
use super::shape::{NodeId, Position, Request};
use super::tracer::Tracer;

/// The only error: what was wrong is in the tracer.
#[derive(Debug)]
pub(super) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sample value was refused")
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Answers the request made at one position.
#[derive(Debug)]
pub(super) struct Probe<'t> {
    tracer: &'t mut Tracer,
    at: Position,
}

impl<'t> Probe<'t> {
    pub(super) fn root(tracer: &'t mut Tracer) -> Self {
        Self { tracer, at: (0, 0) }
    }

    fn ask<'de, V: Visitor<'de>>(
        self,
        request: Request,
        visitor: V,
        answer: impl FnOnce(&mut Tracer, NodeId, V) -> Result<V::Value, Refused>,
    ) -> Result<V::Value, Refused> {
        let entered = self.tracer.enter(self.at, request, type_name::<V>())?;
        let result = answer(self.tracer, entered.node, visitor);
        self.tracer.leave(entered, &result);
        result
    }

    /// A request answered by up to `length` elements, each at its own position.
    fn ask_elements<'de, V: Visitor<'de>>(
        self,
        request: Request,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.ask(request, visitor, |tracer, node, visitor| {
            visitor.visit_seq(Elements::new(tracer, node, length))
        })
    }

    fn ask_any<'de, V: Visitor<'de>>(self) -> Result<V::Value, Refused> {
        let entered = self.tracer.enter(self.at, Request::Any, type_name::<V>())?;
        let result = Err(self.tracer.fail_any(entered));
        self.tracer.leave(entered, &result);
        result
    }
}

/// Lets `seed` ask at `at`.
fn descend<'de, S: DeserializeSeed<'de>>(
    tracer: &mut Tracer,
    at: Position,
    seed: S,
) -> Result<S::Value, Refused> {
    tracer.open(at);
    let answer = seed.deserialize(Probe { tracer, at });
    tracer.close(at, answer)
}

macro_rules! scalars {
    ($($method:ident $visit:ident $name:literal $samples:ident $sample:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            self.ask(Request::Scalar($name, Samples::$samples), visitor, |tracer, node, visitor| {
                visitor.$visit($sample(tracer.dial(node)))
            })
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Probe<'_> {
    type Error = Refused;

    fn is_human_readable(&self) -> bool {
        false
    }

    scalars! {
        deserialize_bool visit_bool "bool" Bool (|dial| dial > 0);
        deserialize_i8 visit_i8 "i8" Integer sample::integer;
        deserialize_i16 visit_i16 "i16" Integer sample::integer;
        deserialize_i32 visit_i32 "i32" Integer sample::integer;
        deserialize_i64 visit_i64 "i64" Integer sample::integer;
        deserialize_i128 visit_i128 "i128" Integer sample::integer;
        deserialize_u8 visit_u8 "u8" Integer sample::integer;
        deserialize_u16 visit_u16 "u16" Integer sample::integer;
        deserialize_u32 visit_u32 "u32" Integer sample::integer;
        deserialize_u64 visit_u64 "u64" Integer sample::integer;
        deserialize_u128 visit_u128 "u128" Integer sample::integer;
        deserialize_f32 visit_f32 "f32" Float sample::float;
        deserialize_f64 visit_f64 "f64" Float (|dial| f64::from(sample::float(dial)));
        deserialize_char visit_char "char" Char sample::character;
        deserialize_str visit_borrowed_str "string" String sample::string;
        deserialize_string visit_borrowed_str "string" String sample::string;
        deserialize_bytes visit_borrowed_bytes "bytes" Bytes sample::bytes;
        deserialize_byte_buf visit_borrowed_bytes "bytes" Bytes sample::bytes;
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.ask(
            Request::Scalar("unit", Samples::One),
            visitor,
            |_, _, visitor| visitor.visit_unit(),
        )
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.ask(Request::Option, visitor, |tracer, node, visitor| {
            if tracer.length(node) == 0 {
                return visitor.visit_none();
            }
            tracer.open((node, 0));
            let answer = visitor.visit_some(Probe {
                tracer,
                at: (node, 0),
            });
            tracer.close((node, 0), answer)
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.ask(Request::Newtype, visitor, |tracer, node, visitor| {
            tracer.open((node, 0));
            let answer = visitor.visit_newtype_struct(Probe {
                tracer,
                at: (node, 0),
            });
            tracer.close((node, 0), answer)
        })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.ask(Request::Seq, visitor, |tracer, node, visitor| {
            let length = tracer.length(node);
            visitor.visit_seq(Elements::new(tracer, node, length))
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.ask(Request::Map, visitor, |tracer, node, visitor| {
            let length = tracer.length(node);
            visitor.visit_map(Elements::new(tracer, node, length))
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.ask_elements(Request::Tuple(length), length, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.ask_elements(Request::Struct(fields), fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.ask(Request::Enum(variants), visitor, |tracer, node, visitor| {
            let at = (node, tracer.choose(node)?);
            tracer.open(at);
            let answer = visitor.visit_enum(Choice { tracer, at });
            tracer.chosen(at, &answer);
            answer
        })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        self.ask_any::<V>()
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        self.ask_any::<V>()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        self.ask_any::<V>()
    }
}

/// The elements of a sequence, or the entries of a map (whose keys share one position and values another).
struct Elements<'t> {
    tracer: &'t mut Tracer,
    node: NodeId,
    next: usize,
    length: usize,
}

impl<'t> Elements<'t> {
    fn new(tracer: &'t mut Tracer, node: NodeId, length: usize) -> Self {
        let next = 0;
        Self {
            tracer,
            node,
            next,
            length,
        }
    }

    /// Whether there is another element, counting the question.
    fn is_at_end(&mut self) -> Result<bool, Refused> {
        self.tracer.tick()?;
        Ok(self.next >= self.length)
    }
}

impl<'de> de::SeqAccess<'de> for Elements<'_> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refused> {
        if self.is_at_end()? {
            return Ok(None);
        }
        let at = (self.node, self.next);
        self.next += 1;
        descend(self.tracer, at, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.length - self.next)
    }
}

impl<'de> de::MapAccess<'de> for Elements<'_> {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refused> {
        if self.is_at_end()? {
            return Ok(None);
        }
        self.next += 1;
        descend(self.tracer, (self.node, 0), seed).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        descend(self.tracer, (self.node, 1), seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.length - self.next)
    }
}

/// The variant of an enum this pass takes: first its index is read, then what it holds.
struct Choice<'t> {
    tracer: &'t mut Tracer,
    at: Position,
}

impl<'de> de::EnumAccess<'de> for Choice<'_> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Refused> {
        let index: de::value::U32Deserializer<Refused> = (self.at.1 as u32).into_deserializer();
        match seed.deserialize(index) {
            Ok(variant) => Ok((variant, self)),
            Err(Refused) => Err(self.tracer.fail_absent(self.at)),
        }
    }
}

impl<'de> de::VariantAccess<'de> for Choice<'_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        let entered = self.tracer.enter(self.at, Request::UnitVariant, "")?;
        self.tracer.leave(entered, &Ok(()));
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Refused> {
        let entered = self.tracer.enter(self.at, Request::NewtypeVariant, "")?;
        let result = descend(self.tracer, (entered.node, 0), seed);
        self.tracer.leave(entered, &result);
        result
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let Self { tracer, at } = self;
        Probe { tracer, at }.ask_elements(Request::Tuple(length), length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let Self { tracer, at } = self;
        Probe { tracer, at }.ask_elements(Request::Struct(fields), fields.len(), visitor)
    }
}
