//! Breaking it on purpose: what tests of applications need, and what our own tests use.

mod proxy;

pub use proxy::Proxy;
