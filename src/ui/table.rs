//! Tables as Docker prints them: columns of a least width, some spaces apart.

use std::io::{self, Write};

use super::text::{one_line, width};

/// How wide the columns of a table are at least, and how far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spacing {
    least: usize,
    apart: usize,
}

impl Spacing {
    /// Docker's lists of objects.
    pub(crate) const LIST: Self = Self {
        least: 10,
        apart: 3,
    };
    /// Docker Compose's lists of projects and of images.
    pub(crate) const WIDE: Self = Self {
        least: 20,
        apart: 3,
    };
    /// Docker Compose's list of processes.
    pub(crate) const NARROW: Self = Self { least: 4, apart: 2 };
}

/// A table that is being filled.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    spacing: Spacing,
}

impl Table {
    /// A table with these column heads.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()],
            spacing: Spacing::LIST,
        }
    }

    /// The same with columns spaced like this.
    pub(crate) fn spaced(mut self, spacing: Spacing) -> Self {
        self.spacing = spacing;
        self
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(
            cells
                .into_iter()
                .map(|cell| one_line(&cell).into_owned())
                .collect(),
        );
    }

    /// Writes it; the last column is not padded.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let widest = self.rows.iter().filter_map(|row| row.get(column));
                let widest = widest.map(|cell| width(cell)).max().unwrap_or(0);
                (widest + self.spacing.apart).max(self.spacing.least)
            })
            .collect();
        let mut line = String::new();
        for row in &self.rows {
            line.clear();
            for (column, cell) in row.iter().enumerate() {
                line.push_str(cell);
                if column + 1 < row.len() {
                    let blank = widths[column] - width(cell);
                    line.extend(std::iter::repeat_n(' ', blank));
                }
            }
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "IMAGE", "PORTS"]);
        table.row(vec![
            "shop-web-1".into(),
            "nginx".into(),
            "0.0.0.0:80->80/tcp".into(),
        ]);
        table.row(vec!["shop-database-1".into(), "a\nb".into(), String::new()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap().replace(' ', "."), @r"
        NAME..............IMAGE.....PORTS
        shop-web-1........nginx.....0.0.0.0:80->80/tcp
        shop-database-1...a.b.......
        ");
        let mut out = Vec::new();
        let mut processes = Table::new(&["#", "PID", "CMD"]).spaced(Spacing::NARROW);
        processes.row(vec!["1".into(), "12".into(), "nginx".into()]);
        processes.write(&mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap().replace(' ', "."), @r"
        #...PID..CMD
        1...12...nginx
        ");
    }
}
