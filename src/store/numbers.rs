//! Lists of whole numbers on their way to the server, written at once.
//!
//! diesel writes each element by way of a buffer of its own, and a settlement has thousands of them.

use std::io::Write;

use diesel::data_types::PgTimestamp;
use diesel::pg::Pg;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Array, BigInt, Integer, Timestamptz};

/// Numbers that PostgreSQL reads as an array.
#[derive(Debug)]
pub(super) struct Numbers<T>(pub(super) Vec<T>);

impl ToSql<Array<BigInt>, Pg> for Numbers<i64> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        const INT8: i32 = 20;
        write(out, INT8, self.0.iter().map(|number| number.to_be_bytes()))
    }
}

impl ToSql<Array<Integer>, Pg> for Numbers<i32> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        const INT4: i32 = 23;
        write(out, INT4, self.0.iter().map(|number| number.to_be_bytes()))
    }
}

impl ToSql<Array<Timestamptz>, Pg> for Numbers<PgTimestamp> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        const TIMESTAMPTZ: i32 = 1184;
        write(out, TIMESTAMPTZ, self.0.iter().map(|at| at.0.to_be_bytes()))
    }
}

/// Writes an array of elements of this type: one dimension, no nulls, counted from 1.
pub(super) fn write<const SIZE: usize>(
    out: &mut Output<'_, '_, Pg>,
    type_oid: i32,
    elements: impl ExactSizeIterator<Item = [u8; SIZE]>,
) -> serialize::Result {
    let count = i32::try_from(elements.len())?;
    let mut bytes = Vec::with_capacity(20 + elements.len() * (4 + SIZE));
    for word in [1, 0, type_oid, count, 1] {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    let size = (SIZE as i32).to_be_bytes();
    for element in elements {
        bytes.extend_from_slice(&size);
        bytes.extend_from_slice(&element);
    }
    out.write_all(&bytes)?;
    Ok(IsNull::No)
}
