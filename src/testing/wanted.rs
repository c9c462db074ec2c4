//! What a test expects on the board: [`Wanted`], `assert_enqueued!`, `refute_enqueued!`.

use std::fmt::Write as _;

use serde::de::DeserializeOwned;

use super::TestBoard;
use crate::client::Client;
use crate::handler::Job;
use crate::job::{Call, Codec, Stored};
use crate::store::{JobFilter, JobInfo};

/// The most jobs that one assertion looks at.
const LOOKED_AT: u32 = 10_000;
/// The most near misses that a failure lists.
const LISTED: usize = 10;

type Matches = Box<dyn Fn(Stored<'_>) -> bool + Send + Sync>;

/// A description of jobs that wait on the board or run; what the assertions' macros are made of.
#[must_use = "a description is checked by TestBoard::enqueued"]
pub struct Wanted {
    kind: Option<String>,
    queue: Option<String>,
    matches: Option<Matches>,
    /// The exact arguments, to be shown.
    call: Option<Call>,
}

impl Wanted {
    /// Any job.
    pub fn any() -> Self {
        Self {
            kind: None,
            queue: None,
            matches: None,
            call: None,
        }
    }

    /// Jobs of this call's kind with exactly its arguments, and in its queue if it names one.
    ///
    /// # Panics
    ///
    /// When the arguments cannot be written.
    pub fn call(call: impl Into<Call>) -> Self {
        let call = call.into();
        let arguments = match &call.payload {
            Ok(arguments) => arguments.clone(),
            Err(error) => panic!("{:?} cannot be enqueued: {error}", call.kind()),
        };
        let version = call.version;
        let equal = move |stored: Stored<'_>| {
            stored.version == version && stored.bytes == arguments.as_slice()
        };
        Self {
            kind: Some(call.kind().to_owned()),
            queue: call.queue.as_deref().map(str::to_owned),
            matches: Some(Box::new(equal)),
            call: Some(call),
        }
    }

    /// Jobs of a type.
    pub fn job<J: Job>() -> Self {
        Self::kind(J::KIND)
    }

    /// Jobs of this kind.
    pub fn kind(kind: impl Into<String>) -> Self {
        Self {
            kind: Some(kind.into()),
            ..Self::any()
        }
    }

    /// Only jobs in this queue.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Only jobs whose arguments `matches`: a job type, or the tuple of a function's arguments.
    /// Arguments of another shape or version do not.
    pub fn matching<A>(mut self, matches: impl Fn(&A) -> bool + Send + Sync + 'static) -> Self
    where
        A: DeserializeOwned + 'static,
    {
        self.matches = Some(Box::new(move |stored| {
            let codec = Codec::<A> {
                version: stored.version,
                upcasters: Vec::new(),
            };
            codec
                .decode(stored)
                .is_ok_and(|arguments| matches(&arguments))
        }));
        self
    }

    fn is_met_by(&self, job: &JobInfo) -> bool {
        let is_wanted =
            |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        is_wanted(&self.kind, &job.kind)
            && is_wanted(&self.queue, &job.queue)
            && self.matches.as_ref().is_none_or(|matches| {
                let arguments = job.arguments.as_ref();
                arguments.is_some_and(|arguments| matches(arguments.stored()))
            })
    }

    fn describe(&self, client: &Client) -> String {
        let mut text = match &self.kind {
            Some(kind) => format!("a job of kind {kind:?}"),
            None => "a job".to_owned(),
        };
        if let Some(queue) = &self.queue {
            // Writing to a text cannot fail.
            let _never = write!(text, " in queue {queue:?}");
        }
        match (&self.call, &self.matches) {
            (Some(call), _) => {
                let shown = call
                    .payload
                    .as_ref()
                    .map_or_else(ToString::to_string, |bytes| {
                        let stored = Stored {
                            version: call.version,
                            fingerprint: call.fingerprint,
                            bytes,
                        };
                        shown(client, call.kind(), stored)
                    });
                let _never = write!(text, " with the arguments {shown}");
            }
            (None, Some(_)) => text.push_str(" whose arguments match"),
            (None, None) => {}
        }
        text
    }
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted")
            .field("kind", &self.kind)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

/// What was found of something wanted.
#[derive(Debug, Clone)]
#[must_use = "nothing is asserted before must_exist or must_not_exist"]
pub struct Found {
    jobs: Vec<JobInfo>,
    wanted: String,
    others: String,
}

impl TestBoard {
    /// Looks for jobs that wait or run. A job that has ended is not found: its arguments are not kept.
    ///
    /// # Panics
    ///
    /// When the database cannot be read.
    pub async fn enqueued(&self, wanted: Wanted) -> Found {
        let jobs = self.rows.jobs(JobFilter::all(), LOOKED_AT).await;
        let jobs = jobs.unwrap_or_else(|error| panic!("cannot look for jobs: {error}"));
        let (jobs, others) = jobs.into_iter().partition(|job| wanted.is_met_by(job));
        Found {
            jobs,
            wanted: wanted.describe(self.client()),
            others: list(self.client(), wanted.kind.as_deref(), others),
        }
    }
}

impl Found {
    /// The jobs, the oldest first.
    ///
    /// # Panics
    ///
    /// When there is none, with the near misses.
    #[track_caller]
    pub fn must_exist(self) -> Vec<JobInfo> {
        assert!(
            !self.jobs.is_empty(),
            "expected {} on the board, but there is none{}",
            self.wanted,
            self.others
        );
        self.jobs
    }

    /// Nothing, as it should be.
    ///
    /// # Panics
    ///
    /// When there is such a job.
    #[track_caller]
    pub fn must_not_exist(self) {
        let ids: Vec<String> = self.jobs.iter().map(|job| job.id.to_string()).collect();
        assert!(
            ids.is_empty(),
            "expected no {} on the board, but there is job {}",
            self.wanted.trim_start_matches("a "),
            ids.join(", ")
        );
    }
}

/// Arguments as a person reads them.
fn shown(client: &Client, kind: &str, stored: Stored<'_>) -> String {
    match client.read(kind, stored) {
        Ok(json) => json.to_string(),
        Err(_) => format!(
            "of {} bytes, whose kind has no handler here",
            stored.bytes.len()
        ),
    }
}

/// The near misses: jobs of the same kind first.
fn list(client: &Client, kind: Option<&str>, mut others: Vec<JobInfo>) -> String {
    if others.is_empty() {
        return "; nothing waits or runs there".to_owned();
    }
    others.sort_by_key(|job| (kind != Some(job.kind.as_str()), job.id));
    let lines = others.iter().take(LISTED).map(|job| {
        let arguments = job.arguments.as_ref();
        let arguments = arguments.map(|args| shown(client, &job.kind, args.stored()));
        format!(
            "\n  job {}: {:?} in queue {:?}, {}, with the arguments {}",
            job.id,
            job.kind,
            job.queue,
            job.state,
            arguments.unwrap_or_default()
        )
    });
    let more = match others.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!("\n  and {more} more"),
    };
    format!(". On the board are{}{more}", lines.collect::<String>())
}

/// Asserts that a job waits on a [`TestBoard`] or runs, and gives the jobs that were meant.
///
/// | form | means |
/// |---|---|
/// | `assert_enqueued!(board, SendWelcome { user_id: 1 })` | this job, or `call!(…)`, exactly |
/// | `assert_enqueued!(board, job = SendWelcome)` | any job of the type |
/// | `assert_enqueued!(board, job = SendWelcome, \|job\| job.user_id > 100)` | one whose arguments match |
/// | `assert_enqueued!(board, queue = "mail")` | any job in the queue |
///
/// Each may end with `, queue = "mail"`. It must stand in an async function. Jobs that have ended are
/// not found, so use it on a [paused](TestBoard::paused) board.
///
/// # Examples
///
/// ```no_run
/// # use callboard::{BoxError, Context, Job, Outcome, Queue};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct SendWelcome { user_id: i64 }
/// # impl Job for SendWelcome {
/// #     const KIND: &'static str = "mail.send_welcome";
/// #     const QUEUE: &'static str = "mail";
/// #     async fn perform(self, _: &mut Context) -> Result<Outcome, BoxError> { Ok(Outcome::Done) }
/// # }
/// # async fn sign_up(_: &callboard::Client) {}
/// use callboard::testing::TestBoard;
/// use callboard::{assert_enqueued, refute_enqueued};
///
/// # async fn example() {
/// let board = TestBoard::paused(|board| board.queue(Queue::new("mail")).job::<SendWelcome>()).await;
/// sign_up(board.client()).await;
/// assert_enqueued!(board, SendWelcome { user_id: 1 }, queue = "mail");
/// refute_enqueued!(board, job = SendWelcome, |job| job.user_id != 1);
/// # }
/// ```
#[macro_export]
macro_rules! assert_enqueued {
    ($board:expr, $($wanted:tt)+) => {
        $board.enqueued($crate::__wanted!($($wanted)+)).await.must_exist()
    };
}

/// Asserts that no such job waits on a [`TestBoard`](crate::testing::TestBoard) or runs. Takes what
/// [`assert_enqueued!`](crate::assert_enqueued) takes.
#[macro_export]
macro_rules! refute_enqueued {
    ($board:expr, $($wanted:tt)+) => {
        $board.enqueued($crate::__wanted!($($wanted)+)).await.must_not_exist()
    };
}

/// What both assertions take.
#[doc(hidden)]
#[macro_export]
macro_rules! __wanted {
    (queue = $queue:expr $(,)?) => {
        $crate::testing::Wanted::any().queue($queue)
    };
    (job = $job:ty $(, queue = $queue:expr)? $(,)?) => {
        $crate::testing::Wanted::job::<$job>()$(.queue($queue))?
    };
    (job = $job:ty, $matches:expr $(, queue = $queue:expr)? $(,)?) => {
        $crate::testing::Wanted::job::<$job>().matching::<$job>($matches)$(.queue($queue))?
    };
    ($call:expr $(, queue = $queue:expr)? $(,)?) => {
        $crate::testing::Wanted::call($call)$(.queue($queue))?
    };
}
