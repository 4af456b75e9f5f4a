//! Maildir; the watcher (DESIGN.md §2).

pub mod after;
pub mod check;
pub mod folder_name;
pub mod layout;
pub mod maildir;
pub mod read;
pub mod roles;
pub mod status;
pub mod target;
