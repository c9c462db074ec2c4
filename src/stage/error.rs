//! What goes wrong with stages.

use std::sync::Arc;

use super::CancelReason;
use crate::BoxError;

/// What a stage's callbacks return. An error crashes the stage, and its supervisor restarts it.
pub type StageResult = Result<(), BoxError>;

/// What went wrong with a stage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// An option of a subscription is out of its range.
    #[error("cannot subscribe to {source_name}: {option} is {value}; expected {expected}")]
    Option {
        /// The producer's name.
        source_name: String,
        /// The option.
        option: &'static str,
        /// Its value.
        value: u32,
        /// What would be right.
        expected: String,
    },
    /// A consumer was to forward the demand of its own consumers, and can have none.
    #[error(
        "cannot subscribe to {source_name} with forwarded demand: a consumer has no consumers whose demand it could forward; use Asks::Automatic"
    )]
    NothingToForward {
        /// The producer's name.
        source_name: String,
    },
    /// The stage could not be started.
    #[error("the stage {stage} could not be started")]
    Start {
        /// Its name.
        stage: Arc<str>,
        /// Why.
        #[source]
        cause: BoxError,
    },
    /// The producer of a subscription is lost, and the consumer was not to live without it.
    #[error("the stage {stage} has lost its producer {source_name}: {reason}")]
    ProducerLost {
        /// The consumer's name.
        stage: Arc<str>,
        /// The producer's name.
        source_name: Arc<str>,
        /// How it was lost.
        reason: CancelReason,
    },
    /// The stage does not run at present.
    #[error("the stage {stage} does not run")]
    NotRunning {
        /// Its name.
        stage: Arc<str>,
    },
}
