//! Databases of the tests' own, on the server of this process.

use callboard::testing::ThrowawayDatabase;
use tokio_postgres::NoTls;

/// Runs SQL on a database.
pub async fn sql(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("the server answers");
    let driver = tokio::spawn(connection);
    client
        .batch_execute(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    drop(client);
    driver
        .await
        .expect("the driver ends")
        .expect("the connection ends well");
}

/// An empty database of its own, for as long as this process runs.
pub async fn empty_database() -> String {
    let created = ThrowawayDatabase::create_empty().await;
    created.expect("the server gives a database").keep()
}

/// A migrated database of its own, for as long as this process runs.
pub async fn fresh_database() -> String {
    let created = ThrowawayDatabase::create().await;
    created.expect("the server gives a database").keep()
}
