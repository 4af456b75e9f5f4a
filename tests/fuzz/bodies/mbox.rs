//! An mbox file: the same messages however it is read, each whole, and no more in them than there was; what is
//! written as mboxrd is read as it was.

use std::io::{self, Read};

use postern::import::disk::window::Window;
use postern::import::old::mbox::{self, Receiver};
use postern::model::DateTime;
use postern::store::sim::Dice;

use super::{first, texts};

pub fn seeds() -> Vec<Vec<u8>> {
    texts(
        &[b"\x03"],
        &[
            "From anna@example.org Tue Jan  9 14:00:00 2024\nSubject: one\n\nbody\n>From quoted\n\nFrom bert Wed Jan 10 14:00:00 2024\r\nTo: x\r\n\r\ntwo\r\n",
            "\n\nFrom MAILER-DAEMON Fri Jul  8 12:08:34 2011\nContent-Length: 30\n\nFrom inside Fri Jul  8 12:08:3\n\nFrom - Sat Jul  9 12:08:34 2011\nA: b\n\n",
            "From a Mon, 5 Jan 2004 11:00:00 +0100\n>From b remote from c\nX: y\n\n>>From x\n>From\nFrom me to you\n\n",
            "Subject: no From line\r\n\r\nbody\r\n.\r\n",
        ],
    )
}

#[derive(Default)]
struct Messages {
    open: bool,
    all: Vec<(Option<DateTime>, Vec<u8>, Vec<u8>)>,
}

impl Receiver<io::Error> for Messages {
    fn head(&mut self, date: Option<DateTime>, header: &[u8]) -> io::Result<()> {
        assert!(!std::mem::replace(&mut self.open, true), "a message begins in another");
        assert!(header.len() <= 2 * mbox::HEADER_MAX);
        self.all.push((date, header.to_vec(), Vec::new()));
        Ok(())
    }

    fn body(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert!(self.open && !bytes.is_empty());
        self.all.last_mut().unwrap().2.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        assert!(std::mem::take(&mut self.open), "a message ends that did not begin");
        Ok(())
    }
}

/// Gives a few bytes at a time.
struct Drip<'a>(&'a [u8], Dice);

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = (1 + self.1.below(50) as usize).min(out.len()).min(self.0.len());
        out[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn read(source: impl Read, one: bool) -> Messages {
    let (mut window, mut found) = (Window::new(source), Messages::default());
    let done =
        if one { mbox::read_one(&mut window, &mut found) } else { mbox::read(&mut window, &mut found) };
    assert!(done.is_ok() && !found.open);
    found
}

pub fn run(data: &[u8]) {
    let (seed, file) = first(data);
    for one in [false, true] {
        let whole = read(file, one);
        let cut = read(Drip(file, Dice::new(u64::from(seed))), one);
        assert_eq!(whole.all, cut.all, "by what was read at a time");
        let told: usize = whole.all.iter().map(|(_, header, body)| header.len() + body.len()).sum();
        assert!(told <= file.len(), "{told} of {}", file.len());
        assert!(!one || whole.all.len() == 1);
    }
    assert!(!mbox::is_mbox(file) || !read(file, false).all.is_empty());
    written(file);
}

/// A message that was quoted as mboxrd has it, with another behind it.
fn written(text: &[u8]) {
    const FROM: &[u8] = b"From a@b Tue Jan  9 14:00:00 2024\n";
    let header = b"Subject: x\n\n";
    let mut file = [FROM, header].concat();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let quotes = line.iter().take_while(|byte| **byte == b'>').count();
        if line[quotes..].starts_with(b"From ") {
            file.push(b'>');
        }
        file.extend_from_slice(line);
    }
    let body = if text.is_empty() || text.ends_with(b"\n") { text.to_vec() } else { [text, b"\n"].concat() };
    if body.len() != text.len() {
        file.push(b'\n');
    }
    file.push(b'\n');
    file.extend([FROM, header, b"end\n"].concat());
    let found = read(&file[..], false).all;
    let told: Vec<_> = found.iter().map(|(_, header, body)| (&header[..], &body[..])).collect();
    assert_eq!(told, [(&header[..], &body[..]), (header, b"end\n")]);
}
