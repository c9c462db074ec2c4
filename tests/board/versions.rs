//! Arguments of newer versions wait for a node that reads them, whoever looks first.

use callboard::client::Reason;
use callboard::job::{BuryReason, Limits, Upcaster};
use callboard::{Board, BoxError, Client, Context, Handler, Job, JobId, JobState, Outcome, Queue};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::{board_at, database_at, server, until_state};

/// Declares a job type that a build has for the kind `test.bill`, whose output says which build ran it.
macro_rules! build {
    ($name:ident { $($field:ident: $type:ty),* } $($items:tt)*) => {
        #[derive(Debug, Clone, Serialize, Deserialize)]
        struct $name { $($field: $type),* }

        impl Job for $name {
            const KIND: &'static str = "test.bill";
            $($items)*

            async fn perform(self, _cx: &mut Context) -> Result<Outcome, BoxError> {
                Outcome::done_with(&format!("{self:?}"))
            }
        }
    };
}

build!(Old { euros: u32 });
build!(New { cents: u64 } const VERSION: i32 = 2;
    fn upcasters() -> Vec<Upcaster<Self>> {
        vec![Upcaster::from_version(1, |old: Old| New { cents: u64::from(old.euros) * 100 })]
    }
);
build!(Forgetful { cents: u64 } const VERSION: i32 = 2;);
// Of an old build that was taught what the next one writes.
build!(Patched { euros: u32 }
    fn upcasters() -> Vec<Upcaster<Self>> {
        vec![Upcaster::from_version(2, |new: New| Patched { euros: (new.cents / 100) as u32 })]
    }
);

const OLD: Old = Old { euros: 7 };
const NEW: New = New { cents: 995 };

async fn node(url: &str, handler: Handler) -> Board {
    board_at(url, |board| {
        board.queue(Queue::new("default")).handler(handler)
    })
    .await
}

/// What the job's build said when it ran.
async fn ran(client: &Client, job: JobId) -> serde_json::Value {
    let job = until_state(client, job, JobState::Completed).await;
    assert_eq!((job.attempt.as_i32(), job.errors.len()), (1, 0));
    job.output.unwrap()
}

/// Nobody has touched the job.
async fn waits(client: &Client, job: JobId) {
    let job = client.job(job).await.unwrap().unwrap();
    assert_eq!((job.state, job.attempt.as_i32()), (JobState::Available, 0));
}

/// The old node has looked, passed the newer jobs over, and run what came after them.
async fn passed_over(old: &Board, newer: &[JobId]) {
    let after = old.client().enqueue(OLD).await.unwrap();
    assert_eq!(ran(old.client(), after).await, json!("Old { euros: 7 }"));
    for job in newer {
        waits(old.client(), *job).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_arguments_wait_for_a_node_that_reads_them_and_say_so() {
    let url = server::fresh_database().await;
    let old = node(&url, Handler::of::<Old>().code_version("r1")).await;
    // From a process without handlers, in a bulk, and where they could be claimed at birth.
    let client = Client::connect(database_at(&url)).await.unwrap();
    let mut newer = vec![client.enqueue(NEW).await.unwrap()];
    newer.extend(client.enqueue_many([NEW, NEW]).await.unwrap());
    newer.push(old.client().enqueue(NEW).await.unwrap());
    passed_over(&old, &newer).await;

    let explanation = client.explain(newer[0]).await.unwrap();
    let reason = Reason::VersionNotServed {
        queue: "default".to_owned(),
        kind: "test.bill".to_owned(),
        version: 2,
        newest: Some(1),
        nodes: 1,
    };
    assert_eq!(explanation.reasons, [reason]);
    let sentence = explanation.to_string();
    let words = ["version 2", "\"test.bill\"", "is 1", "newer build"];
    for word in words {
        assert!(sentence.contains(word), "no {word:?} in {sentence:?}");
    }

    let new = node(&url, Handler::of::<New>()).await;
    for job in &newer {
        assert_eq!(ran(&client, *job).await, json!("New { cents: 995 }"));
    }
    let nodes = client.nodes().await.unwrap();
    let shown = |board: &Board| {
        let node = nodes.iter().find(|node| node.id == board.node()).unwrap();
        (
            node.kinds.join(","),
            node.args_versions.clone(),
            node.code_versions.join(","),
        )
    };
    assert_eq!(shown(&old), ("test.bill".into(), vec![1], "r1".into()));
    assert_eq!(shown(&new), ("test.bill".into(), vec![2], "2.0".into()));
    assert_eq!(old.counts().buried + new.counts().buried, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_arguments_wait_in_a_queue_with_limits_too() {
    let url = server::fresh_database().await;
    let old = node(&url, Handler::of::<Old>()).await;
    let client = old.client();
    let limits = Limits::new().running(2).running_per_key(1);
    client.queue("default").limit(limits).await.unwrap();
    let calls = [
        NEW.call(),
        NEW.call().limit_key("ada"),
        NEW.call().limit_key("bob"),
    ];
    let newer = client.enqueue_many(calls).await.unwrap();
    let keyed = client.enqueue(OLD.call().limit_key("ada")).await.unwrap();
    ran(client, keyed).await;
    passed_over(&old, &newer).await;
    let _new = node(&url, Handler::of::<New>()).await;
    for job in &newer {
        assert_eq!(ran(client, *job).await, json!("New { cents: 995 }"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upcaster_from_a_newer_version_makes_an_old_build_ready_for_the_next() {
    let url = server::fresh_database().await;
    let patched = node(&url, Handler::of::<Patched>()).await;
    let job = patched.client().enqueue(NEW).await.unwrap();
    assert_eq!(
        ran(patched.client(), job).await,
        json!("Patched { euros: 9 }")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn older_arguments_without_an_upcaster_are_buried_since_no_newer_build_will_read_them() {
    let url = server::fresh_database().await;
    let board = node(&url, Handler::of::<Forgetful>()).await;
    let job = board.client().enqueue(OLD).await.unwrap();
    let job = until_state(board.client(), job, JobState::Dead).await;
    assert_eq!(job.reason, Some(BuryReason::Undecodable));
}
