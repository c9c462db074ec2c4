//! A job that plays what it is told, one step an attempt; the last step is played again.

use std::time::Duration;

use callboard::job::Backoff;
use callboard::{BoxError, Context, Job, Outcome};
use serde::{Deserialize, Serialize};

/// What one attempt does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Step {
    Complete,
    CompleteWith(String),
    Fail(String),
    Panic(String),
    Snooze(Duration),
    Cancel(String),
    Bury(String),
    /// Works until it is cut off.
    Hang,
    /// Counts the jobs of this worker; needs a worker state of type `u32`.
    Count,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Script(pub Vec<Step>);

impl Job for Script {
    const KIND: &'static str = "test.script";

    fn backoff() -> Backoff {
        Backoff::constant(Duration::from_millis(10))
    }

    async fn perform(self, cx: &mut Context) -> Result<Outcome, BoxError> {
        let played = cx.attempt().as_i32() as usize - 1;
        let step = self.0.get(played).or(self.0.last());
        match step.cloned().expect("a script has a step") {
            Step::Complete => Ok(Outcome::Done),
            Step::CompleteWith(output) => Outcome::done_with(&output),
            Step::Fail(text) => Err(text.into()),
            Step::Panic(text) => panic!("{text}"),
            Step::Snooze(wait) => Ok(Outcome::Snooze(wait)),
            Step::Cancel(reason) => Ok(Outcome::Cancel(reason)),
            Step::Bury(reason) => Ok(Outcome::Bury(reason)),
            Step::Hang => std::future::pending().await,
            Step::Count => {
                let count = cx.state::<u32>()?;
                *count += 1;
                Outcome::done_with(count)
            }
        }
    }
}
