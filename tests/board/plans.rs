//! The plans of the hot statements, whatever the table holds and whatever the planner believes of it:
//! plans are cached, and the hot table spends its life between empty and full.

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::support::{server, sql};

/// The settings of the connections for claims and answers.
const SETTINGS: &str = "set enable_seqscan = off; set search_path to pg_catalog; set jit = off;";

/// The plan that is kept, and one that is made for these very values.
const MODES: [&str; 2] = ["force_generic_plan", "force_custom_plan"];

/// A hot statement, how it is run here, and what it must do.
struct Hot {
    name: &'static str,
    sql: &'static str,
    types: &'static str,
    values: &'static str,
    settings: &'static str,
    index: &'static str,
    /// How many rows each part of its plan may read.
    most: u64,
}

const ANSWERS: &str = "set enable_bitmapscan = off;";
const CLAIMS: &str = "set enable_bitmapscan = off; set enable_sort = off;";

const HOT: [Hot; 9] = [
    Hot {
        name: "claim",
        sql: include_str!("../../src/store/sql/claim.sql"),
        types: "bigint, text, text[], smallint, bigint, bigint, bigint, integer[], boolean",
        values: "7, 'default', '{kind}', -32768, -1, 1000, 1, '{1}', true",
        settings: CLAIMS,
        index: "jobs_fetch",
        most: 1_000,
    },
    Hot {
        name: "complete",
        sql: include_str!("../../src/store/sql/complete.sql"),
        types: "bigint, bigint[], integer[], tid[]",
        values: "7, '{1,2,3,4,5,6,7,8,9,10}', '{1,1,1,1,1,1,1,1,1,1}', \
                 '{\"(0,1)\",\"(0,2)\",\"(0,3)\",\"(0,4)\",\"(0,5)\",\"(0,6)\",\"(0,7)\",\"(0,8)\",\"(0,9)\",\"(0,10)\"}'",
        settings: ANSWERS,
        index: "Tid Scan",
        most: 10,
    },
    Hot {
        name: "complete_many",
        sql: include_str!("../../src/store/sql/complete_many.sql"),
        types: "bigint, bigint[], integer[], tid[]",
        values: "7, '{1,2,3,4,5,6,7,8,9,10}', '{1,1,1,1,1,1,1,1,1,1}', \
                 '{\"(0,1)\",\"(0,2)\",\"(0,3)\",\"(0,4)\",\"(0,5)\",\"(0,6)\",\"(0,7)\",\"(0,8)\",\"(0,9)\",\"(0,10)\"}'",
        settings: ANSWERS,
        index: "Tid Scan",
        most: 10,
    },
    Hot {
        name: "hold",
        sql: include_str!("../../src/store/sql/hold.sql"),
        types: "text, text[], smallint, bigint, bigint, bigint, integer[]",
        values: "'default', '{kind}', -32768, -1, 1000, 1, '{1}'",
        settings: CLAIMS,
        index: "jobs_fetch",
        most: 1_000,
    },
    Hot {
        name: "finish",
        sql: include_str!("../../src/store/sql/finish.sql"),
        types: "bigint, bigint, text, bigint, tid[], bigint[], timestamptz[], bigint, bigint, text[], smallint[], tid[]",
        values: "7, 1, 'default', 1000, '{\"(0,1)\",\"(0,2)\"}', '{1,2}', '{now,now}', 1, 2, '{kind}', null, \
                 '{\"(0,3)\"}'",
        settings: ANSWERS,
        index: "Tid Scan",
        most: 10,
    },
    Hot {
        name: "spill",
        sql: include_str!("../../src/store/sql/spill.sql"),
        types: "bigint, bigint[], bigint",
        values: "7, '{1,2,3,4,5,6,7,8,9,10}', 1000",
        settings: ANSWERS,
        index: "jobs_pkey",
        most: 10,
    },
    Hot {
        name: "settle",
        sql: include_str!("../../src/store/sql/settle.sql"),
        types: "bigint, bigint[], integer[], text[], bigint[], text[], text[], text[], text[], bigint[]",
        values: "7, '{1,2}', '{1,1}', '{retry,complete}', '{5,null}', '{null,null}', '{null,null}', \
                 '{null,null}', '{null,null}', '{null,null}'",
        settings: ANSWERS,
        index: "jobs_pkey",
        most: 2,
    },
    Hot {
        name: "inspect",
        sql: include_str!("../../src/store/sql/inspect.sql"),
        types: "bigint, bigint[], integer[]",
        values: "7, '{1,2,3,4,5,6,7,8,9,10}', '{1,1,1,1,1,1,1,1,1,1}'",
        settings: "",
        index: "jobs_pkey",
        // A bitmap sees dead entries of the index too.
        most: 20,
    },
    Hot {
        name: "promote",
        sql: include_str!("../../src/store/sql/promote.sql"),
        types: "bigint",
        values: "10",
        settings: ANSWERS,
        index: "jobs_due",
        most: 10,
    },
];

/// One call.
const ENQUEUE_TYPES: &str = "text[], text[], smallint[], smallint[], bigint[], text[], integer[], bigint[], bigint[], \
                             bigint[], bytea[], text[], boolean[], text[], text[]";
const ENQUEUE_VALUES: &str = "'{default}', '{kind}', '{0}', '{}', '{}', '{}', '{1}', '{1}', '{}', '{}', '{x}', \
                              '{}', '{f}', '{}', '{}'";

const ALIKE_TYPES: &str =
    "text, text, smallint, smallint, bigint, text, integer, bigint, text, text, bytea[]";
const ALIKE_VALUES: &str = "'default', 'kind', 0, null, null, null, 1, 1, null, null, '{x,y}'";

/// Ten jobs are executing, a tenth of the others wait for their time, which has come.
const FILL: &str = "insert into callboard.jobs (id, queue, kind, state, priority, args_version, \
                        args_fingerprint, args, attempt, node, is_ready, due_at) \
                    select n, 'default', 'kind', case when n <= 10 then 'executing' \
                        when n % 10 = 0 then 'scheduled' else 'available' end, 0, 1, 1, '', \
                        case when n <= 10 then 1 else 0 end, case when n <= 10 then 7 end, \
                        n <= 10 or n % 10 <> 0, \
                        case when n > 10 and n % 10 = 0 then now() - interval '1 second' end \
                    from generate_series(1, $1) as n";

/// The plan as it was run, and rolled back.
async fn plan(client: &Client, hot: &Hot, mode: &str) -> Vec<String> {
    let Hot {
        name,
        sql,
        types,
        values,
        settings,
        ..
    } = hot;
    let prepare = format!(
        "{SETTINGS} {settings} set plan_cache_mode = {mode}; deallocate all; \
         prepare {name} ({types}) as {sql};"
    );
    client.batch_execute(&prepare).await.unwrap();
    client.batch_execute("begin").await.unwrap();
    let explain =
        format!("explain (analyze, costs off, timing off, summary off) execute {name} ({values})");
    let answer = client.simple_query(&explain).await.unwrap();
    client.batch_execute("rollback; reset all").await.unwrap();
    let lines = answer.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    lines.collect()
}

/// The number that follows this word.
fn number_after(line: &str, word: &str) -> Option<u64> {
    let (_, rest) = line.split_once(word)?;
    let digits = rest.chars().take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().ok()
}

/// A batch of the express lane, which its end strikes out.
const BATCH: &str = "insert into callboard.express_batches (batch, node, queue, first_id, last_id, ids, attempts) \
                     values (1, 7, 'default', 1, 1, '{1}', '{1}') on conflict do nothing";

async fn check_all(client: &Client, table: &str) {
    client.batch_execute(BATCH).await.unwrap();
    for (hot, mode) in HOT.iter().flat_map(|hot| MODES.map(|mode| (hot, mode))) {
        let lines = plan(client, hot, mode).await;
        let shown = || format!("{} ({mode}) on {table}:\n{}", hot.name, lines.join("\n"));
        let on_jobs = |line: &&String| line.contains(" on jobs") || line.contains(hot.index);
        assert!(
            lines.iter().any(|line| line.contains(hot.index)),
            "{}",
            shown()
        );
        for line in lines.iter().filter(on_jobs) {
            assert!(!line.contains("Seq Scan"), "{}", shown());
        }
        for line in &lines {
            let read = number_after(line, "actual rows=")
                .or(number_after(line, "Rows Removed by Filter: "));
            assert!(read.unwrap_or_default() <= hot.most, "{}", shown());
        }
    }
}

async fn fill(client: &Client, jobs: i32) {
    client
        .batch_execute("truncate callboard.jobs")
        .await
        .unwrap();
    client
        .batch_execute("analyze callboard.jobs")
        .await
        .unwrap();
    client.execute(FILL, &[&jobs]).await.unwrap();
}

#[tokio::test]
async fn hot_statements_keep_to_their_index_on_an_empty_table() {
    let client = sql::connect(&server::fresh_database().await).await;
    check_all(&client, "a table that was never filled").await;
    client
        .batch_execute("analyze callboard.jobs")
        .await
        .unwrap();
    check_all(&client, "a table that was analyzed empty").await;
}

#[tokio::test]
async fn hot_statements_keep_to_their_index_and_read_no_more_than_they_need_on_a_full_table() {
    let client = sql::connect(&server::fresh_database().await).await;
    for jobs in [1_000, 1_000_000] {
        fill(&client, jobs).await;
        check_all(&client, &format!("{jobs} rows, analyzed empty")).await;
        client
            .batch_execute("vacuum analyze callboard.jobs")
            .await
            .unwrap();
        check_all(&client, &format!("{jobs} rows, analyzed")).await;
    }
}

/// The planner knows nothing of it then, and would rather read and sort what the fetch index holds.
#[tokio::test]
async fn hot_statements_keep_to_their_index_on_a_table_that_was_filled_before_it_was_ever_analyzed()
{
    let client = sql::connect(&server::fresh_database().await).await;
    client.execute(FILL, &[&50_000]).await.unwrap();
    check_all(&client, "a table that was never analyzed").await;
}

/// What executes stands in the index that claims walk, and the planner may believe that nothing else does.
#[tokio::test]
async fn hot_statements_keep_to_their_index_on_a_table_that_was_analyzed_when_all_were_executing() {
    let client = sql::connect(&server::fresh_database().await).await;
    fill(&client, 50_000).await;
    let all = "update callboard.jobs set state = 'executing', node = 7, attempt = 1 where state = 'available'";
    client.batch_execute(all).await.unwrap();
    client
        .batch_execute("vacuum analyze callboard.jobs")
        .await
        .unwrap();
    let back = "update callboard.jobs set state = 'available', node = null where state = 'executing' and id > 10";
    client.batch_execute(back).await.unwrap();
    check_all(&client, "a table that was analyzed when all were executing").await;
}

#[tokio::test]
async fn promoting_reads_no_job_whose_time_has_not_come() {
    let client = sql::connect(&server::fresh_database().await).await;
    client.execute(FILL, &[&50_000]).await.unwrap();
    let later = "update callboard.jobs set state = 'scheduled', is_ready = false, due_at = now() + interval '1 day' \
                 where state <> 'executing'; \
                 update callboard.jobs set due_at = now() - interval '1 second' where id in (100, 200, 300)";
    client.batch_execute(later).await.unwrap();
    check_all(&client, "a table whose jobs are for tomorrow").await;
}

#[tokio::test]
async fn hot_statements_keep_to_their_index_on_a_table_that_has_become_empty() {
    let client = sql::connect(&server::fresh_database().await).await;
    fill(&client, 50_000).await;
    client
        .batch_execute("vacuum analyze callboard.jobs")
        .await
        .unwrap();
    client
        .batch_execute("delete from callboard.jobs")
        .await
        .unwrap();
    check_all(&client, "a table that was analyzed full").await;
}

/// It takes longer to make than to run.
#[tokio::test]
async fn the_plan_of_a_single_enqueue_is_kept() {
    let client = sql::connect(&server::fresh_database().await).await;
    let (types, values) = (ENQUEUE_TYPES, ENQUEUE_VALUES);
    let claimed_types = format!("{types}, boolean[], bigint, text[], text[], integer[]");
    let claimed_values =
        format!("{values}, '{{t}}', 7, '{{kind,other}}', '{{default}}', '{{1,1}}'");
    let enqueue = include_str!("../../src/store/sql/enqueue.sql");
    let alike = include_str!("../../src/store/sql/enqueue_alike.sql");
    let enqueue_claimed = include_str!("../../src/store/sql/enqueue_claimed.sql");
    let alike_claimed = include_str!("../../src/store/sql/enqueue_alike_claimed.sql");
    let alike_claimed_types = format!("{ALIKE_TYPES}, bigint, text[], integer[], bigint");
    let alike_claimed_values = format!("{ALIKE_VALUES}, 7, '{{kind,other}}', '{{1,1}}', 1");
    for (sql, types, values) in [
        (enqueue, types, values),
        (alike, ALIKE_TYPES, ALIKE_VALUES),
        (enqueue_claimed, &claimed_types, &claimed_values),
        (alike_claimed, &alike_claimed_types, &alike_claimed_values),
    ] {
        let prepare = format!("deallocate all; prepare enqueue ({types}) as {sql}");
        client.batch_execute(&prepare).await.unwrap();
        // The planner looks at the values of the first five.
        let run = format!("execute enqueue ({values});");
        client.batch_execute(&run.repeat(8)).await.unwrap();
        let kept = "select generic_plans from pg_prepared_statements where name = 'enqueue'";
        let kept: i64 = client.query_one(kept, &[]).await.unwrap().get(0);
        assert_eq!(kept, 3, "{sql}");
    }
}
