//! The real binary, spoken to over real connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

#[path = "server/anyone.rs"]
mod anyone;
#[path = "server/backup.rs"]
mod backup;
#[path = "server/backup_damage.rs"]
mod backup_damage;
#[path = "server/backup_room.rs"]
mod backup_room;
#[path = "server/check.rs"]
mod check;
#[path = "server/command_line.rs"]
mod command_line;
#[path = "server/damage.rs"]
mod damage;
#[path = "server/demo.rs"]
mod demo;
// Other test binaries use what this one does not.
#[allow(dead_code)]
#[path = "server/deliver.rs"]
mod deliver;
#[path = "server/downgrade.rs"]
mod downgrade;
#[path = "server/export.rs"]
mod export;
#[path = "server/forgotten.rs"]
mod forgotten;
#[path = "server/harness.rs"]
mod harness;
#[path = "server/hostile.rs"]
mod hostile;
#[path = "server/idling.rs"]
mod idling;
#[path = "server/import.rs"]
mod import;
#[path = "server/in_process.rs"]
mod in_process;
#[path = "server/installed_certificate.rs"]
mod installed_certificate;
#[path = "server/large.rs"]
mod large;
#[path = "server/lifecycle.rs"]
mod lifecycle;
#[path = "server/logins.rs"]
mod logins;
#[path = "server/long_answers.rs"]
mod long_answers;
#[path = "server/long_headers.rs"]
mod long_headers;
#[path = "server/long_sets.rs"]
mod long_sets;
#[path = "server/move_data.rs"]
mod move_data;
#[path = "server/old_mail.rs"]
mod old_mail;
#[path = "server/races.rs"]
mod races;
#[path = "server/read_only.rs"]
mod read_only;
#[path = "server/refused.rs"]
mod refused;
#[allow(dead_code)]
#[path = "package/set_format.rs"]
mod set_format;
#[path = "server/slow.rs"]
mod slow;
#[path = "server/tls.rs"]
mod tls;
#[path = "server/transcript.rs"]
mod transcript;
#[path = "server/undelete.rs"]
mod undelete;
#[path = "server/unreadable.rs"]
mod unreadable;
#[path = "server/strict/wrong_answers.rs"]
mod wrong_answers;
