//! What became of it all, in 80 columns.

use std::time::Duration;

use callboard::supervision::Snapshot;
use callboard::{Board, BoxError, Database, DeadFilter, JobId};
use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::classics::Crash;
use super::files::{Folder, files};
use super::{FILE_WORKERS, SCHEMA};

const SLOWEST: i64 = 5;
const DEAD_SHOWN: u32 = 5;

/// Where the tables are.
pub(crate) fn place(database: &Database) -> String {
    match database.embedded_url() {
        Some(_) => "  database   a private PostgreSQL, gone when this program ends".to_owned(),
        None => format!("  database   DATABASE_URL; schemas {SCHEMA} and quickstart"),
    }
}

/// What a shutdown by a signal leaves.
pub(crate) fn interrupted(database: &Database) -> &'static str {
    match database.embedded_url() {
        Some(_) => "interrupted; shut down gracefully",
        None => "interrupted; shut down gracefully, and the next run does the rest",
    }
}

/// What is known at the end.
pub(crate) struct Report<'a> {
    pub(crate) board: &'a Board,
    pub(crate) database: &'a Database,
    pub(crate) folder: &'a Folder,
    pub(crate) jobs: &'a [JobId],
    pub(crate) took: Duration,
    pub(crate) crash: Crash,
}

/// A file: its path, then microseconds, lines, words and SHA-256.
type Slow = (String, i64, i64, i64, String);

impl Report<'_> {
    /// Prints it, and checks that every file has its one result.
    pub(crate) async fn print(self) -> Result<(), BoxError> {
        let mut connection = self.database.connect().await?;
        let ids: Vec<i64> = self.jobs.iter().map(|id| id.as_i64()).collect();
        let ours = || files::table.filter(files::job.eq_any(&ids));
        let results: i64 = ours()
            .select(count_star())
            .get_result(&mut connection)
            .await?;
        let slowest = ours()
            .select((
                files::path,
                files::took_us,
                files::lines,
                files::words,
                files::sha256,
            ))
            .order(files::took_us.desc())
            .limit(SLOWEST)
            .load(&mut connection)
            .await?;

        self.print_counts();
        self.print_places(results);
        self.print_slowest(&slowest);
        if self.database.embedded_url().is_some() {
            println!("\nSet DATABASE_URL to a database of your own to keep what this wrote.");
        }
        self.check(results).await
    }

    fn print_counts(&self) {
        let counts = self.board.counts();
        let snapshot = self.board.supervisor().snapshot();
        let seconds = self.took.as_secs_f64();
        let rate = self.jobs.len() as f64 / seconds;
        println!("\nWhat happened");
        row("jobs completed", counts.completed, "");
        row("attempts", counts.claimed - counts.released, "");
        row("retries", counts.retried, "after an error or a panic");
        row("panics", counts.panicked, "each took its worker down");
        let back = format!(
            "{} was back after {:.1?}",
            self.crash.worker, self.crash.back_after
        );
        row("worker restarts", restarts(&snapshot), &back);
        let how = format!("files in {seconds:.2} s, by {FILE_WORKERS} workers");
        row("jobs per second", rate as u64, &how);
    }

    fn print_places(&self, results: i64) {
        let counts = self.board.counts();
        let place = |table: &str, rows: u64, what: &str| {
            println!("  {table:<33} {:>7}   {what}", grouped(rows));
        };
        println!("\nWhere it went (rows of this run)");
        place(
            "quickstart.files",
            results.unsigned_abs(),
            "written as their jobs completed",
        );
        place(
            &format!("{SCHEMA}.history"),
            counts.completed,
            "kept for a week by default",
        );
        place(
            &format!("{SCHEMA}.dead_letters"),
            counts.buried,
            "kept until requeued",
        );
    }

    fn print_slowest(&self, slowest: &[Slow]) {
        println!("\nThe slowest files                         ms      lines      words   sha-256");
        for (path, took_us, lines, words, sha256) in slowest {
            let path = end_of(self.folder.relative(path), 34);
            let ms = *took_us as f64 / 1e3;
            let (lines, words) = (grouped(lines.unsigned_abs()), grouped(words.unsigned_abs()));
            println!(
                "  {path:<34} {ms:>7.1} {lines:>10} {words:>10}   {}…",
                &sha256[..9]
            );
        }
    }

    async fn check(&self, results: i64) -> Result<(), BoxError> {
        let ours = DeadFilter::all().ids(self.jobs.iter().copied());
        let dead = self.board.client().dead_letters(ours, u32::MAX).await?;
        for letter in dead.iter().take(DEAD_SHOWN as usize) {
            let error = letter
                .errors
                .last()
                .map(|error| error["message"].to_string());
            println!(
                "job {} was given up: {}",
                letter.id,
                error.unwrap_or_default()
            );
        }
        match self.jobs.len() - dead.len() {
            expected if expected as i64 != results => {
                Err(format!("expected {expected} results, found {results}").into())
            }
            _ if !dead.is_empty() => Err(format!("{} files have no result", dead.len()).into()),
            _ => Ok(()),
        }
    }
}

fn row(what: &str, count: u64, remark: &str) {
    println!(
        "{}",
        format!("  {what:<20} {:>9}   {remark}", grouped(count)).trim_end()
    );
}

/// How often workers were restarted in this tree.
fn restarts(tree: &Snapshot) -> u64 {
    let below: u64 = tree.children.iter().map(restarts).sum();
    below + u64::from(tree.info.restarts)
}

/// The last `width` characters of a path.
fn end_of(path: &str, width: usize) -> String {
    let length = path.chars().count();
    if length <= width {
        return path.to_owned();
    }
    let end: String = path.chars().skip(length + 1 - width).collect();
    format!("…{end}")
}

/// A number with a comma before every three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
