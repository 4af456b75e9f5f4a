//! Postern: a personal mail server appliance.
//!
//! The map of the layers; arrows point down only, and `tests/layers.rs` keeps it so.
//!
//! | layer | may use | what it is |
//! |---|---|---|
//! | `main` → [`cli`] | everything below | command line: one file a command |
//! | [`server`] | front doors, `store`, `tls`, `config` | the one place that wires things |
//! | front doors: [`imap`], [`admin`], [`control`] | `protocol` (imap only), `actions` (the others), `store`, `credential`, `mail`, `model` | never each other, never `config` |
//! | [`actions`] | `import`, `export`, `backup`, `tls`, `store`, `credential`, `mail`, `model` | what a person can do |
//! | [`import`] | `store`, `mail`, `model` | Maildir; the watcher |
//! | [`export`] | `mail`, `model` | mail as files: Maildir++, mbox, single messages |
//! | [`backup`] | `store`, `mail`, `model` | packs and generations in a folder; a store made anew out of them |
//! | [`tls`] | `store`, `model` | certificates |
//! | [`protocol`] | `mail`, `model` | pure: IMAP bytes ↔ types |
//! | [`store`] | `mail`, `model` | redb, synchronous |
//! | [`credential`] | `model` | argon2 hashes, device passwords, SCRAM verifiers, throttle |
//! | [`mail`] | `model` | pure: RFC 5322 and MIME → structure, envelope, sections, text |
//! | [`model`] | – | nouns |
//!
//! # Two walks
//! **`UID FETCH 1:* (FLAGS BODY.PEEK[])`**: `imap::connection` reads, `protocol::framing` frames,
//! `protocol::command::fetch` parses, `imap::session` finds that the state is Selected, `imap::fetch`
//! resolves UIDs in the `imap::view` and compiles a plan; chunk by chunk on the blocking pool it takes a
//! snapshot, reads records and content, writes them with `protocol::response::fetch` into a buffer of
//! about 64 KiB, and drops the snapshot; `connection` awaits the socket; at the end the view's news, then
//! the tagged OK.
//!
//! **`APPEND Drafts (\Seen) {12345}`**: `framing` reports the literal; state, mailbox and size are checked
//! before `+`; bytes go straight to `store::incoming`; `prepare` hashes, digests and compresses; the writer
//! assigns UID and modseq: one journal record, one sync, applied, published; every session's view hears of
//! it, and this one's `* n EXISTS` precedes `OK [APPENDUID …]`. The Maildir watcher joins at `Incoming`.

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
