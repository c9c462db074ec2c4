//! FNV-1a, 64 bits: a hash whose value is the same on every compiler and platform.
//!
//! Pure arithmetic, known to this folder and to the fingerprints of errors. From Fowler, Noll and Vo, <http://www.isthe.com/chongo/tech/comp/fnv/>
//! (also the IETF draft `draft-eastlake-fnv`). Not cryptographic: it tells shapes apart, it does not resist forgery.

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// A hash under way.
#[derive(Clone, Copy, Debug)]
pub(in crate::job) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(OFFSET_BASIS)
    }
}

impl Fnv {
    pub(in crate::job) fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    }

    pub(in crate::job) fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    pub(in crate::job) fn finish(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Fnv;

    #[test]
    fn published_test_vectors_hold() {
        let hash = |text: &str| {
            let mut fnv = Fnv::default();
            fnv.bytes(text.as_bytes());
            fnv.finish()
        };
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }
}
