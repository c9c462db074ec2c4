//! What happens on a node is said once, to whoever listens.

use std::time::Duration;

use callboard::board::Builder;
use callboard::job::Transition;
use callboard::queue::AtBirth;
use callboard::store::{Cancelled, Fate};
use callboard::supervision::{EventKind, Subscription};
use callboard::testing::{Fault, Role, TestBoard};
use callboard::{Board, BoxError, Client, Event, Queue, call, functions};

use crate::support::acts::{hold, stage, until_ran};
use crate::support::child::Plan;
use crate::support::{board, database_at, eventually, server, sql};

async fn nothing() {}

async fn fails() -> Result<(), BoxError> {
    Err("as planned".into())
}

fn configure(builder: Builder) -> Builder {
    builder
        // So that every job is claimed by a claim, which is told of.
        .queue(
            Queue::new("default")
                .workers(2)
                .at_birth(AtBirth::Available),
        )
        .functions(functions![nothing, fails])
}

/// The next event that `pick` picks.
async fn next<T>(
    events: &mut Subscription<Event>,
    what: &str,
    mut pick: impl FnMut(Event) -> Option<T>,
) -> T {
    let waiting = async {
        loop {
            let event = events.next().await.expect("the board runs");
            if let Some(picked) = pick(event.expect("nothing was missed")) {
                return picked;
            }
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    waited.unwrap_or_else(|_| panic!("nobody says: {what}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_of_a_job_is_told_step_by_step_each_step_once() {
    let board = board(configure).await;
    let mut events = board.events();
    let id = board.client().enqueue(call!(nothing())).await.unwrap();
    let mut steps = Vec::new();
    next(&mut events, "the answer was written", |event| {
        let step = match &event {
            Event::Enqueued {
                queue,
                jobs: 1,
                is_in_transaction: false,
                ..
            } => format!("enqueued in {queue}"),
            Event::Claimed { jobs: 1, .. } => "claimed".to_owned(),
            Event::Started(started) if started.job == id => format!("started {}", started.attempt),
            Event::Attempted(attempted) if attempted.job == id => {
                assert!(attempted.is_accepted && attempted.ran.is_some());
                attempted.transition.verb().to_owned()
            }
            Event::Written {
                answers: 1,
                refused: 0,
                ..
            } => "written".to_owned(),
            _ => return None,
        };
        steps.push(step);
        (steps.len() == 5).then_some(())
    })
    .await;
    steps.sort_unstable();
    let expected = [
        "claimed",
        "complete",
        "enqueued in default",
        "started 1",
        "written",
    ];
    assert_eq!(steps, expected);
    board.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_is_told_as_one_fact_for_each_queue_and_kind() {
    let client = Client::connect(database_at(&server::fresh_database().await));
    let client = client.await.unwrap();
    let mut events = client.events();
    let calls = (0..30).map(|n| match n % 3 {
        0 => call!(fails()).queue("left"),
        1 => call!(fails()),
        _ => call!(nothing()),
    });
    client.enqueue_many(calls).await.unwrap();
    let mut told = Vec::new();
    while let Some(event) = events.try_next() {
        if let Event::Enqueued {
            queue, kind, jobs, ..
        } = event.unwrap()
        {
            let kind = kind.rsplit("::").next().unwrap().to_owned();
            told.push((queue.to_string(), kind, jobs));
        }
    }
    told.sort_unstable();
    let expected = [
        ("default", "fails"),
        ("default", "nothing"),
        ("left", "fails"),
    ];
    let expected = expected.map(|(queue, kind)| (queue.to_owned(), kind.to_owned(), 10));
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enqueue_in_a_transaction_is_told_as_one_that_may_roll_back() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let mut events = client.events();
    let mut rows = sql::connect(&url).await;
    let transaction = rows.transaction().await.unwrap();
    let enqueued = client.enqueue_in(&transaction, call!(nothing())).await;
    enqueued.unwrap();
    transaction.rollback().await.unwrap();
    let is_in_transaction = |event| match event {
        Event::Enqueued {
            is_in_transaction, ..
        } => Some(is_in_transaction),
        _ => None,
    };
    assert!(next(&mut events, "enqueued", is_in_transaction).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_given_up_and_brought_back_is_told_of() {
    let board = board(configure).await;
    let mut events = board.events();
    let call = call!(fails()).max_attempts(1);
    let id = board.client().enqueue(call).await.unwrap();
    next(&mut events, "given up", |event| match event {
        Event::Attempted(attempted) if attempted.job == id => {
            let transition = attempted.transition;
            assert!(
                matches!(transition, Transition::Bury { .. }),
                "{transition:?}"
            );
            Some(())
        }
        _ => None,
    })
    .await;
    assert!(board.client().requeue(id).await.unwrap());
    let requeued = |event| match event {
        Event::Requeued { queue, jobs } => Some((queue, jobs)),
        _ => None,
    };
    let told = next(&mut events, "requeued", requeued).await;
    assert_eq!(told, ("default".to_owned(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_job_and_a_cancellation_are_told_of() {
    let board = board(configure).await;
    let mut events = board.events();
    let hour = Duration::from_secs(3600);
    let later = call!(nothing()).run_in(hour);
    let id = board.client().enqueue(later).await.unwrap();
    board.client().cancel(id).await.unwrap();
    let cancelled = |event| match event {
        Event::Cancelled { job, found } if job == id => Some(found),
        _ => None,
    };
    assert_eq!(
        next(&mut events, "cancelled", cancelled).await,
        Cancelled::AtOnce
    );
    let soon = call!(nothing()).run_in(Duration::from_millis(20));
    board.client().enqueue(soon).await.unwrap();
    let promoted = |event| match event {
        Event::Promoted { queue, jobs } => Some((queue, jobs)),
        _ => None,
    };
    let told = next(&mut events, "promoted", promoted).await;
    assert_eq!(told, ("default".to_owned(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_an_actor_and_its_successor_are_told_of() {
    let board = TestBoard::start(configure).await;
    let mut events = Board::events(&board);
    board.kill(Role::fetcher_of("default")).await;
    let mut has_died = false;
    next(&mut events, "the fetcher is back", |event| {
        let Event::Supervised(event) = event else {
            return None;
        };
        let is_fetcher = event.path.ids().eq(["queues", "default", "fetcher"]);
        match event.kind {
            EventKind::Exited { .. } if is_fetcher => has_died = true,
            EventKind::Restarted { .. } if is_fetcher => return Some(()),
            _ => {}
        }
        None
    })
    .await;
    assert!(has_died);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_when_it_begins_and_when_it_is_over() {
    let board = TestBoard::start(configure).await;
    let mut events = Board::events(&board);
    let fault = Fault::RefuseConnections(Duration::from_millis(300));
    let outage = board.inject(&fault);
    let watching = async {
        let degraded = |event| match event {
            Event::Degraded { part, reason } => Some((part, reason)),
            _ => None,
        };
        let (degraded, reason) = next(&mut events, "degraded", degraded).await;
        assert!(!reason.is_empty());
        next(&mut events, "works again", |event| match event {
            Event::Recovered { part, .. } if part == degraded => Some(()),
            _ => None,
        })
        .await;
    };
    let (outage, ()) = tokio::join!(outage, watching);
    outage.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_subscribes_to_the_builder_hears_the_beginning_and_the_end() {
    let database = database_at(&server::fresh_database().await);
    let builder = configure(Board::builder(database));
    let mut events = builder.events();
    let board = builder.start().await.unwrap();
    let up = |event| match event {
        Event::Up {
            node, queues: 1, ..
        } => Some(node),
        _ => None,
    };
    assert_eq!(next(&mut events, "up", up).await, board.node());
    board.shutdown().await.unwrap();
    next(&mut events, "closing", |event| match event {
        Event::Closing { in_hand: 0, .. } => Some(()),
        _ => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_came_too_late_is_told_as_refused() {
    let (url, rows) = stage().await;
    let board = Plan::new(&url).start().await;
    let mut events = board.events();
    let id = board.client().enqueue(call!(hold())).await.unwrap();
    until_ran(&rows, 1).await;
    rows.batch_execute("update callboard.jobs set attempt = attempt + 1")
        .await
        .unwrap();
    let (mut is_told, mut refused) = (false, 0);
    next(&mut events, "refused", |event| {
        match event {
            Event::Attempted(attempted) if attempted.job == id => {
                assert!(!attempted.is_accepted);
                is_told = true;
            }
            Event::Written { refused: some, .. } => refused += some,
            _ => {}
        }
        (is_told && refused == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_gone_and_its_job_are_told_of() {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    let id = client.enqueue(call!(nothing())).await.unwrap();
    let rows = sql::connect(&url).await;
    // It has held its session lock, and does not any more.
    let gone = "insert into callboard.nodes (id, lease_until, locked_at, name, version, queues, kinds) \
                values (7, now() + interval '1 hour', clock_timestamp(), 'gone', '0', '{}', '{}'); \
                update callboard.jobs set state = 'executing', attempt = 1, node = 7";
    rows.batch_execute(gone).await.unwrap();
    let builder = configure(Board::builder(database_at(&url)));
    let mut events = builder.events();
    let board = builder.start().await.unwrap();
    let gone = |event| match event {
        Event::NodeCondemned { node } => Some(node.as_i64()),
        _ => None,
    };
    assert_eq!(next(&mut events, "the node is gone", gone).await, 7);
    let rescued = |event| match event {
        Event::Rescued { job, queue, fate } => Some((job, queue, fate)),
        _ => None,
    };
    let told = next(&mut events, "its job is rescued", rescued).await;
    assert_eq!(told, (id, "default".to_owned(), Fate::Rescued));
    eventually("it is off the list", || async {
        let listed = "select count(*) from callboard.nodes where id = 7";
        (sql::number(&rows, listed).await == 0).then_some(())
    })
    .await;
    let later = board.client().enqueue(call!(nothing())).await.unwrap();
    next(&mut events, "a later job ends", |event| match event {
        Event::NodeCondemned { node } => panic!("{node} was found dead in more than one sweep"),
        Event::Attempted(attempted) => (attempted.job == later).then_some(()),
        _ => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_that_come_are_paused_and_go_are_told_of() {
    let board = board(configure).await;
    let mut events = board.events();
    let late = |event| match event {
        Event::QueueAdded { queue } => Some(("added", queue)),
        Event::QueueSteered { queue, .. } => Some(("steered", queue.to_string())),
        Event::QueueRemoved { queue } => Some(("removed", queue)),
        _ => None,
    };
    let told = |what| (what, "late".to_owned());
    board.add_queue(Queue::new("late")).await.unwrap();
    assert_eq!(next(&mut events, "added", late).await, told("added"));
    board.client().queue("late").pause().await.unwrap();
    assert_eq!(next(&mut events, "steered", late).await, told("steered"));
    board.remove_queue("late").await.unwrap();
    assert_eq!(next(&mut events, "removed", late).await, told("removed"));
}
