//! What an attempt leaves on its way: a checkpoint for the next one, and its progress for people.
//!
//! Both lie beside the job's row, behind the fence of every answer. Whoever completes the job clears them
//! away, so the attempt remembers whether there is anything.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;

use super::Context;
use super::blocking::Blocking;
use super::lane_exit::{LaneExit, leave_lane};
use super::reporting::Reporting;
#[cfg(feature = "testing")]
use super::shelf::Shelf;
use crate::Error;
use crate::client::Client;
use crate::job::{Codec, DecodeError, Stored, bounded_text, encode, fingerprint_of};
use crate::store::{Fenced, Holding, Kept, ProgressNote};

/// The largest checkpoint that is kept, in bytes as it is written.
pub const MAX_CHECKPOINT_BYTES: usize = 1024 * 1024;
/// How much of a progress message is kept, in bytes; a longer one is cut with a mark.
pub const MAX_PROGRESS_BYTES: usize = 500;
/// The time between two progress notes of an attempt that are written.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Checkpoints have no versions: another shape is another type, which the handler can ask for.
const VERSION: i32 = 1;

impl Context {
    /// Keeps a value for the next attempt of this job, in the place of an earlier one; it is durable when
    /// this returns. Whatever ends this attempt, the next one [resumes](Self::resume) from it: after an
    /// error, a crash, a shutdown (which costs no attempt), the death of the node, and after the job was
    /// requeued from the dead letters. When the job is completed or cancelled it is gone.
    ///
    /// The value is written down when this is called, and kept when it is awaited.
    ///
    /// A checkpoint is a round trip and a commit, so keep one every few seconds of work and not with every
    /// row. It says how far the work was at least: what the handler does between an effect and the next
    /// checkpoint is done again. Of any type that can be the argument of a job; at most
    /// [`MAX_CHECKPOINT_BYTES`]. A job of a batch has its own:
    /// [`Batched::checkpoint`](super::Batched::checkpoint).
    ///
    /// # Examples
    ///
    /// ```
    /// use callboard::{BoxError, Context};
    ///
    /// async fn import(cx: &mut Context, rows: u64) -> Result<(), BoxError> {
    ///     let mut next = cx.resume::<u64>().await?.unwrap_or(0);
    ///     while next < rows {
    ///         // … import a thousand rows …
    ///         next += 1_000;
    ///         cx.checkpoint(&next).await?;
    ///         cx.progress(next, rows, "rows imported");
    ///     }
    ///     Ok(())
    /// }
    /// # callboard::functions![import];
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_lease_lost`] when this attempt is not the job's current one any more: nothing was kept,
    /// and the handler should stop. [`Error::is_unfit_checkpoint`] when the value is too large or cannot
    /// be written. [`Error::is_unreachable`] and [`Error::is_database`]; a handler may go on then, and
    /// keep its next checkpoint.
    pub fn checkpoint<T>(
        &self,
        value: &T,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<T>
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        self.trail().keep(value)
    }

    /// The [checkpoint](Self::checkpoint) that an earlier attempt of this job has kept; `None` if none has.
    ///
    /// # Errors
    ///
    /// [`Error::is_unfit_checkpoint`] when it was kept as another type than `T`: it is never decoded into
    /// a wrong shape. Ask for the older type then, or begin anew; the next checkpoint takes its place.
    /// [`Error::is_lease_lost`] when this attempt is not the job's current one any more, and
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn resume<T: DeserializeOwned + 'static>(&self) -> Result<Option<T>, Error> {
        self.trail().resume().await
    }

    /// Shows people how far the job has come: `done` of `of` (0 if nobody knows), with a message of at most
    /// [`MAX_PROGRESS_BYTES`]. They see it in [`JobInfo::progress`](crate::JobInfo::progress).
    ///
    /// It returns at once, and may be called as often as one likes: the first note is written at once, and
    /// then the latest every [`PROGRESS_EVERY`]. It is a hint: what the database does not take, and the
    /// last second of a handler that ends, goes unseen.
    pub fn progress(&self, done: u64, of: u64, message: impl Into<String>) {
        self.trail().note(done, of, message.into());
    }

    /// Whether the job may have left something on its way, which its completion has to clear away.
    pub(crate) fn has_trail(&self) -> bool {
        self.trail.has_left()
    }

    pub(super) fn holding(&self) -> Holding {
        Holding {
            id: self.job_id(),
            attempt: self.attempt(),
            node: self.node(),
        }
    }

    pub(super) fn trail(&self) -> &Arc<Trail> {
        let exit = self.lane_exit();
        self.trail.begun(self.holding(), self.client(), exit)
    }
}

impl Blocking {
    /// As [`Context::checkpoint`]; it blocks this thread until the checkpoint is durable.
    ///
    /// # Errors
    ///
    /// As [`Context::checkpoint`]; and [`Error::is_unfit_checkpoint`] in the work of a batch, since nobody
    /// knows for which of its jobs it is.
    pub fn checkpoint<T>(&self, value: &T) -> Result<(), Error>
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        let Some(trail) = &self.trail else {
            return Err(Error::checkpoint(
                "cannot keep a checkpoint of a batch: keep one of each job that needs it, by Batched::checkpoint",
            ));
        };
        trail.runtime.block_on(trail.keep(value))
    }

    /// As [`Context::progress`]. That of a batch nobody sees.
    pub fn progress(&self, done: u64, of: u64, message: impl Into<String>) {
        if let Some(trail) = &self.trail {
            trail.note(done, of, message.into());
        }
    }
}

/// What an attempt leaves on its way. Begun when it first leaves something, or looks.
pub(super) struct Trail {
    holding: Holding,
    client: Client,
    lane_exit: Option<Arc<LaneExit>>,
    /// Blocking work may report from threads that belong to no runtime.
    runtime: Handle,
    /// Whether there may be something to clear away.
    has_left: AtomicBool,
    reporting: Reporting,
    /// Where checkpoints lie if there is no board.
    #[cfg(feature = "testing")]
    shelf: Option<Arc<Shelf>>,
}

impl Trail {
    fn new(holding: Holding, client: Client, lane_exit: Option<Arc<LaneExit>>) -> Self {
        Self {
            holding,
            client,
            lane_exit,
            runtime: Handle::current(),
            has_left: AtomicBool::new(false),
            reporting: Reporting::default(),
            #[cfg(feature = "testing")]
            shelf: None,
        }
    }

    /// Encodes now, and keeps when it is polled.
    pub(super) fn keep<T>(
        self: &Arc<Self>,
        value: &T,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<T>
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        let (trail, encoded) = (Arc::clone(self), self.encode(value));
        let fingerprint = fingerprint_of::<T>();
        async move {
            let bytes = encoded?;
            #[cfg(feature = "testing")]
            if let Some(shelf) = &trail.shelf {
                shelf.put(Kept { fingerprint, bytes });
                return Ok(());
            }
            if !trail.leaves() {
                return Err(trail.lost("keep a checkpoint of"));
            }
            leave_lane(trail.lane_exit.as_deref()).await;
            let store = trail.client.store();
            match store.checkpoint(trail.holding, fingerprint, &bytes).await? {
                Fenced::Current(()) => Ok(()),
                Fenced::Stale => Err(trail.lost("keep a checkpoint of")),
            }
        }
    }

    /// There will be something to clear away. False: the attempt has its answer, which does not know of it.
    fn leaves(&self) -> bool {
        let leave = || self.has_left.store(true, Ordering::Release);
        self.reporting.unless_over(leave)
    }

    fn encode<T>(&self, value: &T) -> Result<Vec<u8>, Error>
    where
        T: Serialize + DeserializeOwned + 'static,
    {
        let job = self.holding.id;
        let refused = |why: String| {
            Error::checkpoint(format!("cannot keep a checkpoint of job {job}: {why}"))
        };
        let bytes = encode(value).map_err(|why| refused(why.to_string()))?;
        if bytes.len() > MAX_CHECKPOINT_BYTES {
            let size = bytes.len();
            return Err(refused(format!(
                "it takes {size} bytes; expected at most {MAX_CHECKPOINT_BYTES}. Keep where to go on, and \
                 what is large elsewhere"
            )));
        }
        Ok(bytes)
    }

    pub(super) async fn resume<T: DeserializeOwned + 'static>(&self) -> Result<Option<T>, Error> {
        let Some(kept) = self.kept().await? else {
            return Ok(None);
        };
        self.has_left.store(true, Ordering::Release);
        let decoded = decode::<T>(&kept);
        decoded.map(Some).map_err(|why| self.unfit(&why))
    }

    async fn kept(&self) -> Result<Option<Kept>, Error> {
        #[cfg(feature = "testing")]
        if let Some(shelf) = &self.shelf {
            return Ok(shelf.get());
        }
        leave_lane(self.lane_exit.as_deref()).await;
        match self.client.store().resume(self.holding).await? {
            Fenced::Current(kept) => Ok(kept),
            Fenced::Stale => Err(self.lost("resume")),
        }
    }

    fn unfit(&self, why: &DecodeError) -> Error {
        let job = self.holding.id;
        let why = match why {
            DecodeError::Shape {
                found,
                expected,
                description,
                ..
            } => format!(
                "its checkpoint has the shape {found}, this build expects {expected} = {description}; \
                 resume as the type it was kept as, or begin anew"
            ),
            other => other.to_string(),
        };
        Error::checkpoint(format!("cannot resume job {job}: {why}"))
    }

    fn lost(&self, verb: &str) -> Error {
        let Holding { id, attempt, .. } = self.holding;
        Error::lease_lost(format!(
            "cannot {verb} job {id}: attempt {attempt} is not its current one any more; the handler should stop"
        ))
    }

    pub(super) fn note(self: &Arc<Self>, done: u64, of: u64, message: String) {
        #[cfg(feature = "testing")]
        if self.shelf.is_some() {
            return;
        }
        let note = ProgressNote {
            done,
            of,
            message: bounded_text(&message, MAX_PROGRESS_BYTES),
        };
        let begin = || {
            self.has_left.store(true, Ordering::Release);
            drop(self.runtime.spawn(write_notes(Arc::clone(self))));
        };
        self.reporting.note(note, begin);
    }

    /// The attempt has its answer, or lost its job: nothing more is left.
    pub(super) fn end(&self) {
        self.reporting.end();
    }
}

async fn write_notes(trail: Arc<Trail>) {
    leave_lane(trail.lane_exit.as_deref()).await;
    while let Some(note) = trail.reporting.next() {
        let store = trail.client.store();
        match store.progress(trail.holding, &note).await {
            Ok(Fenced::Current(())) => {}
            Ok(Fenced::Stale) => trail.end(),
            Err(error) => {
                tracing::debug!(job = %trail.holding.id, %error, "a progress note is not written");
            }
        }
        tokio::time::sleep(PROGRESS_EVERY).await;
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trail")
            .field("holding", &self.holding)
            .finish_non_exhaustive()
    }
}

pub(super) fn decode<T: DeserializeOwned + 'static>(kept: &Kept) -> Result<T, DecodeError> {
    let codec = Codec::<T> {
        version: VERSION,
        upcasters: Vec::new(),
    };
    codec.decode(Stored {
        version: VERSION,
        fingerprint: kept.fingerprint,
        bytes: &kept.bytes,
    })
}

/// An attempt's hold of its trail: nothing more is left after it.
#[derive(Debug, Default)]
pub(super) struct TrailOf(OnceLock<Arc<Trail>>);

impl TrailOf {
    /// A trail whose checkpoints lie on a shelf.
    #[cfg(feature = "testing")]
    pub(super) fn on_shelf(holding: Holding, client: Client, shelf: Arc<Shelf>) -> Self {
        let mut trail = Trail::new(holding, client, None);
        trail.shelf = Some(shelf);
        Self(OnceLock::from(Arc::new(trail)))
    }

    /// The trail of an attempt that somebody else holds, too.
    pub(super) fn shared(trail: &Arc<Trail>) -> Self {
        Self(OnceLock::from(Arc::clone(trail)))
    }

    /// The trail, which begins now at the latest.
    pub(super) fn begun(
        &self,
        holding: Holding,
        client: &Client,
        exit: Option<&Arc<LaneExit>>,
    ) -> &Arc<Trail> {
        let begin = || Arc::new(Trail::new(holding, client.clone(), exit.cloned()));
        self.0.get_or_init(begin)
    }

    /// The attempt has its answer: nothing more is left.
    pub(super) fn end(&self) {
        if let Some(trail) = self.0.get() {
            trail.end();
        }
    }

    /// Whether there may be something to clear away when the job is completed.
    pub(super) fn has_left(&self) -> bool {
        let has_left = |trail: &Arc<Trail>| trail.has_left.load(Ordering::Acquire);
        self.0.get().is_some_and(has_left)
    }
}

impl Drop for TrailOf {
    fn drop(&mut self) {
        self.end();
    }
}
