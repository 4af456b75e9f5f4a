//! Going back to an older version, for whoever is unhappy with this one: what came since is written out, and the store
//! is given to the older program as it left it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Failure;
use super::export::{Plan, Stop, Summary, plan_since};
use super::human;
use crate::export::{self, Format};
use crate::store::env::{Disk, RealDisk};
use crate::store::going_back::Before;
use crate::store::{RESERVE, Store, accounts};

/// The file in the folder of what was written that says how it is brought in again. It is written last.
const LINES: &str = "bring-in.txt";
/// What a file takes of a disk besides its bytes, at most.
const FILE: u64 = 8 << 10;

/// What is written out of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Whose it is.
    pub account: String,
    /// Whether the older version knows the account.
    pub is_known: bool,
    /// A Maildir++ with what came since.
    pub folder: PathBuf,
    /// What is in it.
    pub summary: Summary,
}

/// An account's name now and then, and what came into it.
struct Part {
    name: String,
    known_as: Option<String>,
    folder: PathBuf,
    plan: Plan,
}

/// Writes what came since the store left the older format into a folder for each account, and makes it durable. Nothing
/// is done to the store.
///
/// # Errors
/// If there is not enough room, if a folder holds something, or a message cannot be read: then nobody goes back without
/// being told. Nothing that was written is left then.
pub fn write_since(store: &Store, before: &Before, into: &Path) -> Result<Vec<Written>, Failure> {
    let parts = parts(store, before, into)?;
    let mut made = Vec::new();
    let written = write(parts, into, &mut made);
    if written.is_err() {
        for folder in made {
            let _ = fs::remove_dir_all(folder);
        }
        let _ = fs::remove_file(into.join(LINES));
    }
    written
}

fn parts(store: &Store, before: &Before, into: &Path) -> Result<Vec<Part>, Failure> {
    let mut parts = Vec::new();
    let mut needed = RESERVE;
    for account in accounts::list(&store.snapshot()?)? {
        let plan = plan_since(store, account.id, before)?;
        let (messages, bytes) = plan.weigh()?;
        if messages == 0 {
            continue;
        }
        needed = needed.saturating_add(bytes).saturating_add(messages.saturating_mul(FILE));
        // A name may be one that no folder can have.
        let folder = match account.name.as_str() {
            "." | ".." => into.join(format!("account-{}", account.id)),
            name => into.join(name.replace('/', "_")),
        };
        let known_as = before.account(account.id).map(str::to_owned);
        parts.push(Part { name: account.name, known_as, folder, plan });
    }
    check_room(into, needed)?;
    Ok(parts)
}

fn write(parts: Vec<Part>, into: &Path, made: &mut Vec<PathBuf>) -> Result<Vec<Written>, Failure> {
    let mut written = Vec::new();
    for Part { name, known_as, folder, plan } in parts {
        let failed = |error: io::Error| Failure::Invalid(format!("{}: {error}", folder.display()));
        let mut outlet = export::open(Format::Maildir, &folder).map_err(failed)?;
        made.push(folder.clone());
        let summary = plan.run(&mut *outlet).map_err(|stop| match stop {
            Stop::Store(error) => Failure::Store(error),
            Stop::Outlet(error) => failed(error),
        })?;
        let is_known = known_as.is_some();
        written.push(Written { account: known_as.unwrap_or(name), is_known, folder, summary });
    }
    let damaged: u64 = written.iter().map(|written| written.summary.damaged_count).sum();
    if damaged > 0 {
        return Err(Failure::Invalid(format!(
            "{} that came since cannot be read, and would be lost; run `postern check --repair` first",
            human::count(damaged, "message", "messages")
        )));
    }
    if !written.is_empty() {
        finish(into, &lines(&written))
            .map_err(|error| Failure::Invalid(format!("{}: {error}", into.display())))?;
    }
    Ok(written)
}

/// The older index names none of it: it must be on the disk before that takes over. One call for all files, and for the
/// folders that name them.
fn finish(into: &Path, lines: &str) -> io::Result<()> {
    File::create(into.join(LINES))?.write_all(lines.as_bytes())?;
    Ok(rustix::fs::syncfs(File::open(into)?)?)
}

/// The lines that bring in what was written.
#[must_use]
pub fn lines(written: &[Written]) -> String {
    let mut text = String::new();
    for written in written {
        let name = quoted(&written.account);
        if !written.is_known {
            text.push_str(&format!("  postern account add {name}\n"));
        }
        text.push_str(&format!(
            "  postern import --account {name} {}    # {}\n",
            quoted(&written.folder.display().to_string()),
            human::count(written.summary.messages, "message", "messages")
        ));
    }
    text
}

/// The lines of an earlier call, if that wrote everything into this folder.
#[must_use]
pub fn lines_in(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(LINES)).ok()
}

/// As a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+@".contains(letter);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

fn check_room(into: &Path, needed: u64) -> Result<(), Failure> {
    let absolute = std::path::absolute(into)
        .map_err(|error| Failure::Invalid(format!("{}: {error}", into.display())))?;
    let free = absolute.ancestors().find_map(|folder| RealDisk.free_space(folder).ok()).unwrap_or(u64::MAX);
    if free >= needed {
        return Ok(());
    }
    Err(Failure::Invalid(format!(
        "writing out what came since needs {} MB in {}, and {} MB are free: name a folder on another disk",
        needed.div_ceil(1_000_000),
        into.display(),
        free / 1_000_000
    )))
}
