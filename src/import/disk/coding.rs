//! Files whose bytes are not the message itself: Dovecot compresses what it writes into a Maildir (plugin `zlib`, later
//! `mail_compress`), or encrypts it (`mail_crypt`), under names that do not tell, and old mail lies about as `.mbox.gz`. What
//! a file is, is seen from how it begins.

use std::io::{self, BufRead, BufReader, Read};

use bzip2::read::MultiBzDecoder;
use encoding_rs::{Decoder, UTF_16BE, UTF_16LE};
use flate2::read::MultiGzDecoder;

/// Bytes at the start of a file that tell.
pub const LOOK: usize = 16;

/// Dovecot's own container for LZ4: this, the largest size of a chunk, and chunks behind their packed sizes, all of these four
/// bytes, big-endian.
const LZ4: &[u8] = b"Dovecot-LZ4\x0d\x2a\x9b\xc5";
/// The largest chunk that Dovecot reads; it writes such of 64 KiB.
const LZ4_CHUNK: usize = 1 << 20;
/// What LZ4 makes of bytes that cannot be packed.
const LZ4_LONGEST: usize = LZ4_CHUNK + LZ4_CHUNK / 255 + 16;

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// gzip, RFC 1952
    Gzip,
    /// Zstandard, RFC 8878
    Zstd,
    /// bzip2
    Bzip2,
    /// LZ4, as Dovecot writes it
    Lz4,
    /// Text in UTF-16, as Windows saves it as "Unicode"; it becomes UTF-8.
    Utf16,
}

/// What a file is by its first [`LOOK`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// As it is.
    Plain,
    /// To be unpacked.
    Packed(Coding),
    /// Not to be read here, and why.
    Closed(&'static str),
}

/// What a file is that begins so.
#[must_use]
pub fn start(bytes: &[u8]) -> Start {
    match bytes {
        [0x1f, 0x8b, ..] => Start::Packed(Coding::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Start::Packed(Coding::Zstd),
        // With the mark of the order of its bytes, and an ASCII character.
        [0xff, 0xfe, 1..=0x7f, 0, ..] | [0xfe, 0xff, 0, 1..=0x7f, ..] => Start::Packed(Coding::Utf16),
        // A block, or the end of an empty file.
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..]
        | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, ..] => Start::Packed(Coding::Bzip2),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Start::Closed("compressed with xz: unpack it first (xz -d)"),
        [0x1f, 0x9d, ..] => Start::Closed("compressed with compress: unpack it first (gzip -d)"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Start::Closed("compressed with lz4: unpack it first (lz4 -d)"),
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Start::Closed("a 7z archive: unpack it first"),
        _ if bytes.starts_with(LZ4) => Start::Packed(Coding::Lz4),
        _ if bytes.starts_with(b"CRYPTED\x03\x07") => Start::Closed(
            "encrypted by Dovecot (mail_crypt): let Dovecot write it anew, as \"Coming from Dovecot\" in the README tells",
        ),
        _ => Start::Plain,
    }
}

/// The first [`LOOK`] bytes of a stream, or all that there are.
///
/// # Errors
/// Of the stream.
pub fn first_bytes(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(LOOK);
    source.take(LOOK as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What is packed in `source`, from its first byte on. Whatever is wrong with it is an error of reading.
///
/// # Errors
/// If there is no memory for it.
pub fn unpack<'a>(coding: Coding, source: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match coding {
        Coding::Gzip => Box::new(MultiGzDecoder::new(source)),
        Coding::Bzip2 => Box::new(MultiBzDecoder::new(source)),
        Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(source)?),
        Coding::Lz4 => {
            Box::new(Lz4 { source: BufReader::new(source), largest: None, chunk: Vec::new(), at: 0 })
        }
        Coding::Utf16 => Box::new(Utf16::new(BufReader::new(source))),
    })
}

struct Utf16<R> {
    source: R,
    /// Once the first bytes are there, that tell which of the two it is.
    decoder: Option<Decoder>,
    out: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: BufRead> Utf16<R> {
    fn new(source: R) -> Self {
        Utf16 { source, decoder: None, out: Vec::new(), at: 0, ended: false }
    }

    /// Decodes what is there. What is no character becomes U+FFFD.
    fn next(&mut self) -> io::Result<()> {
        let bytes = self.source.fill_buf()?;
        self.ended = bytes.is_empty();
        let decoder = self.decoder.get_or_insert_with(|| {
            let encoding = if bytes.first() == Some(&0xfe) { UTF_16BE } else { UTF_16LE };
            encoding.new_decoder_with_bom_removal()
        });
        let length = decoder.max_utf8_buffer_length(bytes.len()).ok_or(io::ErrorKind::OutOfMemory)?;
        self.out.clear();
        self.out.resize(length, 0);
        let (_, read, written, _) = decoder.decode_to_utf8(bytes, &mut self.out, self.ended);
        self.out.truncate(written);
        self.at = 0;
        self.source.consume(read);
        Ok(())
    }
}

impl<R: BufRead> Read for Utf16<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.out.len() && !self.ended && !out.is_empty() {
            self.next()?;
        }
        let count = self.out.get(self.at..).unwrap_or_default().read(out)?;
        self.at += count;
        Ok(count)
    }
}

struct Lz4<R> {
    source: R,
    /// What the header tells of its chunks, once that is read.
    largest: Option<usize>,
    chunk: Vec<u8>,
    at: usize,
}

impl<R: Read> Lz4<R> {
    /// The next four bytes as a number; none at the end.
    fn number(&mut self) -> io::Result<Option<usize>> {
        let mut bytes = Vec::with_capacity(4);
        self.source.by_ref().take(4).read_to_end(&mut bytes)?;
        match <[u8; 4]>::try_from(bytes) {
            Ok(bytes) => Ok(usize::try_from(u32::from_be_bytes(bytes)).ok()),
            Err(bytes) if bytes.is_empty() => Ok(None),
            Err(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn header(&mut self) -> io::Result<usize> {
        let mut magic = [0; LZ4.len()];
        self.source.read_exact(&mut magic)?;
        match self.number()? {
            Some(largest) if magic == *LZ4 && (1..=LZ4_CHUNK).contains(&largest) => Ok(largest),
            Some(_) => Err(invalid("no LZ4 of Dovecot")),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Reads the next chunk. Returns whether there is one.
    fn next(&mut self) -> io::Result<bool> {
        let largest = match self.largest {
            Some(largest) => largest,
            None => {
                let largest = self.header()?;
                *self.largest.insert(largest)
            }
        };
        let Some(length) = self.number()? else { return Ok(false) };
        if length == 0 || length > LZ4_LONGEST {
            return Err(invalid("a chunk's length is none"));
        }
        let mut packed = Vec::new();
        self.source.by_ref().take(length as u64).read_to_end(&mut packed)?;
        if packed.len() != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.chunk =
            lz4_flex::block::decompress(&packed, largest).map_err(|error| invalid(&error.to_string()))?;
        self.at = 0;
        Ok(true)
    }
}

impl<R: Read> Read for Lz4<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            if out.is_empty() || !self.next()? {
                return Ok(0);
            }
        }
        let count = self.chunk.get(self.at..).unwrap_or_default().read(out)?;
        self.at += count;
        Ok(count)
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use super::*;

    /// As Dovecot writes it.
    pub(crate) fn packed(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                out.write_all(bytes).unwrap();
                out.finish().unwrap()
            }
            Coding::Bzip2 => {
                let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
                out.write_all(bytes).unwrap();
                out.finish().unwrap()
            }
            Coding::Zstd => zstd::stream::encode_all(bytes, 3).unwrap(),
            Coding::Utf16 => {
                let text = format!("\u{feff}{}", std::str::from_utf8(bytes).unwrap());
                text.encode_utf16().flat_map(u16::to_le_bytes).collect()
            }
            Coding::Lz4 => {
                let mut out = [LZ4, &[0, 1, 0, 0]].concat();
                for chunk in bytes.chunks(0x1_0000) {
                    let packed = lz4_flex::block::compress(chunk);
                    out.extend_from_slice(&u32::try_from(packed.len()).unwrap().to_be_bytes());
                    out.extend_from_slice(&packed);
                }
                out
            }
        }
    }

    pub(crate) const ALL: [Coding; 4] = [Coding::Gzip, Coding::Zstd, Coding::Bzip2, Coding::Lz4];

    fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let Start::Packed(coding) = start(&first_bytes(bytes)?) else { return Ok(bytes.to_vec()) };
        let mut out = Vec::new();
        unpack(coding, bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn what_was_packed_is_the_same_again() {
        for text in [&b""[..], b"Subject: x\n\nx\n", &b"From: a@example.org\r\n".repeat(50_000)] {
            for coding in ALL {
                let packed = packed(coding, text);
                assert_eq!(start(&packed), Start::Packed(coding));
                assert!(unpacked(&packed).unwrap() == text, "{coding:?}, {} bytes", text.len());
            }
        }
    }

    /// One that is still being written, and one that a card has spoiled.
    #[test]
    fn what_is_cut_or_spoiled_is_an_error_and_never_half_a_message() {
        let text: Vec<u8> =
            (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        for coding in ALL {
            let packed = packed(coding, &text);
            // Between two chunks of LZ4 nothing tells.
            for cut in [LOOK, LOOK + 1, packed.len() / 2, packed.len() - 1] {
                assert!(unpacked(&packed[..cut]).is_err(), "{coding:?}, cut at {cut}");
            }
            // LZ4 has no checksum.
            for at in [LOOK + 1, LOOK + 2].into_iter().filter(|_| coding != Coding::Lz4) {
                let mut bytes = packed.clone();
                bytes[at] ^= 0x55;
                assert!(unpacked(&bytes).map_or(true, |out| out != text), "{coding:?}, at {at}");
            }
        }
    }

    #[test]
    fn text_in_sixteen_bits_of_either_order() {
        let text = "Subject: Grüße 😀\r\n\r\nx\r\n".repeat(5_000);
        let little = packed(Coding::Utf16, text.as_bytes());
        let big: Vec<u8> = little.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
        for bytes in [&little, &big] {
            assert_eq!(start(bytes), Start::Packed(Coding::Utf16));
            assert!(unpacked(bytes).unwrap() == text.as_bytes());
        }
        // Half a character at the end.
        assert!(unpacked(&little[..little.len() - 1]).unwrap().ends_with("\u{fffd}".as_bytes()));
    }

    #[test]
    fn what_begins_like_a_message_is_one() {
        for text in
            ["Subject: x\n", "BZh is a name\n", "BZh9: x\n", "CRYPTED: x\n", "Dovecot-LZ4: x\n", "", "\x1f"]
        {
            assert_eq!(start(text.as_bytes()), Start::Plain, "{text}");
        }
        for bytes in [&b"CRYPTED\x03\x07\x02"[..], b"\xfd7zXZ\0\0", b"\x1f\x9d\x90"] {
            assert!(matches!(start(bytes), Start::Closed(_)), "{bytes:?}");
        }
    }
}
