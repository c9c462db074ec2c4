//! How the breakers stand, and what people do to them.

use std::time::Duration;

use super::Client;
use crate::Error;
use crate::event::Event;
use crate::job::{BreakerState, MAX_TEXT_BYTES, MAX_WAIT, OpenReason, bounded_text};
use crate::store::{BreakerInfo, Notice};

impl Client {
    /// How all breakers stand that boards on this database have declared, by name.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn breakers(&self) -> Result<Vec<BreakerInfo>, Error> {
        self.0.store.breakers_of(None).await
    }

    /// How the breaker of a kind stands, which may keep its jobs waiting. `None`: it has none, or no board that
    /// knows the kind has run yet.
    ///
    /// # Errors
    ///
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn breaker_of(&self, kind: &str) -> Result<Option<BreakerInfo>, Error> {
        let found = self.0.store.breakers_of(Some(kind)).await?;
        Ok(found.into_iter().next())
    }

    /// One breaker, to act on it by hand.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(client: callboard::Client) -> Result<(), callboard::Error> {
    /// use std::time::Duration;
    ///
    /// let quarter = Duration::from_secs(15 * 60);
    /// client.breaker("smtp").open(quarter, "the provider works on it").await?;
    /// println!("{}", client.breaker("smtp").close("it is back").await?);
    /// # Ok(())
    /// # }
    /// ```
    pub const fn breaker<'a>(&'a self, name: &'a str) -> BreakerControl<'a> {
        BreakerControl { client: self, name }
    }
}

/// Acts on one breaker by hand, for all nodes: at once where notifications arrive, within a second elsewhere.
/// Made by [`Client::breaker`].
#[derive(Debug, Clone, Copy)]
#[must_use = "a breaker is changed by the methods of this"]
pub struct BreakerControl<'a> {
    client: &'a Client,
    name: &'a str,
}

impl BreakerControl<'_> {
    /// Opens it for this time (at most a hundred years), whatever it was. Then probes find out whether it may
    /// close, as if it had opened by itself.
    ///
    /// # Errors
    ///
    /// [`Error::is_refused_call`] when no board has declared a breaker of this name, or the time is too long;
    /// [`Error::is_unreachable`] and [`Error::is_database`].
    pub async fn open(self, time: Duration, reason: &str) -> Result<BreakerInfo, Error> {
        if time > MAX_WAIT {
            return Err(Error::call(format!(
                "cannot open the breaker {:?} for {time:?}; expected at most a hundred years",
                self.name
            )));
        }
        self.force(BreakerState::Open, Some(time), reason).await
    }

    /// Holds it open, without probes, until it is [closed](Self::close) or opened for a time.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn hold_open(self, reason: &str) -> Result<BreakerInfo, Error> {
        self.force(BreakerState::HeldOpen, None, reason).await
    }

    /// Holds it closed, whatever fails, until it is [closed](Self::close) in the ordinary way or opened.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn hold_closed(self, reason: &str) -> Result<BreakerInfo, Error> {
        self.force(BreakerState::HeldClosed, None, reason).await
    }

    /// Closes it, without probes, and releases it if it was held: it opens again when its options say so. The jobs
    /// that waited go by and by, as after probes.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn close(self, reason: &str) -> Result<BreakerInfo, Error> {
        self.force(BreakerState::Closed, None, reason).await
    }

    async fn force(
        self,
        state: BreakerState,
        open_for: Option<Duration>,
        reason: &str,
    ) -> Result<BreakerInfo, Error> {
        let (store, reason) = (&self.client.0.store, bounded_text(reason, MAX_TEXT_BYTES));
        let forcing = store.force_breaker(self.name, state, open_for, &reason);
        if let Some(info) = forcing.await? {
            if matches!(state, BreakerState::Open | BreakerState::HeldOpen) {
                self.client.0.bulletin.say(Event::BreakerOpened {
                    breaker: self.name.into(),
                    reason: OpenReason::ByHand,
                });
            }
            self.client.tell_now(Notice::Breaker).await;
            return Ok(info);
        }
        let known = store.breakers_of(None).await?;
        let names: Vec<&str> = known.iter().map(|breaker| &*breaker.name).collect();
        Err(Error::call(format!(
            "cannot make the breaker {:?} {}: no board has declared it; declared are {names:?}",
            self.name,
            state.to_string().replace('_', " ")
        )))
    }
}
