//! Tables for people that are Markdown, too.

use unicode_width::UnicodeWidthStr;

/// A table with a heading: the first column stands to the left, the others to the right. Rows that are shorter than the
/// heading are filled up with empty cells.
pub fn markdown(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let all = || std::iter::once(&heading).chain(rows);
    let widths: Vec<usize> =
        (0..heading.len()).map(|column| all().map(|row| cell(row, column).width()).max().unwrap_or(0).max(3)).collect();
    let line = |row: &Vec<String>| {
        let cells = widths.iter().enumerate().map(|(column, width)| {
            let text = cell(row, column);
            let fill = " ".repeat(width - text.width());
            if column == 0 { format!("| {text}{fill} ") } else { format!("| {fill}{text} ") }
        });
        cells.collect::<String>() + "|\n"
    };
    let rule: String = widths
        .iter()
        .enumerate()
        .map(|(column, width)| {
            let dashes = "-".repeat(width + 1);
            if column == 0 { format!("|{dashes}-") } else { format!("|{dashes}:") }
        })
        .collect();
    line(&heading) + &rule + "|\n" + &rows.iter().map(line).collect::<String>()
}

/// A number with three significant digits, without an exponent.
pub fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 || size == 0.0 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 => format!("{value:.2}"),
        size if size >= 0.09995 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "1.5".to_owned()], vec!["longer".to_owned()]];
        assert_eq!(
            markdown(&["name", "s"], &rows),
            "| name   |   s |\n|--------|----:|\n| a      | 1.5 |\n| longer |     |\n"
        );
    }

    #[test]
    fn numbers_keep_three_digits() {
        let written: Vec<String> = [0.0, 1234.5, 99.96, 12.345, 1.2345, 0.12345, 0.0123].map(digits).to_vec();
        assert_eq!(written, ["0", "1234", "100", "12.3", "1.23", "0.123", "0.0123"]);
    }
}
