//! Maildir++ as Dovecot reads it: the inbox in the folder itself, `.Work.2024` beside it; flags as letters in
//! names, keywords as letters that `dovecot-keywords` explains.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;

use super::{Meta, Outlet, names, set_time};

/// Keywords that have a letter, `a` to `z`; further ones of a folder are lost.
const LETTERS: usize = 26;
/// System flags and their letters, in the order in which they stand; `P` is for `$Forwarded`.
const FLAGS: [(char, &str); 6] = [
    ('D', "\\Draft"),
    ('F', "\\Flagged"),
    ('P', "$Forwarded"),
    ('R', "\\Answered"),
    ('S', "\\Seen"),
    ('T', "\\Deleted"),
];

/// Writes a Maildir.
pub(super) struct Maildir {
    root: PathBuf,
    folder: PathBuf,
    number: u32,
    keywords: Vec<String>,
    message: Option<Message>,
}

struct Message {
    meta: Meta,
    path: PathBuf,
    file: BufWriter<File>,
    written: u64,
    ends: Ends,
}

/// What becomes of line ends. Files of a Maildir have LF alone; a message with any other line end than CRLF
/// is written as it is, so that it comes back the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Lf { after_cr: bool },
    AsItIs,
}

impl Maildir {
    pub(super) fn new(root: PathBuf) -> Self {
        Maildir { folder: root.clone(), root, number: 0, keywords: Vec::new(), message: None }
    }

    fn letters(&mut self, meta: &Meta) -> io::Result<String> {
        let mut letters: String =
            FLAGS.into_iter().filter(|(_, flag)| meta.has(flag)).map(|(letter, _)| letter).collect();
        let mut more = Vec::new();
        for keyword in meta.keywords() {
            let known = self.keywords.iter().position(|known| known.eq_ignore_ascii_case(keyword));
            let at = match known {
                Some(at) => at,
                None if self.keywords.len() < LETTERS => {
                    self.keywords.push(keyword.clone());
                    self.write_keywords()?;
                    self.keywords.len() - 1
                }
                None => continue,
            };
            more.extend(u8::try_from(at).ok().map(|at| char::from(b'a' + at)));
        }
        more.sort_unstable();
        letters.extend(more);
        Ok(letters)
    }

    fn write_keywords(&self) -> io::Result<()> {
        let lines = self.keywords.iter().enumerate().map(|(n, keyword)| format!("{n} {keyword}\n"));
        fs::write(self.folder.join("dovecot-keywords"), lines.collect::<String>())
    }
}

impl Outlet for Maildir {
    fn mailbox(&mut self, name: &str) -> io::Result<()> {
        let below = names::maildir(name);
        self.folder = if below.is_empty() { self.root.clone() } else { self.root.join(&below) };
        (self.number, self.keywords) = (self.number + 1, Vec::new());
        for sub in ["cur", "new", "tmp"] {
            fs::create_dir_all(self.folder.join(sub))?;
        }
        if !below.is_empty() {
            File::create(self.folder.join("maildirfolder"))?;
        }
        Ok(())
    }

    fn message(&mut self, meta: &Meta) -> io::Result<()> {
        let path = self.folder.join("tmp").join(format!("{}.{}", self.number, meta.uid));
        let file = BufWriter::new(File::create(&path)?);
        let ends = Ends::Lf { after_cr: false };
        self.message = Some(Message { meta: meta.clone(), path, file, written: 0, ends });
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.message.as_mut().map_or(Ok(()), |message| message.write(bytes))
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(mut message) = self.message.take() else { return Ok(()) };
        if message.ends == (Ends::Lf { after_cr: true }) {
            message.as_it_is(b"")?;
        }
        let Message { meta, path, mut file, written, .. } = message;
        file.flush()?;
        set_time(file.get_ref(), meta.date)?;
        let letters = self.letters(&meta)?;
        let name = format!(
            "{:010}.M{}U{}.postern,S={written},W={}:2,{letters}",
            meta.date.max(0),
            self.number,
            meta.uid,
            meta.size
        );
        fs::rename(path, self.folder.join("cur").join(name))
    }

    fn broken(&mut self) -> io::Result<()> {
        self.message.take().map_or(Ok(()), |message| fs::remove_file(message.path))
    }
}

impl Message {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Ends::Lf { mut after_cr } = self.ends else { return self.put(bytes) };
        let mut out = Vec::with_capacity(bytes.len());
        for (at, byte) in bytes.iter().enumerate() {
            match (after_cr, byte) {
                (true, b'\n') => {
                    out.push(b'\n');
                    after_cr = false;
                }
                (false, b'\r') => after_cr = true,
                (true, _) | (false, b'\n') => {
                    self.put(&out)?;
                    self.ends = Ends::Lf { after_cr };
                    return self.as_it_is(bytes.get(at..).unwrap_or_default());
                }
                (false, byte) => out.push(*byte),
            }
        }
        self.ends = Ends::Lf { after_cr };
        self.put(&out)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Gives what was written its CRs back, and goes on with bytes as they are.
    fn as_it_is(&mut self, rest: &[u8]) -> io::Result<()> {
        self.file.flush()?;
        let other = self.path.with_extension("crlf");
        let mut source = BufReader::new(File::open(&self.path)?);
        (self.file, self.written) = (BufWriter::new(File::create(&other)?), 0);
        let (mut chunk, mut out) = (vec![0; 64 * 1024], Vec::new());
        loop {
            let count = source.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            out.clear();
            for byte in chunk.get(..count).unwrap_or_default() {
                if *byte == b'\n' {
                    out.push(b'\r');
                }
                out.push(*byte);
            }
            let expanded = std::mem::take(&mut out);
            self.put(&expanded)?;
            out = expanded;
        }
        fs::rename(&other, &self.path)?;
        if std::mem::replace(&mut self.ends, Ends::AsItIs) == (Ends::Lf { after_cr: true }) {
            self.put(b"\r")?;
        }
        self.put(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(parts: &[&[u8]]) -> (String, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let mut maildir = Maildir::new(folder.path().to_owned());
        maildir.mailbox("INBOX").unwrap();
        let flags = ["\\Seen", "$Label1", "$Forwarded"].map(str::to_owned).to_vec();
        let size = parts.iter().map(|part| part.len() as u64).sum();
        maildir.message(&Meta { uid: 7, date: 1_700_000_000, flags, size }).unwrap();
        parts.iter().for_each(|part| maildir.data(part).unwrap());
        maildir.end().unwrap();
        let entry = fs::read_dir(folder.path().join("cur")).unwrap().next().unwrap().unwrap();
        let keywords = fs::read_to_string(folder.path().join("dovecot-keywords")).unwrap();
        assert_eq!(keywords, "0 $Label1\n1 $Forwarded\n");
        assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    }

    #[test]
    fn line_ends_of_maildir_unless_that_would_lose_something() {
        let (name, bytes) = written(&[b"A: 1\r", b"\n\r\nx\r\n"]);
        assert_eq!(bytes, b"A: 1\n\nx\n");
        assert_eq!(name, "1700000000.M1U7.postern,S=8,W=11:2,PSab");
        for parts in [
            &[&b"A: 1\r\n\r\nlone\rcr\r\n"[..]][..],
            &[b"A: 1\r\n\r\nx\r", b"\r\n"],
            &[b"A: 1\r\n\r\nbare\n", b"y\r\n"],
            &[b"A: 1\r\n\r\nends so\r"],
        ] {
            let (name, bytes) = written(parts);
            assert_eq!(bytes, parts.concat());
            assert!(name.contains(&format!("S={},W={}", bytes.len(), bytes.len())), "{name}");
        }
    }
}
