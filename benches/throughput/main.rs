//! How fast it is, on this machine: the whole of it, and its statements alone, in one run.
//!
//! `cargo bench --bench throughput` measures everything, with `-- --quick` in less than five minutes;
//! `--json FILE` also writes a line for each figure, `--chart SVG` draws how the cost of a job grows. It runs on
//! an embedded server with real durability, or on the one that DATABASE_URL names, in databases of its own.

mod bare;
mod beside;
mod chart;
mod child;
mod drain;
mod enqueue;
mod figure;
mod flow;
mod jobs;
mod limits;
mod place;
mod processes;
mod scale;
#[path = "../support/mod.rs"]
mod support;
mod usage;

use std::borrow::Borrow;
use std::io::Write;

use callboard::store::embedded::Embedded;
use drain::{Drain, Lane};
use figure::Figure;
use jobs::Does;
use support::Failed;
use support::machine::Machine;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Of a drain.
    jobs: usize,
    runs: usize,
    /// Of drains with limits and without.
    pairs: usize,
    is_scaled: bool,
}

const FULL: Effort = Effort {
    jobs: 400_000,
    runs: 3,
    pairs: 5,
    is_scaled: true,
};
const QUICK: Effort = Effort {
    jobs: 60_000,
    runs: 3,
    pairs: 1,
    is_scaled: false,
};

struct Arguments {
    effort: Effort,
    json: Option<String>,
    /// Where the curves of `scale` are drawn.
    chart: Option<String>,
    /// Only figures of parts whose name holds this.
    only: String,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let mut read = Self {
            effort: FULL,
            json: None,
            chart: None,
            only: String::new(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => read.effort = QUICK,
                "--json" => read.json = Some(words.next().ok_or("--json needs a file")?),
                "--chart" => read.chart = Some(words.next().ok_or("--chart needs a file")?),
                "--only" => read.only = words.next().ok_or("--only needs a part")?,
                // Cargo says so.
                "--bench" => {}
                other => {
                    return Err(format!(
                        "{other}? expected --quick, --json FILE, --chart SVG or --only PART"
                    ));
                }
            }
        }
        Ok(read)
    }
}

fn main() -> Result<(), Failed> {
    let runtime = tokio::runtime::Runtime::new()?;
    if let Some(server) = child::is(child::DRAINS) {
        return runtime.block_on(drain::be_measured(&server));
    }
    if let Some(server) = child::is(child::GROWS) {
        return runtime.block_on(scale::be_grown(&server));
    }
    if let Ok(url) = std::env::var(processes::SHARES) {
        return runtime.block_on(processes::be_one(&url));
    }
    runtime.block_on(measure(&Arguments::read()?))
}

async fn measure(arguments: &Arguments) -> Result<(), Failed> {
    match std::env::var("DATABASE_URL") {
        Ok(url) if !url.is_empty() => measure_at(&url, "of DATABASE_URL", arguments).await,
        _ => {
            let server = Embedded::builder()
                .setting("fsync", "on")
                .setting("full_page_writes", "on")
                .setting("shared_buffers", "1GB")
                .setting("max_wal_size", "8GB")
                .start()
                .await?;
            let measured = measure_at(server.url(), "embedded on loopback", arguments).await;
            server.stop().await?;
            measured
        }
    }
}

/// Where figures go as they come.
struct Report {
    machine: Machine,
    json: Option<std::fs::File>,
}

impl Report {
    fn add(
        &mut self,
        figures: impl IntoIterator<Item = impl Borrow<Figure>>,
    ) -> Result<(), Failed> {
        for figure in figures {
            let figure = figure.borrow();
            figure.print();
            if let Some(file) = &mut self.json {
                writeln!(file, "{}", figure.to_json(&self.machine))?;
            }
        }
        Ok(())
    }
}

async fn measure_at(server: &str, kind: &str, arguments: &Arguments) -> Result<(), Failed> {
    let machine = Machine::look(server, kind).await?;
    println!("{machine}");
    let json = arguments.json.as_ref().map(std::fs::File::create);
    let mut report = Report {
        machine,
        json: json.transpose()?,
    };
    figure::print_head();
    let effort = arguments.effort;
    let is_wanted = |part: &str| part.contains(&arguments.only);
    if is_wanted("drain") {
        drains(server, effort, &mut report).await?;
    }
    if is_wanted("enqueue") {
        enqueues(server, effort, &mut report).await?;
    }
    if is_wanted("flow") {
        flows(server, effort, &mut report).await?;
    }
    if is_wanted("processes") {
        report.add(processes::drain(server, effort.jobs, effort.runs).await?)?;
    }
    if is_wanted("handlers") {
        handlers(server, effort, &mut report).await?;
    }
    if is_wanted("limits") {
        // Shares need fewer jobs than rates.
        let jobs = effort.jobs / 10;
        report.add(limits::cost(server, jobs, effort.pairs).await?)?;
    }
    if is_wanted("scale") && effort.is_scaled {
        let mut curves = Vec::new();
        for curve in scale::CURVES {
            let measured = curve.measure(server, effort).await?;
            report.add(measured.points.iter().map(|point| &point.figure))?;
            report.add([measured.growth()])?;
            curves.push(measured);
        }
        if let Some(file) = &arguments.chart {
            std::fs::write(file, chart::of(&curves, &report.machine))?;
        }
        report.add(scale::memory(server).await?)?;
    }
    Ok(())
}

async fn drains(server: &str, effort: Effort, report: &mut Report) -> Result<(), Failed> {
    let Effort { jobs, runs, .. } = effort;
    report.add(bare::drain(server, jobs, runs).await?)?;
    for workers in [1, 10, 100, 1_000] {
        report.add(Drain::of(jobs, workers).whole(server, runs).await?)?;
    }
    for workers in [10, 100] {
        let in_the_lane = Drain {
            lane: Lane::Express,
            ..Drain::of(jobs, workers)
        };
        report.add(in_the_lane.whole(server, runs).await?)?;
    }
    for workers in [10, 100] {
        let share = Drain::of(jobs, workers).of_bare(server, runs + 2).await?;
        report.add([share])?;
    }
    let by_hundreds = Drain {
        demand: 100,
        ..Drain::of(jobs, 10)
    };
    report.add(by_hundreds.rate(server, runs).await?)?;
    let in_eight_queues = Drain {
        queues: 8,
        ..Drain::of(jobs, 10)
    };
    report.add(in_eight_queues.rate(server, runs).await?)?;
    report.add([drain::memory(server, jobs, runs).await?])
}

async fn enqueues(server: &str, effort: Effort, report: &mut Report) -> Result<(), Failed> {
    let Effort { jobs, runs, .. } = effort;
    for batch in [1_000, 5_000] {
        report.add([bare::enqueue(server, jobs, batch, 1, runs).await?])?;
        report.add(enqueue::bulk(server, jobs, batch, runs).await?)?;
        report.add([enqueue::bulk_of_bare(server, jobs, batch, runs + 2).await?])?;
    }
    for connections in [1, 4, 64] {
        report.add([bare::enqueue(server, jobs / 10, 1, connections, runs).await?])?;
    }
    for (callers, jobs) in [(1, jobs / 50), (16, jobs / 5), (64, jobs / 2)] {
        report.add([enqueue::single(server, jobs, callers, runs).await?])?;
    }
    for (batch, jobs) in [(1, jobs / 50), (1_000, jobs)] {
        report.add(enqueue::in_transaction(server, jobs, batch, runs).await?)?;
    }
    Ok(())
}

async fn flows(server: &str, effort: Effort, report: &mut Report) -> Result<(), Failed> {
    let Effort { jobs, runs, .. } = effort;
    report.add([bare::end_to_end(server, jobs, runs).await?])?;
    report.add(flow::end_to_end(server, jobs, 10, runs).await?)?;
    report.add([flow::end_to_end_of_bare(server, jobs, 10, runs + 2).await?])?;
    report.add(flow::latency(server, 300, runs + 2).await?)
}

async fn handlers(server: &str, effort: Effort, report: &mut Report) -> Result<(), Failed> {
    for (ms, jobs) in [(1, effort.jobs / 2), (10, effort.jobs / 10)] {
        let resting = Drain {
            does: Does::Rests(ms),
            ..Drain::of(jobs, 100)
        };
        report.add(resting.rate(server, effort.runs).await?)?;
    }
    Ok(())
}
