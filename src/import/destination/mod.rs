//! Where mail that was read goes: which mailbox, and the way there.

pub(crate) mod intake;
pub mod sink;
pub(crate) mod target;
