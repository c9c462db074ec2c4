//! An application's own actors under our supervisors, without a database, under a paused clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use callboard::supervision::{
    Backoff, ChildSpec, EventKind, Strategy, SupervisorRef, SupervisorSpec,
};
use callboard::testing::{Role, TestTree};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};

/// Counts how often it was started.
#[derive(Clone)]
struct Counting;

#[ractor::actor(message = (), arguments = Arc<AtomicU32>)]
impl Counting {
    async fn pre_start(
        &self,
        _: ActorRef<()>,
        starts: Arc<AtomicU32>,
    ) -> Result<(), ActorProcessingErr> {
        starts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

async fn tree(starts: &Arc<AtomicU32>) -> SupervisorRef {
    let by_hand = |supervisor: ActorCell| async move {
        let (actor, _) = Actor::spawn_linked(None, Counting, Arc::default(), supervisor).await?;
        Ok(actor.get_cell())
    };
    let caches = SupervisorSpec::new(Strategy::OneForOne).child(
        ChildSpec::actor("prices", Counting, Arc::clone(starts)).backoff(Backoff::exponential(
            Duration::from_secs(60),
            Duration::from_secs(600),
        )),
    );
    SupervisorSpec::new(Strategy::OneForOne)
        .child(ChildSpec::supervisor("caches", caches))
        .child(ChildSpec::new("by_hand", by_hand))
        .spawn()
        .await
        .expect("the tree starts")
}

#[tokio::test(start_paused = true)]
async fn an_actor_crashes_and_is_back_after_its_backoff() {
    let starts = Arc::new(AtomicU32::new(0));
    let tree = TestTree::of(&tree(&starts).await).patience(Duration::from_secs(3600));
    let prices = Role::at(["caches", "prices"]);
    tree.crash(prices.clone()).await;
    tree.restarted(prices.clone()).await;
    assert_eq!(starts.load(Ordering::Relaxed), 2);
    tree.kill(prices.clone()).await;
    tree.restarted(prices).await;
    assert_eq!(starts.load(Ordering::Relaxed), 3);
    let waits = tree
        .events()
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::BackingOff { delay, .. } => Some(delay),
            _ => None,
        });
    assert!(waits.sum::<Duration>() >= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_crashes_with_all_below_it() {
    let starts = Arc::new(AtomicU32::new(0));
    let tree = TestTree::of(&tree(&starts).await);
    tree.crash(Role::at(["caches"])).await;
    tree.restarted(Role::at(["caches"])).await;
    assert_eq!(starts.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "start it with ChildSpec::actor, or kill it")]
async fn an_actor_that_a_function_starts_can_only_be_killed() {
    let tree = TestTree::of(&tree(&Arc::default()).await);
    tree.kill(Role::at(["by_hand"])).await;
    tree.restarted(Role::at(["by_hand"])).await;
    tree.crash(Role::at(["by_hand"])).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "in vain until caches/prices was restarted")]
async fn waiting_for_a_restart_that_does_not_come_ends() {
    let tree = TestTree::of(&tree(&Arc::default()).await);
    tree.restarted(Role::at(["caches", "prices"])).await;
}
