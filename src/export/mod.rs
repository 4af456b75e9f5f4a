//! Mail on its way out, into files that other programs read: Maildir++, mbox, single messages.
//!
//! Nothing here knows the store: mailboxes and messages come one after the other through an [`Outlet`], which
//! holds no message in memory.

mod eml;
mod maildir;
mod mbox;
pub(crate) mod names;

use std::fs::{self, File, FileTimes};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A file a message, a folder a mailbox, flags in the names of files.
    Maildir,
    /// A file a mailbox, in the dialect mboxrd.
    Mbox,
    /// A file a message, as it is, a folder a mailbox.
    Eml,
}

/// What is known of a message besides its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Its UID.
    pub uid: u32,
    /// INTERNALDATE, in seconds since 1970.
    pub date: i64,
    /// System flags and keywords by their names.
    pub flags: Vec<String>,
    /// Its length.
    pub size: u64,
}

impl Meta {
    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|known| known.eq_ignore_ascii_case(flag))
    }

    fn keywords(&self) -> impl Iterator<Item = &String> {
        self.flags.iter().filter(|flag| !flag.starts_with('\\'))
    }
}

/// Takes mailboxes, and the messages of each.
pub trait Outlet {
    /// A mailbox begins.
    ///
    /// # Errors
    /// If it cannot be written.
    fn mailbox(&mut self, name: &str) -> io::Result<()>;

    /// A message of it begins.
    ///
    /// # Errors
    /// If it cannot be written.
    fn message(&mut self, meta: &Meta) -> io::Result<()>;

    /// More of its bytes.
    ///
    /// # Errors
    /// If they cannot be written.
    fn data(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// It is whole.
    ///
    /// # Errors
    /// If it cannot be written.
    fn end(&mut self) -> io::Result<()>;

    /// It cannot be read to its end: nothing of it is left.
    ///
    /// # Errors
    /// If it cannot be undone.
    fn broken(&mut self) -> io::Result<()>;
}

/// Opens a folder that is empty, or is made.
///
/// # Errors
/// If it cannot be made, or holds something.
pub fn open(format: Format, folder: &Path) -> io::Result<Box<dyn Outlet>> {
    fs::create_dir_all(folder)?;
    if fs::read_dir(folder)?.next().is_some() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "holds something: choose an empty folder"));
    }
    let folder = folder.to_owned();
    Ok(match format {
        Format::Maildir => Box::new(maildir::Maildir::new(folder)),
        Format::Mbox => Box::new(mbox::Mbox::new(folder)),
        Format::Eml => Box::new(eml::Eml::new(folder)),
    })
}

/// Gives a file the time of its message, as programs show it.
fn set_time(file: &File, seconds: i64) -> io::Result<()> {
    let since = Duration::from_secs(seconds.max(0).cast_unsigned());
    let time = SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH);
    file.set_times(FileTimes::new().set_modified(time))
}
