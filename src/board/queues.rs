//! Queues that come and go while the board runs.
//!
//! A queue is added to the desks first and to the tree after that, and leaves in the reverse order, so
//! that a crash of the queues' supervisor in between brings up what there is to be.

use std::sync::Arc;

use super::{Board, steward};
use crate::Error;
use crate::client::Interest;
use crate::event::Event;
use crate::queue::{Desk, Queue, queue_child};
use crate::store::{Notice, Steering};
use crate::supervision::{SupervisorError, SupervisorRef};

impl Board {
    /// Serves one more queue on this node, from now on and until it is [removed](Self::remove_queue) or the
    /// board ends: a board that is started again has the queues of its builder. If the queue is paused
    /// or scaled for all nodes, it is so here from the start.
    ///
    /// # Errors
    ///
    /// [`Error::is_config`] as at the start: an option out of its range, or a name that this node
    /// serves already. [`Error::is_unreachable`] and [`Error::is_database`]; [`Error::is_start`] when the
    /// board is ending. In each case nothing was added.
    pub async fn add_queue(&self, queue: Queue) -> Result<(), Error> {
        queue.check()?;
        let _alone = self.0.changes.lock().await;
        let office = &self.0.office;
        let name = Arc::clone(&queue.name);
        if office.desks.get(&name).is_some() {
            return Err(Error::config(format!(
                "cannot add the queue {name:?}: this node serves it already; remove it first, or \
                 give the new one another name"
            )));
        }
        let queues = self.queues_supervisor("add", &name)?;
        let settings = office.store.settings(office.node).await?;
        let desk = Arc::new(Desk::new(queue));
        desk.steer(Steering::of(&name, &settings));
        office.desks.add(&desk);
        office.make_room();
        match queues.start_child(queue_child(&desk, office)).await {
            // The queues were being restarted just now, and this one came up with the others.
            Ok(_) | Err(SupervisorError::AlreadyStarted { .. }) => {}
            Err(cause) => {
                office.desks.remove(&name);
                let text = format!("cannot add the queue {name:?}");
                return Err(Error::start(text).because(cause));
            }
        }
        if office.is_closing() {
            desk.close();
        }
        office.bulletin.say(Event::QueueAdded {
            queue: name.to_string(),
        });
        self.list_queues().await;
        Ok(())
    }

    /// Serves a queue no longer on this node. Gracefully, like a [shutdown](Self::shutdown) for this queue
    /// alone: nothing of it is claimed any more, what has not begun is returned, and running handlers
    /// may finish within the board's [`shutdown_grace`](super::Builder::shutdown_grace); then they are told
    /// to stop, cut off after the queue's [`cancel_grace`](Queue::cancel_grace), and recorded as interrupted,
    /// which costs no attempt. Its jobs stay on the board. Once begun it goes on, whether or not
    /// anybody waits for it.
    ///
    /// # Errors
    ///
    /// [`Error::is_config`] when this node does not serve such a queue; [`Error::is_start`] when the board
    /// is ending.
    pub async fn remove_queue(&self, name: impl AsRef<str>) -> Result<(), Error> {
        let (board, name) = (self.clone(), name.as_ref().to_owned());
        let removing = tokio::spawn(async move { board.remove(&name).await });
        removing
            .await
            .unwrap_or_else(|cause| Err(Error::start("cannot remove a queue").because(cause)))
    }

    async fn remove(&self, name: &str) -> Result<(), Error> {
        let _alone = self.0.changes.lock().await;
        let office = &self.0.office;
        let Some(desk) = office.desks.get(name) else {
            return Err(Error::config(format!(
                "cannot remove the queue {name:?}: this node does not serve it; it serves: {}",
                office.desks.names().join(", ")
            )));
        };
        let queues = self.queues_supervisor("remove", name)?;
        desk.close();
        office.wakeups.wake_queue(name);
        self.0.gate.settle_queue(&desk).await;
        office.desks.remove(name);
        let failed = |cause| {
            let text = format!("cannot remove the queue {name:?}");
            Error::start(text).because(cause)
        };
        end(&queues, name).await.map_err(failed)?;
        // What was cut off has answered as it was dropped.
        office.custody.interrupted(name);
        office.wakeups.off(&Interest::Queue(name.to_owned()));
        for part in ["fetcher of", "workers of"] {
            office.vitals.forget(&format!("{part} {name}"));
        }
        office.bulletin.say(Event::QueueRemoved {
            queue: name.to_owned(),
        });
        self.list_queues().await;
        Ok(())
    }

    /// Tells the other nodes which queues there are, now or as soon as the database can be reached.
    async fn list_queues(&self) {
        let office = &self.0.office;
        let queues = office.desks.names();
        office.card.send_modify(|card| card.queues = queues);
        office.wakeups.wake(&Notice::Steered);
        steward::looked(office).await;
    }

    fn queues_supervisor(&self, verb: &str, queue: &str) -> Result<SupervisorRef, Error> {
        let queues = self.0.root.child("queues");
        queues
            .filter(|_| !self.0.office.is_closing())
            .ok_or_else(|| {
                Error::start(format!(
                    "cannot {verb} the queue {queue:?}: the board is ending"
                ))
            })
    }
}

/// Ends a queue's part of the tree for good.
async fn end(queues: &SupervisorRef, name: &str) -> Result<(), SupervisorError> {
    for done in [
        queues.terminate_child(name).await,
        queues.delete_child(name).await,
    ] {
        match done {
            // The queues were restarted just now, without this one.
            Ok(()) | Err(SupervisorError::UnknownChild { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
