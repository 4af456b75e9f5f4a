//! How answers are printed.

use std::io::Write;

use serde::Serialize;

use super::Failure;
use crate::actions::human;
pub(super) use crate::actions::human::{bytes, day};
use crate::model::printable::{lines, one_line};

/// Where a command's answer goes: text for people, or JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) json: bool,
}

impl Output {
    /// Prints a value as JSON, or as the text that `text` makes of it.
    pub(super) fn value<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(value).map_err(Failure::new)?))
        } else {
            print(&lines(&text(value)))
        }
    }

    /// Says that something was done; to scripts that want JSON, in JSON.
    pub(super) fn done(self, text: &str) -> Result<(), Failure> {
        if self.json { print("{\"done\": true}\n") } else { print(&format!("{}\n", one_line(text))) }
    }
}

/// Prints text. A reader that has gone away (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// How far something is, on a line of the terminal that is written over each time; nothing clears it. What cannot be
/// shown is no failure.
pub(super) fn draw(line: &str) {
    let mut err = std::io::stderr().lock();
    let ended = line.ends_with('\n');
    let line = one_line(line.trim_end_matches('\n'));
    let _ = write!(err, "\r\x1b[2K{line}{}", if ended { "\n" } else { "" });
    let _ = err.flush();
}

/// One line with the reason on stderr, and what helps below it.
pub(super) fn complain(failure: &Failure) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "postern: {}", lines(&failure.to_string()));
    if let Failure::Reason { advice, .. } = failure {
        if !advice.is_empty() {
            let _ = writeln!(err, "as root, this would allow it:");
        }
        for line in advice {
            let _ = writeln!(err, "    {}", one_line(line));
        }
    }
}

/// Lines of columns, each as wide as its widest cell.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let shown = |row: &Vec<String>| row.iter().map(|cell| one_line(cell).into_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(shown).collect();
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&mut head.iter().copied());
    for row in &rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// A time for people: how long ago, or the day.
pub(super) fn when(unix: Option<i64>) -> String {
    human::when(unix, human::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [vec!["änna".to_owned(), "1".to_owned()], vec!["b".to_owned(), "22".to_owned()]];
        assert_eq!(table(&["name", "n"], &rows), "name  n\nänna  1\nb     22\n");
    }
}
