//! A kind of job as every layer may know it: its names, its defaults, how its arguments are shown.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::payload::NOT_READABLE;
use super::{
    Codec, DecodeError, Defaults, InvalidName, MAX_MAX_ATTEMPTS, MAX_WAIT, NameOf, Stored,
    check_name, describe, trace,
};

type Read = dyn Fn(Stored<'_>) -> Result<(), DecodeError> + Send + Sync;
type ToJson = dyn Fn(Stored<'_>) -> Result<Value, DecodeError> + Send + Sync;

/// A kind of job.
pub struct Kind {
    /// The name under which its jobs are enqueued.
    pub name: String,
    /// Older names, under which jobs may still lie on the board.
    pub aliases: Vec<String>,
    /// What holds unless an enqueue says otherwise.
    pub defaults: Defaults,
    shape: String,
    newest_version: i32,
    is_storable: bool,
    read: Box<Read>,
    to_json: Box<ToJson>,
}

impl Kind {
    pub(crate) fn new<A>(
        name: &str,
        aliases: &[&str],
        defaults: Defaults,
        codec: Arc<Codec<A>>,
    ) -> Self
    where
        A: Serialize + DeserializeOwned + 'static,
    {
        let reader = Arc::clone(&codec);
        Self {
            name: name.to_owned(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            defaults,
            shape: describe::<A>(),
            newest_version: codec.newest(),
            is_storable: !trace::<A>().is_self_describing(),
            read: Box::new(move |stored| reader.decode(stored).map(drop)),
            to_json: Box::new(move |stored| codec.to_json(stored)),
        }
    }

    /// Every name under which its jobs may lie on the board.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name)
            .chain(&self.aliases)
            .map(String::as_str)
    }

    /// The shape of its arguments, in words.
    #[must_use]
    pub fn shape(&self) -> &str {
        &self.shape
    }

    /// The newest version of its arguments that this build reads. Jobs with newer ones are not claimed by a
    /// node with this build, and wait for one that reads them.
    #[must_use]
    pub const fn newest_version(&self) -> i32 {
        self.newest_version
    }

    /// Reads arguments as a handler does, and throws them away.
    ///
    /// # Errors
    ///
    /// When they do not decode as arguments of this kind.
    pub fn check_arguments(&self, stored: Stored<'_>) -> Result<(), DecodeError> {
        (self.read)(stored)
    }

    /// Arguments as JSON, for people.
    ///
    /// # Errors
    ///
    /// When they do not decode as arguments of this kind.
    pub fn to_json(&self, stored: Stored<'_>) -> Result<Value, DecodeError> {
        (self.to_json)(stored)
    }

    /// Checks what the type system does not.
    ///
    /// # Errors
    ///
    /// Says which default of which kind cannot work, and what would.
    pub fn check(&self) -> Result<(), InvalidKind> {
        for name in self.names() {
            check_name(NameOf::Kind, name)?;
        }
        check_name(NameOf::Queue, &self.defaults.queue)?;
        let refuse = |why: String| Err(InvalidKind(format!("the kind {:?} {why}", self.name)));
        let max = self.defaults.max_attempts;
        if max == 0 || max > MAX_MAX_ATTEMPTS {
            return refuse(format!(
                "has max_attempts {max}; expected 1 to {MAX_MAX_ATTEMPTS}"
            ));
        }
        if self.defaults.time_limit.as_millis() == 0 || self.defaults.time_limit > MAX_WAIT {
            return refuse(format!(
                "has the time limit {:?}; expected 1ms to a hundred years",
                self.defaults.time_limit
            ));
        }
        if !self.is_storable {
            return refuse(format!(
                "has unfit arguments ({}): {NOT_READABLE}",
                self.shape
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind")
            .field("name", &self.name)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

/// A kind that cannot work as it is declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidKind(String);

impl InvalidKind {
    pub(crate) fn new(why: String) -> Self {
        Self(why)
    }
}

impl From<InvalidName> for InvalidKind {
    fn from(name: InvalidName) -> Self {
        Self(name.to_string())
    }
}
