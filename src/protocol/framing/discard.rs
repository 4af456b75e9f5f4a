//! What is read and thrown away: refused literals with the rest of their command, and lines that are too long.

use super::{Framer, Problem, State, announcement};

/// What is thrown away of a refused literal or an endless line; beyond it the connection ends.
pub(super) const MOST_DISCARDED: u64 = 64 * 1024 * 1024;

impl Framer {
    /// The rest of a refused command: a line, which may announce another literal. `looked` bytes of it have no line
    /// end. Outer `None`: more is needed.
    pub(super) fn discard_line(&mut self, budget: u64, looked: usize) -> Option<Option<Problem>> {
        let rest = &self.buffer[self.start..];
        let fresh = rest.get(looked..).unwrap_or_default();
        let Some(at) = fresh.iter().position(|byte| *byte == b'\n').map(|at| looked + at) else {
            // The line is kept up to its end for the announcement that may stand there.
            if rest.len() > self.limit + 1 {
                self.begin_skipping(&[], budget);
                return Some(None);
            }
            self.state = State::Discarding { left: 0, budget, looked: rest.len() };
            return None;
        };
        let line = rest[..at].strip_suffix(b"\r").unwrap_or(&rest[..at]);
        if line.len() > self.limit {
            self.begin_skipping(&[], budget);
            return Some(None);
        }
        let announced = announcement::of_line(line);
        self.start += at + 1;
        self.state = State::Line;
        let literal = match announced {
            Ok(Some(literal)) if literal.non_sync => literal,
            _ => return Some(None),
        };
        if literal.len > budget {
            return Some(Some(Problem {
                tag: None,
                text: "Too much follows a refused literal",
                fatal: true,
            }));
        }
        self.state = State::Discarding { left: literal.len, budget: budget - literal.len, looked: 0 };
        Some(None)
    }

    /// The line that began with these bytes is too long.
    pub(super) fn begin_skipping(&mut self, begun: &[u8], budget: u64) {
        self.tail.clear();
        self.state = State::Skipping { left: budget };
        self.keep_tail(begun);
    }

    fn keep_tail(&mut self, line: &[u8]) {
        self.tail.extend_from_slice(&line[line.len().saturating_sub(announcement::LONGEST)..]);
        self.tail.drain(..self.tail.len().saturating_sub(announcement::LONGEST));
    }

    /// Drops a line that is too long, wherever it ends. One that ends as a literal that does not wait would be
    /// followed by bytes that look like commands and are none: then nothing can be trusted any more.
    pub(super) fn skip(&mut self, left: u64) -> Option<Option<Problem>> {
        let rest = &self.buffer[self.start..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let len = end.unwrap_or(rest.len());
        let kept = rest[len.saturating_sub(announcement::LONGEST)..len].to_vec();
        self.keep_tail(&kept);
        self.start += len + usize::from(end.is_some());
        self.forget_used();
        if end.is_some() {
            self.state = State::Line;
            let tail = self.tail.strip_suffix(b"\r").unwrap_or(&self.tail);
            return Some(tail.ends_with(b"+}").then_some(Problem {
                tag: None,
                text: "A literal follows a line that is too long",
                fatal: true,
            }));
        }
        let left = left.saturating_sub(len as u64);
        self.state = State::Skipping { left };
        if left == 0 {
            return Some(Some(Problem { tag: None, text: "The line does not end", fatal: true }));
        }
        None
    }
}
