//! The claims that a fetcher sends off: for what is wanted, and for what a breaker lets through.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use super::{Fetcher, FetcherMessage, Flow};
use crate::queue::Lease;
use crate::queue::claimer::Way;
use crate::queue::fuse::Rationed;
use crate::queue::rationing::hand_out;
use crate::stage::Outlet;
use crate::store::{ClaimBound, ClaimRequest};

impl Fetcher {
    /// Claims so many; none, if it is only to look for what nobody here holds.
    pub(super) fn claim_up_to(&mut self, limit: u32, outlet: &Outlet<Lease>) {
        let alone = match limit {
            0 => None,
            _ => self.try_alone(),
        };
        let request = ClaimRequest {
            kinds: self.args.office.breakers.free(),
            above: self.hint.above(Instant::now()),
            limit,
            suspects: u32::from(alone.is_some()),
            are_quick: self.are_quick(outlet),
            ..self.request()
        };
        self.flow = Flow::InFlight { woken: false };
        self.send(request, alone, None, outlet);
    }

    /// Claims jobs of a breaker that lets few through, apart from all others: only what is asked for, since
    /// what is claimed ahead would keep others from trying. Tells whether there are any to claim.
    pub(super) fn claim_rationed(&mut self, outlet: &Outlet<Lease>) -> bool {
        let asked = outlet.demand().min(self.room()) as u32;
        let rations = match asked {
            0 => None,
            asked => self.rationing.take(asked, self.workers(outlet)),
        };
        let Some(rations) = rations else {
            return false;
        };
        // One of them is for a suspect now and then, so that neither keeps the other waiting.
        let alone = self.try_alone().filter(|_| fastrand::bool());
        let suspects = u32::from(alone.is_some());
        let request = ClaimRequest {
            kinds: rations.fuse().kinds(),
            limit: rations.count() - suspects,
            suspects,
            ..self.request()
        };
        // Afterwards it goes on with all others as if it had not looked.
        self.flow = Flow::InFlight {
            woken: self.flow == Flow::Open,
        };
        self.send(request, alone, Some(rations), outlet);
        true
    }

    /// How many workers there are; behind stages of the queue's own they are not seen from here.
    fn workers(&self, outlet: &Outlet<Lease>) -> u32 {
        match self.args.queue.through.is_empty() {
            true => outlet.consumers() as u32,
            false => self.args.desk.wanted_workers(),
        }
    }

    /// A claim for nothing, to be filled in.
    fn request(&self) -> ClaimRequest {
        ClaimRequest {
            node: self.args.office.node,
            queue: Arc::clone(&self.args.queue.name),
            kinds: Arc::default(),
            above: ClaimBound::NONE,
            limit: 0,
            suspects: 0,
            are_quick: false,
        }
    }

    /// Whether the workers have run what they have in hand before a few claims are made.
    fn are_quick(&self, outlet: &Outlet<Lease>) -> bool {
        let workers = outlet.consumers();
        let ahead = self.look_ahead.size(workers, outlet.service_time());
        workers > 0 && ahead as usize >= workers
    }

    /// Leave to run a suspect, which only one may have.
    fn try_alone(&self) -> Option<OwnedSemaphorePermit> {
        let suspects = Arc::clone(&self.args.office.suspects);
        suspects.try_acquire_owned().ok()
    }

    fn send(
        &self,
        mut request: ClaimRequest,
        alone: Option<OwnedSemaphorePermit>,
        rations: Option<Rationed>,
        outlet: &Outlet<Lease>,
    ) {
        // Instead of what was lent before.
        self.offer(outlet);
        let under_way = self.args.claimer.begin();
        if !self.args.desk.is_open() {
            // It was shut just now, perhaps by a board that has not seen this claim and does not wait for it.
            (request.limit, request.suspects) = (0, 0);
        }
        let (claimer, myself) = (self.args.claimer.clone(), self.myself.clone());
        // A task of its own, never cut off: once the statement is sent, its answer must become leases.
        tokio::spawn(async move {
            let way = match rations {
                Some(_) => Way::Ordinary,
                None => Way::OfTheQueue,
            };
            let mut claimed = claimer.claim(request, alone, way).await;
            // In custody by now.
            drop(under_way);
            if let Some(rations) = rations {
                claimed.rationed_by = Some(Arc::clone(&rations.fuse().name));
                hand_out(
                    rations,
                    claimed.leases.as_mut().map_or(&mut [], Vec::as_mut_slice),
                );
            }
            // If the fetcher is gone, the leases are dropped, which releases them.
            if let Some(myself) = myself {
                let _gone = myself.send(FetcherMessage::Claimed(claimed));
            }
        });
    }
}
