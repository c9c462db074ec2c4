//! What a stage costs for an event, beside bare tokio channels that move the same batches.
//!
//! `cargo bench --bench stages` measures everything, with `-- --quick` in some seconds; `--json FILE`
//! also writes two lines for each figure. The two take turns in one process, and the ratio is that of each
//! pair.

mod channels;
mod figure;
mod memory;
mod stages;

use std::io::Write;

use figure::{Failed, Figure};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Effort {
    pairs: usize,
    events: u64,
}

const FULL: Effort = Effort {
    pairs: 9,
    events: 4_000_000,
};
const QUICK: Effort = Effort {
    pairs: 3,
    events: 400_000,
};

/// What is moved, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    pub(crate) events: u64,
    /// How many events a consumer holds at most; it asks again at half of that.
    pub(crate) max_demand: u32,
    pub(crate) shape: Shape,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Stages in a row.
    Chain(usize),
    /// Each event to so many consumers.
    Broadcast(usize),
    /// Each of a thousand keys to its own of four consumers.
    Partition,
}

pub(crate) const KEYS: u64 = 1_000;
pub(crate) const PARTITIONS: u32 = 4;

impl Course {
    /// How many events go together once it is under way.
    pub(crate) fn step(&self) -> usize {
        (self.max_demand - self.max_demand / 2) as usize
    }

    fn name(&self) -> (&'static str, String) {
        let demand = self.max_demand;
        match self.shape {
            Shape::Chain(2) => ("producer → consumer", format!("max_demand {demand}")),
            Shape::Chain(stages) => ("chain", format!("{stages} stages, max_demand {demand}")),
            Shape::Broadcast(to) => ("broadcast", format!("to {to}, max_demand {demand}")),
            Shape::Partition => {
                let setting = format!("{KEYS} keys, {PARTITIONS} consumers, max_demand {demand}");
                ("partition", setting)
            }
        }
    }
}

fn courses(events: u64) -> Vec<Course> {
    let course = |shape, max_demand, share| Course {
        events: events / share,
        max_demand,
        shape,
    };
    vec![
        // At small demands an event costs a message or two each.
        course(Shape::Chain(2), 1, 20),
        course(Shape::Chain(2), 10, 5),
        course(Shape::Chain(2), 1_000, 1),
        course(Shape::Chain(3), 1_000, 1),
        course(Shape::Broadcast(1), 1_000, 1),
        course(Shape::Broadcast(4), 1_000, 2),
        course(Shape::Broadcast(16), 1_000, 8),
        course(Shape::Partition, 1_000, 2),
    ]
}

fn main() -> Result<(), Failed> {
    let (mut effort, mut json) = (FULL, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => effort = QUICK,
            "--json" => json = Some(words.next().ok_or("--json needs a file")?),
            // Cargo says so.
            "--bench" => {}
            other => return Err(format!("{other}? expected --quick or --json FILE").into()),
        }
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let conditions = figure::conditions()?;
    println!("{conditions}");
    figure::head();
    let mut figures = Vec::new();
    for course in courses(effort.events) {
        let figure = runtime.block_on(measure(course, effort.pairs))?;
        println!("{figure}");
        figures.push(figure);
    }
    let flat = runtime.block_on(memory::of_a_slow_consumer())?;
    println!("{flat}");
    if let Some(file) = json {
        let mut file = std::fs::File::create(file)?;
        for line in figures
            .iter()
            .flat_map(|figure| figure.to_json(&conditions))
        {
            writeln!(file, "{line}")?;
        }
        writeln!(file, "{}", flat.to_json(&conditions))?;
    }
    Ok(())
}

/// Both in turns, after a pair that does not count.
async fn measure(course: Course, pairs: usize) -> Result<Figure, Failed> {
    let (name, setting) = course.name();
    let mut figure = Figure::new(name, setting, course.events);
    for pair in 0..=pairs {
        let stages = stages::run(course).await?;
        let channels = channels::run(course).await?;
        if pair > 0 {
            figure.add(stages, channels);
        }
    }
    Ok(figure)
}
