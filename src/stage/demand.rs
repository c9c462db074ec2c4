//! When a consumer asks again: GenStage's automatic demand, as a pure state machine.

/// A consumer's automatic demand for one subscription.
///
/// It holds at most `max` events at a time and asks again when at most `min` are outstanding. With
/// `max` 1 and `min` 0 it is strictly one at a time; with `min > 0` the pipe never runs dry. The
/// algorithm is GenStage's (`split_batches` in its source).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    max: u32,
    min: u32,
    outstanding: u32,
}

/// A part of the events that arrived, and what to ask for once it is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// How many events.
    pub len: usize,
    /// How many to ask for afterwards; 0: nothing.
    pub ask_after: u32,
}

impl Demand {
    /// A demand of at most `max` events (at least 1), asking again at `min` (less than `max`).
    #[must_use]
    pub fn new(max: u32, min: u32) -> Self {
        let max = max.max(1);
        Self {
            max,
            min: min.min(max - 1),
            outstanding: 0,
        }
    }

    /// A demand of at most `max` events, asking again when half of them are handled.
    #[must_use]
    pub fn halving(max: u32) -> Self {
        Self::new(max, max / 2)
    }

    /// What to ask for at the beginning of a subscription; earlier demand is forgotten.
    pub fn begin(&mut self) -> u32 {
        self.outstanding = self.max;
        self.max
    }

    /// Takes the first part of `events` that arrived, and plans when to ask again. Repeated for the
    /// rest: nothing of it is asked for before this part is handled.
    pub fn take(&mut self, events: usize) -> Chunk {
        let len = events.min((self.max - self.min) as usize);
        Chunk {
            len,
            ask_after: self.handle(len as u32),
        }
    }

    fn handle(&mut self, len: u32) -> u32 {
        let left = self.outstanding.saturating_sub(len);
        if left > self.min {
            self.outstanding = left;
            return 0;
        }
        self.outstanding = self.max;
        self.max - left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(demand: &mut Demand, mut events: usize) -> Vec<(usize, u32)> {
        let mut plan = Vec::new();
        while events > 0 {
            let chunk = demand.take(events);
            events -= chunk.len;
            plan.push((chunk.len, chunk.ask_after));
        }
        plan
    }

    #[test]
    fn a_demand_of_one_asks_after_each() {
        let mut demand = Demand::halving(1);
        assert_eq!(demand.begin(), 1);
        assert_eq!(plan(&mut demand, 1), [(1, 1)]);
        assert_eq!(plan(&mut demand, 1), [(1, 1)]);
    }

    #[test]
    fn halving_asks_when_half_is_handled() {
        let mut demand = Demand::halving(100);
        assert_eq!(demand.begin(), 100);
        assert_eq!(plan(&mut demand, 100), [(50, 50), (50, 50)]);
        // In GenStage's own words: chunks of 0..49, then 50..99.
        assert_eq!(plan(&mut demand, 30), [(30, 0)]);
        assert_eq!(plan(&mut demand, 20), [(20, 50)]);
    }

    #[test]
    fn a_high_minimum_asks_in_small_steps() {
        let mut demand = Demand::new(100, 80);
        demand.begin();
        assert_eq!(plan(&mut demand, 60), [(20, 20), (20, 20), (20, 20)]);
    }

    #[test]
    fn more_than_was_asked_for_never_underflows() {
        let mut demand = Demand::new(2, 0);
        demand.begin();
        assert_eq!(plan(&mut demand, 5), [(2, 2), (2, 2), (1, 0)]);
    }
}
