//! The supervision tree of a board, and the death of its actors.

use callboard::Board;
use callboard::supervision::Snapshot;
use ractor::ActorCell;

use super::eventually;

fn actor(board: &Board, path: &[&str]) -> Option<ActorCell> {
    board.supervisor().snapshot().find(path)?.info.actor.clone()
}

/// Kills an actor at whatever await it is, and waits for its successor.
pub async fn kill(board: &Board, path: &[&str]) {
    let killed = actor(board, path).expect("the actor runs");
    killed.kill();
    eventually(&format!("{path:?} runs again"), || async {
        actor(board, path).filter(|actor| actor.get_id() != killed.get_id())
    })
    .await;
}

/// How often an actor was restarted, or any below it.
pub fn restarts(board: &Board, path: &[&str]) -> u32 {
    let tree = board.supervisor().snapshot();
    restarts_in(tree.find(path).expect("the actor has a place"))
}

fn restarts_in(tree: &Snapshot) -> u32 {
    tree.info.restarts + tree.children.iter().map(restarts_in).sum::<u32>()
}
