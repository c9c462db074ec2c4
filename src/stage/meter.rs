//! What is counted of stages and subscriptions, for people: atomics that nobody decides by.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{PartitionLoad, StageInfo, SubscriptionInfo};

/// The counts of one subscription, shared by its two ends.
#[derive(Debug)]
pub(super) struct Meter {
    consumer: Arc<str>,
    asked: AtomicU64,
    delivered: AtomicU64,
    missed: AtomicU64,
}

impl Meter {
    pub(super) fn new(consumer: Arc<str>) -> Self {
        Self {
            consumer,
            asked: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        }
    }

    pub(super) fn asked(&self, demand: u32) {
        self.asked.fetch_add(u64::from(demand), Ordering::Relaxed);
    }

    pub(super) fn delivered(&self, events: usize, missed: u64) {
        self.delivered.fetch_add(events as u64, Ordering::Relaxed);
        self.missed.fetch_add(missed, Ordering::Relaxed);
    }

    fn info(&self, producer: &Arc<str>) -> SubscriptionInfo {
        // Delivered first: it never exceeds what was asked before.
        let delivered = self.delivered.load(Ordering::Relaxed);
        SubscriptionInfo {
            producer: Arc::clone(producer),
            consumer: Arc::clone(&self.consumer),
            asked: self.asked.load(Ordering::Relaxed).max(delivered),
            delivered,
            missed: self.missed.load(Ordering::Relaxed),
        }
    }
}

/// The counts of one stage. They outlive it: its successor begins with no subscriptions, and goes on
/// counting.
#[derive(Debug)]
pub(super) struct Gauges {
    name: Arc<str>,
    buffered: AtomicU64,
    waiting: AtomicU64,
    dropped: AtomicU64,
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    upstream: Vec<(Arc<str>, Arc<Meter>)>,
    downstream: Vec<Arc<Meter>>,
    partitions: Vec<PartitionLoad>,
}

impl Gauges {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            buffered: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            lists: Mutex::default(),
        }
    }

    /// A stage begins: what its predecessor had is gone.
    pub(super) fn begin(&self) {
        self.buffered(0);
        self.waiting(0);
        *self.lock() = Lists::default();
    }

    pub(super) fn buffered(&self, events: usize) {
        self.buffered.store(events as u64, Ordering::Relaxed);
    }

    pub(super) fn waiting(&self, events: usize) {
        self.waiting.store(events as u64, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self, events: usize) {
        self.dropped.fetch_add(events as u64, Ordering::Relaxed);
    }

    pub(super) fn partitions(&self, loads: Vec<PartitionLoad>) {
        self.lock().partitions = loads;
    }

    pub(super) fn gained_producer(&self, name: &Arc<str>, meter: &Arc<Meter>) {
        let entry = (Arc::clone(name), Arc::clone(meter));
        self.lock().upstream.push(entry);
    }

    pub(super) fn lost_producer(&self, meter: &Arc<Meter>) {
        self.lock()
            .upstream
            .retain(|(_, known)| !Arc::ptr_eq(known, meter));
    }

    pub(super) fn gained_consumer(&self, meter: &Arc<Meter>) {
        self.lock().downstream.push(Arc::clone(meter));
    }

    pub(super) fn lost_consumer(&self, meter: &Arc<Meter>) {
        self.lock()
            .downstream
            .retain(|known| !Arc::ptr_eq(known, meter));
    }

    pub(super) fn info(&self) -> StageInfo {
        let lists = self.lock();
        let upstream = lists.upstream.iter();
        let downstream = lists.downstream.iter();
        StageInfo {
            name: Arc::clone(&self.name),
            buffered: self.buffered.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            upstream: upstream.map(|(name, meter)| meter.info(name)).collect(),
            downstream: downstream.map(|meter| meter.info(&self.name)).collect(),
            partitions: lists.partitions.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        // Nothing panics while it holds the lock.
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
