//! A queue's desk on this node: how the queue was configured, how it is to be served at present, and the
//! seats of its workers.
//!
//! It outlives the queue's actors, which read it, so that a crash changes nothing of what people
//! asked for. Written by whoever steers the queues and by the supervisor of its workers as it starts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::lease::Lease;
use super::seat::Seat;
use super::staffing::{Place, staffing};
use super::{Office, Queue};
use crate::event::Event;
use crate::stage::Source;
use crate::store::{QueueMode, Steering};

/// How a queue is served here.
pub(crate) struct Desk {
    /// As it was configured.
    pub(crate) queue: Queue,
    /// Whether jobs may begin.
    is_open: AtomicBool,
    /// Wakes who waits for it to shut.
    shut: Notify,
    state: Mutex<State>,
}

/// Whether this node has attempts of the queue in its hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Nothing,
    Something,
}

#[derive(Default)]
struct State {
    steering: Steering,
    /// The queue, or the whole board, is about to end.
    is_closing: bool,
    /// How many workers the autoscaler wants.
    autoscaled: Option<u32>,
    seats: BTreeMap<u32, Arc<Seat>>,
    /// Where workers get their jobs.
    source: Option<Source<Lease>>,
}

impl Desk {
    pub(crate) fn new(queue: Queue) -> Self {
        Self {
            queue,
            is_open: AtomicBool::new(true),
            shut: Notify::new(),
            state: Mutex::default(),
        }
    }

    /// Whether jobs may begin: it is neither paused nor closing.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Waits until no job may begin.
    pub(super) async fn shuts(&self) {
        let shut = self.shut.notified();
        if self.is_open() {
            shut.await;
        }
    }

    /// No job begins from here on, for good.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closing = true;
        self.open_or_shut(&state);
    }

    /// Serves the queue so from now on. Tells whether that is news.
    pub(crate) fn steer(&self, steering: Steering) -> bool {
        let mut state = self.lock();
        let is_news = state.steering != steering;
        state.steering = steering;
        self.open_or_shut(&state);
        is_news
    }

    pub(crate) fn steering(&self) -> Steering {
        self.lock().steering
    }

    fn open_or_shut(&self, state: &State) {
        let is_open = state.steering.mode == QueueMode::Running && !state.is_closing;
        self.is_open.store(is_open, Ordering::Release);
        if !is_open {
            self.shut.notify_waiters();
        }
    }

    /// How many workers there are to be.
    pub(super) fn wanted_workers(&self) -> u32 {
        self.wanted(&self.lock(), Held::Nothing)
    }

    /// Wants so many workers from now on, unless people have said how many.
    pub(super) fn autoscale(&self, workers: u32) {
        self.lock().autoscaled = Some(workers);
    }

    /// The seats that its workers have when their supervisor starts: all those before are gone.
    pub(super) fn seats_anew(&self, source: &Source<Lease>) -> Vec<Arc<Seat>> {
        let mut state = self.lock();
        state.source = Some(source.clone());
        state.seats.retain(|_, seat| !seat.is_leaving());
        // What the workers before held is free again.
        self.restaff(&mut state, Held::Nothing);
        state.seats.retain(|_, seat| !seat.is_leaving());
        state.seats.values().cloned().collect()
    }

    /// Brings its seats to the number that is wanted while this node holds something of the queue or not,
    /// after those are taken off whose workers have left, of which `is_there` tells. Answers with all of
    /// them, and where their workers get jobs; `None` before the first start.
    pub(super) fn seats(
        &self,
        held: Held,
        is_there: impl Fn(&Seat) -> bool,
    ) -> Option<(Vec<Arc<Seat>>, Source<Lease>)> {
        let mut state = self.lock();
        let source = state.source.clone()?;
        state
            .seats
            .retain(|_, seat| !seat.is_leaving() || is_there(seat));
        self.restaff(&mut state, held);
        Some((state.seats.values().cloned().collect(), source))
    }

    /// The seats that there are, also those whose workers are leaving.
    pub(crate) fn seats_taken(&self) -> Vec<Arc<Seat>> {
        self.lock().seats.values().cloned().collect()
    }

    fn restaff(&self, state: &mut State, held: Held) {
        let place = |seat: &Arc<Seat>| Place {
            number: seat.number,
            is_busy: seat.is_busy(),
            is_leaving: seat.is_leaving(),
        };
        let places: Vec<Place> = state.seats.values().map(place).collect();
        let plan = staffing(self.wanted(state, held), &places);
        for number in plan.go {
            if let Some(seat) = state.seats.get(&number) {
                seat.leave();
            }
        }
        let come = plan.come.into_iter();
        let seats = come.map(|number| (number, Arc::new(Seat::new(number))));
        state.seats.extend(seats);
    }

    /// How many workers there are to be.
    fn wanted(&self, state: &State, held: Held) -> u32 {
        let autoscale = self.queue.autoscale.as_ref();
        match (state.steering.mode, held) {
            (QueueMode::Stopped, Held::Nothing) => 0,
            // Somebody has to return what a stage before the workers may hold.
            (QueueMode::Stopped, Held::Something) => 1,
            (QueueMode::Running | QueueMode::Paused, _) => state
                .steering
                .workers
                .or(state.autoscaled)
                .or(autoscale.map(|autoscale| autoscale.min))
                .unwrap_or(self.queue.workers),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("queue", &self.queue.name)
            .field("steering", &self.steering())
            .finish_non_exhaustive()
    }
}

/// The desks of all queues that this node serves, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Desks(Mutex<Vec<Arc<Desk>>>);

impl Desks {
    pub(crate) fn new(queues: impl IntoIterator<Item = Queue>) -> Self {
        let desks = queues.into_iter().map(|queue| Arc::new(Desk::new(queue)));
        Self(Mutex::new(desks.collect()))
    }

    pub(crate) fn all(&self) -> Vec<Arc<Desk>> {
        self.lock().clone()
    }

    pub(crate) fn get(&self, queue: &str) -> Option<Arc<Desk>> {
        let desks = self.lock();
        let found = desks.iter().find(|desk| &*desk.queue.name == queue);
        found.map(Arc::clone)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let desks = self.lock();
        let names = desks.iter().map(|desk| desk.queue.name.to_string());
        names.collect()
    }

    pub(crate) fn add(&self, desk: &Arc<Desk>) {
        self.lock().push(Arc::clone(desk));
    }

    pub(crate) fn remove(&self, queue: &str) {
        self.lock().retain(|desk| &*desk.queue.name != queue);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Desk>>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Office {
    /// Has as many connections for claims as its queues need.
    pub(crate) fn make_room(&self) {
        let desks = self.desks.all();
        let batches = desks.iter().map(|desk| desk.queue.batches()).sum();
        self.store.claim_for(desks.len(), batches);
    }

    /// Serves the queues so from now on. Fetchers are told if that is news.
    pub(crate) fn steer(&self, steering: impl Fn(&str) -> Steering) {
        for desk in self.desks.all() {
            let name = &desk.queue.name;
            if desk.steer(steering(name)) {
                self.bulletin.say(Event::QueueSteered {
                    queue: Arc::clone(name),
                    steering: format!("{:?}", desk.steering()),
                });
                self.wakeups.wake_queue(name);
            }
        }
    }
}
