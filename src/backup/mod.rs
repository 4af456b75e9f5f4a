//! Backups: a store's content in immutable packs, and generations of what was in the store when.
//!
//! A folder, on whatever takes files (a USB stick's FAT, a network folder):
//! - `postern-backup`: the marker, without which nothing is written there (`folder`);
//! - `packs/NAME.pack`: contents, each once, under a name that tells nothing of it (`pack`);
//! - `generations/NNNNNN-TIME.manifest`: the store's catalogue at that time, and the names of the contents that
//!   belong to it (`manifest`);
//! - `identity.age`, `naming.age`: of an encrypted backup, its keys, the first wrapped by the passphrase (`age`).
//!
//! `run` makes a generation, `retention` drops old ones, `source` reads contents back, `restore` makes a store anew, `merge` adds to one.
//! No file is ever changed once it has its name, none is linked, no name is longer than 64 characters, and no
//! permission is needed: any program can copy such a folder at any time.

pub mod age;
mod bech32;
pub mod folder;
pub mod manifest;
pub mod merge;
mod pack;
mod places;
pub mod restore;
pub mod retention;
pub mod run;
pub mod source;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

use crate::store;

/// Why a backup, or a restore, did not come about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The backup's folder or its disk.
    #[error("{}: {error}", path.display())]
    Folder {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is no marker.
    #[error("there is no backup in {}: is the disk mounted?", .0.display())]
    NoMarker(PathBuf),
    /// A folder that holds other things.
    #[error("{} is not empty and holds no backup: name an empty folder, or one that is not there yet", .0.display())]
    NotEmpty(PathBuf),
    /// The folder holds another backup than was expected.
    #[error("{} holds another backup than the one that was set up", .0.display())]
    Foreign(PathBuf),
    /// Another process is at it.
    #[error("the backup in {} is in use by {holder}", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Who has it.
        holder: String,
    },
    /// A file of the backup is damaged.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How it shows.
        why: &'static str,
    },
    /// The backup was made by a newer version.
    #[error("the backup in {} was made by a newer postern: install that version or newer", .0.display())]
    Newer(PathBuf),
    /// No generation can be used.
    #[error("there is no whole generation in {}", .0.display())]
    NoGeneration(PathBuf),
    /// It is encrypted, and no passphrase was given.
    #[error("the backup is encrypted: its passphrase is needed")]
    NeedsPassphrase,
    /// The passphrase.
    #[error(transparent)]
    Age(#[from] age::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A restore that was not begun, for it would not end.
    #[error(
        "there is not enough room in {} for this backup: it needs some {} MB, and {} MB are free. Make room there, or \
         name a folder on a larger disk; nothing was changed",
        path.display(), needed.div_ceil(1_000_000), free / 1_000_000
    )]
    NoRoom {
        /// The data folder.
        path: PathBuf,
        /// Bytes that are needed, with what a server leaves free.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A restore that could not go on.
    #[error(
        "the disk of {} became full while the backup was restored ({error}). Make room there and run the same command \
         again: it goes on, and until it has ended no server uses that folder. The backup is as it was",
        path.display()
    )]
    Full {
        /// The data folder.
        path: PathBuf,
        /// What did not fit.
        error: store::Error,
    },
    /// It was asked to stop.
    #[error("it was stopped")]
    Stopped,
}

impl Error {
    fn folder(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        |error| Error::Folder { path, error }
    }

    fn damaged(path: impl Into<PathBuf>, why: &'static str) -> Error {
        Error::Damaged { path: path.into(), why }
    }
}

/// Lower case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`hex`] wrote.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Random bytes of the system.
fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| store::Error::io("asking for random bytes", io::Error::other(error.to_string())))?;
    Ok(bytes)
}
