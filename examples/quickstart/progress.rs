//! How far the work is: a line that moves on a terminal, a few plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use callboard::board::Counts;

const BAR: usize = 40;

pub(crate) struct Progress {
    total: u64,
    before: u64,
    began: Instant,
    ended: Option<Instant>,
    is_terminal: bool,
    quarters_told: u64,
}

impl Progress {
    pub(crate) fn new(total: u64, counts: Counts) -> Self {
        Self {
            total,
            before: ended(counts),
            began: Instant::now(),
            ended: None,
            is_terminal: std::io::stdout().is_terminal(),
            quarters_told: 0,
        }
    }

    /// Shows how far the work is. True while it goes on.
    pub(crate) fn show(&mut self, counts: Counts) -> bool {
        let done = (ended(counts) - self.before).min(self.total);
        if done == self.total && self.ended.is_none() {
            self.ended = Some(Instant::now());
        }
        let quarters = done * 4 / self.total.max(1);
        if self.is_terminal {
            let full = usize::try_from(done * BAR as u64 / self.total.max(1)).unwrap_or(BAR);
            print!("\r  [{:<BAR$}] {done}/{}", "#".repeat(full), self.total);
            // A progress that cannot be shown is not worth an error.
            let _unseen = std::io::stdout().flush();
        } else if quarters > self.quarters_told {
            self.quarters_told = quarters;
            println!("  {done}/{} done", self.total);
        }
        done < self.total
    }

    /// Ends the line, and tells how long the work took.
    pub(crate) fn end(self) -> Duration {
        self.ended.unwrap_or_else(Instant::now) - self.began
    }
}

/// However the work ends, what is printed next begins on a line of its own.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal {
            println!();
        }
    }
}

/// How many jobs ended here.
fn ended(counts: Counts) -> u64 {
    counts.completed + counts.cancelled + counts.buried
}
