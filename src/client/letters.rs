//! Dead letters: what was given up, in groups that are alike; back to work with it, or away.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};

use super::Client;
use crate::Error;
use crate::event::Event;
use crate::job::JobId;
use crate::store::{DeadFilter, DeadGroup, DeadLetter, DeadPart, Notice};

/// How many dead letters one statement brings back or deletes.
const BATCH: u32 = 1_000;

/// The one letter that a filter names.
const ONE: DeadPart = DeadPart {
    until: None,
    above: i64::MIN,
    limit: 1,
};

impl Client {
    /// The dead letters that `filter` names, at most `limit`, the last buried first. The next page:
    /// [`dead_letters_after`](Self::dead_letters_after).
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn dead_letters(
        &self,
        filter: DeadFilter,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, Error> {
        self.0.store.dead(&filter, None, limit).await
    }

    /// The dead letters that come after `last` in the list, whether that one is still there or not. What
    /// was buried since is on no later page, and none comes twice, unless it was requeued and has failed
    /// again.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn dead_letters_after(
        &self,
        last: &DeadLetter,
        filter: DeadFilter,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, Error> {
        self.0.store.dead(&filter, Some(last), limit).await
    }

    /// One dead letter. `None`: no dead job has this id.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn dead_letter(&self, id: JobId) -> Result<Option<DeadLetter>, Error> {
        let letters = self.dead_letters(DeadFilter::all().ids([id]), 1).await?;
        Ok(letters.into_iter().next())
    }

    /// The dead letters that `filter` names, in groups that are alike, at most `limit` of these, the
    /// largest first. It counts, so it is for people and not for a hot path.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn dead_groups(
        &self,
        filter: DeadFilter,
        limit: u32,
    ) -> Result<Vec<DeadGroup>, Error> {
        self.0.store.dead_groups(&filter, limit).await
    }

    /// Counts the dead letters that `filter` names, and changes nothing: what to ask before they are
    /// requeued or deleted.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(client: callboard::Client) -> Result<(), callboard::Error> {
    /// use callboard::DeadFilter;
    ///
    /// for group in client.dead_groups(DeadFilter::all(), 10).await? {
    ///     println!("{} x {}: {}", group.letters, group.kind, group.sample_message);
    /// }
    /// let mut chosen = client.choose_dead(DeadFilter::all().kind("mail.send_welcome")).await?;
    /// println!("{} would be requeued", chosen.count());
    /// while chosen.requeue_next(500).await? > 0 {
    ///     println!("{} of {}", chosen.done(), chosen.count());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn choose_dead(&self, filter: DeadFilter) -> Result<ChosenDead, Error> {
        let counted = self.0.store.dead_count(&filter).await?;
        Ok(ChosenDead {
            client: self.clone(),
            filter,
            count: counted.letters,
            until: counted.at,
            above: i64::MIN,
            done: 0,
        })
    }

    /// Brings a dead job back with a fresh budget. Its attempts go on counting, its errors and its
    /// checkpoint stay. False: no dead job has this id.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn requeue(&self, id: JobId) -> Result<bool, Error> {
        let filter = DeadFilter::all().ids([id]);
        let risen = self.0.store.requeue(&filter, ONE).await?;
        let is_risen = !risen.is_empty();
        self.tell_of_risen(risen);
        Ok(is_risen)
    }

    /// Brings every dead job back that `filter` names, as [`ChosenDead::requeue`] does, and tells how
    /// many.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`]; what was brought back before stays.
    pub async fn requeue_all(&self, filter: DeadFilter) -> Result<u64, Error> {
        self.choose_dead(filter).await?.requeue().await
    }

    /// Deletes a dead letter for good. False: no dead job has this id.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn delete_dead(&self, id: JobId) -> Result<bool, Error> {
        let filter = DeadFilter::all().ids([id]);
        Ok(!self.0.store.delete_dead(&filter, ONE).await?.is_empty())
    }

    /// Deletes every dead letter that `filter` names for good, as [`ChosenDead::delete`] does, and tells
    /// how many.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`]; what was deleted before is gone.
    pub async fn delete_all_dead(&self, filter: DeadFilter) -> Result<u64, Error> {
        self.choose_dead(filter).await?.delete().await
    }

    fn tell_of_risen(&self, risen: Vec<(JobId, String, i16)>) {
        let mut queues: HashMap<String, (u32, i16)> = HashMap::new();
        for (_, queue, priority) in risen {
            let (jobs, most_urgent) = queues.entry(queue).or_insert((0, priority));
            *jobs += 1;
            *most_urgent = priority.min(*most_urgent);
        }
        for (queue, (jobs, priority)) in queues {
            self.0.bulletin.say(Event::Requeued {
                queue: queue.clone(),
                jobs,
            });
            self.tell(Notice::Available { queue, priority });
        }
    }
}

/// The dead letters that a filter named at one moment, counted and not touched yet: a dry run, which can
/// be carried out.
///
/// What is buried later is never touched, so a job that is requeued and fails again is not requeued a
/// second time. The work goes in batches, each a statement of its own: whoever drops it half-way has done
/// whole batches, and a new choice by the same filter has the rest.
#[must_use = "nothing has changed yet"]
pub struct ChosenDead {
    client: Client,
    filter: DeadFilter,
    count: u64,
    until: DateTime<Utc>,
    above: i64,
    done: u64,
}

impl ChosenDead {
    /// How many letters there were when they were chosen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many have been requeued or deleted since. Fewer than [`count`](Self::count) in the end, if
    /// somebody else took some of them.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Requeues up to `batch` of those that are left (at least 1), in the order of their ids, in one
    /// statement, and tells how many. Zero: none is left.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`]; what was brought back before stays.
    pub async fn requeue_next(&mut self, batch: u32) -> Result<u64, Error> {
        let part = self.part(batch);
        let store = &self.client.0.store;
        let risen = store.requeue(&self.filter, part).await?;
        self.advance(risen.iter().map(|(id, ..)| *id));
        let count = risen.len() as u64;
        self.client.tell_of_risen(risen);
        Ok(count)
    }

    /// Deletes up to `batch` of those that are left (at least 1), in the order of their ids, in one
    /// statement, and tells how many. Zero: none is left.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`]; what was deleted before is gone.
    pub async fn delete_next(&mut self, batch: u32) -> Result<u64, Error> {
        let part = self.part(batch);
        let store = &self.client.0.store;
        let gone = store.delete_dead(&self.filter, part).await?;
        if !gone.is_empty() {
            tracing::info!(letters = gone.len(), filter = ?self.filter, "dead letters deleted");
        }
        let count = gone.len() as u64;
        self.advance(gone.into_iter());
        Ok(count)
    }

    /// Requeues all of them, a thousand in a statement, and tells how many that were.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`]; what was brought back before stays.
    pub async fn requeue(mut self) -> Result<u64, Error> {
        while self.requeue_next(BATCH).await? == u64::from(BATCH) {}
        Ok(self.done)
    }

    /// Deletes all of them for good, a thousand in a statement, and tells how many that were. Each batch
    /// is reported in the log.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`]; what was deleted before is gone.
    pub async fn delete(mut self) -> Result<u64, Error> {
        while self.delete_next(BATCH).await? == u64::from(BATCH) {}
        Ok(self.done)
    }

    fn part(&self, batch: u32) -> DeadPart {
        DeadPart {
            until: Some(self.until),
            above: self.above,
            limit: batch.max(1),
        }
    }

    fn advance(&mut self, ids: impl Iterator<Item = JobId>) {
        for id in ids {
            self.done += 1;
            self.above = self.above.max(id.as_i64());
        }
    }
}

impl fmt::Debug for ChosenDead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChosenDead")
            .field("filter", &self.filter)
            .field("count", &self.count)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}
