//! For how long no enqueue waits for a claim after one has waited in vain.

use std::time::Duration;

use tokio::time::Instant;

/// So many times as long as the wait in vain; and each time twice as long, until some are born.
const TIMES: u32 = 8;
const LONGEST: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Rest {
    until: Option<Instant>,
    /// How often it was in vain since a birth.
    in_vain: u32,
}

impl Rest {
    pub(super) fn is_on(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    /// It was in vain to wait for so long, or would have been.
    pub(super) fn begin(&mut self, waited: Duration) {
        if self.is_on() {
            // Of several that waited together, one counts.
            return;
        }
        let times = TIMES.saturating_mul(1 << self.in_vain.min(16));
        self.until = Some(Instant::now() + waited.saturating_mul(times).min(LONGEST));
        self.in_vain = self.in_vain.saturating_add(1);
    }

    /// Some were born: the next rest is short again.
    pub(super) fn forget(&mut self) {
        self.in_vain = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// How long it rests after a wait in vain of 10 ms.
    async fn length(rest: &mut Rest) -> Duration {
        rest.begin(10 * MS);
        let since = Instant::now();
        while rest.is_on() {
            tokio::time::advance(MS).await;
        }
        since.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_twice_as_long_as_the_one_before_up_to_a_bound() {
        let mut rest = Rest::default();
        assert!(!rest.is_on());
        for expected in [80, 160, 320, 640, 1_280, 2_560, 5_120, 10_000, 10_000] {
            assert_eq!(length(&mut rest).await, expected * MS);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_short_again_after_a_birth() {
        let mut rest = Rest::default();
        assert_eq!(length(&mut rest).await, 80 * MS);
        assert_eq!(length(&mut rest).await, 160 * MS);
        rest.forget();
        assert_eq!(length(&mut rest).await, 80 * MS);
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_that_waited_together_one_counts() {
        let mut rest = Rest::default();
        rest.begin(10 * MS);
        tokio::time::advance(MS).await;
        rest.begin(10 * MS);
        tokio::time::advance(79 * MS).await;
        assert!(!rest.is_on());
        assert_eq!(length(&mut rest).await, 160 * MS);
    }
}
