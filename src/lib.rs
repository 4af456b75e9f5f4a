//! Postern: a personal mail server appliance.
#![doc = include_str!("ARCHITECTURE.md")]

pub mod actions;
pub mod admin;
pub mod backup;
pub mod cli;
pub mod config;
pub mod control;
pub mod credential;
pub(crate) mod export;
pub mod imap;
pub mod import;
pub mod mail;
pub mod model;
pub mod protocol;
pub mod server;
pub mod store;
pub mod tls;
