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
    fn a_bar_in_a_cell_does_not_end_it() {
        let table = "| name | é  |\n|------|----|\n| a\\|b | 12 |\n";
        assert_eq!(markdown(&rows()), table);
    }
}
