//! Handlers are replaced, added and removed while a board runs, and no job notices more than that.

mod batches;
mod breaker;
mod kinds;
mod letters;
