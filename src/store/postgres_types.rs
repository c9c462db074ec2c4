//! Our identities as values of plain `tokio-postgres`, for applications that keep a job's id in
//! tables of their own.

use postgres_types::private::BytesMut;
use postgres_types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::BoxError;
use crate::job::{JobId, JobState};

impl ToSql for JobId {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        self.as_i64().to_sql(ty, out)
    }

    accepts!(INT8);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for JobId {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        i64::from_sql(ty, raw).map(Self::from_i64)
    }

    accepts!(INT8);
}

impl ToSql for JobState {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        self.as_str().to_sql(ty, out)
    }

    accepts!(TEXT, VARCHAR);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for JobState {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        let word = <&str>::from_sql(ty, raw)?;
        Self::from_word(word).ok_or_else(|| format!("{word:?} is no state of a job").into())
    }

    accepts!(TEXT, VARCHAR);
}
