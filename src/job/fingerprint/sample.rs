//! Sample answers for requests, and the order in which they are tried.
//!
//! Pure tables and arithmetic, known only to the tracer next door. A *dial* is the index of the sample a request is
//! answered with; dial 0 is the plain dummy. Samples never enter a fingerprint, only what was asked does, so adding
//! one at the end of a table changes no fingerprint except of shapes that were refused before.

const INTEGERS: [i16; 20] = [
    0, 1, 2, 3, 4, 5, 7, 8, 10, 16, 20, 32, 64, 100, 127, 128, 255, 1000, 1970, -1,
];
const FLOATS: [f32; 6] = [0.0, 1.0, 0.5, -1.0, 2.0, 100.0];
const CHARS: [char; 4] = ['a', 'A', '0', ' '];
const LENGTHS: [usize; 5] = [1, 0, 2, 3, 4];
const BYTE_LENGTHS: [usize; 13] = [0, 16, 1, 2, 4, 8, 12, 20, 24, 32, 33, 48, 64];
const ZEROS: [u8; 64] = [0; 64];
const STRINGS: [&str; 31] = [
    "",
    "a",
    "0",
    "1",
    "1970-01-01T00:00:00Z",
    "1970-01-01",
    "00:00:00",
    "1970-01-01T00:00:00",
    "1970-01-01 00:00:00",
    "1970-01-01T00:00:00+00:00[UTC]",
    "PT0S",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "127.0.0.0/8",
    "00000000-0000-0000-0000-000000000000",
    "00000000000000000000000000",
    "http://localhost/",
    "localhost",
    "a@example.com",
    "1.0.0",
    "UTC",
    "Mon",
    "January",
    "true",
    "en",
    "EUR",
    "A",
    "00",
    "AAAA",
    "{}",
];

/// What kind of samples a request is answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Samples {
    /// No choice at all.
    One,
    Bool,
    Integer,
    Float,
    Char,
    String,
    Bytes,
    /// Present or absent: options and maps.
    Presence,
    /// Number of elements of a sequence.
    Length,
}

impl Samples {
    /// Number of samples to choose from, at least 1.
    pub(super) fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Bool | Self::Presence => 2,
            Self::Integer => INTEGERS.len(),
            Self::Float => FLOATS.len(),
            Self::Char => CHARS.len(),
            Self::String => STRINGS.len(),
            Self::Bytes => BYTE_LENGTHS.len(),
            Self::Length => LENGTHS.len(),
        }
    }

    /// Whether turning the dial hides what is inside.
    fn is_container(self) -> bool {
        matches!(self, Self::Presence | Self::Length)
    }
}

/// The integer at `dial`; 0 where the type has no such number, which is only a wasted try.
pub(super) fn integer<N: TryFrom<i16> + Default>(dial: usize) -> N {
    INTEGERS
        .get(dial)
        .and_then(|&number| N::try_from(number).ok())
        .unwrap_or_default()
}

/// The float at `dial`.
pub(super) fn float(dial: usize) -> f32 {
    pick(&FLOATS, dial)
}

/// The character at `dial`.
pub(super) fn character(dial: usize) -> char {
    pick(&CHARS, dial)
}

/// The string at `dial`.
pub(super) fn string(dial: usize) -> &'static str {
    pick(&STRINGS, dial)
}

/// The bytes at `dial`.
pub(super) fn bytes(dial: usize) -> &'static [u8] {
    &ZEROS[..pick(&BYTE_LENGTHS, dial)]
}

/// The number of elements at `dial`.
pub(super) fn length(dial: usize) -> usize {
    pick(&LENGTHS, dial)
}

fn pick<T: Copy>(table: &[T], dial: usize) -> T {
    table[dial.min(table.len() - 1)]
}

/// The dials for the `attempt`-th retry (from 1) of something that depends on `suspects`; `None` when all were tried.
///
/// First all scalars turn together, which finds two strings that must both be dates. Then every suspect turns alone,
/// which finds an end that must be greater than a start. Combinations beyond that are not tried.
pub(super) fn dials(suspects: &[Samples], attempt: usize) -> Option<Vec<usize>> {
    let scalars = suspects.iter().filter(|samples| !samples.is_container());
    let together = scalars
        .map(|samples| samples.count() - 1)
        .max()
        .unwrap_or(0);
    if attempt <= together {
        let turned = |samples: &Samples| match samples.is_container() {
            true => 0,
            false => attempt.min(samples.count() - 1),
        };
        return Some(suspects.iter().map(turned).collect());
    }
    let mut rest = attempt - together;
    for (turned, samples) in suspects.iter().enumerate() {
        if suspects.len() == 1 && !samples.is_container() {
            break;
        }
        if rest < samples.count() {
            let mut dials = vec![0; suspects.len()];
            dials[turned] = rest;
            return Some(dials);
        }
        rest -= samples.count() - 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_that_do_not_fit_are_zero() {
        assert_eq!(integer::<u8>(16), 255);
        assert_eq!(integer::<u8>(17), 0);
        assert_eq!(integer::<i64>(19), -1);
        assert_eq!(integer::<u64>(99), 0);
    }

    #[test]
    fn one_scalar_turns_through_its_table_once() {
        let tried: Vec<_> = (1..).map_while(|n| dials(&[Samples::Char], n)).collect();
        assert_eq!(tried, [[1], [2], [3]]);
    }

    #[test]
    fn scalars_turn_together_and_then_everything_alone() {
        let suspects = [Samples::Bool, Samples::Char, Samples::Presence];
        let tried: Vec<_> = (1..).map_while(|n| dials(&suspects, n)).collect();
        let together = [[1, 1, 0], [1, 2, 0], [1, 3, 0]];
        let alone = [[1, 0, 0], [0, 1, 0], [0, 2, 0], [0, 3, 0], [0, 0, 1]];
        assert_eq!(tried, [&together[..], &alone[..]].concat());
    }

    #[test]
    fn nothing_to_turn_is_nothing_to_try() {
        assert_eq!(dials(&[], 1), None);
        assert_eq!(dials(&[Samples::One], 1), None);
    }
}
