//! The last lines of the log, kept in memory for the page that shows them.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::Shared;
use super::frame::Frame;
use super::guard::LoggedIn;
use super::page::{self, Page};
use crate::model::locked;

/// Lines that are kept.
const LINES: usize = 300;
/// A line is cut after so many bytes: file names are made by others.
const LONGEST: usize = 400;

/// The last lines; clones are the same. The log writes into it as into a file.
#[derive(Clone, Default)]
pub struct Recent(Arc<Mutex<VecDeque<String>>>);

impl Recent {
    /// The lines, the newest first.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lock().iter().rev().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        locked(&self.0)
    }
}

/// One event is one write.
impl Write for Recent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let kept = bytes.get(..LONGEST).unwrap_or(bytes);
        let line = String::from_utf8_lossy(kept).trim_end().to_owned();
        let mut lines = self.lock();
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Template)]
#[template(path = "log.html")]
struct Log {
    frame: Frame,
    lines: Vec<Line>,
}

impl Page for Log {}

struct Line {
    class: &'static str,
    /// For whoever sees no colours.
    level: &'static str,
    time: String,
    text: String,
}

impl Line {
    /// `2026-11-24T00:00:00.123456Z  WARN text`: the parts of a second, and that it is nothing special, are left
    /// out.
    fn new(line: &str) -> Self {
        let (time, rest) = line.split_once(' ').unwrap_or(("", line));
        let (level, text) = rest.trim_start().split_once(' ').unwrap_or(("", rest));
        let time = time.split('.').next().unwrap_or_default().replace('T', " ");
        match level {
            "ERROR" => Line { class: "error", level: "Error: ", time, text: text.to_owned() },
            "WARN" => Line { class: "warning", level: "Warning: ", time, text: text.to_owned() },
            "INFO" | "DEBUG" | "TRACE" => Line { class: "", level: "", time, text: text.to_owned() },
            // Not one of ours, or what is left of one.
            _ => Line { class: "", level: "", time: String::new(), text: line.to_owned() },
        }
    }
}

/// The page.
pub(super) async fn show(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    let lines = shared.log.lines();
    page::show(&Log {
        frame: Frame::new("log", &session),
        lines: lines.iter().map(|line| Line::new(line)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_cut() {
        let mut recent = Recent::default();
        for n in 0..LINES + 10 {
            recent.write_all(format!("{n} {}\n", "x".repeat(n % 3)).as_bytes()).unwrap();
        }
        recent.write_all("é".repeat(LONGEST).as_bytes()).unwrap();
        let lines = recent.lines();
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines[0].chars().count(), LONGEST / 2);
        assert_eq!(lines[1], format!("{}", LINES + 9));
    }

    #[test]
    fn a_line_is_a_time_and_a_text() {
        let line = Line::new("2026-11-24T00:00:01.123456Z  WARN it is so a=1");
        assert_eq!(
            (line.class, line.time.as_str(), line.text.as_str()),
            ("warning", "2026-11-24 00:00:01", "it is so a=1")
        );
        let line = Line::new("2026-11-24T00:00:01.123456Z  INFO x");
        assert_eq!((line.class, line.text.as_str()), ("", "x"));
        for odd in ["", "x", "a b c", "2026-11-24T00:00:01.123456Z"] {
            assert_eq!(Line::new(odd).text, odd);
        }
    }
}
