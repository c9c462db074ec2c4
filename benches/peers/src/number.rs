//! Numbers as people read them.

/// Four figures or so, with commas between thousands.
pub(crate) fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => with_commas(value.round()),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn with_commas(whole: f64) -> String {
    let digits = format!("{whole:.0}");
    let mut said = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            said.push(',');
        }
        said.push(digit);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn thousands_are_set_apart_and_small_numbers_keep_their_figures() {
        let said = [1_234_567.4, 1_000.0, 999.6, 12.34, 0.0156].map(shown);
        assert_eq!(said, ["1,234,567", "1,000", "1000", "12.3", "0.016"]);
    }
}
