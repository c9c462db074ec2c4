//! How does the board hang under my own supervisor?
//!
//! `Builder::start_linked` makes its root a linked child of any ractor actor, which then hears of the
//! board's end as of any other child's. Here an application kills its board, hears of it and starts
//! another one; then it stops that one gracefully, and hears of that too.

use std::process::ExitCode;
use std::time::Duration;

use callboard::{
    Board, BoxError, Client, Context, Database, Error, JobId, JobState, Queue, call, functions,
};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};

mod support;

async fn half_a_second(cx: &mut Context) {
    println!("  job {} begins, attempt {}", cx.job_id(), cx.attempt());
    tokio::time::sleep(Duration::from_millis(500)).await;
    println!("  job {} ends", cx.job_id());
}

/// The application's supervisor: an actor as one writes it for ractor.
struct Application;

enum ApplicationMessage {
    /// Tell which board runs.
    GetBoard(RpcReplyPort<Board>),
    /// Stop the board, and then end.
    Close,
}

#[cfg(feature = "cluster")]
impl ractor::Message for ApplicationMessage {}

struct ApplicationState {
    database: Database,
    board: Board,
}

#[ractor::actor(message = ApplicationMessage, state = ApplicationState, arguments = Database)]
impl Application {
    async fn pre_start(
        &self,
        myself: ActorRef<ApplicationMessage>,
        database: Database,
    ) -> Result<ApplicationState, ActorProcessingErr> {
        let board = start_board(&database, myself.get_cell()).await?;
        Ok(ApplicationState { database, board })
    }

    async fn handle(
        &self,
        _myself: ActorRef<ApplicationMessage>,
        message: ApplicationMessage,
        state: &mut ApplicationState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ApplicationMessage::GetBoard(reply) => reply.send(state.board.clone())?,
            // As a supervisor stops any child. `Board::shutdown` would also wait for the end.
            ApplicationMessage::Close => state.board.supervisor().stop("closing time"),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<ApplicationMessage>,
        event: SupervisionEvent,
        state: &mut ApplicationState,
    ) -> Result<(), ActorProcessingErr> {
        println!("  the application hears: {event}");
        match event {
            SupervisionEvent::ActorTerminated(_, _, Some(reason)) if reason == "closing time" => {
                myself.stop(None);
            }
            SupervisionEvent::ActorTerminated(..) | SupervisionEvent::ActorFailed(..) => {
                state.board = start_board(&state.database, myself.get_cell()).await?;
                println!("  the application has started another board");
            }
            _ => {}
        }
        Ok(())
    }
}

async fn start_board(database: &Database, supervisor: ActorCell) -> Result<Board, Error> {
    Board::builder(database.clone())
        .queue(Queue::new("default").workers(2))
        .functions(functions![half_a_second])
        // A short wait for a short example; see `two_processes`.
        .lease(Duration::from_secs(3))
        .start_linked(supervisor)
        .await
}

#[tokio::main]
async fn main() -> ExitCode {
    support::run(example()).await
}

async fn example() -> Result<(), BoxError> {
    let database = Database::from_env_or_embedded()
        .await?
        .schema("callboard_in_supervisor");
    println!("The application starts, with a board under it.");
    let (application, ended) = Actor::spawn(None, Application, database).await?;
    let first = ractor::call!(application, ApplicationMessage::GetBoard)?;
    println!("\nThe board is killed while a job runs.");
    let lost = first.client().enqueue(call!(half_a_second())).await?;
    until_executing(first.client(), lost).await?;
    first.supervisor().cell().kill();
    first.stopped().await;
    // A board that does not run any more still has its client.
    let lost = support::until_ended(first.client(), &[lost])
        .await?
        .remove(0);
    println!("  job {} was taken back, and is {}", lost.id, lost.state);

    let second = ractor::call!(application, ApplicationMessage::GetBoard)?;
    println!("\nThe board is stopped while a job runs.");
    let kept = second.client().enqueue(call!(half_a_second())).await?;
    until_executing(second.client(), kept).await?;
    application.cast(ApplicationMessage::Close)?;
    ended.await?;
    let kept = second.client().job(kept).await?.ok_or("the job is gone")?;
    println!(
        "  job {} was finished first, and is {}",
        kept.id, kept.state
    );

    if (lost.state, kept.state) != (JobState::Completed, JobState::Completed) {
        return Err("both jobs should be completed".into());
    }
    Ok(())
}

async fn until_executing(client: &Client, job: JobId) -> Result<(), Error> {
    while !matches!(client.job(job).await?, Some(job) if job.state == JobState::Executing) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
