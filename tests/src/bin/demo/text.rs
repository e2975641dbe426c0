//! Text for a terminal of 80 columns.

use std::time::Duration;

const WIDTH: usize = 78;

/// Prints rows with aligned columns; the first row is the heading. Numbers are right-aligned.
pub(crate) fn print_table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .map(|row| cell(row, column).len())
                .max()
                .unwrap_or(0)
        })
        .collect();
    for row in rows {
        let mut line = String::from("  ");
        for (column, width) in widths.iter().copied().enumerate() {
            let text = cell(row, column);
            let padded = if text.starts_with(|first: char| first.is_ascii_digit()) {
                format!("  {text:>width$}")
            } else {
                format!("  {text:<width$}")
            };
            line.push_str(&padded);
        }
        println!("{}", line.trim_end());
    }
}

/// Prints a paragraph wrapped at spaces, with each line indented.
pub(crate) fn print_wrapped(indent: usize, text: &str) {
    print_words(indent, text.split_whitespace());
}

/// Prints a statement wrapped at spaces, with a comment that stays on one line.
pub(crate) fn print_statement(indent: usize, statement: &str, comment: &str) {
    let statement = format!("{statement};");
    let comment = format!(" -- {comment}");
    print_words(indent, statement.split_whitespace().chain([&*comment]));
}

fn print_words<'a>(indent: usize, words: impl Iterator<Item = &'a str>) {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() && indent + line.len() + 1 + word.len() > WIDTH {
            println!("{:indent$}{line}", "");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    println!("{:indent$}{line}", "");
}

/// A number with a comma before every third digit from the right.
pub(crate) fn number(value: impl Into<i128>) -> String {
    let digits = value.into().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How long something took.
pub(crate) fn duration(value: Duration) -> String {
    if value < Duration::from_secs(1) {
        format!("{:.1} ms", value.as_secs_f64() * 1000.0)
    } else {
        format!("{:.1} s", value.as_secs_f64())
    }
}
