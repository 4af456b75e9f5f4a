//! Reads a `sequence-set` (RFC 9051 §9) piece by piece, without `$`, so that nobody needs to keep its text.

use crate::model::{Endpoint, SequenceSet, SetBuilder, TooManyRanges};
use crate::protocol::cursor::Syntax;

/// A set that is being read.
#[derive(Clone, Debug)]
pub struct SetReader {
    set: SetBuilder,
    /// Before the colon of the range that is being read.
    first: Option<Endpoint>,
    at: At,
    wrong: Option<Syntax>,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// An end of a range must follow.
    Start,
    /// In a number; one that is too large stays so.
    Number(u64),
    /// Behind `*`.
    Star,
}

impl Default for SetReader {
    fn default() -> Self {
        SetReader { set: SetBuilder::default(), first: None, at: At::Start, wrong: None }
    }
}

impl From<TooManyRanges> for Syntax {
    fn from(_: TooManyRanges) -> Self {
        Syntax("a set has too many ranges")
    }
}

impl SetReader {
    /// Whether a set can begin with this byte.
    #[must_use]
    pub const fn begins(byte: u8) -> bool {
        matches!(byte, b'0'..=b'9' | b'*')
    }

    /// Reads on; gives how many bytes belong to the set. If those are not all it has ended there, or cannot go on
    /// so ([`SetReader::finish`] tells which), and nothing more is to be read.
    pub fn read(&mut self, bytes: &[u8]) -> usize {
        for (at, byte) in bytes.iter().enumerate() {
            let goes_on = match (&mut self.at, byte) {
                (At::Number(number), b'0'..=b'9') => {
                    *number = number.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
                    true
                }
                _ => self.step(*byte),
            };
            if !goes_on {
                return at;
            }
        }
        bytes.len()
    }

    fn step(&mut self, byte: u8) -> bool {
        let done = match (self.at, byte) {
            (At::Start, b'0'..=b'9') => {
                self.at = At::Number(u64::from(byte - b'0'));
                Ok(())
            }
            (At::Start, b'*') => {
                self.at = At::Star;
                Ok(())
            }
            (At::Number(_) | At::Star, b':') if self.first.is_none() => self.end().map(|end| {
                (self.first, self.at) = (Some(end), At::Start);
            }),
            (At::Number(_) | At::Star, b',') => self.end_range().map(|()| self.at = At::Start),
            _ => return false,
        };
        self.wrong = done.err();
        self.wrong.is_none()
    }

    /// How many bytes its ranges take.
    #[must_use]
    pub fn held(&self) -> usize {
        self.set.held()
    }

    /// The set, now that it has ended.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub fn finish(mut self) -> Result<SequenceSet, Syntax> {
        match self.wrong.take() {
            Some(wrong) => Err(wrong),
            None => self.end_range().and_then(|()| Ok(self.set.finish()?)),
        }
    }

    fn end_range(&mut self) -> Result<(), Syntax> {
        let last = self.end()?;
        let first = self.first.take().unwrap_or(last);
        Ok(self.set.push(first, last)?)
    }

    /// The end of a range that has just been read: `nz-number` or `*`.
    fn end(&self) -> Result<Endpoint, Syntax> {
        match self.at {
            At::Start => Err(Syntax("a number is missing")),
            At::Star => Ok(Endpoint::Last),
            At::Number(0) => Err(Syntax("numbers begin at 1 here")),
            At::Number(number) => {
                u32::try_from(number).map(Endpoint::Number).map_err(|_| Syntax("a number is too large"))
            }
        }
    }
}
