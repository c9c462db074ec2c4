//! Where a row lies in its table: PostgreSQL's `ctid`. Found there, it is found without a look into an index.
//!
//! A new version of the row lies elsewhere, and the place may be another row's some day: who looks for a row
//! there must know it by more.

use std::num::NonZero;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Array;

use super::numbers;

const TID: i32 = 27;

/// PostgreSQL's `tid`: the number of a block in the table, and of a row in the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromSqlRow)]
pub(crate) struct Ctid {
    block: u32,
    row: NonZero<u16>,
}

/// Its type in SQL.
#[derive(Debug, diesel::sql_types::SqlType)]
#[diesel(postgres_type(oid = 27, array_oid = 1010))]
pub(crate) struct Tid;

impl FromSql<Tid, Pg> for Ctid {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let [a, b, c, d, e, f] = value.as_bytes().try_into()?;
        Ok(Self {
            block: u32::from_be_bytes([a, b, c, d]),
            row: NonZero::try_from(u16::from_be_bytes([e, f]))?,
        })
    }
}

/// Ctids that PostgreSQL reads as an array.
#[derive(Debug)]
pub(super) struct Ctids(pub(super) Vec<Ctid>);

impl ToSql<Array<Tid>, Pg> for Ctids {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        numbers::write(out, TID, self.0.iter().copied().map(Ctid::to_bytes))
    }
}

impl Ctid {
    fn to_bytes(self) -> [u8; 6] {
        let ([a, b, c, d], [e, f]) = (self.block.to_be_bytes(), self.row.get().to_be_bytes());
        [a, b, c, d, e, f]
    }
}
