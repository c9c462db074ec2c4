//! A `futures` stream as a producer.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::Stream;

use super::{Mailbox, Outlet, Producer, StageResult};

/// A producer that emits what a [`Stream`] yields, polled only while something is asked for, and that
/// finishes when the stream does.
///
/// While the stream is pending the stage goes on hearing its consumers. A restart begins anew, with
/// the stream that `build` makes then.
///
/// # Examples
///
/// ```
/// # use futures_util::StreamExt;
/// use callboard::stage::{self, StreamProducer, SubscribeOptions};
/// use futures_util::stream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let build = || StreamProducer::new(stream::iter(["a", "b"]));
/// let letters = stage::producer("letters", build).spawn().await?;
/// let got: Vec<&str> = letters.source().stream(SubscribeOptions::new())?.collect().await;
/// assert_eq!(got, ["a", "b"]);
/// # Ok(())
/// # }
/// ```
pub struct StreamProducer<S> {
    stream: Pin<Box<S>>,
    waker: Waker,
}

/// Says that a stream may have more.
#[derive(Debug)]
pub struct StreamReady(Arc<WakesStage>);

/// Wakes a stage, once for all wakes until it polls.
#[derive(Debug)]
struct WakesStage {
    stage: Mailbox<StreamReady>,
    is_woken: AtomicBool,
}

impl Wake for WakesStage {
    fn wake(self: Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            // A stage that is gone wants no more.
            let _gone = self.stage.send(StreamReady(Arc::clone(&self)));
        }
    }
}

impl<S: Stream> StreamProducer<S> {
    /// Emits what this yields.
    pub fn new(stream: S) -> Self {
        Self {
            stream: Box::pin(stream),
            waker: Waker::noop().clone(),
        }
    }
}

impl<S> Producer for StreamProducer<S>
where
    S: Stream + Send + 'static,
    S::Item: Send + 'static,
{
    type Event = S::Item;
    type Message = StreamReady;

    async fn started(
        &mut self,
        myself: Mailbox<StreamReady>,
        _outlet: &mut Outlet<S::Item>,
    ) -> StageResult {
        self.waker = Waker::from(Arc::new(WakesStage {
            stage: myself,
            is_woken: AtomicBool::new(false),
        }));
        Ok(())
    }

    async fn produce(&mut self, demand: usize, outlet: &mut Outlet<S::Item>) -> StageResult {
        let mut cx = Context::from_waker(&self.waker);
        for _ in 0..demand {
            match self.stream.as_mut().poll_next(&mut cx) {
                Poll::Ready(Some(item)) => outlet.emit(item),
                Poll::Ready(None) => {
                    outlet.finish();
                    break;
                }
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// What was woken for follows at once, since there is demand.
    async fn handle(&mut self, ready: StreamReady, _outlet: &mut Outlet<S::Item>) -> StageResult {
        ready.0.is_woken.store(false, Ordering::Release);
        Ok(())
    }
}

impl<S> fmt::Debug for StreamProducer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamProducer")
    }
}
