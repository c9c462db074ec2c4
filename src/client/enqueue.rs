//! `enqueue`: one call, many calls, or calls inside a transaction of the caller's own.

use std::time::Duration;

use super::Client;
use super::coalescer::Fate;
use super::told::{Enqueued, Told, notice, notice_of};
use crate::Error;
use crate::event::Event;
use crate::job::{Call, JobId};
use crate::store::{CallRow, Executor, Notice, TurnAfter};

/// How many calls the first statement of a bulk enqueue takes at most. While they are made, nothing else happens.
const FIRST_PART: usize = 1_000;
/// And each later one, which is made while the one before is written: fewer statements cost the server less.
const LATER_PARTS: usize = 4_000;
/// How many bytes of payload end a part.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// How many calls are made before other tasks have their turn.
const MADE_AT_ONCE: usize = 500;

/// When the board looks for jobs that were enqueued in the caller's own transaction: nobody tells it
/// about the commit.
const AFTER_TRANSACTION: [Duration; 3] = [
    Duration::from_millis(5),
    Duration::from_millis(50),
    Duration::from_millis(500),
];

impl Client {
    /// Enqueues a call and returns the job's id once it is committed.
    ///
    /// Concurrent calls of this method share statements, so many callers are as fast as a bulk.
    /// Whether a worker knows the kind is not asked: the job waits until one does. Other processes are told in
    /// the background; if this one ends right after, they find the job at their next
    /// [poll](crate::Queue::poll_every).
    ///
    /// # Errors
    ///
    /// [`Error::is_refused_call`] when a name, the payload or an option cannot be stored;
    /// [`Error::is_unreachable`] and [`Error::is_database`] when it could not be written.
    pub async fn enqueue(&self, call: impl Into<Call>) -> Result<JobId, Error> {
        let row = self.check(call.into())?;
        let (notice, ordering) = (notice_of(&row), row.ordering());
        let enqueued = self.enqueued();
        let enqueued = enqueued.map(|enqueued| enqueued.with(std::slice::from_ref(&row)));
        let (id, fate) = self.0.coalescer.enqueue(row).await?;
        self.say(enqueued, Written::Here);
        if fate == Fate::Waits {
            self.tell(notice);
        }
        self.turn(TurnAfter::Enqueue, ordering);
        Ok(id)
    }

    /// Enqueues many calls, all or none, and returns their ids in their order. The calls are taken
    /// and written in parts, so memory stays bounded however many there are.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue); then nothing was enqueued.
    pub async fn enqueue_many<C, I>(&self, calls: I) -> Result<Vec<JobId>, Error>
    where
        C: Into<Call>,
        I: IntoIterator<Item = C>,
        I::IntoIter: Send,
    {
        let mut calls = calls.into_iter().map(Into::into).fuse().peekable();
        let part = self.next_part(&mut calls, FIRST_PART).await?;
        if part.is_empty() {
            return Ok(Vec::new());
        }
        if calls.peek().is_none() {
            // One statement is all or nothing by itself, in one round trip instead of two.
            return self.write_part(part).await;
        }
        let mut told = Told::new(self.enqueued());
        let ids = self.write_parts(part, &mut calls, &mut told).await?;
        self.tell_of(told);
        Ok(ids)
    }

    /// Enqueues a call on a connection of your own, in the transaction that is open there: the job
    /// exists if and when that transaction commits.
    ///
    /// The board finds it within its poll interval at the latest, and mostly at once; call
    /// [`wake`](Self::wake) after the commit to leave nothing to chance.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue). A database error leaves your transaction failed.
    pub async fn enqueue_in(
        &self,
        executor: impl Executor,
        call: impl Into<Call>,
    ) -> Result<JobId, Error> {
        let ids = self.enqueue_many_in(executor, [call]).await?;
        ids.first()
            .copied()
            .ok_or_else(|| Error::database("cannot enqueue: no id was returned"))
    }

    /// Enqueues calls on a connection of your own, in one statement, in the transaction that is open
    /// there.
    ///
    /// # Errors
    ///
    /// As [`enqueue_in`](Self::enqueue_in).
    pub async fn enqueue_many_in<C: Into<Call>>(
        &self,
        executor: impl Executor,
        calls: impl IntoIterator<Item = C>,
    ) -> Result<Vec<JobId>, Error> {
        let rows: Result<Vec<_>, _> = calls
            .into_iter()
            .map(|call| self.check(call.into()))
            .collect();
        let rows = rows?;
        let ids = self.0.store.enqueue_on(executor, &rows).await?;
        let mut told = Told::new(self.enqueued());
        told.note(&rows);
        self.say(told.enqueued.take(), Written::InTransaction);
        self.tell_later(told);
        Ok(ids)
    }

    /// What to say of an enqueue, if somebody listens.
    fn enqueued(&self) -> Option<Enqueued> {
        self.0.bulletin.is_heard().then(Enqueued::default)
    }

    fn say(&self, enqueued: Option<Enqueued>, written: Written) {
        for ((queue, kind), jobs) in enqueued.unwrap_or_default().0 {
            self.0.bulletin.say(Event::Enqueued {
                queue: queue.into(),
                kind: kind.into(),
                jobs,
                is_in_transaction: written == Written::InTransaction,
            });
        }
    }

    /// Wakes the workers of a queue, in every process. Only needed after a transaction of your own;
    /// without it they poll.
    pub fn wake(&self, queue: &str) {
        self.tell(Notice::Available {
            queue: queue.to_owned(),
            priority: i16::MIN,
        });
    }

    pub(crate) fn tell(&self, notice: Notice) {
        self.0.wakeups.wake(&notice);
        self.0.announcer.announce(notice);
    }

    /// As [`tell`](Self::tell), and the other processes are told when it returns.
    pub(super) async fn tell_now(&self, notice: Notice) {
        self.0.wakeups.wake(&notice);
        self.0.announcer.announce_now(notice).await;
    }

    fn tell_of(&self, told: Told) {
        for ((queue, is_due), priority) in told.queues {
            self.tell(notice(queue, is_due, priority));
        }
        self.turn(TurnAfter::Enqueue, told.keys);
    }

    fn tell_later(&self, told: Told) {
        let client = self.clone();
        tokio::spawn(async move {
            for delay in AFTER_TRANSACTION {
                tokio::time::sleep(delay).await;
                for ((queue, is_due), priority) in &told.queues {
                    client.tell(notice(queue.clone(), *is_due, *priority));
                }
                client.turn(TurnAfter::Enqueue, told.keys.iter().cloned());
            }
        });
    }

    async fn write_part(&self, rows: Vec<CallRow>) -> Result<Vec<JobId>, Error> {
        let enqueued = self.enqueued().map(|enqueued| enqueued.with(&rows));
        let ids = self.write_part_unsaid(rows).await?;
        self.say(enqueued, Written::Here);
        Ok(ids)
    }

    async fn write_part_unsaid(&self, rows: Vec<CallRow>) -> Result<Vec<JobId>, Error> {
        self.0.births.come_soon(&rows).await;
        if self.0.births.is_any_offered() {
            // A task of its own, never cut off: what is born must come into somebody's hands, whatever
            // becomes of the caller.
            let writing = tokio::spawn(self.clone().write_births(rows));
            return writing.await.unwrap_or_else(|cut_off| {
                let text = "cannot enqueue: the runtime that was to do it has ended";
                Err(Error::database(text).because(cut_off))
            });
        }
        let ids = self.0.store.enqueue(&rows).await?;
        let mut told = Told::new(None);
        told.note(&rows);
        self.tell_of(told);
        Ok(ids)
    }

    async fn write_births(self, rows: Vec<CallRow>) -> Result<Vec<JobId>, Error> {
        let written = self.0.births.enqueue(&self.0.store, rows).await;
        let written = written.map_err(|(error, _)| error)?;
        let mut told = Told::new(None);
        told.note(&written.waiting);
        self.tell_of(told);
        Ok(written.ids())
    }

    /// Writes part after part in a transaction, and makes the next one while one is written.
    async fn write_parts(
        &self,
        mut part: Vec<CallRow>,
        calls: &mut (impl Iterator<Item = Call> + Send),
        told: &mut Told,
    ) -> Result<Vec<JobId>, Error> {
        let mut bulk = self.0.store.bulk().await?;
        let mut ids = Vec::new();
        while !part.is_empty() {
            told.note(&part);
            let making = async {
                // The statement is to be on its way first, which another task sees to.
                tokio::task::yield_now().await;
                self.next_part(calls, LATER_PARTS).await
            };
            let (inserted, next) = tokio::join!(bulk.insert(&part), making);
            ids.extend(inserted?);
            part = next?;
        }
        bulk.commit().await?;
        Ok(ids)
    }

    async fn next_part(
        &self,
        calls: &mut (impl Iterator<Item = Call> + Send),
        most: usize,
    ) -> Result<Vec<CallRow>, Error> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while part.len() < most && bytes < PART_BYTES {
            let Some(call) = calls.next() else { break };
            let row = self.check(call)?;
            bytes += row.payload.len();
            part.push(row);
            if part.len() % MADE_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(part)
    }
}

/// Where an enqueue was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// It is committed.
    Here,
    /// In a transaction of the caller's own.
    InTransaction,
}
