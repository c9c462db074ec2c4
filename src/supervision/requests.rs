//! What clients ask of a supervisor. A client that does not wait for its answer harms nobody.

use ractor::RpcReplyPort;

use super::child::{FailedStart, Seq, StartReply};
use super::child_spec::ChildSpec;
use super::state::State;
use super::{ChildCounts, ChildInfo, ChildStatus, SupervisorError};

impl State {
    /// Adds a child and starts it; the answer comes when it has started.
    pub(super) fn start_child(&mut self, spec: ChildSpec, reply: StartReply) {
        match self.add(spec) {
            Ok(seq) => self.start_for(seq, reply, FailedStart::Forget),
            Err(error) => answer(reply, Err(error)),
        }
    }

    pub(super) async fn terminate_child(
        &mut self,
        id: &str,
        reply: RpcReplyPort<Result<(), SupervisorError>>,
    ) {
        let seq = match self.children.find(id) {
            Ok((seq, _)) => seq,
            Err(error) => return answer(reply, Err(error)),
        };
        self.stop(seq).await;
        self.call_off_request(seq);
        self.settle(seq);
        // Siblings may have waited for this child to be restarted.
        self.wake();
        answer(reply, Ok(()));
    }

    pub(super) fn restart_child(&mut self, id: &str, reply: StartReply) {
        match self.find_stopped(id) {
            Ok(seq) => self.start_for(seq, reply, FailedStart::Keep),
            Err(error) => answer(reply, Err(error)),
        }
    }

    pub(super) fn delete_child(
        &mut self,
        id: &str,
        reply: RpcReplyPort<Result<(), SupervisorError>>,
    ) {
        let deleted = self.find_stopped(id).map(|seq| self.remove(seq));
        answer(reply, deleted);
    }

    pub(super) fn get_children(
        &self,
        reply: RpcReplyPort<Result<Vec<ChildInfo>, SupervisorError>>,
    ) {
        answer(reply, Ok(self.children.infos()));
    }

    pub(super) fn get_counts(&self, reply: RpcReplyPort<Result<ChildCounts, SupervisorError>>) {
        answer(reply, Ok(self.children.counts()));
    }

    fn start_for(&mut self, seq: Seq, reply: StartReply, on_failure: FailedStart) {
        if let Some(child) = self.children.get_mut(seq) {
            child.request = Some((reply, on_failure));
        }
        self.start(seq);
    }

    fn find_stopped(&self, id: &str) -> Result<Seq, SupervisorError> {
        let (seq, child) = self.children.find(id)?;
        match child.status() {
            ChildStatus::Stopped => Ok(seq),
            ChildStatus::Restarting => Err(SupervisorError::ChildRestarting { id: id.to_owned() }),
            _ => Err(SupervisorError::ChildRunning { id: id.to_owned() }),
        }
    }
}

/// Answers a client, who may have gone.
pub(super) fn answer<T: Send + 'static>(
    reply: RpcReplyPort<Result<T, SupervisorError>>,
    result: Result<T, SupervisorError>,
) {
    // A client that timed out is no reason for a supervisor to fail.
    let _ = reply.send(result);
}
