//! Maildir; the watcher (DESIGN.md §2).

pub mod after;
mod books;
mod candidates;
pub mod changes;
pub mod check;
pub mod filesystem;
mod filing;
pub mod folder_name;
pub mod layout;
pub mod maildir;
mod notes;
pub mod read;
pub mod roles;
pub mod scan;
pub mod status;
pub mod target;
pub mod watch;
