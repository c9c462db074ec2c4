//! Stages as their users put them together: behaviour through the front door, no jobs.

mod asking;
mod broadcast;
mod buffering;
mod ending;
mod failing;
mod interop;
mod looking;
mod manual;
mod partition;
mod support;
