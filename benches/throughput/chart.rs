//! The curves as SVG: a panel each, what a job costs over what grows.

use crate::figure::Figure;
use crate::scale::Measured;
use crate::support::machine::Machine;

const COLUMNS: usize = 3;
const PANEL: (f64, f64) = (330.0, 210.0);
/// Of a panel's plot.
const PLOT: (f64, f64) = (260.0, 120.0);
/// Left and above a plot, within its panel.
const CORNER: (f64, f64) = (44.0, 36.0);
/// Above the panels, for the title; below them, for the conditions.
const MARGIN: f64 = 40.0;

const STYLE: &str = "text{font-family:system-ui,sans-serif;font-size:11px;fill:#24292f}\
    .title{font-weight:600;font-size:16px}.head{font-weight:600;font-size:12px}\
    .small{font-size:10px;fill:#57606a}.end{text-anchor:end}.middle{text-anchor:middle}\
    .curve{fill:none;stroke:#0969da;stroke-width:2}.dot{fill:#0969da}\
    .whisker{stroke:#0969da}.axis{stroke:#d0d7de;fill:none}";

pub(crate) fn of(curves: &[Measured], machine: &Machine) -> String {
    let figures = curves.iter().flat_map(|curve| &curve.points);
    // One scale for all, so that panels can be compared.
    let most = figures.map(|point| point.figure.max()).fold(0.0, f64::max);
    let panels: String = curves
        .iter()
        .enumerate()
        .map(|(index, curve)| {
            let x = 16.0 + PANEL.0 * (index % COLUMNS) as f64;
            let y = MARGIN + PANEL.1 * (index / COLUMNS) as f64;
            let inside = panel(curve, most);
            format!("<g transform=\"translate({x},{y})\">{inside}</g>\n")
        })
        .collect();
    let (width, rows) = (
        PANEL.0 * COLUMNS as f64 + 16.0,
        curves.len().div_ceil(COLUMNS),
    );
    let height = MARGIN * 2.0 + PANEL.1 * rows as f64;
    let title =
        "What a job costs as things grow: processor seconds of client and server for 10,000 jobs";
    let (head, conditions) = (text("title", 16.0, 24.0, title), machine.to_string());
    // On two lines.
    let (server, rest) = conditions
        .split_once(", fsync")
        .unwrap_or((&conditions, ""));
    let foot = text("small", 16.0, height - 30.0, server)
        + &text("small", 16.0, height - 16.0, &format!("fsync{rest}"));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\">\n\
         <style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{head}\n{panels}{foot}\n</svg>\n"
    )
}

fn panel(measured: &Measured, most: f64) -> String {
    let ((left, above), (width, height)) = (CORNER, PLOT);
    let (right, below) = (left + width, above + height);
    let x = |index: usize| {
        let steps = (measured.points.len() - 1).max(1);
        left + width * index as f64 / steps as f64
    };
    let y = |value: f64| below - height * value / most;
    let mut out = text("head", left, above - 16.0, measured.curve.title());
    out += &format!("<path class=\"axis\" d=\"M{left} {above}V{below}H{right}\"/>");
    out += &text("small end", left - 6.0, above + 4.0, &format!("{most:.2}"));
    out += &text("small end", left - 6.0, below + 4.0, "0");
    let mut curve = String::new();
    for (index, point) in measured.points.iter().enumerate() {
        let (x, middle) = (x(index), y(point.figure.median()));
        curve += &format!("{x:.1},{middle:.1} ");
        out += &dot(x, middle, &point.figure, y);
        out += &text("small middle", x, below + 16.0, &short(point.size));
    }
    out + &format!("<polyline class=\"curve\" points=\"{curve}\"/>")
}

/// With a whisker from minimum to maximum, and its number.
fn dot(x: f64, middle: f64, figure: &Figure, y: impl Fn(f64) -> f64) -> String {
    let (low, high) = (y(figure.min()), y(figure.max()));
    let number = format!("{:.3}", figure.median());
    format!(
        "<line class=\"whisker\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{low:.1}\" y2=\"{high:.1}\"/>\
         <circle class=\"dot\" cx=\"{x:.1}\" cy=\"{middle:.1}\" r=\"3\"/>{}",
        text("small middle", x, high - 6.0, &number)
    )
}

/// With k for thousands and M for millions.
fn short(number: usize) -> String {
    match number {
        1_000_000.. => format!("{}M", number / 1_000_000),
        1_000.. => format!("{}k", number / 1_000),
        _ => number.to_string(),
    }
}

fn text(class: &str, x: f64, y: f64, text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>")
}
