//! The watcher of Maildirs: what comes is taken in, and where that is wanted the file goes.

pub(crate) mod after;
pub(crate) mod batch;
pub(crate) mod candidates;
pub(crate) mod changes;
pub(crate) mod end;
pub(crate) mod leaving;
pub(crate) mod left_alone;
pub(crate) mod listed;
pub(crate) mod mark;
pub(crate) mod missing_files;
pub(crate) mod scan;
#[cfg(test)]
pub(super) mod scan_test;
pub(crate) mod scanner;
pub(crate) mod settling;
pub(crate) mod share;
pub(crate) mod status;
pub(crate) mod take;
#[cfg(test)]
mod watch_test;
pub(crate) mod watcher;
