//! The board lives in a schema of its own, and a database has room for several.

use callboard::{BoxError, JobState, Outcome, Queue, call, functions};

use crate::support::{board_on, database_at, server, sql, sql::number, until_state};

#[tokio::test(flavor = "multi_thread")]
async fn boards_in_two_schemas_of_one_database_share_nothing() {
    async fn greet(name: String) -> Result<Outcome, BoxError> {
        Outcome::done_with(&name)
    }
    let url = server::empty_database().await;
    let start = async |schema: &str| {
        let database = database_at(&url).schema(schema);
        board_on(database, |b| {
            b.queue(Queue::new("default").workers(1))
                .functions(functions![greet])
        })
        .await
    };
    let (left, right) = (start("left_side").await, start("right_side").await);
    let id = left
        .client()
        .enqueue(call!(greet("left".into())))
        .await
        .unwrap();
    let job = until_state(left.client(), id, JobState::Completed).await;
    assert_eq!(job.node, Some(left.node()));
    assert!(right.client().job(id).await.unwrap().is_none());
    assert_eq!(right.counts().claimed, 0);
    let queues = right.client().queues().await.unwrap();
    assert_eq!(
        queues.iter().map(|queue| queue.nodes).collect::<Vec<_>>(),
        [1]
    );

    let id = right
        .client()
        .enqueue(call!(greet("right".into())))
        .await
        .unwrap();
    let job = until_state(right.client(), id, JobState::Completed).await;
    assert_eq!(job.node, Some(right.node()));
    let rows = sql::connect(&url).await;
    for schema in ["left_side", "right_side"] {
        let query = format!("select count(*) from {schema}.history");
        assert_eq!(number(&rows, &query).await, 1);
    }
    let default = "select count(*) from pg_namespace where nspname = 'callboard'";
    assert_eq!(number(&rows, default).await, 0);
}
