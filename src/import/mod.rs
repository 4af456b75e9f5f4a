//! Mail that lies somewhere else: the watcher of Maildirs, and old mail of any kind.

pub mod acl;
pub mod after;
pub mod archive;
pub mod beneath;
mod books;
pub mod bounds;
mod candidates;
pub mod changes;
pub mod check;
pub mod coding;
pub mod disk_error;
#[cfg(test)]
mod disk_error_test;
mod emlx;
pub mod filesystem;
mod filing;
pub mod folder_name;
pub mod head;
pub mod intake;
pub mod layout;
mod leaving;
mod listed;
mod loose;
pub mod maildir;
pub mod mbox;
mod mh;
mod notes;
mod old_file;
#[cfg(test)]
mod old_forms_test;
pub mod old_mail;
#[cfg(test)]
mod old_mail_test;
pub mod overlap;
#[cfg(test)]
mod packed_test;
pub mod read;
pub mod recognise;
pub mod roles;
pub mod sandbox;
pub mod scan;
#[cfg(test)]
mod scan_test;
pub mod settling;
pub mod share;
pub mod sink;
pub mod status;
mod take;
pub mod takeout;
mod taker;
pub mod target;
mod unpack;
pub mod watch;
#[cfg(test)]
mod watch_test;
pub mod window;
