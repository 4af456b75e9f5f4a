//! Collects a command as it arrives, and folds long sets in it.

use super::place::Place;
use crate::protocol::framed::{FoldedSet, Framed, PLACEHOLDER};
use crate::protocol::set_reader::SetReader;

/// A set is kept as text up to so many bytes: most are shorter, and the parser reads them.
pub(super) const SET_AS_TEXT: usize = 1024;

/// A command, or a line that is none, as far as it has come.
#[derive(Debug)]
pub(super) struct Assembly {
    framed: Framed,
    /// Where in the text the present line begins.
    line: usize,
    /// Bytes that came, folded ones included.
    received: usize,
    place: Place,
    run: Option<Run>,
    set_as_text: usize,
}

/// A set that has not ended.
#[derive(Debug)]
struct Run {
    /// Where in the text it begins.
    at: usize,
    reader: SetReader,
    /// Its text is not kept any more.
    folded: bool,
}

impl Assembly {
    /// For a command.
    pub fn new(set_as_text: usize) -> Self {
        Assembly {
            framed: Framed::default(),
            line: 0,
            received: 0,
            place: Place::new(),
            run: None,
            set_as_text,
        }
    }

    /// For a line that is no command: nothing is folded.
    pub fn plain() -> Self {
        Assembly { place: Place::off(), ..Assembly::new(0) }
    }

    /// Bytes that came so far.
    pub fn received(&self) -> usize {
        self.received
    }

    /// Bytes that it holds.
    pub fn held(&self) -> usize {
        self.framed.held() + self.run.as_ref().map_or(0, |run| run.reader.held())
    }

    pub fn text(&self) -> &[u8] {
        &self.framed.text
    }

    /// The present line, as far as it has come.
    pub fn line(&self) -> &[u8] {
        self.framed.text.get(self.line..).unwrap_or_default()
    }

    /// Adds a part of a line.
    pub fn extend(&mut self, mut piece: &[u8]) {
        self.received += piece.len();
        while let Some(byte) = piece.first() {
            let taken = if self.run.is_some() {
                self.extend_run(piece)
            } else if self.place.is_off() {
                self.framed.text.extend_from_slice(piece);
                piece.len()
            } else if self.place.begins_set(*byte) {
                let at = self.framed.text.len();
                self.run = Some(Run { at, reader: SetReader::default(), folded: false });
                0
            } else {
                self.place.push(*byte);
                self.framed.text.push(*byte);
                1
            };
            piece = piece.get(taken..).unwrap_or_default();
        }
    }

    /// Gives how much of it belongs to the set.
    fn extend_run(&mut self, piece: &[u8]) -> usize {
        let Some(run) = &mut self.run else { return 0 };
        let text = &mut self.framed.text;
        let most =
            if run.folded { piece.len() } else { self.set_as_text.saturating_add(1 + run.at) - text.len() };
        let offered = piece.get(..most).unwrap_or(piece);
        let taken = run.reader.read(offered);
        if !run.folded {
            text.extend_from_slice(&offered[..taken]);
            if text.len() - run.at > self.set_as_text {
                text.truncate(run.at);
                text.push(PLACEHOLDER);
                run.folded = true;
            }
        }
        if taken < offered.len() {
            self.end_run();
        }
        taken
    }

    fn end_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        if run.folded {
            self.framed.sets.push(FoldedSet { at: run.at, set: run.reader.finish() });
        }
        self.place.set_ended();
    }

    /// The line has ended; a carriage return before that is not a part of it.
    pub fn end_line(&mut self) {
        self.end_run();
        if self.line().ends_with(b"\r") {
            self.framed.text.pop();
            self.received -= 1;
        }
    }

    /// A literal that was announced at the end of the line is to follow.
    pub fn begin_literal(&mut self) {
        self.extend_literal(b"\r\n");
    }

    /// Adds a part of a literal.
    pub fn extend_literal(&mut self, piece: &[u8]) {
        self.received += piece.len();
        self.framed.text.extend_from_slice(piece);
    }

    /// The literal is whole; another line follows.
    pub fn end_literal(&mut self) {
        self.place.literal_taken();
        self.line = self.framed.text.len();
    }

    /// What has come.
    pub fn finish(self) -> Framed {
        self.framed
    }
}
