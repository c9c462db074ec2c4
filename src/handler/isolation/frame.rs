//! What a node and its isolates say to each other: postcard in frames, each with its length before it.
//!
//! Both ends are the same program, or nearly: on systems where a program cannot name itself, a new one may
//! lie in its place. So an isolate says first which form of this it speaks.

use std::io::{self, Read, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::handler::CancelReason;
use crate::job::{
    Failure, FailureKind, MAX_PAYLOAD_LIMIT, MAX_TEXT_BYTES, Outcome, bounded_output, bounded_text,
};

/// Which form of this module is spoken.
pub(super) const PROTOCOL: u32 = 1;
/// The longest frame: the largest payload, and room for what goes with it.
const MAX_FRAME: u32 = MAX_PAYLOAD_LIMIT as u32 + 1024 * 1024;

/// What a node says to an isolate.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// The first order: get ready within this much memory, in bytes.
    Begin {
        memory_limit: Option<u64>,
    },
    Run(Box<Attempt>),
    /// The attempt should stop, for this reason.
    Stop(u8),
    /// There are no more attempts.
    End,
}

/// What an isolate says to its node.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Word {
    /// It can run these kinds.
    Ready { protocol: u32, kinds: Vec<String> },
    /// It cannot, for this reason.
    NotReady(String),
    /// The attempt has ended.
    Ended(Ended),
}

/// An attempt, as far as it can be told to another process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) id: i64,
    pub(super) attempt: i32,
    pub(super) failures: u32,
    pub(super) max_attempts: u32,
    pub(super) kind: String,
    pub(super) queue: String,
    pub(super) worker: String,
    /// Microseconds since 1970.
    pub(super) enqueued_at: i64,
    pub(super) time_left: Duration,
    pub(super) node: i64,
    pub(super) traceparent: Option<String>,
    /// The board's schema, for a completion in the handler's own transaction.
    pub(super) schema: String,
    pub(super) version: i32,
    pub(super) fingerprint: i64,
    pub(super) payload: Vec<u8>,
}

/// How an attempt ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) said: Said,
    /// Whether it was completed in a transaction of the handler's.
    pub(super) is_completed: bool,
}

/// What the handler said.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    Done,
    /// An output as JSON.
    DoneWith(String),
    Snooze(Duration),
    Cancel(String),
    Bury(String),
    Failed(String),
    Panicked {
        message: String,
        backtrace: Option<String>,
    },
    Undecodable(String),
}

impl Said {
    pub(super) fn decided(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::DoneWith(output) => Self::DoneWith(bounded_output(output).to_string()),
            Outcome::Snooze(wait) => Self::Snooze(wait),
            Outcome::Cancel(reason) => Self::Cancel(bounded_text(&reason, MAX_TEXT_BYTES)),
            Outcome::Bury(reason) => Self::Bury(bounded_text(&reason, MAX_TEXT_BYTES)),
        }
    }

    pub(super) fn failed(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Panic => Self::Panicked {
                message: failure.message,
                backtrace: failure.backtrace,
            },
            FailureKind::Undecodable => Self::Undecodable(failure.message),
            _ => Self::Failed(failure.message),
        }
    }

    /// The decision, or the failure.
    pub(super) fn outcome(self) -> Result<Outcome, Failure> {
        Ok(match self {
            Self::Done => Outcome::Done,
            Self::DoneWith(json) => {
                let unreadable = |cause: serde_json::Error| {
                    let text = format!("the output came unreadable from its isolate: {cause}");
                    Failure::new(FailureKind::Error, &text)
                };
                Outcome::DoneWith(serde_json::from_str(&json).map_err(unreadable)?)
            }
            Self::Snooze(wait) => Outcome::Snooze(wait),
            Self::Cancel(reason) => Outcome::Cancel(reason),
            Self::Bury(reason) => Outcome::Bury(reason),
            Self::Failed(message) => return Err(Failure::new(FailureKind::Error, &message)),
            Self::Panicked { message, backtrace } => {
                let failure = Failure::new(FailureKind::Panic, &message);
                return Err(failure.with_backtrace(backtrace.as_deref()));
            }
            Self::Undecodable(message) => {
                return Err(Failure::new(FailureKind::Undecodable, &message));
            }
        })
    }
}

/// A reason as [`Order::Stop`] carries it.
pub(super) fn stop_order(reason: CancelReason) -> Order {
    Order::Stop(reason as u8)
}

fn to_frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = postcard::to_extend(message, vec![0; 4]).map_err(io::Error::other)?;
    let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
    check_length(length)?;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

fn from_frame<M: DeserializeOwned>(frame: &[u8]) -> io::Result<M> {
    postcard::from_bytes(frame).map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))
}

/// What is longer is no frame, but whatever somebody else has written.
fn check_length(length: u32) -> io::Result<()> {
    if length > MAX_FRAME {
        let text = format!("a frame has {length} bytes; expected at most {MAX_FRAME}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(())
}

/// Says something to an isolate.
pub(super) async fn send(to: &mut (impl AsyncWrite + Unpin), order: &Order) -> io::Result<()> {
    to.write_all(&to_frame(order)?).await
}

/// Waits for what an isolate says.
pub(super) async fn receive(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Word> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await?;
    let length = u32::from_le_bytes(length);
    check_length(length)?;
    let mut frame = vec![0; length as usize];
    from.read_exact(&mut frame).await?;
    from_frame(&frame)
}

/// Says something to the node.
pub(super) fn say(to: &mut impl Write, word: &Word) -> io::Result<()> {
    to.write_all(&to_frame(word)?)
}

/// Waits for what the node says.
pub(super) fn hear(from: &mut impl Read) -> io::Result<Order> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    check_length(length)?;
    let mut frame = vec![0; length as usize];
    from.read_exact(&mut frame)?;
    from_frame(&frame)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(outcome: Outcome) -> Result<Outcome, Failure> {
        let said = Said::decided(outcome);
        let frame = to_frame(&said).unwrap();
        from_frame::<Said>(&frame[4..]).unwrap().outcome()
    }

    #[test]
    fn every_outcome_comes_through_as_it_was() {
        for outcome in [
            Outcome::Done,
            Outcome::DoneWith(serde_json::json!({ "pages": [1, 2.5, null] })),
            Outcome::Snooze(Duration::from_millis(1_234)),
            Outcome::Cancel("not needed".into()),
            Outcome::Bury("never".into()),
        ] {
            assert_eq!(told(outcome.clone()), Ok(outcome));
        }
    }

    #[test]
    fn every_failure_comes_through_as_it_was() {
        let panic =
            Failure::new(FailureKind::Panic, "boom").with_backtrace(Some("0: app::work\n at a"));
        for failure in [
            Failure::new(FailureKind::Error, "no route"),
            Failure::new(FailureKind::Undecodable, "another shape"),
            panic,
        ] {
            assert_eq!(Said::failed(failure.clone()).outcome(), Err(failure));
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_before_it_is_read() {
        let mut said: &[u8] = b"Listening on port 80";
        let refused = hear(&mut said).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "a frame has 1953720652 bytes; expected at most 17825792"
        );
    }
}
