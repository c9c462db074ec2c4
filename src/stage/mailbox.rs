//! A way into somebody's mailbox, for one kind of message, whoever that is.
//!
//! The stages speak their protocol through it, so an actor with messages of its own, a channel or a
//! function can take part.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorRef, Message, MessagingErr};

type Post<M> = Arc<dyn Fn(M) -> Result<(), Undelivered<M>> + Send + Sync>;

/// A way into somebody's mailbox. Cheap to clone; keeping it keeps nobody alive.
pub struct Mailbox<M>(Post<M>);

/// Whom the message was for is gone. It comes back, unless it was lost on the way and dropped.
pub struct Undelivered<M>(pub Option<M>);

impl<M> Mailbox<M> {
    /// A mailbox that is a function: it takes the message, or gives it back if nobody is there.
    #[must_use]
    pub fn new(post: impl Fn(M) -> Result<(), Undelivered<M>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(post))
    }

    /// The mailbox of an actor whose messages wrap these; `unwrap` gives back what `wrap` took.
    #[must_use]
    pub fn of_actor<A: Message>(
        actor: ActorRef<A>,
        wrap: fn(M) -> A,
        unwrap: fn(A) -> Option<M>,
    ) -> Self
    where
        M: 'static,
    {
        Self::new(move |message| match actor.send_message(wrap(message)) {
            Ok(()) => Ok(()),
            Err(MessagingErr::SendErr(back)) => Err(Undelivered(unwrap(back))),
            Err(_) => Err(Undelivered(None)),
        })
    }

    /// Posts a message. Never waits.
    ///
    /// # Errors
    ///
    /// [`Undelivered`], with the message, when nobody is there any more.
    pub fn send(&self, message: M) -> Result<(), Undelivered<M>> {
        (self.0)(message)
    }
}

impl<M: Send + 'static> Mailbox<M> {
    /// Posts a message after a wait. If nobody is there by then, it is dropped.
    pub fn send_after(&self, wait: Duration, message: M) {
        let mailbox = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            drop(mailbox.send(message));
        });
    }
}

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}

impl<M> fmt::Debug for Undelivered<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Undelivered")
    }
}

impl<M> fmt::Display for Undelivered<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message was not delivered: nobody is there any more")
    }
}

impl<M> std::error::Error for Undelivered<M> {}
