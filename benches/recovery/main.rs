//! How long until work goes on after each kind of death, on this machine.
//!
//! `cargo bench --bench recovery` measures everything, with `-- --quick` in less than a minute;
//! `--json FILE` also writes a line for each figure. Each death is caused for real: a panic, a kill, a
//! SIGKILL, a stopped server.

mod actors;
mod database;
mod figure;
mod process;
mod stage;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write;

use figure::Figure;
use support::Failed;
use support::machine::Machine;

/// How often each death is caused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) panics: usize,
    pub(crate) kills: usize,
    pub(crate) processes: usize,
    pub(crate) outages: usize,
}

const FULL: Effort = Effort {
    panics: 2_000,
    kills: 300,
    processes: 40,
    outages: 12,
};
const QUICK: Effort = Effort {
    panics: 300,
    kills: 60,
    processes: 6,
    outages: 2,
};

struct Arguments {
    effort: Effort,
    json: Option<String>,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let mut read = Self {
            effort: FULL,
            json: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => read.effort = QUICK,
                "--json" => read.json = Some(words.next().ok_or("--json needs a file")?),
                // Cargo says so.
                "--bench" => {}
                other => return Err(format!("{other}? expected --quick or --json FILE")),
            }
        }
        Ok(read)
    }
}

fn main() -> Result<(), Failed> {
    let runtime = tokio::runtime::Runtime::new()?;
    if let Ok(url) = std::env::var(process::NODE) {
        return runtime.block_on(process::node(&url));
    }
    let arguments = Arguments::read()?;
    // Thousands of panics are meant here, and their texts would hide the table.
    std::panic::set_hook(Box::new(|_| {}));
    let (machine, figures) = runtime.block_on(measure(arguments.effort))?;
    println!("{}", machine);
    figure::print(&figures);
    if let Some(file) = arguments.json {
        let mut file = std::fs::File::create(file)?;
        for figure in &figures {
            writeln!(file, "{}", figure.to_json(&machine))?;
        }
    }
    Ok(())
}

async fn measure(effort: Effort) -> Result<(Machine, Vec<Figure>), Failed> {
    let server = callboard::store::embedded::Embedded::builder()
        .start()
        .await?;
    let url = server.url();
    let machine = Machine::look(url, "embedded on loopback").await?;
    let mut figures = Vec::new();
    figures.push(actors::panicked_worker(url, effort).await?);
    figures.push(actors::killed_worker(url, effort).await?);
    figures.push(actors::killed_fetcher(url, effort).await?);
    figures.push(actors::killed_ledger(url, effort).await?);
    figures.push(actors::killed_queue(url, effort).await?);
    figures.push(process::killed(url, effort).await?);
    server.stop().await?;
    figures.push(database::back(effort).await?);
    Ok((machine, figures))
}
