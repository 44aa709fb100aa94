//! Tables for eyes: columns that leave, the least important first, before a line has to wrap.

use std::fmt::Write as _;

use super::talk::Screen;

/// One column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    title: &'static str,
    right: bool,
    importance: u8,
}

impl Column {
    /// Text.
    pub(super) const fn left(title: &'static str, importance: u8) -> Self {
        Self { title, right: false, importance }
    }

    /// Numbers.
    pub(super) const fn right(title: &'static str, importance: u8) -> Self {
        Self { title, right: true, importance }
    }
}

/// Rows under titles.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// No rows yet.
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row of as many cells as there are columns.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table as text.
    pub(super) fn render(&self, screen: &Screen) -> String {
        let cells = |place: usize| self.rows.iter().filter_map(move |row| row.get(place));
        let width = |(place, column): (usize, &Column)| {
            let longest = cells(place).map(|it| it.chars().count()).max().unwrap_or(0);
            (place, *column, longest.max(column.title.chars().count()))
        };
        let mut shown: Vec<_> = self.columns.iter().enumerate().map(width).collect();
        while let Some(room) = screen.width
            && shown.len() > 1
            && shown.iter().map(|(_, _, width)| width + 2).sum::<usize>() > room + 2
        {
            let least = shown.iter().map(|(_, column, _)| column.importance).min();
            if let Some(at) =
                shown.iter().rposition(|(_, column, _)| Some(column.importance) == least)
            {
                shown.remove(at);
            }
        }
        let line = |text: &dyn Fn(usize) -> String| {
            let mut line = String::new();
            for (place, column, width) in &shown {
                let cell = text(*place);
                let _ = if column.right {
                    write!(line, "{cell:>width$}  ")
                } else {
                    write!(line, "{cell:<width$}  ")
                };
            }
            line.trim_end().to_owned()
        };
        let titles = line(&|place| self.columns.get(place).map_or("", |it| it.title).to_owned());
        let titles = if screen.colour { format!("\u{1b}[1m{titles}\u{1b}[0m") } else { titles };
        let mut text = titles + "\n";
        for row in &self.rows {
            text += &line(&|place| row.get(place).cloned().unwrap_or_default());
            text.push('\n');
        }
        text
    }
}

/// A number in at most five characters: `412`, `84.1k`, `2.00M`.
pub(super) fn short(number: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")];
    let Some((unit, letter)) = UNITS.into_iter().find(|(unit, _)| number >= *unit) else {
        return number.to_string();
    };
    // Cut, not rounded: a quota is not shown as spent before it is.
    let hundredths = u128::from(number) * 100 / u128::from(unit);
    let (whole, part) = (hundredths / 100, hundredths % 100);
    match whole {
        0..10 => format!("{whole}.{part:02}{letter}"),
        10..100 => format!("{whole}.{}{letter}", part / 10),
        _ => format!("{whole}{letter}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let columns =
            vec![Column::left("KEY", 9), Column::left("LABEL", 1), Column::right("REQS", 5)];
        let mut table = Table::new(columns);
        table.row(vec!["key_1".into(), "ä".into(), "7".into()]);
        table.row(vec!["key_22".into(), "agent-b".into(), "12345".into()]);
        table
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let expected = "KEY     LABEL     REQS\nkey_1   ä            7\nkey_22  agent-b  12345\n";
        assert_eq!(sample().render(&Screen::default()), expected);
    }

    #[test]
    fn the_least_important_column_leaves_first_and_the_last_stays() {
        let titles = |width| {
            let screen = Screen { width: Some(width), colour: false };
            sample().render(&screen).lines().next().unwrap().to_owned()
        };
        assert_eq!(titles(22), "KEY     LABEL     REQS");
        assert_eq!(titles(21), "KEY      REQS");
        assert_eq!(titles(12), "KEY");
        assert_eq!(titles(1), "KEY");
    }

    #[test]
    fn numbers_are_cut_to_what_fits() {
        #[track_caller]
        fn check(number: u64, expected: &str) {
            assert_eq!(short(number), expected);
        }
        check(0, "0");
        check(999, "999");
        check(1000, "1.00k");
        check(84_199, "84.1k");
        check(999_999, "999k");
        check(1_999_999, "1.99M");
        check(u64::MAX, "18446744T");
    }
}
