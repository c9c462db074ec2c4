//! The whole measurement: every setting is tried once, then the best ones are measured in alternation.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Failed;
use crate::arguments::Wanted;
use crate::figure::{Effort, Settings};
use crate::line;
use crate::number::shown;
use crate::samples::Samples;
use crate::server::Server;
use crate::trial::Trial;

/// Measures what is wanted. The file is written after each round, so that an interrupted run leaves its whole rounds.
pub(crate) async fn measure(wanted: &Wanted, file: &Path) -> Result<(), Failed> {
    // Before anything is measured, so that a bad path is noticed now.
    line::write(file, &[])?;
    let server = Server::start().await?;
    let ended = rounds(wanted, file, &server).await;
    server.stop().await?;
    ended
}

async fn rounds(wanted: &Wanted, file: &Path, server: &Server) -> Result<(), Failed> {
    let conditions = conditions(wanted, server).await?;
    println!("{conditions}\n");
    let mut rounds = Rounds {
        server,
        patience: wanted.effort.patience,
        begun: Instant::now(),
        samples: Samples::default(),
        failures: Vec::new(),
    };
    let trials = match wanted.effort.settings {
        Settings::First => first_settings(wanted),
        Settings::Best => rounds.best_settings(wanted).await,
    };
    for round in 1..=wanted.effort.repetitions {
        rounds.round(&format!("round {round}"), &trials).await;
        line::write(file, &rounds.samples.lines(&conditions))?;
    }
    for failure in rounds.failures {
        println!("failed: {failure}");
    }
    Ok(())
}

struct Rounds<'a> {
    server: &'a Server,
    patience: Duration,
    begun: Instant,
    samples: Samples,
    failures: Vec<String>,
}

impl Rounds<'_> {
    /// Tries every setting once, and keeps the best of each system in each figure.
    async fn best_settings(&mut self, wanted: &Wanted) -> Vec<Trial> {
        let mut tried = Vec::new();
        for first in first_settings(wanted) {
            let settings = first.system.settings(first.figure).len();
            let jobs = Effort::QUICK.jobs(first.figure);
            if settings > 1 {
                tried.extend((0..settings).map(|setting| Trial {
                    setting,
                    jobs,
                    ..first
                }));
            }
        }
        self.round("trying", &tried).await;
        let best = |first: Trial| {
            let jobs = Effort::QUICK.jobs(first.figure);
            let best = self.samples.best_of(Trial { jobs, ..first });
            best.map_or(first, |best| Trial {
                jobs: first.jobs,
                ..best
            })
        };
        first_settings(wanted).into_iter().map(best).collect()
    }

    /// Every trial once; one that fails has a second chance.
    async fn round(&mut self, round: &str, trials: &[Trial]) {
        for trial in trials {
            if !self.succeeds(round, trial).await {
                self.succeeds(round, trial).await;
            }
        }
    }

    /// Runs the trial, and keeps what was measured or why not.
    async fn succeeds(&mut self, round: &str, trial: &Trial) -> bool {
        let Trial {
            figure,
            system,
            setting,
            ..
        } = *trial;
        let setting = system.settings(figure).swap_remove(setting);
        let name = format!("{} of {}, {setting}", figure.name(), system.package());
        let head = format!("{:>5}s {round}: {name}", self.begun.elapsed().as_secs());
        match trial.run(self.server, self.patience).await {
            Ok(measured) => {
                let (part, value, unit) = measured.parts().swap_remove(0);
                eprintln!("{head}: {part} {} {unit}", shown(value));
                self.samples.add(*trial, measured);
                true
            }
            Err(cause) => {
                eprintln!("{head}: {cause}");
                self.failures.push(format!("{round}: {name}: {cause}"));
                false
            }
        }
    }
}

/// Figure by figure, so that systems are compared within minutes.
fn first_settings(wanted: &Wanted) -> Vec<Trial> {
    let of_figure = |&figure| {
        wanted.systems.iter().map(move |&system| Trial {
            figure,
            system,
            setting: 0,
            jobs: wanted.effort.jobs(figure),
        })
    };
    wanted.figures.iter().flat_map(of_figure).collect()
}

async fn conditions(wanted: &Wanted, server: &Server) -> Result<String, Failed> {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let mut said = vec![
        server.conditions().await?,
        format!(
            "{} CPUs, load {} at the start",
            std::thread::available_parallelism()?,
            load.split(' ').next().unwrap_or("unknown")
        ),
        server.date().await?,
        format!("{build} build, payload about 100 bytes"),
    ];
    said.extend(wanted.note.clone());
    Ok(said.join("; "))
}
