//! Options of a board that cannot work are refused before anything is reached, with option, value and what is
//! expected.

use std::collections::HashMap;
use std::time::Duration;

use super::builder::Builder;
use crate::Error;
use crate::client::check_payload_limit;
use crate::job::MAX_WAIT;

/// The longest lease, and the longest time between two samples.
const MAX_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

impl Builder {
    pub(super) fn check(&self) -> Result<(), Error> {
        self.database.check()?;
        check_payload_limit(self.payload_limit)?;
        let refuse = |option: &str, value: String, expected: &str| {
            Err(Error::config(format!(
                "Builder::{option} is {value}; expected {expected}"
            )))
        };
        if self.lease < Duration::from_secs(1) || self.lease > MAX_LEASE {
            return refuse("lease", format!("{:?}", self.lease), "1s to a day");
        }
        if self.sweep_every < Duration::from_millis(50) {
            return refuse(
                "sweep_every",
                format!("{:?}", self.sweep_every),
                "at least 50ms",
            );
        }
        if self.lease / 3 < self.sweep_every {
            let value = format!("{:?} with sweep_every {:?}", self.lease, self.sweep_every);
            return refuse("lease", value, "at least three times sweep_every");
        }
        for (option, value) in [
            ("history", self.history),
            ("retry_start_for", self.retry_start_for),
            ("shutdown_grace", self.shutdown_grace),
        ] {
            if value > MAX_WAIT {
                return refuse(option, format!("{value:?}"), "at most a hundred years");
            }
        }
        let samples = Duration::from_secs(1)..=MAX_LEASE;
        if let Some(every) = self.sample_every.filter(|every| !samples.contains(every)) {
            return refuse("sample_every", format!("{every:?}"), "1s to a day");
        }
        if self.max_deaths == 0 {
            return refuse("max_deaths", "0".to_owned(), "at least 1");
        }
        self.check_queues()
    }

    fn check_queues(&self) -> Result<(), Error> {
        let mut places = HashMap::new();
        for (queue, place) in &self.queues {
            queue.check()?;
            if let Some(earlier) = places.insert(&queue.name, place) {
                return Err(Error::config(format!(
                    "the queue {:?} is given twice, at {earlier} and at {place}; give it once",
                    queue.name
                )));
            }
        }
        Ok(())
    }
}
