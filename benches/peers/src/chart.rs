//! The chart, as SVG: a panel for each figure, a bar for each system at its best setting, a whisker from minimum to
//! maximum.

use crate::best::{self, Best, distinct, more_is_better};
use crate::line::Line;
use crate::number::shown;
use crate::system::OURS;

/// What is drawn, in order: figures and the parts of them that decide.
const PANELS: [(&str, &str); 12] = [
    ("bulk enqueue", "rate"),
    ("drain", "rate"),
    ("end to end", "rate"),
    ("single enqueue by 1", "rate"),
    ("single enqueue by 16", "rate"),
    ("single enqueue by 64", "rate"),
    ("idle latency", "p50"),
    ("idle latency", "p99"),
    ("end to end", "WAL"),
    ("drain", "server CPU"),
    ("drain", "client CPU"),
    ("drain", "peak memory"),
];

const COLUMNS: usize = 3;
const PANEL_WIDTH: f64 = 400.0;
const BAR_HEIGHT: f64 = 20.0;
const HEAD_HEIGHT: f64 = 44.0;
/// Above the panels, for the title; below them, for the conditions.
const MARGIN: f64 = 40.0;
/// Within a panel: the names, then the longest bar, then the numbers.
const NAMES_WIDTH: f64 = 112.0;
const BARS_WIDTH: f64 = 170.0;

const STYLE: &str = "text{font-family:system-ui,sans-serif;font-size:12px;fill:#24292f}\
    .head{font-weight:600;font-size:13px}.title{font-weight:600;font-size:16px}\
    .small{font-size:10px;fill:#57606a}.ours{fill:#0969da}.other{fill:#afb8c1}\
    .whisker{stroke:#24292f;stroke-width:1.5}";

pub(crate) fn of(lines: &[Line]) -> String {
    let systems = distinct(lines.iter().map(Line::system_name));
    let best = best::of(lines);
    let wanted = PANELS.iter().filter_map(|(figure, part)| {
        let best = best.iter().find(|best| best.figure == *figure)?;
        best.parts().contains(part).then_some((best, *part))
    });
    let panel_height = HEAD_HEIGHT + BAR_HEIGHT * systems.len() as f64 + 14.0;
    let mut panels = String::new();
    let mut count = 0_usize;
    for (best, part) in wanted {
        let x = 16.0 + PANEL_WIDTH * (count % COLUMNS) as f64;
        let y = MARGIN + panel_height * (count / COLUMNS) as f64;
        let inside = panel(best, part, &systems);
        panels += &format!("<g transform=\"translate({x},{y})\">{inside}</g>\n");
        count += 1;
    }
    let width = PANEL_WIDTH * COLUMNS as f64 + 16.0;
    let height = MARGIN * 2.0 + panel_height * count.div_ceil(COLUMNS) as f64;
    let versions = distinct(lines.iter().map(|line| line.system.as_str())).join(", ");
    let (server, machine) = common_conditions(lines);
    let below = [versions.as_str(), server, machine];
    let mut foot = String::new();
    for (index, text) in below.iter().enumerate() {
        let y = height - 34.0 + 14.0 * index as f64;
        foot += &text_at("small", 16.0, y, text);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\">\n\
         <style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}\n{panels}{foot}\n</svg>\n",
        text_at(
            "title",
            16.0,
            24.0,
            "PostgreSQL job systems side by side: medians, whiskers from minimum to maximum"
        ),
    )
}

fn panel(best: &Best<'_>, part: &str, systems: &[&str]) -> String {
    let unit = best.unit(part);
    let better = if more_is_better(unit) { "more" } else { "less" };
    let mut out = text_at("head", 0.0, 18.0, &format!("{}: {part}", best.figure));
    out += &text_at("small", 0.0, 33.0, &format!("{unit}, {better} is better"));
    let lines = systems.iter().filter_map(|system| best.line(system, part));
    let most = lines.map(|line| line.max).fold(f64::MIN_POSITIVE, f64::max);
    for (index, system) in systems.iter().enumerate() {
        let y = HEAD_HEIGHT + BAR_HEIGHT * index as f64;
        out += &text_at("name", 0.0, y + 12.0, system);
        match best.line(system, part) {
            Some(line) => out += &bar(line, y, most),
            None => out += &text_at("small", NAMES_WIDTH, y + 12.0, "not measured"),
        }
    }
    out
}

fn bar(line: &Line, y: f64, most: f64) -> String {
    let at = |value: f64| NAMES_WIDTH + BARS_WIDTH * value / most;
    let class = if line.system_name() == OURS {
        "ours"
    } else {
        "other"
    };
    let (min, max, middle) = (at(line.min), at(line.max), y + 8.0);
    let width = at(line.median) - NAMES_WIDTH;
    let number = text_at("number", max + 6.0, y + 12.0, &shown(line.median));
    format!(
        "<rect class=\"{class}\" x=\"{NAMES_WIDTH}\" y=\"{y}\" width=\"{width:.1}\" height=\"16\"/>\
         <line class=\"whisker\" x1=\"{min:.1}\" x2=\"{max:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>{number}"
    )
}

/// What the ends of all conditions have in common: the server; then the machine and the rest.
fn common_conditions(lines: &[Line]) -> (&str, &str) {
    let conditions = lines.first().map_or("", |line| line.conditions.as_str());
    let from = conditions.find("PostgreSQL").unwrap_or(0);
    let common = &conditions[from..];
    common.split_once("; ").unwrap_or((common, ""))
}

fn text_at(class: &str, x: f64, y: f64, text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y}\">{text}</text>")
}
