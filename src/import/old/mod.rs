//! Old mail of any kind, read once and never changed.

pub mod archive;
pub mod emlx;
pub mod head;
pub(crate) mod loose;
pub mod mbox;
pub(crate) mod message_stream;
pub mod mh;
pub(crate) mod old_file;
pub mod old_mail;
#[cfg(test)]
mod old_mail_test;
pub(crate) mod takeout;
pub(crate) mod unpack;
