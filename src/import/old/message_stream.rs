//! One stream of messages on its way to the sink, and the mailboxes that names of files mean.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use super::emlx::Late;
use super::head;
use super::loose::{MBOX_ENDINGS, has_ending};
use super::mbox::{self, Receiver};
use super::old_mail::{Fault, Reader};
use super::takeout;
use crate::import::destination::sink::Filing;
use crate::import::disk::disk_error;
use crate::import::disk::window::Window;
use crate::import::maildir::folder_name;
use crate::import::maildir::layout;
use crate::model::{DateTime, FlagSet, SystemFlags};

/// Gives messages of one stream to the sink.
pub(super) struct MessageStream<'a, 'b> {
    reader: &'a mut Reader<'b>,
    origin: String,
    levels: Vec<String>,
    pub(super) modified: Option<i64>,
    pub(super) is_mbox: bool,
    /// Date and flags that the file's name tells; then the header's do not count.
    pub(super) given: Option<(Option<DateTime>, FlagSet)>,
    /// The same, where it is told behind the message.
    pub(super) late: Option<Rc<Cell<Option<Late>>>>,
    /// Whether a message had labels.
    takeout: bool,
    count: u64,
    filing: Filing,
    skip: Option<&'static str>,
    /// What of the message is still to come, where its length is known.
    left: Option<Left>,
}

/// Counts the bytes of a message whose length our own export told, as they are stored: with a CR before each LF. Line ends
/// behind its end are the mbox's.
struct Left {
    count: u64,
    after_cr: bool,
    behind: Vec<u8>,
}

/// The line's end that an mbox adds, the empty line behind it, and both with a CR.
const MOST_BEHIND: usize = 4;

impl Left {
    /// What of these bytes is the message's. Where more than line ends follows its end, it was changed since, and all of it
    /// counts: then the second is true.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], bool) {
        let mut at = 0;
        for byte in bytes {
            let length = if *byte == b'\n' && !self.after_cr { 2 } else { 1 };
            let Some(count) = self.count.checked_sub(length) else { break };
            (self.count, self.after_cr, at) = (count, *byte == b'\r', at + 1);
        }
        let (own, behind) = bytes.split_at(at);
        let is_end = behind.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        let was_changed = !is_end || self.behind.len() + behind.len() > MOST_BEHIND;
        if !was_changed {
            self.behind.extend_from_slice(behind);
        }
        if was_changed { (bytes, true) } else { (own, false) }
    }
}

impl<'a, 'b> MessageStream<'a, 'b> {
    pub(super) fn new(reader: &'a mut Reader<'b>, origin: String, levels: Vec<String>) -> Self {
        MessageStream {
            reader,
            origin,
            levels,
            modified: None,
            is_mbox: false,
            given: None,
            late: None,
            takeout: false,
            count: 0,
            filing: Filing::default(),
            skip: None,
            left: None,
        }
    }

    pub(super) fn read_mbox<R: Read>(&mut self, window: &mut Window<R>) -> Result<(), Fault> {
        let done = mbox::read(window, self);
        self.named(done)
    }

    pub(super) fn read_as_it_is<R: Read>(&mut self, window: &mut Window<R>) -> Result<(), Fault> {
        mbox::read_as_it_is(window, self)
    }

    pub(super) fn read_one<R: Read>(&mut self, window: &mut Window<R>) -> Result<(), Fault> {
        mbox::read_one(window, self)
    }

    /// An error of the stream, with the message that it came at.
    fn named(&self, done: Result<(), Fault>) -> Result<(), Fault> {
        done.map_err(|fault| match fault {
            Fault::Read(error) => Fault::Read(disk_error::at(&format!("at message {}", self.count), &error)),
            stop => stop,
        })
    }

    fn filing(&mut self, head: &head::Head, line: Option<DateTime>) -> Filing {
        let mut flags = head.flags.clone();
        let mut places = vec![self.levels.clone()];
        if self.is_mbox && (self.takeout || head.labels.is_some()) {
            self.takeout = true;
            let labels = takeout::labels(head.labels.as_deref().unwrap_or_default());
            (places, flags) = (labels.places, labels.flags);
        }
        let mut date = line.or(head.date).or(self.modified.map(DateTime::utc));
        if let Some((given, given_flags)) = &self.given {
            (date, flags) = (given.or(date), given_flags.clone());
        }
        self.as_wished(&mut flags);
        let origin = if self.is_mbox {
            format!("{}, message {}", self.origin, self.count)
        } else {
            self.origin.clone()
        };
        let date = date.map(|date| (date.unix, date.offset_minutes));
        Filing { places, flags: Vec::new(), date, origin }.with_flags(&flags)
    }
}

impl MessageStream<'_, '_> {
    fn as_wished(&self, flags: &mut FlagSet) {
        if self.reader.wishes.seen {
            flags.system = flags.system.union(SystemFlags::SEEN);
        }
    }

    /// With what stood behind the message.
    fn completed(&self, filing: Filing) -> Filing {
        let Some((date, mut flags)) = self.late.as_ref().and_then(|late| late.take()) else { return filing };
        self.as_wished(&mut flags);
        let date = date.map(|date| (date.unix, date.offset_minutes)).or(filing.date);
        Filing { date, ..filing }.with_flags(&flags)
    }
}

impl MessageStream<'_, '_> {
    /// More of the message.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Some(left) = &mut self.left else { return Ok(self.reader.sink.write(bytes)?) };
        let (own, was_changed) = left.take(bytes);
        if was_changed {
            let behind = std::mem::take(&mut left.behind);
            self.left = None;
            if !behind.is_empty() {
                self.reader.sink.write(&behind)?;
            }
        }
        if own.is_empty() { Ok(()) } else { Ok(self.reader.sink.write(own)?) }
    }
}

impl Receiver<Fault> for MessageStream<'_, '_> {
    fn head(&mut self, date: Option<DateTime>, header: &[u8]) -> Result<(), Fault> {
        self.count += 1;
        self.left = None;
        if let Some(own) = head::own(header).filter(|_| self.is_mbox) {
            let told = head::Head { flags: own.flags, ..head::Head::default() };
            (self.skip, self.filing) = (None, self.filing(&told, date));
            self.left = Some(Left { count: own.size, after_cr: false, behind: Vec::new() });
            return self.put(header.get(own.length..).unwrap_or_default());
        }
        let head = head::read(header);
        self.skip = match &head {
            head if head.expunged && self.is_mbox => {
                Some("deleted in Thunderbird, which has not compacted it")
            }
            head if head.internal && self.is_mbox => Some("no mail, but what a server kept in the file"),
            _ => None,
        };
        self.filing = self.filing(&head, date);
        if self.skip.is_some() {
            return Ok(());
        }
        if self.is_mbox {
            self.reader.sink.write(&head::without_bookkeeping(header))?;
        } else {
            self.reader.sink.write(header)?;
        }
        Ok(())
    }

    fn body(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.skip.is_none() { self.put(bytes) } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), Fault> {
        let filing = std::mem::take(&mut self.filing);
        let filing = self.completed(filing);
        self.reader.report.found += 1;
        match self.skip.take() {
            Some(why) => self.reader.skipped(&filing.origin, why),
            None => self.reader.sink.file(filing)?,
        }
        self.reader.collect_refused();
        self.reader.tell();
        Ok(())
    }
}

fn level(name: &OsStr) -> String {
    folder_name::decode(name.as_bytes()).text
}

/// `Mail/Work.sbd/Projects` is `Mail/Work/Projects`; `Old.mbox/mbox`, as Apple Mail exports it, is `Old`.
pub(super) fn mbox_levels(path: &Path) -> Vec<String> {
    let mut names: Vec<&OsStr> = path.iter().collect();
    if names.last().is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"mbox")) {
        names.pop();
    }
    let bare = |name: &&OsStr| {
        let name = Path::new(layout::of_kmail(name).unwrap_or(name));
        let is_added = MBOX_ENDINGS.iter().chain(&["sbd"]).any(|ending| has_ending(name, ending));
        level(name.file_stem().filter(|_| is_added).unwrap_or(name.as_os_str()))
    };
    names.iter().map(bare).collect()
}

/// The folder of a message; one that was named alone has none, and is for the inbox.
pub(super) fn eml_levels(path: &Path) -> Vec<String> {
    let names = path.parent().into_iter().flat_map(Path::iter);
    names.map(|name| level(layout::of_kmail(name).unwrap_or(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_names_of_mailboxes() {
        for (path, wanted) in [
            ("Sent.mbox", "Sent"),
            ("Work.sbd/Projects", "Work/Projects"),
            ("Mail/Old.MBOX/mbox", "Mail/Old"),
            ("mbox", ""),
            (".mbox", ".mbox"),
            ("Entw&APw-rfe", "Entwürfe"),
            ("a.b.mbx", "a.b"),
            ("100%.mbox", "100=25"),
            (".Work.directory/.Old.directory/2019", "Work/Old/2019"),
            ("", ""),
        ] {
            assert_eq!(mbox_levels(Path::new(path)).join("/"), wanted, "{path}");
        }
        assert_eq!(eml_levels(Path::new("a/b/c.eml")), ["a", "b"]);
        assert!(eml_levels(Path::new("c.eml")).is_empty());
    }
}
