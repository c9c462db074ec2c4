//! What follows when answers are written: counts, news for who follows, and wake-ups for who waits for their ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Attempted, Counters, Office};
use crate::event::Event;
use crate::job::{Attempt, Ids, JobId, Transition};
use crate::store::{Notice, Settlement};

impl Office {
    /// Lets everybody know what was written; of these answers, the accepted ones are in effect.
    pub(crate) fn tell_written(&self, written: &[Answer], accepted: &Ids, took: Duration) {
        let is_in_effect = |answer: &Answer| is_in_effect(answer, accepted);
        let ended: Vec<(JobId, Attempt, bool)> = written
            .iter()
            .map(|answer| {
                let Settlement { id, attempt, .. } = answer.settlement;
                (id, attempt, is_in_effect(answer))
            })
            .collect();
        let mut refused = 0;
        let mut completed = 0;
        for (answer, (_, _, is_accepted)) in written.iter().zip(&ended) {
            refused += u32::from(!is_accepted);
            match answer.settlement.transition {
                Transition::Complete { .. } if *is_accepted => completed += 1,
                _ => count(&self.counters, answer, *is_accepted),
            }
        }
        Counters::add(&self.counters.completed, completed);
        // Who is told of an end finds it counted; who finds nothing in hand any more finds all told.
        let told = written.iter().filter(|answer| answer.story.is_some());
        self.facts
            .publish(told.map(|answer| (answer, is_in_effect(answer))));
        if let Some(burials) = &self.burials {
            let buried = |answer: &Answer| {
                let is_buried = matches!(answer.settlement.transition, Transition::Bury { .. });
                let is_news = is_buried && is_in_effect(answer);
                let attempted = is_news.then(|| Attempted::of(answer, true)).flatten();
                attempted.and_then(|attempted| attempted.buried())
            };
            burials.tell(written.iter().filter_map(buried));
        }
        self.say_written(written.len() as u32, refused, took);
        self.dismiss(ended.into_iter());
        self.wake_who_waits(written, accepted);
    }

    /// As [`tell_written`](Self::tell_written), of completions for which nobody waits and which nobody follows.
    pub(crate) fn tell_completed(
        &self,
        completed: impl ExactSizeIterator<Item = (JobId, Attempt)>,
        is_accepted: bool,
        took: Duration,
    ) {
        let jobs = completed.len();
        let counter = match is_accepted {
            true => &self.counters.completed,
            false => &self.counters.refused,
        };
        Counters::add(counter, jobs);
        let refused = if is_accepted { 0 } else { jobs };
        self.say_written(jobs as u32, refused as u32, took);
        self.dismiss(completed.map(|(id, attempt)| (id, attempt, is_accepted)));
    }

    fn dismiss(&self, ended: impl Iterator<Item = (JobId, Attempt, bool)>) {
        for queue in self.custody.dismiss(ended) {
            self.wakeups.wake_queue(&queue);
        }
    }

    fn wake_who_waits(&self, written: &[Answer], accepted: &Ids) {
        let mut released: BTreeMap<&Arc<str>, i16> = BTreeMap::new();
        let mut is_any_waiting = false;
        for answer in written {
            match answer.settlement.transition {
                Transition::Release { .. } if is_in_effect(answer, accepted) => {
                    let most_urgent = released.entry(&answer.queue).or_insert(answer.priority);
                    *most_urgent = answer.priority.min(*most_urgent);
                }
                Transition::Retry { .. } | Transition::Snooze { .. } => is_any_waiting = true,
                _ => {}
            }
            if answer.is_limited {
                released.entry(&answer.queue).or_insert(i16::MAX);
            }
        }
        for (queue, priority) in released {
            self.client.tell(Notice::Available {
                queue: queue.to_string(),
                priority,
            });
        }
        if is_any_waiting {
            self.wakeups.wake(&Notice::Scheduled);
        }
    }

    /// A refusal is worth a line of the log, whoever listens.
    fn say_written(&self, answers: u32, refused: u32, took: Duration) {
        if answers > 0 && (refused > 0 || self.bulletin.is_heard()) {
            self.bulletin.say(Event::Written {
                answers,
                refused,
                took,
            });
        }
    }
}

/// Whether an answer has changed what it was to change. A completion that found no row has, if the
/// handler's own transaction had completed the job before.
fn is_in_effect(answer: &Answer, accepted: &Ids) -> bool {
    let is_completion = matches!(answer.settlement.transition, Transition::Complete { .. });
    accepted.contains(&answer.settlement.id) || (answer.is_written && is_completion)
}

fn count(counters: &Counters, answer: &Answer, is_accepted: bool) {
    let counter = match answer.settlement.transition {
        _ if !is_accepted => &counters.refused,
        Transition::Complete { .. } => &counters.completed,
        Transition::Retry { .. } => &counters.retried,
        Transition::Snooze { .. } => &counters.snoozed,
        Transition::Cancel { .. } => &counters.cancelled,
        Transition::Bury { .. } => &counters.buried,
        Transition::Release { .. } => &counters.released,
    };
    Counters::add(counter, 1);
}
