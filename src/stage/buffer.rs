//! Events that nobody has asked for yet, in order, with a bound: a pure state machine.
//!
//! Marks stand between events. One is due when everything that stood before it has left the buffer,
//! by dispatch or by overflow.

use std::collections::VecDeque;

/// How many events a producer buffers at most unless chosen otherwise; as in GenStage.
pub const DEFAULT_BUFFER_SIZE: usize = 10_000;

/// Which events stay when a buffer overflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// The newest; the oldest are dropped.
    #[default]
    Last,
    /// The oldest; the newest are dropped.
    First,
}

/// How many events are buffered that nobody has asked for, and which stay when there are more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct BufferOptions {
    size: usize,
    keep: Keep,
}

impl BufferOptions {
    /// At most this many events (0: none at all), keeping the newest.
    pub const fn bounded(size: usize) -> Self {
        Self {
            size,
            keep: Keep::Last,
        }
    }

    /// As many as there are. For stages that emit no more than was asked for, or know another bound.
    pub const fn unbounded() -> Self {
        Self::bounded(usize::MAX)
    }

    /// Says which events stay.
    pub const fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }
}

/// What a buffer had no room for.
#[derive(Debug, PartialEq, Eq)]
pub struct Overflow<T> {
    /// The events, in their order. Dropping this drops them.
    pub events: Vec<T>,
    /// Which ones they are.
    pub kept: Keep,
}

#[derive(Debug)]
pub(super) struct Buffer<T> {
    events: VecDeque<T>,
    options: BufferOptions,
    /// How many events have left to the dispatcher.
    taken: u64,
    /// Each mark is due when this many are taken.
    marks: VecDeque<u64>,
}

impl<T> Buffer<T> {
    pub(super) fn new(options: BufferOptions) -> Self {
        Self {
            events: VecDeque::new(),
            options,
            taken: 0,
            marks: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn push(&mut self, event: T) {
        self.events.push_back(event);
    }

    pub(super) fn extend(&mut self, events: impl IntoIterator<Item = T>) {
        self.events.extend(events);
    }

    /// Lets `take` take events from the front.
    pub(super) fn take_with(&mut self, take: impl FnOnce(&mut VecDeque<T>)) {
        let before = self.events.len();
        take(&mut self.events);
        self.taken += (before - self.events.len()) as u64;
    }

    /// Events that were taken and could not be delivered stand in front again.
    pub(super) fn put_back(&mut self, events: Vec<T>) {
        self.taken -= events.len() as u64;
        for event in events.into_iter().rev() {
            self.events.push_front(event);
        }
    }

    /// Sets a mark behind everything that is here.
    pub(super) fn mark(&mut self) {
        self.marks.push_back(self.taken + self.events.len() as u64);
    }

    /// Takes the first mark if it is due. `first_held` is the number of the first event, counted from
    /// 0 by their taking, that the dispatcher still holds.
    pub(super) fn pass_mark(&mut self, first_held: Option<u64>) -> bool {
        let passed = first_held.unwrap_or(u64::MAX).min(self.taken);
        let is_due = self.marks.front().is_some_and(|mark| *mark <= passed);
        if is_due {
            self.marks.pop_front();
        }
        is_due
    }

    /// Drops what is too much.
    pub(super) fn overflow(&mut self) -> Option<Overflow<T>> {
        let excess = self.events.len().saturating_sub(self.options.size);
        if excess == 0 {
            return None;
        }
        let kept = self.options.keep;
        let events = match kept {
            Keep::Last => {
                let dropped = self.events.drain(..excess).collect();
                self.move_marks(excess as u64);
                dropped
            }
            Keep::First => {
                let dropped = self.events.split_off(self.options.size).into();
                self.clamp_marks();
                dropped
            }
        };
        Some(Overflow { events, kept })
    }

    /// Keeps only these events.
    pub(super) fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.events.retain(keep);
        // Marks may be due a little late, never early.
        self.clamp_marks();
    }

    /// Events have left from the front without being taken.
    fn move_marks(&mut self, by: u64) {
        for mark in &mut self.marks {
            *mark = mark.saturating_sub(by).max(self.taken);
        }
    }

    fn clamp_marks(&mut self) {
        let end = self.taken + self.events.len() as u64;
        for mark in &mut self.marks {
            *mark = (*mark).min(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(options: BufferOptions, events: std::ops::Range<u32>) -> Buffer<u32> {
        let mut buffer = Buffer::new(options);
        events.for_each(|event| buffer.push(event));
        buffer
    }

    fn take(buffer: &mut Buffer<u32>, count: usize) {
        buffer.take_with(|events| drop(events.drain(..count)));
    }

    #[test]
    fn the_newest_stay_or_the_oldest() {
        let mut last = buffer(BufferOptions::bounded(2), 0..5);
        let expected = Overflow {
            events: vec![0, 1, 2],
            kept: Keep::Last,
        };
        assert_eq!(last.overflow(), Some(expected));
        assert_eq!(last.events, [3, 4]);
        let mut first = buffer(BufferOptions::bounded(2).keep(Keep::First), 0..5);
        let expected = Overflow {
            events: vec![2, 3, 4],
            kept: Keep::First,
        };
        assert_eq!(first.overflow(), Some(expected));
        assert_eq!(first.events, [0, 1]);
        assert_eq!(first.overflow(), None);
    }

    #[test]
    fn a_mark_is_due_when_all_before_it_is_taken() {
        let mut buffer = buffer(BufferOptions::unbounded(), 0..3);
        buffer.mark();
        buffer.push(3);
        take(&mut buffer, 2);
        assert!(!buffer.pass_mark(None));
        take(&mut buffer, 1);
        assert!(buffer.pass_mark(None));
        assert!(!buffer.pass_mark(None), "each mark is passed once");
    }

    #[test]
    fn a_mark_waits_for_what_the_dispatcher_holds_and_for_what_came_back() {
        let mut buffer = buffer(BufferOptions::unbounded(), 0..3);
        buffer.mark();
        take(&mut buffer, 3);
        assert!(!buffer.pass_mark(Some(2)), "the last of the three is held");
        buffer.put_back(vec![2]);
        assert!(!buffer.pass_mark(None));
        take(&mut buffer, 1);
        assert!(buffer.pass_mark(None));
    }

    #[test]
    fn overflow_neither_loses_nor_delays_a_mark() {
        let mut last = buffer(BufferOptions::bounded(2), 0..4);
        last.mark();
        last.push(4);
        last.overflow();
        take(&mut last, 1);
        assert!(last.pass_mark(None), "3 was the last before the mark");
        let mut first = buffer(BufferOptions::bounded(2).keep(Keep::First), 0..4);
        first.mark();
        first.overflow();
        take(&mut first, 2);
        assert!(first.pass_mark(None));
        let mut none = buffer(BufferOptions::bounded(0), 0..2);
        none.mark();
        none.overflow();
        assert!(none.pass_mark(None));
    }
}
