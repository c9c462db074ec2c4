//! Where a handler's checkpoints lie when it runs without a board: for tests of handlers alone.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Context;
use super::trail::{TrailOf, decode};
use crate::job::{DecodeError, EncodeError, encode, fingerprint_of};
use crate::store::Kept;

/// Where checkpoints lie if there is no board.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<Option<Kept>>);

impl Shelf {
    pub(crate) fn put(&self, kept: Kept) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    pub(crate) fn get(&self) -> Option<Kept> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
    }
}

impl Context {
    /// Keeps its checkpoints there, and shows its progress to nobody.
    pub(crate) fn with_shelf(mut self, shelf: Arc<Shelf>) -> Self {
        self.trail = TrailOf::on_shelf(self.holding(), self.client().clone(), shelf);
        self
    }
}

/// A value as it would be kept.
pub(crate) fn kept<T>(value: &T) -> Result<Kept, EncodeError>
where
    T: Serialize + DeserializeOwned + 'static,
{
    Ok(Kept {
        fingerprint: fingerprint_of::<T>(),
        bytes: encode(value)?,
    })
}

/// A value that was kept as this type.
pub(crate) fn kept_as<T: DeserializeOwned + 'static>(kept: &Kept) -> Result<T, DecodeError> {
    decode(kept)
}
