//! Mail that lies somewhere else: the watcher of Maildirs, and old mail of any kind.
//!
//! Its rooms, each of which uses only those before it:
//!
//! - `disk`: files beneath a folder, reached by handles only; what a file is, and its bytes unpacked.
//! - `maildir`: the folders of a Maildir in whatever layout they lie, and what names of folders and files mean.
//! - `destination`: which mailbox a message goes to, and the way there.
//! - `access`: whether a source may be read, and what to do where it may not.
//! - `old`: mail of other programs, read once: Maildirs, mbox, MH, `.emlx`, archives of all of them, Google Takeout.
//! - `watch`: the watcher, one thread a source.

pub(crate) mod access;
pub mod destination;
pub mod disk;
pub mod maildir;
pub mod old;
pub(crate) mod watch;

#[cfg(test)]
mod disk_error_test;
#[cfg(test)]
mod old_forms_test;
#[cfg(test)]
mod packed_test;
