//! The table, as Markdown: medians with minimum and maximum, the best setting of each system.

use crate::best::{self, distinct, is_primary};
use crate::line::Line;
use crate::number::shown;
use crate::system::OURS;

pub(crate) fn of(lines: &[Line]) -> String {
    let systems = distinct(lines.iter().map(|line| line.system.as_str()));
    let names = distinct(lines.iter().map(Line::system_name));
    let mut out = format!(
        "| median (min–max) | {} | {OURS} is … times better than the best other |\n|---|{}--:|\n",
        systems.join(" | "),
        "--:|".repeat(systems.len())
    );
    for best in best::of(lines) {
        for part in best.parts() {
            let cells = names.iter().map(|system| {
                let line = best.line(system, part);
                line.map_or("–".to_owned(), cell)
            });
            let cells = cells.collect::<Vec<_>>().join(" | ");
            let lead = best
                .lead(part)
                .map_or("–".to_owned(), |lead| format!("{lead:.2}"));
            let (figure, unit) = (best.figure, best.unit(part));
            out += &format!("| {figure}: {part}, {unit} | {cells} | {lead} |\n");
        }
    }
    out.push_str(&settings(lines));
    out
}

fn cell(line: &Line) -> String {
    let Line {
        median, min, max, ..
    } = line;
    format!("{} ({}–{})", shown(*median), shown(*min), shown(*max))
}

/// Every setting that was tried, with what it reached; the best one is marked. Then what held for all.
fn settings(lines: &[Line]) -> String {
    let mut out = "\nSettings tried, the reported one first with a star:\n\n".to_owned();
    let best = best::of(lines);
    for best in &best {
        let mut tried: Vec<&Line> = lines
            .iter()
            .filter(|line| line.figure_and_part().0 == best.figure && is_primary(line))
            .collect();
        let is_best = |line: &Line| {
            let (_, part) = line.figure_and_part();
            best.line(line.system_name(), part)
                .is_some_and(|best| best.setting == line.setting && best.n == line.n)
        };
        tried.sort_by_key(|line| (line.system_name(), !is_best(line)));
        for line in tried {
            let mark = if is_best(line) { "*" } else { " " };
            let Line {
                setting, n, unit, ..
            } = line;
            let (figure, system) = (best.figure, line.system_name());
            let reached = cell(line);
            out += &format!("{mark} {figure}, {system}: {setting}; n {n}: {reached} {unit}\n");
        }
    }
    out.push_str("\nConditions:\n\n");
    let conditions = lines.iter().flat_map(|line| line.conditions.split("; "));
    for condition in distinct(conditions) {
        out += &format!("- {condition}\n");
    }
    out
}
