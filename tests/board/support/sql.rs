//! A connection past the front door: to look at rows, and to change them as a stranger would.

use tokio_postgres::{Client, NoTls};

/// A connection to a database of the test server. It closes when it is dropped.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("the server answers");
    tokio::spawn(connection);
    client
}

/// The one number that a query answers with.
pub async fn number(client: &Client, query: &str) -> i64 {
    let row = client.query_one(query, &[]).await;
    row.unwrap_or_else(|error| panic!("{query}: {error:?}"))
        .get(0)
}
