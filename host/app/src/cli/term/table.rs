//! Plain tables: columns two spaces apart, no lines, the last column as long as it likes.

use std::io::{self, IsTerminal};

use super::safe;

/// Rows under headings. Cells are made safe for a terminal here.
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    cell_length_max: usize,
}

impl Table {
    /// No longer cell than this on a terminal, but in the last column; characters.
    const CELL_LENGTH_MAX: usize = 60;

    /// An empty table.
    pub fn new(headings: &[&'static str]) -> Table {
        // Who reads a pipe wants all of it.
        let cell_length_max = if io::stdout().is_terminal() { Self::CELL_LENGTH_MAX } else { usize::MAX };
        Table { headings: headings.to_vec(), rows: Vec::new(), cell_length_max }
    }

    /// Adds a row; missing cells are empty.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        let last = self.headings.len().saturating_sub(1);
        let cell_length_max = self.cell_length_max;
        let cells = cells.into_iter().enumerate();
        self.rows.push(
            cells
                .map(
                    |(column, cell)| {
                        if column == last { safe::line(&cell) } else { safe::short(&cell, cell_length_max) }
                    },
                )
                .collect(),
        );
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, each indented by so many spaces, headings first.
    pub fn lines(&self, indent: usize) -> Vec<String> {
        let mut widths: Vec<usize> = self.headings.iter().map(|heading| heading.len()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let headings = self.headings.iter().map(|heading| heading.to_uppercase()).collect::<Vec<_>>();
        std::iter::once(&headings)
            .chain(&self.rows)
            .map(|row| {
                let mut line = " ".repeat(indent);
                for (cell, width) in row.iter().zip(&widths) {
                    let pad = width.saturating_sub(cell.chars().count()) + 2;
                    line.push_str(cell);
                    line.push_str(&" ".repeat(pad));
                }
                line.trim_end().to_owned()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_headings() {
        let mut table = Table::new(&["run", "status"]);
        table.row(["a\u{1b}[1mb".to_owned(), "running".to_owned()]);
        table.row(["longer".to_owned(), "failed".to_owned()]);
        assert_eq!(table.lines(2), ["  RUN     STATUS", "  ab      running", "  longer  failed"]);
    }
}
