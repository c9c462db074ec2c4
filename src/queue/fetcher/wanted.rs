//! How many jobs a fetcher wants at the moment: of a claim, and born.

use super::{Fetcher, Flow};
use crate::client::Offer;
use crate::queue::Lease;
use crate::stage::Outlet;

/// How many jobs one claim takes at most.
const MAX_CLAIM: u32 = 5_000;
/// How many answers a process may have that are unconfirmed, or untold to who must know, before its fetchers claim less.
const MAX_UNCONFIRMED: usize = 20_000;

impl Fetcher {
    /// How many jobs to claim: what is asked for and not lent, and the look-ahead, less what is in hand.
    pub(super) fn wanted(&self, outlet: &Outlet<Lease>) -> u32 {
        let asked = u32::try_from(outlet.demand()).unwrap_or(u32::MAX);
        let asked = asked.saturating_sub(self.args.arrivals.lent());
        let workers = outlet.consumers();
        let ahead = self.look_ahead.size(workers, outlet.service_time());
        let in_hand = outlet.buffered() as u32;
        // Without an ask, only when half of what is claimed ahead is used up.
        let enough = ahead.div_ceil(2);
        if asked == 0 && in_hand >= enough {
            outlet.tell_below(enough as usize);
            return 0;
        }
        outlet.tell_below(0);
        let room = self.room();
        let wanted = asked.saturating_add(ahead.saturating_sub(in_hand));
        let most = self
            .args
            .queue
            .express
            .as_ref()
            .map_or(MAX_CLAIM, |express| {
                let most = express.most(workers, outlet.service_time());
                most.saturating_sub(in_hand).max(1)
            });
        wanted.min(most).min(MAX_CLAIM).min(room as u32)
    }

    /// Lends to enqueues what would be claimed if there was anything. What is lent already is a part of it.
    pub(super) fn offer(&self, outlet: &Outlet<Lease>) {
        let offer = match self.flow {
            _ if !self.args.desk.is_open() => Offer::Nothing,
            Flow::Dry => Offer::Now(self.expected(outlet)),
            Flow::InFlight { .. } if self.keeps_up => Offer::Soon(self.expected(outlet)),
            _ => Offer::Nothing,
        };
        self.args.arrivals.offer(offer);
    }

    /// How many jobs may be born for this queue now: what is asked for, what the workers finish until the
    /// enqueue is done, and as much again in hand then, for the time of the next one.
    fn expected(&self, outlet: &Outlet<Lease>) -> u32 {
        let asked = u32::try_from(outlet.demand()).unwrap_or(u32::MAX);
        let workers = outlet.consumers();
        let births = self.birth_ahead.or(&self.look_ahead);
        let ahead = births.size(workers, outlet.service_time());
        let in_hand = outlet.buffered() as u32;
        let expected = asked.saturating_add(ahead + ahead.saturating_sub(in_hand));
        expected.min(MAX_CLAIM).min(self.room() as u32)
    }

    /// How many jobs may be claimed before the ledger, or a follower of attempts that is to get them
    /// all, has caught up.
    pub(super) fn room(&self) -> usize {
        let office = &self.args.office;
        let behind = office.outbox.count() + office.facts.held_up();
        MAX_UNCONFIRMED.saturating_sub(behind)
    }
}
