//! A statement of the board: the text of a `.sql` file, made for one schema, run as a cached
//! prepared statement.
//!
//! Diesel prepares struct inserts, updates and `sql_query` anew at every call, which costs a round
//! trip each. A [`QueryFragment`] of our own is cached by its text and pipelines. The text names the
//! schema, so boards with different schemas can share a connection.

use std::marker::PhantomData;

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::HasSqlType;

/// The schema that stands in the `.sql` files, so that they run in psql as they are.
const WRITTEN_SCHEMA: &str = "callboard.";

/// The text of a statement, cut at its placeholders.
#[derive(Debug)]
pub(super) struct Statement {
    /// What stands before each placeholder, with the number of the bind that follows.
    before: Vec<(String, usize)>,
    after: String,
}

impl Statement {
    /// Reads a `.sql` file for the schema `schema`, which is a checked identifier.
    pub(super) fn new(text: &str, schema: &str) -> Self {
        let text = without_comments(text).replace(WRITTEN_SCHEMA, &format!("\"{schema}\"."));
        let mut pieces = text.split('$');
        let mut current = pieces.next().unwrap_or_default().to_owned();
        let mut before = Vec::new();
        for piece in pieces {
            let digits = piece.chars().take_while(char::is_ascii_digit).count();
            let number: usize = piece[..digits]
                .parse()
                .expect("a dollar sign begins a placeholder");
            before.push((std::mem::take(&mut current), number - 1));
            current.push_str(&piece[digits..]);
        }
        Self {
            before,
            after: current,
        }
    }

    /// The statement with values for its placeholders, in the order of their numbers.
    pub(super) fn bind<'a, Row>(&'a self, binds: &'a [&'a dyn Bind]) -> Bound<'a, Row> {
        Bound {
            statement: self,
            binds,
            row: PhantomData,
        }
    }

    /// The text as PostgreSQL reads it, for a client that is not diesel's.
    pub(super) fn text(&self) -> String {
        let pieces = self
            .before
            .iter()
            .map(|(before, bind)| format!("{before}${}", bind + 1));
        pieces.collect::<String>() + &self.after
    }
}

fn without_comments(text: &str) -> String {
    let code = text
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default().trim());
    code.filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// A value for a placeholder.
pub(super) trait Bind: Send + Sync {
    fn push<'b>(&'b self, pass: AstPass<'_, 'b, Pg>) -> QueryResult<()>;
}

/// A value with its SQL type.
pub(super) struct Typed<'a, ST, T: ?Sized>(&'a T, PhantomData<fn() -> ST>);

/// Gives `value` the SQL type `ST`.
pub(super) fn typed<ST, T: ?Sized>(value: &T) -> Typed<'_, ST, T> {
    Typed(value, PhantomData)
}

impl<ST, T> Bind for Typed<'_, ST, T>
where
    Pg: HasSqlType<ST>,
    T: ToSql<ST, Pg> + Sync + ?Sized,
{
    fn push<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        pass.push_bind_param::<ST, T>(self.0)
    }
}

/// A statement with its values, ready to be run; `Row` is the tuple of the SQL types it returns.
pub(super) struct Bound<'a, Row> {
    statement: &'a Statement,
    binds: &'a [&'a dyn Bind],
    row: PhantomData<fn() -> Row>,
}

impl<Row> QueryId for Bound<'_, Row> {
    type QueryId = ();
    // Cached by its text: the text differs by schema.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row> QueryFragment<Pg> for Bound<'_, Row> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for (before, bind) in &self.statement.before {
            pass.push_sql(before);
            self.binds[*bind].push(pass.reborrow())?;
        }
        pass.push_sql(&self.statement.after);
        Ok(())
    }
}

impl<Row> Query for Bound<'_, Row> {
    type SqlType = Row;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_names_its_schema_and_keeps_its_placeholders() {
        let text = "-- costs $1\nselect $2, $1\n  from callboard.jobs where id = $10 -- done";
        let statement = Statement::new(text, "my_board");
        let expected = "select $2, $1\nfrom \"my_board\".jobs where id = $10";
        assert_eq!(statement.text(), expected);
    }
}
