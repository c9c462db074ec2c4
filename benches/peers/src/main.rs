//! callboard beside its peers, on one PostgreSQL server in one run.
//!
//! Every system does the same things with the same jobs: [`figure`] says what, [`system`] how each of them is asked to,
//! and with which settings. Each repetition of each setting runs in a process of its own ([`child`]) on a fresh database
//! ([`trial`]), in alternation, so that CPU time and memory belong to one system and no one gets the quiet minute.
//! What was measured goes into a file of [`line`]s, and the [`table`] and the [`chart`] are drawn from that file alone.
//!
//! What to mind when reading the figures. Every trial begins with tables that were just made; where jobs are there
//! beforehand, they are analyzed, as autovacuum would do in time. Client and server share the machine's processors. What
//! the systems keep of a finished job differs, and each line says it. Clock and counters stop when the database says
//! that nothing is unfinished, for everybody by a query of the same kind.
//!
//! ```console
//! $ cargo run --release --manifest-path benches/peers/Cargo.toml -- --json FILE [--quick] [--chart SVG]
//! $ cargo run --release --manifest-path benches/peers/Cargo.toml -- --draw FILE --chart SVG
//! ```

mod arguments;
mod arrivals;
mod best;
mod chart;
mod child;
mod figure;
mod line;
mod measured;
mod meter;
mod number;
mod payload;
mod run;
mod samples;
mod server;
mod system;
mod table;
mod trial;

use arguments::{Arguments, Deed};

/// An error that ends a trial or the program, with its text.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    let runtime = tokio::runtime::Runtime::new()?;
    if let Some(task) = child::task()? {
        return runtime.block_on(child::run(task));
    }
    let arguments = Arguments::read()?;
    if let Deed::Measure(wanted) = &arguments.deed {
        runtime.block_on(run::measure(wanted, &arguments.file))?;
    }
    let lines = line::read(&arguments.file)?;
    println!("{}", table::of(&lines));
    if let Some(chart) = &arguments.chart {
        std::fs::write(chart, chart::of(&lines))
            .map_err(|cause| format!("cannot write {}: {cause}", chart.display()))?;
    }
    Ok(())
}
