//! Mailboxes, the records of their messages, what changed, and the bin.

pub mod bin;
pub mod blocks;
pub mod changes;
pub mod events;
pub mod filing;
pub mod flagging;
pub mod keywords;
pub mod leap;
pub mod mailbox_row;
pub mod mailboxes;
pub mod messages;
pub mod names;
pub mod record;
pub mod records;
