//! What the benchmarks have in common: databases of their own, and the conditions of a figure.

pub(crate) mod database;
pub(crate) mod machine;

pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;
