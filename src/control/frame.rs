//! Frames: how mail passes through a socket. A byte that says what it is, the length of what follows as four
//! bytes (the lowest first), and so many bytes.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest content of a frame. What is larger goes in several.
pub const LONGEST: usize = 256 * 1024;
/// Bytes of mail in a frame.
const CHUNK: usize = 64 * 1024;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Bytes of the present message.
    Data = b'd',
    /// The present message is whole; JSON where it goes.
    File = b'f',
    /// The present message is to be forgotten.
    Discard = b'x',
    /// A mailbox begins; JSON.
    Mailbox = b'b',
    /// A message begins; JSON.
    Message = b'm',
    /// That was all; JSON.
    End = b'e',
    /// It went wrong; JSON.
    Failed = b'!',
}

impl Kind {
    const ALL: [Kind; 7] =
        [Kind::Data, Kind::File, Kind::Discard, Kind::Mailbox, Kind::Message, Kind::End, Kind::Failed];
}

/// Writes a frame.
pub fn write(out: &mut dyn Write, kind: Kind, content: &[u8]) -> io::Result<()> {
    let length = u32::try_from(content.len()).ok().filter(|_| content.len() <= LONGEST);
    let length = length.ok_or(io::ErrorKind::InvalidInput)?;
    out.write_all(&[kind as u8])?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(content)
}

/// Writes a frame of JSON.
pub fn write_json<T: Serialize>(out: &mut dyn Write, kind: Kind, value: &T) -> io::Result<()> {
    write(out, kind, &serde_json::to_vec(value)?)
}

/// Writes bytes of mail.
pub fn write_data(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    bytes.chunks(CHUNK).try_for_each(|chunk| write(out, Kind::Data, chunk))
}

/// Reads a frame; its content is in `content` then. `None` at the end of the stream.
pub fn read(input: &mut dyn Read, content: &mut Vec<u8>) -> io::Result<Option<Kind>> {
    let mut kind = [0];
    loop {
        match input.read(&mut kind) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    let kind = Kind::ALL.into_iter().find(|known| *known as u8 == kind[0]);
    let kind = kind.filter(|_| length <= LONGEST).ok_or(io::ErrorKind::InvalidData)?;
    content.resize(length, 0);
    input.read_exact(content)?;
    Ok(Some(kind))
}

/// The value of a frame of JSON.
pub fn json<T: DeserializeOwned>(content: &[u8]) -> io::Result<T> {
    Ok(serde_json::from_slice(content)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_there_and_back() {
        let mut bytes = Vec::new();
        write_data(&mut bytes, &vec![7; CHUNK + 1]).unwrap();
        write_json(&mut bytes, Kind::End, &["a"]).unwrap();
        let (mut input, mut content) = (&bytes[..], Vec::new());
        assert_eq!(read(&mut input, &mut content).unwrap(), Some(Kind::Data));
        assert_eq!(content.len(), CHUNK);
        assert_eq!(read(&mut input, &mut content).unwrap(), Some(Kind::Data));
        assert_eq!(content, [7]);
        assert_eq!(read(&mut input, &mut content).unwrap(), Some(Kind::End));
        assert_eq!(json::<Vec<String>>(&content).unwrap(), ["a"]);
        assert_eq!(read(&mut input, &mut content).unwrap(), None);
    }

    #[test]
    fn what_is_no_frame() {
        let mut content = Vec::new();
        assert!(read(&mut &b"d\xff\xff\xff\xff"[..], &mut content).is_err());
        assert!(read(&mut &b"?\0\0\0\0"[..], &mut content).is_err());
        assert!(read(&mut &b"d\x05\0\0\0abc"[..], &mut content).is_err());
        assert!(write(&mut Vec::new(), Kind::Data, &vec![0; LONGEST + 1]).is_err());
    }
}
