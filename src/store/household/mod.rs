//! Accounts, devices, sources, certificates: what the admin page edits.

pub mod account_row;
pub mod accounts;
pub mod arrivals;
pub mod certificates;
pub mod devices;
pub mod going_back;
pub mod imported;
pub mod revoked;
pub mod sources;
pub mod undelete;
