//! Demand that a stage asks for itself.

use callboard::stage::{
    self, Asks, Consumer, InletId, Inlets, Mailbox, StageResult, SubscribeOptions,
};
use tokio::sync::mpsc;

use crate::support::counter;

/// Asks when it is told to.
struct Asking {
    got: mpsc::UnboundedSender<Vec<u64>>,
    inlet: Option<InletId>,
}

impl Consumer for Asking {
    type Event = u64;
    type Message = u32;

    async fn started(&mut self, myself: Mailbox<u32>, _: &mut Inlets<u64>) -> StageResult {
        // Before it has a producer: nothing comes of it.
        myself.send(7)?;
        Ok(())
    }

    async fn subscribed(&mut self, inlet: InletId, _: &mut Inlets<u64>) -> StageResult {
        self.inlet = Some(inlet);
        Ok(())
    }

    async fn handle(&mut self, demand: u32, inlets: &mut Inlets<u64>) -> StageResult {
        if let Some(inlet) = self.inlet {
            inlets.ask(inlet, demand);
            assert_eq!(inlets.outstanding(inlet), u64::from(demand));
        }
        Ok(())
    }

    async fn consume(&mut self, events: Vec<u64>, inlets: &mut Inlets<u64>) -> StageResult {
        assert_eq!(inlets.from(), self.inlet);
        self.got.send(events)?;
        Ok(())
    }
}

#[tokio::test]
async fn manual_demand_is_what_the_stage_asks_for() {
    let (counter, mut demands) = counter();
    let (tell, mut got) = mpsc::unbounded_channel();
    let build = move || Asking {
        got: tell.clone(),
        inlet: None,
    };
    let consumer = stage::consumer("asking", build).spawn().await.unwrap();
    let counter_stage = counter.spawn().await.unwrap();
    let options = SubscribeOptions::new().asks(Asks::Manual);
    consumer.subscribe(counter.source(), options).await.unwrap();
    crate::support::eventually("it has subscribed", || {
        !counter_stage.info().downstream.is_empty()
    })
    .await;
    consumer.send(0).unwrap();
    consumer.send(3).unwrap();
    assert_eq!(got.recv().await, Some(vec![0, 1, 2]));
    consumer.send(1).unwrap();
    assert_eq!(got.recv().await, Some(vec![3]));
    assert_eq!(
        [demands.recv().await, demands.recv().await],
        [Some(3), Some(1)]
    );
    consumer.stop();
    counter_stage.stop();
}
