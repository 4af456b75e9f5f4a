//! Messages as Apple Mail keeps them: a line with the message's length, the message, and a property list that has its
//! flags and when it arrived.

use std::cell::Cell;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use crate::import::maildir::folder_name;
use crate::model::{DateTime, Flag, FlagSet, Keyword, SystemFlags};

/// The longest property list that is read.
const LONGEST_LIST: u64 = 256 * 1024;
const FLAGS: [(u64, SystemFlags); 5] = [
    (1, SystemFlags::SEEN),
    (1 << 1, SystemFlags::DELETED),
    (1 << 2, SystemFlags::ANSWERED),
    (1 << 4, SystemFlags::FLAGGED),
    (1 << 6, SystemFlags::DRAFT),
];
const FORWARDED: u64 = 1 << 8;

/// What stands behind a message of it.
pub type Late = (Option<DateTime>, FlagSet);

/// Gives the message; at its end what stands behind it is known.
pub struct Emlx<R> {
    source: R,
    left: u64,
    late: Rc<Cell<Option<Late>>>,
}

impl<R: Read> Emlx<R> {
    /// The source is behind the first line, which told the length.
    #[must_use]
    pub fn new(source: R, length: u64) -> Self {
        Emlx { source, left: length, late: Rc::default() }
    }

    /// What stands behind the message, once it was read to its end.
    #[must_use]
    pub fn late(&self) -> Rc<Cell<Option<Late>>> {
        Rc::clone(&self.late)
    }
}

impl<R: Read> Read for Emlx<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.source.by_ref().take(self.left).read(out)?;
        if count == 0 && !out.is_empty() {
            if self.left > 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it is shorter than its first line says",
                ));
            }
            let mut list = Vec::new();
            self.source.by_ref().take(LONGEST_LIST).read_to_end(&mut list)?;
            self.late.set(Some(of_list(&String::from_utf8_lossy(&list))));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

fn of_list(list: &str) -> Late {
    let bits = number(list, "flags").unwrap_or(0);
    let mut flags: FlagSet =
        FLAGS.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, flag)| Flag::System(*flag)).collect();
    if bits & FORWARDED != 0 {
        flags.keywords.extend(Keyword::new("$Forwarded"));
    }
    let date = number(list, "date-received").and_then(|unix| i64::try_from(unix).ok()).map(DateTime::utc);
    (date, flags)
}

fn number(list: &str, key: &str) -> Option<u64> {
    let behind = list.split_once(&format!("<key>{key}</key>"))?.1.trim_start();
    let text = behind.strip_prefix("<integer>").or_else(|| behind.strip_prefix("<real>"))?;
    text.split(['<', '.']).next()?.parse().ok()
}

/// The mailbox: `V10/…/Work.mbox/Old.mbox/…/Data/1/Messages/1.emlx` is `Work/Old`. Where no folder is called so, those that the
/// person made.
#[must_use]
pub fn levels(path: &Path) -> Vec<String> {
    let names = || path.parent().into_iter().flat_map(Path::iter).map(std::ffi::OsStr::as_encoded_bytes);
    let ending = b".mbox";
    let named = names().filter(|name| name.len() > ending.len() && name.ends_with(ending));
    let named: Vec<_> =
        named.map(|name| folder_name::decode(&name[..name.len() - ending.len()]).text).collect();
    if !named.is_empty() {
        return named;
    }
    let own = names().filter(|name| !matches!(*name, b"Messages" | b"Data" | b"Attachments"));
    let own = own.filter(|name| !name.iter().all(u8::is_ascii_digit));
    own.map(|name| folder_name::decode(name).text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_flags_and_date() {
        let list = "<plist><dict><key>date-received</key>\n\t<integer>1388534400</integer>\n\
            <key>flags</key>\n\t<integer>8590195717</integer></dict></plist>";
        let text = format!("Subject: x\n\nx\n{list}");
        let mut emlx = Emlx::new(text.as_bytes(), 14);
        let (late, mut out) = (emlx.late(), String::new());
        emlx.read_to_string(&mut out).unwrap();
        assert_eq!(out, "Subject: x\n\nx\n");
        let (date, flags) = late.take().unwrap();
        assert_eq!(date, Some(DateTime::utc(1_388_534_400)));
        assert!(flags.system.contains(SystemFlags::SEEN) && flags.system.contains(SystemFlags::ANSWERED));
        assert!(!flags.system.contains(SystemFlags::FLAGGED));
        assert!(Emlx::new(&b"short"[..], 14).read_to_string(&mut out).is_err());
        assert_eq!(of_list("<key>flags</key> none"), (None, FlagSet::default()));
    }

    #[test]
    fn mailboxes() {
        for (path, wanted) in [
            ("V10/0A-1/Work.mbox/Old.mbox/9-2/Data/3/Messages/1.emlx", "Work/Old"),
            ("INBOX.mbox/Messages/1.emlx", "INBOX"),
            ("Old/Messages/1.emlx", "Old"),
            ("1.emlx", ""),
        ] {
            assert_eq!(levels(Path::new(path)).join("/"), wanted, "{path}");
        }
    }
}
