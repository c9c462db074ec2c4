//! Random bits for identities: from the operating system, through the standard library's hasher keys.

use std::hash::{BuildHasher, Hasher, RandomState};

/// 64 bits that no other process draws.
pub(crate) fn random_bits() -> u64 {
    RandomState::new().build_hasher().finish()
}
