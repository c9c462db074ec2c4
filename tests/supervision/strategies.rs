//! Who is restarted with whom.

use callboard::supervision::*;

use crate::fixture::*;

async fn three(strategy: Strategy, log: &Log) -> Tree {
    let spec = SupervisorSpec::new(strategy);
    let spec = ["a", "b", "c"]
        .iter()
        .fold(spec, |spec, id| spec.child(probe(id, log)));
    Tree::spawn(spec).await
}

#[tokio::test(start_paused = true)]
async fn one_for_one_restarts_only_the_child_that_failed() {
    let log = Log::default();
    let mut tree = three(Strategy::OneForOne, &log).await;
    tree.tell(&["b"], Order::Fail);
    let lines = tree.lines_until("b restarted 1").await;
    assert_eq!(lines, ["b failed: ordered to fail", "b restarted 1"]);
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn one_for_all_stops_the_others_in_reverse_and_starts_all_in_order() {
    let log = Log::default();
    let mut tree = three(Strategy::OneForAll, &log).await;
    tree.tell(&["b"], Order::Fail);
    assert_eq!(
        tree.lines_until("c restarted 1").await,
        [
            "b failed: ordered to fail",
            "c stopped: shutdown",
            "a stopped: shutdown",
            "a restarted 1",
            "b restarted 1",
            "c restarted 1",
        ]
    );
    assert_eq!(log.take(), ["c stopped", "a stopped"]);
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_restarts_the_child_and_those_started_after_it() {
    let log = Log::default();
    let mut tree = three(Strategy::RestForOne, &log).await;
    tree.tell(&["b"], Order::Fail);
    assert_eq!(
        tree.lines_until("c restarted 1").await,
        [
            "b failed: ordered to fail",
            "c stopped: shutdown",
            "b restarted 1",
            "c restarted 1"
        ]
    );
    assert_eq!(log.take(), ["c stopped"]);
}

#[tokio::test(start_paused = true)]
async fn siblings_stay_down_while_the_child_that_failed_backs_off() {
    let log = Log::default();
    let spec = SupervisorSpec::new(Strategy::OneForAll)
        .child(probe("a", &log))
        .child(probe("b", &log).backoff(Backoff::exponential(SECOND, SECOND)));
    let mut tree = Tree::spawn(spec).await;
    tree.tell(&["b"], Order::Fail);
    let lines = tree.lines_until("b backs off 1").await;
    assert_eq!(lines[1], "a stopped: shutdown");
    let restarting = ChildStatus::Restarting;
    assert_eq!(
        tree.children().await,
        [("a".into(), restarting), ("b".into(), restarting)]
    );
    let lines = tree.lines_until("b restarted 1").await;
    assert_eq!(lines, ["a restarted 1", "b restarted 1"]);
}

#[tokio::test(start_paused = true)]
async fn temporary_siblings_are_stopped_and_not_restarted() {
    let log = Log::default();
    let spec = SupervisorSpec::new(Strategy::OneForAll)
        .child(probe("a", &log))
        .child(probe("t", &log).restart(Restart::Temporary));
    let mut tree = Tree::spawn(spec).await;
    tree.tell(&["a"], Order::Fail);
    let lines = tree.lines_until("a restarted 1").await;
    assert_eq!(
        lines,
        [
            "a failed: ordered to fail",
            "t stopped: shutdown",
            "a restarted 1"
        ]
    );
    assert_eq!(tree.children().await, [("a".into(), ChildStatus::Running)]);
}

#[tokio::test(start_paused = true)]
async fn old_states_are_dropped_before_siblings_are_restarted() {
    // A probe that cannot start while the state of the one before lives, as with a bound socket.
    let exclusive = |id: &str| {
        let place = std::sync::Arc::new(());
        let id = id.to_owned();
        ChildSpec::new(id.clone(), move |supervisor| {
            let (place, id) = (place.clone(), id.clone());
            async move {
                let is_taken = std::sync::Arc::strong_count(&place) > 2;
                let arguments = (id, if is_taken { None } else { Some(place) });
                let actor = ractor::Actor::spawn_linked(None, Exclusive, arguments, supervisor);
                actor.await.map(|(actor, _)| actor.get_cell())
            }
        })
    };
    let spec = SupervisorSpec::new(Strategy::OneForAll)
        .child(exclusive("a"))
        .child(exclusive("b"));
    let mut tree = Tree::spawn(spec).await;
    tree.cell(&["b"]).kill();
    let lines = tree.lines_until("b restarted 1").await;
    assert_eq!(
        lines,
        [
            "b killed",
            "a stopped: shutdown",
            "a restarted 1",
            "b restarted 1"
        ]
    );
}

struct Exclusive;

type Place = std::sync::Arc<()>;

#[ractor::actor(message = Order, state = Place, arguments = (String, Option<Place>))]
impl Exclusive {
    async fn pre_start(
        &self,
        _myself: ractor::ActorRef<Order>,
        (id, place): (String, Option<Place>),
    ) -> Result<Place, ractor::ActorProcessingErr> {
        place.ok_or_else(|| format!("the place of {id} is taken").into())
    }
}
