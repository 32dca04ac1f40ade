//! Tables of figures as text.

use std::fmt::Write;

/// A table whose first column is flush left and whose others are flush right.
pub(crate) fn table<const COLUMNS: usize>(heads: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let rows: Vec<&[String]> = rows.iter().map(<[String; COLUMNS]>::as_slice).collect();
    aligned(&heads.map(str::to_owned), &rows)
}

/// The same of as many columns as there are heads.
pub(crate) fn aligned(heads: &[String], rows: &[&[String]]) -> String {
    let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(*row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in std::iter::once(&heads).chain(rows) {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Writing to a string does not fail.
            let _ =
                if column == 0 { write!(line, "{cell:<width$}") } else { write!(line, "  {cell:>width$}") };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The same in Markdown.
pub(crate) fn markdown(heads: &[String], rows: &[&[String]]) -> String {
    let mut out = String::new();
    let mut line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        // Writing to a string does not fail.
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    };
    line(heads);
    let rule = |column| if column == 0 { "---" } else { "---:" }.to_owned();
    line(&(0..heads.len()).map(rule).collect::<Vec<_>>());
    for row in rows {
        line(row);
    }
    out
}

/// A number with three significant digits, and without an exponent.
pub(crate) fn significant(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    format!("{value:.digits$}")
}

/// A number with three significant digits and a decimal prefix: `64.9 M`.
pub(crate) fn prefixed(value: f64) -> String {
    let prefixes = [(1e9, " G"), (1e6, " M"), (1e3, " k")];
    match prefixes.into_iter().find(|(unit, _)| value.abs() >= *unit) {
        Some((unit, prefix)) => format!("{}{prefix}", significant(value / unit)),
        None => significant(value),
    }
}

/// The middle one of some figures, or the mean of the two middle ones; 0 if there are none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (len, middle) if len % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["a".to_owned(), "1.0".to_owned()], ["long".to_owned(), String::new()]];
        assert_eq!(table(["name", "figure"], &rows), "name  figure\na        1.0\nlong\n");
    }

    #[test]
    fn markdown_has_a_rule_and_no_stray_bars() {
        let rows = ["a|b".to_owned(), "1".to_owned()];
        let heads = ["name".to_owned(), "figure".to_owned()];
        assert_eq!(markdown(&heads, &[&rows]), "| name | figure |\n| --- | ---: |\n| a\\|b | 1 |\n");
    }

    #[test]
    fn numbers_have_three_digits() {
        let texts = [1234.5, 12.345, 0.012_345, 0.0, 9.999].map(significant);
        assert_eq!(texts, ["1234", "12.3", "0.0123", "0", "10.00"]);
    }

    #[test]
    fn large_numbers_have_a_prefix() {
        assert_eq!([64.9e6, 25_000.0, 96.25].map(prefixed), ["64.9 M", "25.0 k", "96.2"]);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]).to_bits(), 2.5_f64.to_bits());
        assert_eq!(median(&[]).to_bits(), 0.0_f64.to_bits());
    }
}
