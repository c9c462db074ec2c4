//! Maps and sets of jobs by their ids.
//!
//! The database counts the ids up, so nobody chooses them to collide, and one multiplication spreads them
//! as well as the hash against attackers that is the default, in a fraction of its time.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use super::JobId;

/// A map by job.
pub(crate) type ById<V> = HashMap<JobId, V, BuildHasherDefault<IdHasher>>;
/// A set of jobs.
pub(crate) type Ids = HashSet<JobId, BuildHasherDefault<IdHasher>>;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_i64(i64::from(*byte)));
    }

    fn write_i64(&mut self, id: i64) {
        self.write_u64(id.cast_unsigned());
    }

    fn write_u64(&mut self, word: u64) {
        // The golden ratio, and both halves of the product: its low bits alone would keep a stride.
        let product = u128::from(self.0 ^ word) * 0x9E37_79B9_7F4A_7C15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;

    #[test]
    fn ids_of_any_stride_spread_over_the_buckets() {
        let hash = |id| BuildHasherDefault::<IdHasher>::default().hash_one(JobId::from_i64(id));
        for stride in [1, 8, 1_000, 1 << 20] {
            let buckets: HashSet<u64> = (0..1_024).map(|n| hash(n * stride) % 1_024).collect();
            // By chance 647 of 1,024 are hit.
            assert!(buckets.len() > 500, "{} for {stride}", buckets.len());
        }
    }
}
