//! A stream that can be looked at a bounded way ahead.

use std::io::{self, Read};

/// Bytes asked for at a time.
const CHUNK: usize = 128 * 1024;

/// A stream, and what of it was read and not yet taken.
pub struct Window<R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
}

impl<R: Read> Window<R> {
    /// At the start of a stream.
    #[must_use]
    pub fn new(source: R) -> Self {
        Window { source, buffer: vec![0; CHUNK], start: 0, end: 0, ended: false }
    }

    /// What is ahead, as far as it was read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether nothing follows [`Window::bytes`].
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Reads until so many bytes are ahead, or all that there are.
    ///
    /// # Errors
    /// Of the stream.
    pub fn ensure(&mut self, wanted: usize) -> io::Result<()> {
        while !self.ended && self.end - self.start < wanted {
            if self.start > 0 && self.start + wanted.max(CHUNK) > self.buffer.len() {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            if self.end == self.buffer.len() {
                self.buffer.resize(self.start + wanted.max(CHUNK), 0);
            }
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.source.read(room) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes so many of the bytes that are ahead.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            // What a long look ahead needed is given back.
            if self.buffer.len() > CHUNK {
                self.buffer = vec![0; CHUNK];
            }
        }
    }
}

/// A stream of what is ahead in a window, and then of the rest.
pub struct Unread<'a, R>(pub &'a mut Window<R>);

impl<R: Read> Read for Unread<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.ensure(1)?;
        let mut ahead = self.0.bytes();
        let count = ahead.read(out)?;
        self.0.consume(count);
        Ok(count)
    }
}

/// Text of a classic Macintosh, whose lines end in CR alone, with lines that end in LF.
pub struct CrLines<R>(pub R);

impl<R: Read> Read for CrLines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(out)?;
        out.iter_mut().take(count).filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time, and stumbles now and then.
    struct Slow<'a>(&'a [u8], bool);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = out.len().min(1).min(self.0.len());
            out[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn looks_ahead_and_loses_nothing() {
        let mut window = Window::new(Slow(b"hello world", false));
        window.ensure(5).unwrap();
        assert_eq!(window.bytes(), b"hello");
        window.consume(2);
        window.ensure(4).unwrap();
        assert_eq!(window.bytes(), b"llo ");
        assert!(!window.ended());
        window.ensure(1000).unwrap();
        assert_eq!(window.bytes(), b"llo world");
        assert!(window.ended());
        window.consume(1);
        let mut rest = String::new();
        let mut unread = Unread(&mut window);
        unread.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "lo world");
    }

    #[test]
    fn a_long_look_ahead_is_given_back() {
        let text: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        let mut window = Window::new(&text[..]);
        window.ensure(10).unwrap();
        window.consume(10);
        window.ensure(700_000).unwrap();
        assert_eq!(&window.bytes()[..700_000], &text[10..700_010]);
        let ahead = window.bytes().len();
        window.consume(ahead);
        assert_eq!(window.buffer.len(), CHUNK);
        window.ensure(1).unwrap();
        assert_eq!(window.bytes()[0], text[10 + ahead]);
    }
}
