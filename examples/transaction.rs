//! How does a job come to exist only if my transaction commits?
//!
//! By an enqueue on the connection of that transaction: `Client::enqueue_in`. It takes connections of
//! diesel-async and of tokio-postgres. Until the commit nobody sees the job; after a rollback it never
//! existed.

use std::fmt;
use std::process::ExitCode;

use callboard::{
    Board, BoxError, Client, Context, Database, JobId, JobState, Outcome, Queue, call, functions,
};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use schema::orders;

mod support;

const APPLICATION: &str = "
    create schema if not exists transaction_example;
    create table if not exists transaction_example.orders (
        id bigint generated always as identity primary key,
        customer text not null
    );";

mod schema {
    diesel::table! {
        transaction_example.orders (id) {
            id -> BigInt,
            customer -> Text,
        }
    }
}

/// Never finds its order missing: both became visible in the same commit.
async fn send_receipt(cx: &mut Context, order: i64) -> Result<Outcome, BoxError> {
    let connection = cx.state::<AsyncPgConnection>()?;
    let customer = orders::table
        .find(order)
        .select(orders::customer)
        .get_result::<String>(connection)
        .await?;
    Outcome::done_with(&format!("receipt for {customer}"))
}

/// How a transaction is to end.
#[derive(Debug, Clone, Copy)]
enum End {
    Commit,
    RollBack,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Commit => "commit",
            Self::RollBack => "roll back",
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    support::run(example()).await
}

async fn example() -> Result<(), BoxError> {
    let database = Database::from_env_or_embedded()
        .await?
        .schema("callboard_transaction");
    let mut diesel = database.connect().await?;
    diesel.batch_execute(APPLICATION).await?;
    let mut tokio_postgres = connect_tokio_postgres(&database).await?;

    let for_workers = database.clone();
    let connect = move || {
        let database = for_workers.clone();
        async move { database.connect().await }
    };
    let board = Board::builder(database)
        .queue(Queue::new("default").workers(2).worker_state(connect))
        .functions(functions![send_receipt])
        .start()
        .await?;
    let client = board.client();

    println!("client          transaction  the job, meanwhile and in the end");
    for end in [End::Commit, End::RollBack] {
        let job = with_diesel(client, &mut diesel, end).await?;
        println!(
            "diesel-async    {end:<11}  {}",
            fate(client, job, end).await?
        );
    }
    for end in [End::Commit, End::RollBack] {
        let job = with_tokio_postgres(client, &mut tokio_postgres, end).await?;
        println!(
            "tokio-postgres  {end:<11}  {}",
            fate(client, job, end).await?
        );
    }
    Ok(board.shutdown().await?)
}

async fn with_diesel(
    client: &Client,
    connection: &mut AsyncPgConnection,
    end: End,
) -> Result<JobId, BoxError> {
    let mut enqueued = None;
    let ended = connection
        .transaction(async |tx| {
            let order = diesel::insert_into(orders::table)
                .values(orders::customer.eq("Ada"))
                .returning(orders::id)
                .get_result(tx)
                .await?;
            let job = client.enqueue_in(tx, call!(send_receipt(order))).await?;
            expect_unseen(client, job).await?;
            enqueued = Some(job);
            match end {
                End::Commit => Ok(()),
                End::RollBack => Err(BoxError::from(diesel::result::Error::RollbackTransaction)),
            }
        })
        .await;
    match (ended, enqueued) {
        (Ok(()), Some(job)) => Ok(job),
        // What was rolled back on purpose.
        (Err(_), Some(job)) if matches!(end, End::RollBack) => Ok(job),
        (Err(error), _) => Err(error),
        (Ok(()), None) => unreachable!("the transaction enqueues"),
    }
}

async fn with_tokio_postgres(
    client: &Client,
    connection: &mut tokio_postgres::Client,
    end: End,
) -> Result<JobId, BoxError> {
    let transaction = connection.transaction().await?;
    let insert = "insert into transaction_example.orders (customer) values ($1) returning id";
    let order: i64 = transaction.query_one(insert, &[&"Bob"]).await?.get(0);
    let job = client
        .enqueue_in(&transaction, call!(send_receipt(order)))
        .await?;
    expect_unseen(client, job).await?;
    match end {
        End::Commit => transaction.commit().await?,
        End::RollBack => transaction.rollback().await?,
    }
    Ok(job)
}

/// The client asks on a connection of its own, as any other process would.
async fn expect_unseen(client: &Client, job: JobId) -> Result<(), BoxError> {
    match client.job(job).await? {
        None => Ok(()),
        Some(seen) => Err(format!("job {job} is {} before its commit", seen.state).into()),
    }
}

/// What became of a job whose transaction ended so; an error if it is not what must be.
async fn fate(client: &Client, job: JobId, end: End) -> Result<String, BoxError> {
    match end {
        End::Commit => {
            let ended = support::until_ended(client, &[job]).await?.remove(0);
            match (ended.state, ended.output) {
                (JobState::Completed, Some(output)) => {
                    Ok(format!("unseen, then completed: {output}"))
                }
                (state, _) => Err(format!("job {job} ended as {state}: {:?}", ended.errors).into()),
            }
        }
        End::RollBack => match client.job(job).await? {
            None => Ok("unseen, and never existed".to_owned()),
            Some(seen) => Err(format!("job {job} was rolled back, and is {}", seen.state).into()),
        },
    }
}

async fn connect_tokio_postgres(database: &Database) -> Result<tokio_postgres::Client, BoxError> {
    let url = match database.embedded_url() {
        Some(url) => url.to_owned(),
        None => std::env::var("DATABASE_URL")?,
    };
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
