//! What an isolate writes to its stderr: it goes on to the node's own, and the last of it is kept, for it
//! often says why the process died.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;

/// How much is kept, in bytes.
const KEPT: usize = 2 * 1024;
/// How long the last words of a dead process may take to arrive. Something that it has started may hold
/// its stderr open for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The stderr of one isolate.
#[derive(Debug)]
pub(super) struct Stderr {
    /// Written as it comes, read when the process has died: by two tasks, and never held across an await.
    tail: Arc<Mutex<VecDeque<u8>>>,
    passing_on: JoinHandle<()>,
}

impl Stderr {
    /// Passes on what comes.
    pub(super) fn new(stderr: ChildStderr) -> Self {
        let tail = Arc::default();
        let passing_on = tokio::spawn(pass_on(stderr, Arc::clone(&tail)));
        Self { tail, passing_on }
    }

    /// Forgets what was said so far: it is none of the next attempt's business.
    pub(super) fn forget(&self) {
        lock(&self.tail).clear();
    }

    /// The last lines of a process that has ended.
    pub(super) async fn last_lines(mut self) -> String {
        // What has not come by then does not count.
        let _late = tokio::time::timeout(LAST_WORDS, &mut self.passing_on).await;
        lines(lock(&self.tail).make_contiguous())
    }
}

async fn pass_on(mut stderr: ChildStderr, tail: Arc<Mutex<VecDeque<u8>>>) {
    let mut buffer = vec![0; 4 * 1024];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        let said = &buffer[..read];
        // If the node's own stderr is closed, there is nobody to tell.
        let _closed = std::io::stderr().write_all(said);
        let mut tail = lock(&tail);
        tail.extend(said);
        let surplus = tail.len().saturating_sub(KEPT);
        tail.drain(..surplus);
    }
}

fn lock(tail: &Mutex<VecDeque<u8>>) -> std::sync::MutexGuard<'_, VecDeque<u8>> {
    // Nothing panics while it holds the lock.
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The whole lines of a tail whose first may have been cut.
fn lines(tail: &[u8]) -> String {
    let text = String::from_utf8_lossy(tail);
    let whole = match text.split_once('\n') {
        Some((_cut, rest)) if tail.len() >= KEPT && !rest.trim().is_empty() => rest,
        _ => &text,
    };
    whole.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_is_left_out() {
        let mut tail = vec![b'x'; KEPT];
        assert_eq!(lines(&tail).len(), KEPT);
        tail.extend(b"\nout of paper\nbye\n");
        assert_eq!(lines(&tail), "out of paper\nbye");
        assert_eq!(lines(b"\nbye\n"), "bye");
    }
}
