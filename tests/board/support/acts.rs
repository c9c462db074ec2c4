//! Jobs that tests follow from outside, whichever process runs them.
//!
//! Handlers and tests talk through tables of the test's database, which outlive every process: `ran`
//! (an attempt began), `told` (it was told to stop), `gate` (attempts that may end). The workers'
//! state is a connection to it.

use std::time::Duration;

use callboard::{BoxError, Context};

use super::{server, sql};

/// A migrated database with the tables through which handlers and tests talk.
pub async fn stage() -> (String, tokio_postgres::Client) {
    let url = server::fresh_database().await;
    let tables = "create table ran (job bigint, attempt int, pid int); \
                  create table told (job bigint, attempt int, reason text); \
                  create table gate (attempt int)";
    server::sql(&url, tables).await;
    let rows = sql::connect(&url).await;
    (url, rows)
}

/// Lets handlers of this attempt end.
pub async fn open_gate(rows: &tokio_postgres::Client, attempt: i32) {
    rows.execute("insert into gate values ($1)", &[&attempt])
        .await
        .expect("the gate opens");
}

/// Waits until so many attempts have begun.
pub async fn until_ran(rows: &tokio_postgres::Client, attempts: i64) {
    super::eventually(&format!("{attempts} attempts have begun"), || async {
        let ran = sql::number(rows, "select count(*) from ran").await;
        (ran >= attempts).then_some(())
    })
    .await;
}

/// Writes down that an attempt began.
pub async fn note(cx: &mut Context) -> Result<(), BoxError> {
    let (job, attempt) = (cx.job_id().as_i64(), cx.attempt().as_i32());
    let pid = std::process::id() as i32;
    let rows = cx.state::<tokio_postgres::Client>()?;
    let insert = "insert into ran values ($1, $2, $3)";
    rows.execute(insert, &[&job, &attempt, &pid]).await?;
    Ok(())
}

/// Takes a while, the first time.
pub async fn work(cx: &mut Context) -> Result<(), BoxError> {
    note(cx).await?;
    if cx.attempt().as_i32() == 1 {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

/// Works until the gate of its attempt opens or it is told to stop; is done in either case.
pub async fn hold(cx: &mut Context) -> Result<(), BoxError> {
    note(cx).await?;
    let (job, attempt) = (cx.job_id().as_i64(), cx.attempt().as_i32());
    let token = cx.cancellation().clone();
    let is_open = format!("select count(*) from gate where attempt = {attempt}");
    while !token.is_cancelled() {
        let rows = cx.state::<tokio_postgres::Client>()?;
        if sql::number(rows, &is_open).await > 0 {
            return Ok(());
        }
        let pause = Duration::from_millis(10);
        // Either way the loop looks again.
        let _pause = tokio::time::timeout(pause, token.cancelled()).await;
    }
    let reason = format!("{:?}", cx.cancel_reason());
    let rows = cx.state::<tokio_postgres::Client>()?;
    let insert = "insert into told values ($1, $2, $3)";
    rows.execute(insert, &[&job, &attempt, &reason]).await?;
    Ok(())
}

/// Works for ever, whatever it is told.
pub async fn hang(cx: &mut Context) -> Result<(), BoxError> {
    note(cx).await?;
    std::future::pending().await
}

/// Takes its process down.
pub async fn abort(cx: &mut Context) -> Result<(), BoxError> {
    note(cx).await?;
    std::process::abort()
}

/// Ends its process, as if that had been asked for.
pub async fn exit(cx: &mut Context) -> Result<(), BoxError> {
    note(cx).await?;
    std::process::exit(0)
}

/// Needs more stack than there is.
pub async fn overflow(cx: &mut Context) -> Result<(), BoxError> {
    note(cx).await?;
    Err(depth(1).to_string().into())
}

fn depth(n: u64) -> u64 {
    match n {
        u64::MAX => 0,
        n => depth(std::hint::black_box(n) + 1) + std::hint::black_box(1),
    }
}
