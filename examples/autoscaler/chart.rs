//! Draws simulated loads: one panel each, with what came, the workers, and what waited.

use std::fmt::Write as _;

use callboard::testing::{Sample, Simulated};

const WIDTH: f64 = 760.0;
const PANEL: f64 = 190.0;
const PLOT: (f64, f64) = (50.0, 660.0);
const HEIGHT: f64 = 120.0;

/// One load, and what came of it.
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) scaled: Simulated,
    pub(crate) fixed: Simulated,
}

/// The panels as an SVG document.
pub(crate) fn of(panels: &[Panel]) -> String {
    let height = PANEL * panels.len() as f64 + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let legend = [
        ("#999999", "jobs a second that come"),
        ("#1f6feb", "workers, autoscaled"),
        ("#8ab8f8", "workers, fixed"),
        ("#d1242f", "jobs that wait"),
    ];
    for (index, (color, text)) in legend.iter().enumerate() {
        let x = PLOT.0 + 170.0 * index as f64;
        let _infallible = writeln!(
            svg,
            "<text x=\"{x}\" y=\"18\" fill=\"{color}\">■ {text}</text>"
        );
    }
    for (index, panel) in panels.iter().enumerate() {
        draw(&mut svg, panel, 30.0 + PANEL * index as f64);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, panel: &Panel, top: f64) {
    let (scaled, fixed) = (panel.scaled.samples(), panel.fixed.samples());
    let base = top + 30.0 + HEIGHT;
    let workers = most(scaled, |s| s.workers.into()).max(most(fixed, |s| s.workers.into()));
    let lines = [
        (
            "#999999",
            line(scaled, base, most(scaled, |s| s.jobs_per_second), |s| {
                s.jobs_per_second
            }),
        ),
        (
            "#d1242f",
            line(scaled, base, most(scaled, |s| s.waiting.into()), |s| {
                s.waiting.into()
            }),
        ),
        ("#8ab8f8", line(fixed, base, workers, |s| s.workers.into())),
        ("#1f6feb", line(scaled, base, workers, |s| s.workers.into())),
    ];
    let (x, title) = (PLOT.0, panel.title);
    let tops = format!(
        "top of the scale: {:.0} jobs a second, {workers:.0} workers, {:.0} waiting",
        most(scaled, |s| s.jobs_per_second),
        most(scaled, |s| s.waiting.into()),
    );
    let _infallible = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{}\" font-weight=\"bold\">{title}</text>\
         <text x=\"{}\" y=\"{0}\" text-anchor=\"end\" fill=\"#666666\">{tops}</text>\
         <path d=\"M{x} {base}H{}\" stroke=\"#cccccc\" fill=\"none\"/>",
        top + 20.0,
        PLOT.0 + PLOT.1,
        PLOT.0 + PLOT.1,
    );
    for (color, points) in lines {
        let _infallible = writeln!(
            svg,
            "<polyline points=\"{points}\" stroke=\"{color}\" stroke-width=\"1.5\" fill=\"none\"/>"
        );
    }
}

fn most(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    samples.iter().map(of).fold(1.0, f64::max)
}

/// Each fifth second as a point.
fn line(samples: &[Sample], base: f64, most: f64, of: impl Fn(&Sample) -> f64) -> String {
    let end = samples.last().map_or(1.0, |last| last.at);
    let point = |sample: &Sample| {
        let x = PLOT.0 + PLOT.1 * sample.at / end;
        let y = base - HEIGHT * of(sample) / most;
        format!("{x:.1},{y:.1}")
    };
    let points: Vec<String> = samples.iter().step_by(5).map(point).collect();
    points.join(" ")
}
