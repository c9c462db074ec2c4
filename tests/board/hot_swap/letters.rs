//! What is swapped: types that run letters and parcels, and tell who has run what.

use std::sync::Arc;

use callboard::board::HandlerInfo;
use callboard::job::{Breaker, Upcaster};
use callboard::{Board, BoxError, Client, Context, Job, JobId, JobState, Outcome, Queue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::births::seldom;
use crate::support::{eventually, sharing, until_state};

/// What holds the old code of `test.letter` up until the test lets it go.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(super) fn shut() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(super) fn open(&self) {
        self.0.close();
    }

    pub(super) async fn pass(&self) {
        // Closed, it lets everybody through.
        let _open = self.0.acquire().await;
    }
}

/// Declares a job type for a kind, whose output says which type ran which arguments.
macro_rules! letter {
    ($name:ident, $kind:literal, { $($field:ident: $type:ty),* }, |$cx:ident| $before:block $($items:tt)*) => {
        #[derive(Debug, Clone, Serialize, Deserialize)]
        pub(super) struct $name { $(pub(super) $field: $type),* }

        impl Job for $name {
            const KIND: &'static str = $kind;
            $($items)*

            async fn perform(self, $cx: &mut Context) -> Result<Outcome, BoxError> {
                $before
                Outcome::done_with(&format!("{self:?}"))
            }
        }
    };
}

letter!(First, "test.letter", { number: u32 }, |cx| { cx.state::<Gate>()?.clone().pass().await });
letter!(Second, "test.letter", { number: u32 }, |_cx| {});
letter!(Third, "test.letter", { number: u32, stamp: bool }, |_cx| {}
    const VERSION: i32 = 2;
    fn upcasters() -> Vec<Upcaster<Self>> {
        vec![Upcaster::from_version(1, |old: Second| Third { number: old.number, stamp: false })]
    }
);
letter!(Renamed, "test.post", { number: u32 }, |_cx| {}
    const ALIASES: &'static [&'static str] = &["test.letter"];
);
letter!(Parcel, "test.parcel", { number: u32 }, |_cx| {});
letter!(Guarded, "test.parcel", { number: u32 }, |_cx| {}
    fn breaker() -> Option<Breaker> {
        Some(Breaker::named("carrier"))
    }
);

/// The board's only queue, with one worker; a poll never comes before the test is over.
pub(super) fn queue(gate: &Gate) -> Queue {
    sharing(seldom().workers(1), gate)
}

pub(super) async fn ran(client: &Client, job: JobId) -> Value {
    let job = until_state(client, job, JobState::Completed).await;
    assert!(job.errors.is_empty(), "{job:?}");
    job.output.unwrap()
}

pub(super) fn by(name: &str, number: u32) -> Value {
    json!(format!("{name} {{ number: {number} }}"))
}

pub(super) fn handler(board: &Board, code_version: &str) -> Option<HandlerInfo> {
    let mut all = board.handlers().list().into_iter();
    all.find(|handler| handler.code_version == code_version)
}

pub(super) async fn until_running(board: &Board, code_version: &str, running: u32) {
    let what = format!("{running} attempts run on {code_version}");
    eventually(&what, || async {
        let found = handler(board, code_version);
        (found.map_or(0, |handler| handler.running) == running).then_some(())
    })
    .await;
}
