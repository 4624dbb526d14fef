//! Tables as text: aligned columns for the terminal, the same as Markdown for files.

/// Columns two spaces apart, each as wide as its longest cell.
pub fn columns(rows: &[Vec<String>]) -> String {
    render(rows, |row, widths| {
        let cells: Vec<String> = pad(row, widths);
        cells.join("  ").trim_end().to_owned()
    })
}

/// A Markdown table whose first row is the header, aligned so that it reads well as it is.
pub fn markdown(rows: &[Vec<String>]) -> String {
    let escaped: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|c| c.replace('|', "\\|")).collect())
        .collect();
    let mut first = true;
    render(&escaped, |row, widths| {
        let mut line = format!("| {} |", pad(row, widths).join(" | "));
        if std::mem::take(&mut first) {
            let rules: Vec<String> = widths.iter().map(|w| "-".repeat(w + 2)).collect();
            line.push_str(&format!("\n|{}|", rules.join("|")));
        }
        line
    })
}

/// Columns of a terminal that wide tables keep to where they can.
pub const TERMINAL: usize = 120;

/// As [`markdown`], rows and columns exchanged where it is wider than `columns` and the exchange makes
/// it narrower.
pub fn markdown_within(rows: &[Vec<String>], columns: usize) -> String {
    let upright = markdown(rows);
    if longest_line(&upright) <= columns {
        return upright;
    }
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let exchanged: Vec<Vec<String>> = (0..count)
        .map(|i| {
            let cell = |row: &Vec<String>| row.get(i).cloned().unwrap_or_default();
            rows.iter().map(cell).collect()
        })
        .collect();
    let exchanged = markdown(&exchanged);
    if longest_line(&exchanged) < longest_line(&upright) {
        exchanged
    } else {
        upright
    }
}

fn longest_line(text: &str) -> usize {
    text.lines()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0)
}

fn render(rows: &[Vec<String>], mut line: impl FnMut(&[String], &[usize]) -> String) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|i| rows.iter().map(|r| width(r, i)).max().unwrap_or(0))
        .collect();
    rows.iter().map(|row| line(row, &widths) + "\n").collect()
}

fn width(row: &[String], column: usize) -> usize {
    row.get(column).map_or(0, |cell| cell.chars().count())
}

fn pad(row: &[String], widths: &[usize]) -> Vec<String> {
    let cell = |i: usize| row.get(i).map_or("", String::as_str);
    widths
        .iter()
        .enumerate()
        .map(|(i, width)| format!("{:width$}", cell(i)))
        .collect()
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
