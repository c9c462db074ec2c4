//! Stands in for the launch of a server where there is no Unix: every start is refused.

use std::path::Path;

use super::error::{EmbeddedError, Trouble};
use super::{Embedded, EmbeddedBuilder};

/// A server that cannot exist here.
#[derive(Debug)]
pub(super) enum Server {}

impl Server {
    pub(super) fn pid(&self) -> u32 {
        match *self {}
    }

    pub(super) fn folder(&self) -> &Path {
        match *self {}
    }
}

pub(super) async fn start(_: EmbeddedBuilder) -> Result<Embedded, EmbeddedError> {
    Err(Trouble::Unsupported.into())
}

pub(super) async fn stop(server: Server) -> Result<(), EmbeddedError> {
    match server {}
}
