//! Maildirs: which folders there are, and what names of folders and files mean.

pub mod folder_name;
pub mod keywords;
pub(crate) mod layout;
pub mod message_name;
pub(crate) mod roles;
