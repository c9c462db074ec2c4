//! The looks of somebody who looks again and again: who has written something waits for one that began
//! after that.

use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct Looks(watch::Sender<Counted>);

#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    begun: u64,
    ended: u64,
}

impl Looks {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Counted::default()))
    }

    /// A look begins; answers with its number.
    pub(crate) fn begin(&self) -> u64 {
        let mut number = 0;
        self.0.send_modify(|counted| {
            counted.begun += 1;
            number = counted.begun;
        });
        number
    }

    pub(crate) fn end(&self, number: u64) {
        self.0.send_modify(|counted| counted.ended = number);
    }

    /// Waits for the end of a look that begins after this call, whenever the waiting begins.
    pub(crate) fn next(&self) -> impl Future<Output = ()> + use<> {
        let mut counted = self.0.subscribe();
        let before = counted.borrow_and_update().begun;
        async move {
            // Nobody looks any more if it fails, so there is nothing to wait for.
            let _seen = counted.wait_for(|counted| counted.ended > before).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_look_between_the_call_and_the_waiting_counts() {
        let looks = Looks::new();
        let waiting = looks.next();
        looks.end(looks.begin());
        assert!(waiting.now_or_never().is_some());
    }

    #[test]
    fn a_look_that_had_begun_before_does_not_count() {
        let looks = Looks::new();
        let first = looks.begin();
        let mut waiting = Box::pin(looks.next());
        assert!((&mut waiting).now_or_never().is_none());
        looks.end(first);
        assert!((&mut waiting).now_or_never().is_none());
        let second = looks.begin();
        looks.end(second);
        assert!((&mut waiting).now_or_never().is_some());
    }
}
