//! Limits of a queue over all nodes, while they run: `limit`, `unlimit`.

use super::QueueHandle;
use crate::Error;
use crate::job::{Limits, NameOf, check_name};
use crate::store::{Notice, Scope};

impl QueueHandle {
    /// Sets the limits of the queue, in the place of those it has, until they are set again. What executes
    /// already counts, and is not taken back; only a claim that is under way at that very moment may go
    /// uncounted. They hold for all nodes together, and for those to come: a queue that nobody serves yet may
    /// have some.
    ///
    /// Each claim is then counted, one at a time over all nodes, and never exceeds them. A claimed job counts
    /// until its end is written, also while it waits in the hands of a worker that has asked for several.
    ///
    /// # Errors
    ///
    /// [`Error::is_config`] for a value out of its range, and for the queue of one node alone;
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn limit(&self, limits: Limits) -> Result<(), Error> {
        let queue = &*self.name;
        let refuse = |why| Error::config(format!("cannot limit the queue {queue:?}: {why}"));
        check_name(NameOf::Queue, queue).map_err(|why| refuse(why.to_string()))?;
        self.for_all().map_err(refuse)?;
        limits.check().map_err(refuse)?;
        self.client.store().limit(queue, &limits).await?;
        self.look_again();
        Ok(())
    }

    /// Takes the limits of the queue away. False: it had none.
    ///
    /// # Errors
    ///
    /// As [`limit`](Self::limit).
    pub async fn unlimit(&self) -> Result<bool, Error> {
        let queue = &*self.name;
        let refuse = |why| Error::config(format!("cannot unlimit the queue {queue:?}: {why}"));
        self.for_all().map_err(refuse)?;
        let had_some = self.client.store().unlimit(queue).await?;
        self.look_again();
        Ok(had_some)
    }

    /// The limits of the queue, if it has any.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn limits(&self) -> Result<Option<Limits>, Error> {
        self.client.store().limits(&self.name).await
    }

    fn for_all(&self) -> Result<(), String> {
        match self.scope {
            Scope::AllNodes => Ok(()),
            Scope::Node(node) => Err(format!(
                "limits hold for all nodes together, and this is the queue of node {node} alone; \
                 take Client::queue, or scale its workers"
            )),
        }
    }

    /// Lets every fetcher of the queue look at all of it again.
    fn look_again(&self) {
        let (queue, priority) = (self.name.clone(), i16::MIN);
        self.client.tell(Notice::Available { queue, priority });
    }
}
