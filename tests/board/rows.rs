//! What hot statements do to rows: whether indexes have to be told, and in which order rows are locked.

use tokio_postgres::types::ToSql;

use crate::support::{eventually, server, sql};

/// How many of two thousand rows a claim changes in their places, and how many stay in the index of what is ready.
async fn claimed(are_quick: bool) -> (i64, i64) {
    let client = sql::connect(&server::fresh_database().await).await;
    let fill = "insert into callboard.jobs (queue, kind, state, priority, args_version, args_fingerprint, args) \
                select 'default', 'kind', 'available', 0, 1, 1, decode(repeat('00', 100), 'hex') \
                  from generate_series(1, 2000)";
    client.batch_execute(fill).await.unwrap();
    client.batch_execute("begin").await.unwrap();
    let claim = include_str!("../../src/store/sql/claim.sql");
    let (kinds, versions) = (["kind"], [1]);
    let (priority, id, limit, suspects) = (i16::MIN, i64::MIN, 2_000_i64, 1_i64);
    let (kinds, versions) = (&kinds[..], &versions[..]);
    let binds: [&(dyn ToSql + Sync); 9] = [
        &7_i64, &"default", &kinds, &priority, &id, &limit, &suspects, &versions, &are_quick,
    ];
    let claimed = client.query(claim, &binds).await.unwrap();
    assert_eq!(claimed.len(), 2_000);
    let changes = "select n_tup_hot_upd, \
                          (select count(*) from callboard.jobs where state = 'executing' and is_ready) \
                     from pg_stat_xact_user_tables where schemaname = 'callboard' and relname = 'jobs'";
    let row = client.query_one(changes, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

/// Else every claim of theirs would write all indexes anew.
#[tokio::test]
async fn a_claim_of_quick_jobs_changes_rows_in_their_places() {
    assert_eq!(claimed(true).await, (2_000, 2_000));
}

/// Else every claim would have to pass over all that execute.
#[tokio::test]
async fn a_claim_of_other_jobs_takes_them_out_of_the_index() {
    assert_eq!(claimed(false).await, (0, 0));
}

/// Whoever goes through jobs in the order of their ids, wherever they lie, does not deadlock with this statement
/// about the jobs 1 and 2.
async fn locks_in_the_order_of_ids(statement: &str) {
    let url = server::fresh_database().await;
    let (walker, other) = (sql::connect(&url).await, sql::connect(&url).await);
    let two = "insert into callboard.jobs \
                      (id, queue, kind, state, priority, args_version, args_fingerprint, args, attempt, node) \
               select n, 'default', 'kind', 'executing', 0, 1, 1, '', 1, 7 from generate_series(1, 2) as n; \
               update callboard.jobs set args = 'it lies behind the other now' where id = 1";
    walker.batch_execute(two).await.unwrap();
    let places = "select array_agg(ctid::text order by id) from callboard.jobs";
    let places: Vec<String> = walker.query_one(places, &[]).await.unwrap().get(0);
    assert_eq!(places, ["(0,3)", "(0,2)"]);
    let first = "begin; select from callboard.jobs where id = 1 for update";
    walker.batch_execute(first).await.unwrap();
    let run = format!("set enable_seqscan = off; set enable_bitmapscan = off; {statement}");
    let running = tokio::spawn(async move { other.batch_execute(&run).await });
    eventually("it waits for the first", async || {
        assert!(!running.is_finished());
        let waits = "select 1 from pg_stat_activity \
                      where datname = current_database() and wait_event_type = 'Lock'";
        walker.query_opt(waits, &[]).await.unwrap()
    })
    .await;
    let second = "select from callboard.jobs where id = 2 for update nowait; commit";
    let locked = walker.batch_execute(second).await;
    locked.expect("it has not locked the second");
    running.await.unwrap().unwrap();
}

/// An answer to both jobs, at their places.
fn complete(sql: &str) -> String {
    format!(
        "prepare complete (bigint, bigint[], integer[], tid[]) as {sql}; \
         execute complete (7, '{{1,2}}', '{{1,1}}', '{{\"(0,3)\",\"(0,2)\"}}')"
    )
}

#[tokio::test]
async fn answers_lock_rows_in_the_order_of_their_ids() {
    let few = include_str!("../../src/store/sql/complete.sql");
    let many = include_str!("../../src/store/sql/complete_many.sql");
    locks_in_the_order_of_ids(&complete(few)).await;
    locks_in_the_order_of_ids(&complete(many)).await;
}

#[tokio::test]
async fn a_cancel_locks_rows_in_the_order_of_their_ids() {
    let sql = include_str!("../../src/store/sql/cancel.sql");
    let cancel = format!("prepare cancel (bigint[]) as {sql}; execute cancel ('{{1,2}}')");
    locks_in_the_order_of_ids(&cancel).await;
}
