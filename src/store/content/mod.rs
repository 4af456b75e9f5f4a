//! Messages' bytes: how they come in, lie in volumes, are read and are swept.

pub mod contents;
pub mod emails;
pub mod expiry;
pub mod incoming;
pub mod reclaim;
pub mod snapshot;
pub mod sweep;
