//! mboxrd: a file a mailbox. Every line that begins with `From `, however often quoted, has one `>` more, so
//! that reading it back is exact. Flags are in `Status`, `X-Status` and `X-Keywords`, which stand first. Line ends are LF.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::{Meta, Outlet, names};
use crate::mail::header;
use crate::model::{CivilDate, DateTime};

/// In a longer header the sender is not looked for.
const HEADER_MAX: usize = 256 * 1024;
/// What may be the start of a quoted line is held no further than this.
const START_MAX: usize = 4096;

/// The last of the fields that are added: the message's length with its line ends as they were, for only so it is known
/// whether its last line ended.
const SIZE: &str = "X-Postern-Size";

/// CRs that were not written yet: the last of as many as there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cr {
    None,
    One,
    More,
}

/// Writes mbox files.
pub(super) struct Mbox {
    root: PathBuf,
    file: Option<BufWriter<File>>,
    message: Option<Message>,
}

struct Message {
    meta: Meta,
    start: u64,
    header: Vec<u8>,
    in_body: bool,
    cr: Cr,
    /// The start of a line that may have to be quoted.
    line: Option<Vec<u8>>,
    last: u8,
}

impl Mbox {
    pub(super) fn new(root: PathBuf) -> Self {
        Mbox { root, file: None, message: None }
    }
}

impl Outlet for Mbox {
    fn mailbox(&mut self, name: &str) -> io::Result<()> {
        if let Some(mut file) = self.file.take() {
            file.flush()?;
        }
        let mut path = self.root.join(names::path(name)).into_os_string();
        path.push(".mbox");
        let path = PathBuf::from(path);
        fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
        self.file = Some(BufWriter::new(File::create_new(path)?));
        Ok(())
    }

    fn message(&mut self, meta: &Meta) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        self.message = Some(Message {
            meta: meta.clone(),
            start: file.stream_position()?,
            header: Vec::new(),
            in_body: false,
            cr: Cr::None,
            line: Some(Vec::new()),
            last: b'\n',
        });
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (Some(file), Some(message)) = (&mut self.file, &mut self.message) else { return Ok(()) };
        message.write(bytes, file)
    }

    fn end(&mut self) -> io::Result<()> {
        let (Some(file), Some(mut message)) = (&mut self.file, self.message.take()) else { return Ok(()) };
        message.finish(file)
    }

    fn broken(&mut self) -> io::Result<()> {
        let (Some(file), Some(message)) = (&mut self.file, self.message.take()) else { return Ok(()) };
        file.flush()?;
        file.get_ref().set_len(message.start)?;
        file.seek(SeekFrom::Start(message.start)).map(|_| ())
    }
}

impl Message {
    /// CRLF becomes LF, but for one that a CR stands before: in `\r\r\n` nobody could tell which is left.
    fn write(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let mut text = Vec::with_capacity(bytes.len());
        for byte in bytes {
            match (self.cr, byte) {
                (Cr::None, b'\r') => self.cr = Cr::One,
                (Cr::None, byte) => text.push(*byte),
                (Cr::One | Cr::More, b'\r') => {
                    text.push(b'\r');
                    self.cr = Cr::More;
                }
                (Cr::One, b'\n') => {
                    text.push(b'\n');
                    self.cr = Cr::None;
                }
                (Cr::One | Cr::More, byte) => {
                    text.extend([b'\r', *byte]);
                    self.cr = Cr::None;
                }
            }
        }
        self.take(&text, out)
    }

    fn take(&mut self, text: &[u8], out: &mut dyn Write) -> io::Result<()> {
        if self.in_body {
            return self.body(text, out);
        }
        self.header.extend_from_slice(text);
        let end = if self.header.starts_with(b"\n") {
            Some(1)
        } else {
            self.header.windows(2).position(|two| two == b"\n\n").map(|at| at + 2)
        };
        match end {
            Some(end) => {
                let rest = self.header.split_off(end);
                self.head(out)?;
                self.body(&rest, out)
            }
            None if self.header.len() > HEADER_MAX => self.head(out),
            None => Ok(()),
        }
    }

    /// What is told of the message stands before its own fields, whatever those are: so it has them though it has no header,
    /// and is told from fields of the same names that it came with.
    fn head(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.in_body = true;
        let header = std::mem::take(&mut self.header);
        writeln!(out, "From {} {}", sender(&header), asctime(self.meta.date))?;
        self.status(out)?;
        writeln!(out, "{SIZE}: {}", self.meta.size)?;
        self.body(&header, out)
    }

    fn status(&self, out: &mut dyn Write) -> io::Result<()> {
        let letter = |flag: &str, letter: &'static str| if self.meta.has(flag) { letter } else { "" };
        writeln!(out, "Status: {}O", letter("\\Seen", "R"))?;
        let more = [("\\Answered", "A"), ("\\Flagged", "F"), ("\\Deleted", "D"), ("\\Draft", "T")];
        let more: String = more.into_iter().map(|(flag, sign)| letter(flag, sign)).collect();
        if !more.is_empty() {
            writeln!(out, "X-Status: {more}")?;
        }
        let keywords: Vec<_> = self.meta.keywords().map(String::as_str).collect();
        if keywords.is_empty() { Ok(()) } else { writeln!(out, "X-Keywords: {}", keywords.join(" ")) }
    }

    fn body(&mut self, text: &[u8], out: &mut dyn Write) -> io::Result<()> {
        for part in text.split_inclusive(|byte| *byte == b'\n') {
            self.last = part.last().copied().unwrap_or(self.last);
            let whole = part.ends_with(b"\n");
            match &mut self.line {
                Some(line) => {
                    line.extend_from_slice(part);
                    match quoted(line) {
                        Some(true) => out.write_all(b">")?,
                        Some(false) => {}
                        None if line.len() < START_MAX => continue,
                        None => {}
                    }
                    out.write_all(line)?;
                    self.line = None;
                }
                None => out.write_all(part)?,
            }
            if whole {
                self.line = Some(Vec::new());
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if std::mem::replace(&mut self.cr, Cr::None) != Cr::None {
            self.take(b"\r", out)?;
        }
        if !self.in_body {
            self.head(out)?;
        }
        if let Some(line) = self.line.take() {
            out.write_all(&line)?;
        }
        out.write_all(if self.last == b'\n' { b"\n" } else { b"\n\n" })
    }
}

/// Whether a line begins with `From ` behind any number of `>`; `None` while that is open.
fn quoted(line: &[u8]) -> Option<bool> {
    let quotes = line.iter().take_while(|byte| **byte == b'>').count();
    let rest = line.get(quotes..).unwrap_or_default();
    if rest.len() >= 5 {
        Some(rest.starts_with(b"From "))
    } else {
        (!b"From ".starts_with(rest)).then_some(false)
    }
}

/// Of `Return-Path`, as far as it is plain.
fn sender(header: &[u8]) -> String {
    let field = header::fields(header).find(|field| field.is("Return-Path"));
    let value = field.map(|field| String::from_utf8_lossy(field.value).trim().to_owned()).unwrap_or_default();
    let address = value.trim_start_matches('<').trim_end_matches('>');
    let plain = !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_graphic());
    if plain { address.to_owned() } else { "MAILER-DAEMON".to_owned() }
}

/// `Mon Jan  5 10:00:00 2004`, in UTC (RFC 4155, appendix A).
fn asctime(unix: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let date: CivilDate = DateTime::utc(unix).local_date();
    let (year, _, day) = date.parts();
    let shown = DateTime::utc(unix).imap().to_string();
    let month = shown.get(3..6).unwrap_or("Jan");
    let time = shown.get(12..20).unwrap_or("00:00:00");
    let weekday = DAYS[date.days_since_epoch().rem_euclid(7) as usize];
    format!("{weekday} {month} {day:2} {time} {year:04}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(asctime(1_073_296_800), "Mon Jan  5 10:00:00 2004");
        assert_eq!(asctime(0), "Thu Jan  1 00:00:00 1970");
    }

    #[test]
    fn an_mboxrd_however_it_is_cut() {
        let message =
            b"Return-Path: <a@b>\r\nSubject: x\r\n\r\nFrom me\r\n>>From you\r\n>Fro\r\nodd\rcr\r\nend";
        for step in [1, 3, 1000] {
            let folder = tempfile::tempdir().unwrap();
            let mut mbox = Mbox::new(folder.path().to_owned());
            mbox.mailbox("Work/a").unwrap();
            let flags = ["\\Seen", "\\Flagged", "Later"].map(str::to_owned).to_vec();
            let meta = Meta { uid: 1, date: 1_073_296_800, flags, size: 80 };
            for broken in [false, true, false] {
                mbox.message(&meta).unwrap();
                message.chunks(step).for_each(|part| mbox.data(part).unwrap());
                if broken { mbox.broken().unwrap() } else { mbox.end().unwrap() }
            }
            mbox.mailbox("other").unwrap();
            let text = fs::read_to_string(folder.path().join("Work/a.mbox")).unwrap();
            let one = "From a@b Mon Jan  5 10:00:00 2004\nStatus: RO\nX-Status: F\nX-Keywords: Later\n\
                X-Postern-Size: 80\nReturn-Path: <a@b>\nSubject: x\n\n>From me\n>>>From you\n>Fro\nodd\rcr\nend\n\n";
            assert_eq!(text, one.repeat(2), "steps of {step}");
        }
    }
}
