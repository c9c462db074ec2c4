//! Who is to come and who is to go, that a queue may have as many workers as it should. Pure.

use std::collections::HashSet;

/// A worker's seat, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: u32,
    pub(super) is_busy: bool,
    pub(super) is_leaving: bool,
}

/// What is to be done, by the numbers of seats.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Staffing {
    /// New seats.
    pub(super) come: Vec<u32>,
    /// Seats whose workers are to leave, after the job that they run.
    pub(super) go: Vec<u32>,
}

/// Brings the number of those who stay to `wanted`. Those that leave are idle if possible, so that no more
/// than wanted run jobs as soon as that can be; of equals, the highest number goes. A new one never
/// gets a number that is in use, also not by one that is leaving.
pub(super) fn staffing(wanted: u32, places: &[Place]) -> Staffing {
    let mut staying: Vec<&Place> = places.iter().filter(|place| !place.is_leaving).collect();
    let wanted = wanted as usize;
    if staying.len() >= wanted {
        staying.sort_by_key(|place| (!place.is_busy, place.number));
        let go = staying.split_off(wanted);
        return Staffing {
            come: Vec::new(),
            go: go.into_iter().rev().map(|place| place.number).collect(),
        };
    }
    let used: HashSet<u32> = places.iter().map(|place| place.number).collect();
    let free = (1..).filter(|number| !used.contains(number));
    Staffing {
        come: free.take(wanted - staying.len()).collect(),
        go: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(workers: &[(u32, char)]) -> Vec<Place> {
        let place = |(number, how): &(u32, char)| Place {
            number: *number,
            is_busy: *how == 'b',
            is_leaving: *how == 'l',
        };
        workers.iter().map(place).collect()
    }

    fn come_and_go(wanted: u32, workers: &[(u32, char)]) -> (Vec<u32>, Vec<u32>) {
        let Staffing { come, go } = staffing(wanted, &places(workers));
        (come, go)
    }

    #[test]
    fn as_many_come_as_are_missing_with_the_lowest_free_numbers() {
        assert_eq!(come_and_go(3, &[]), (vec![1, 2, 3], vec![]));
        assert_eq!(come_and_go(3, &[(2, 'i')]), (vec![1, 3], vec![]));
        assert_eq!(come_and_go(1, &[(2, 'i')]), (vec![], vec![]));
    }

    #[test]
    fn idle_ones_go_first_and_then_the_highest_numbers() {
        let workers = [(1, 'i'), (2, 'b'), (3, 'i'), (4, 'b')];
        assert_eq!(come_and_go(3, &workers), (vec![], vec![3]));
        assert_eq!(come_and_go(2, &workers), (vec![], vec![3, 1]));
        assert_eq!(come_and_go(1, &workers), (vec![], vec![3, 1, 4]));
        assert_eq!(come_and_go(0, &workers), (vec![], vec![3, 1, 4, 2]));
    }

    #[test]
    fn who_is_leaving_does_not_count_and_keeps_its_number() {
        let workers = [(1, 'l'), (2, 'b')];
        assert_eq!(come_and_go(2, &workers), (vec![3], vec![]));
        assert_eq!(come_and_go(1, &workers), (vec![], vec![]));
    }

    #[test]
    fn whatever_there_is_the_right_number_stays() {
        for wanted in 0..6 {
            for pattern in 0..3_u32.pow(5) {
                let how = |seat: u32| ['i', 'b', 'l'][(pattern / 3_u32.pow(seat) % 3) as usize];
                let workers: Vec<_> = (0..5).map(|seat| (seat + 1, how(seat))).collect();
                let stay = workers.iter().filter(|(_, how)| *how != 'l').count();
                let (come, go) = come_and_go(wanted, &workers);
                assert_eq!(stay + come.len() - go.len(), wanted as usize, "{workers:?}");
                assert!(come.iter().all(|number| *number > 5), "{workers:?}");
            }
        }
    }
}
