//! Tables as text: aligned columns for the terminal, the same as Markdown for files.

use comfy_table::{Table, presets};

/// Columns separated by two spaces, each as wide as its longest cell; a cell may have several lines.
pub fn columns(rows: &[Vec<String>]) -> String {
    drawn(presets::NOTHING, (0, 2), rows)
}

/// A Markdown table whose first row is the header, aligned for reading as plain text.
pub fn markdown(rows: &[Vec<String>]) -> String {
    let cell = |cell: &String| cell.replace('|', "\\|").replace('\n', " ");
    let rows: Vec<Vec<String>> = (rows.iter().map(|row| row.iter().map(cell).collect())).collect();
    drawn(presets::ASCII_MARKDOWN, (1, 1), &rows)
}

/// The width of a terminal in columns, for wide tables.
pub const TERMINAL: usize = 120;

/// As [`markdown`], transposed if the table is wider than `columns` and transposing makes it narrower.
pub fn markdown_within(rows: &[Vec<String>], columns: usize) -> String {
    let upright = markdown(rows);
    match longest_line(&upright) <= columns {
        true => upright,
        false => narrower(upright, markdown(&exchanged(rows))),
    }
}

/// Transposes rows and columns.
pub fn exchanged(rows: &[Vec<String>]) -> Vec<Vec<String>> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, i| row.get(i).cloned().unwrap_or_default();
    (0..count)
        .map(|i| rows.iter().map(|row| cell(row, i)).collect())
        .collect()
}

/// The narrower of two tables; `one` if equal.
pub fn narrower(one: String, other: String) -> String {
    match longest_line(&other) < longest_line(&one) {
        true => other,
        false => one,
    }
}

/// The width of a text in characters.
pub fn longest_line(text: &str) -> usize {
    let widths = text.lines().map(|line| line.chars().count());
    widths.max().unwrap_or(0)
}

/// `rows` in the style of `preset`, the first as header, with padding before and after each cell.
fn drawn(preset: &str, padding: (u16, u16), rows: &[Vec<String>]) -> String {
    let Some((header, body)) = rows.split_first() else {
        return String::new();
    };
    let mut table = Table::new();
    table.load_preset(preset).set_header(header).add_rows(body);
    for column in table.column_iter_mut() {
        column.set_padding(padding);
    }
    table.trim_fmt() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        [["name", "é"], ["a|b", "12"]]
            .map(|r| r.map(str::to_owned).to_vec())
            .to_vec()
    }

    #[test]
    fn columns_line_up() {
        assert_eq!(columns(&rows()), "name  é\na|b   12\n");
    }

    #[test]
    fn a_table_too_wide_is_turned() {
        let wide: Vec<Vec<String>> = (0..2)
            .map(|i| (0..5).map(|j| format!("cell {i}{j}")).collect())
            .collect();
        assert_eq!(markdown_within(&wide, 80), markdown(&wide));
        let turned = markdown_within(&wide, 30);
        assert!(turned.starts_with("| cell 00 | cell 10 |\n|---------|---------|\n| cell 01"));
    }

    #[test]
    fn a_bar_in_a_cell_does_not_end_it() {
        let table = "| name | é  |\n|------|----|\n| a\\|b | 12 |\n";
        assert_eq!(markdown(&rows()), table);
    }
}
