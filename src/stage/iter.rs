//! An iterator as a producer.

use std::convert::Infallible;

use super::{Outlet, Producer, StageResult};

/// A producer that emits what an iterator yields, taken only when it is asked for, and that finishes
/// when there is no more: its consumers get everything, then the end.
///
/// A restart begins anew, with what `build` makes of it. As a child it is best
/// [transient](crate::supervision::Restart::Transient): a permanent one is started again when it is
/// done. `next` runs in the actor and must not block for long.
///
/// # Examples
///
/// ```
/// # use futures_util::StreamExt;
/// use callboard::stage::{self, IterProducer, SubscribeOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let numbers = stage::producer("numbers", || IterProducer::new(1..=3)).spawn().await?;
/// let got: Vec<i32> = numbers.source().stream(SubscribeOptions::new())?.collect().await;
/// assert_eq!(got, [1, 2, 3]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct IterProducer<I>(I);

impl<I: Iterator> IterProducer<I> {
    /// Emits what this yields.
    pub fn new(items: impl IntoIterator<IntoIter = I>) -> Self {
        Self(items.into_iter())
    }
}

impl<I> Producer for IterProducer<I>
where
    I: Iterator + Send + 'static,
    I::Item: Send + 'static,
{
    type Event = I::Item;
    type Message = Infallible;

    async fn produce(&mut self, demand: usize, outlet: &mut Outlet<I::Item>) -> StageResult {
        for _ in 0..demand {
            match self.0.next() {
                Some(item) => outlet.emit(item),
                None => {
                    outlet.finish();
                    break;
                }
            }
        }
        Ok(())
    }
}
