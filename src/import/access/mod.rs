//! Whether a source may be read, and what its owner or administrator can do about it.

pub(crate) mod acl;
pub(crate) mod check;
pub(crate) mod overlap;
pub(crate) mod sandbox;
