//! Sources: watched Maildirs.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Context, Failure, account};
use crate::import::access::check::check_access;
use crate::import::access::overlap;
use crate::import::watch::status::SourceStatus;
use crate::model::{AccountId, SourceId};
use crate::store::arrivals::{self, Arrival};
use crate::store::sources::{self, Source};
use crate::store::{accounts, imported, running};

/// What happens to a file once its message is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum After {
    /// It stays; nothing is ever removed.
    Keep,
    /// It is deleted.
    Delete,
    /// It is moved to a folder.
    Move(PathBuf),
}

impl From<After> for sources::After {
    fn from(after: After) -> Self {
        match after {
            After::Keep => sources::After::Keep,
            After::Delete => sources::After::Delete,
            After::Move(folder) => sources::After::Move(folder),
        }
    }
}

impl From<sources::After> for After {
    fn from(after: sources::After) -> Self {
        match after {
            sources::After::Keep => After::Keep,
            sources::After::Delete => After::Delete,
            sources::After::Move(folder) => After::Move(folder),
        }
    }
}

/// A source that was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// Its number.
    pub id: u32,
    /// How its folders lie.
    pub layout: String,
    /// How many there are.
    pub folders: u64,
    /// How many files lie in them.
    pub messages: u64,
    /// How many files are known from when it was a source before; they do not come again.
    pub known: u64,
}

/// A source, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its number, for `remove`.
    pub id: u32,
    /// Whose mail it brings.
    pub account: String,
    /// Where it is.
    pub path: PathBuf,
    /// The mailbox below which everything goes, if one was given.
    pub mailbox: Option<String>,
    /// What happens to its files.
    pub after: After,
    /// When mail last came from it, to half an hour, in seconds since 1970.
    pub last_mail: Option<i64>,
    /// When mail came lately, to half an hour, the latest last, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arrivals: Vec<i64>,
    /// For how many seconds of running it has been silent, if that is much longer than its usual gap.
    pub silent: Option<i64>,
    /// What the watcher knows, where a server runs.
    pub watch: Option<Watch>,
}

/// What the watcher knows of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// How new mail is noticed, in words.
    pub mode: String,
    /// How its folders lie.
    pub layout: Option<String>,
    /// How many there are.
    pub folders: u64,
    /// Whether a look is under way.
    pub busy: bool,
    /// Messages imported since the server started.
    pub imported: u64,
    /// Files that are imported and are removed once they have lain unchanged for a while.
    #[serde(default)]
    pub waiting: u64,
    /// When the last came, in seconds since 1970.
    pub last_mail: Option<i64>,
    /// When it was last looked at as a whole.
    pub last_look: Option<i64>,
    /// Files that could not be read or were left alone, the first few with the reason.
    pub left: Vec<String>,
    /// How many those are.
    pub left_count: u64,
    /// What is wrong.
    pub problem: Option<String>,
    /// Lines for a root shell that help.
    pub advice: Vec<String>,
}

/// Adds a source, after testing as this process that its folder can be used.
///
/// # Errors
/// If there is no such account or mailbox name, the folder cannot be used (then with what helps), or another source
/// brings its mail already.
pub fn add(
    context: &Context,
    path: &Path,
    account: Option<&str>,
    mailbox: Option<&str>,
    after: After,
) -> Result<Added, Failure> {
    let account = account::find_or_only(context, account)?;
    if let Some(name) = mailbox {
        crate::model::MailboxName::new(name).map_err(|error| Failure::Invalid(error.to_string()))?;
    }
    let after = sources::After::from(after);
    let summary = check_access(path, &after)?;
    check_overlap(context, path, account.id, &after)?;
    check_own(context, path, &after)?;
    let (path, mailbox) = (path.to_owned(), mailbox.map(str::to_owned));
    let id = context.store.write(move |tx| sources::add(tx, account.id, &path, mailbox.as_deref(), after))?;
    let known = imported::count(&context.store.snapshot()?, id)?;
    reload(context);
    Ok(Added {
        id: id.0,
        layout: summary.layout.name().to_owned(),
        folders: summary.folders,
        messages: summary.messages,
        known,
    })
}

/// The store's own files are nobody's mail.
fn check_own(context: &Context, path: &Path, after: &sources::After) -> Result<(), Failure> {
    let (_, data) = context.store.place();
    let target = match after {
        sources::After::Move(target) => Some(target.as_path()),
        sources::After::Keep | sources::After::Delete => None,
    };
    for path in std::iter::once(path).chain(target) {
        let touches = overlap::touches(path, &data);
        let touches = touches.map_err(|error| Failure::Invalid(format!("{}: {error}", path.display())))?;
        if touches {
            return Err(Failure::Invalid(format!("{} {}", path.display(), overlap::OWN_DATA)));
        }
    }
    Ok(())
}

/// Two sources must not bring the same files. The same path for the same account is refused where it is added.
fn check_overlap(
    context: &Context,
    path: &Path,
    account: AccountId,
    after: &sources::After,
) -> Result<(), Failure> {
    let snapshot = context.store.snapshot()?;
    let mut known = sources::list(&snapshot)?;
    known.retain(|known| known.account != account || known.path != path);
    let Some((overlap, other)) = overlap::find(path, after, &known) else { return Ok(()) };
    let owner = accounts::get(&snapshot, other.account)?.map(|account| account.name).unwrap_or_default();
    Err(Failure::Invalid(format!(
        "{} {} source {}, {} for {owner}: the same mail would come twice",
        path.display(),
        overlap.describe(),
        other.id,
        other.path.display()
    )))
}

/// All sources.
pub fn list(context: &Context) -> Result<Vec<Info>, Failure> {
    let snapshot = context.store.snapshot()?;
    let now = running::clock(&snapshot)?;
    let watched = context.running.as_ref().map(|running| running.watcher.status()).unwrap_or_default();
    let mut found = Vec::new();
    for source in sources::list(&snapshot)? {
        let account = accounts::get(&snapshot, source.account)?.map(|account| account.name);
        let watch = watched.iter().find(|known| known.source == source.id).map(watch);
        let arrivals = arrivals::list(&snapshot, source.id)?;
        found.push(info(source, account.unwrap_or_default(), &arrivals, now, watch));
    }
    Ok(found)
}

fn info(source: Source, account: String, arrivals: &[Arrival], now: i64, watch: Option<Watch>) -> Info {
    Info {
        id: source.id.0,
        account,
        path: source.path,
        mailbox: source.mailbox,
        after: source.after.into(),
        last_mail: watch.as_ref().and_then(|watch| watch.last_mail).or(arrivals.last().map(|last| last.at)),
        arrivals: arrivals.iter().map(|arrival| arrival.at).collect(),
        silent: arrivals::silent_for(arrivals, now),
        watch,
    }
}

fn watch(status: &SourceStatus) -> Watch {
    let left = status.unreadable.names.iter().chain(&status.left_alone.names);
    Watch {
        mode: status.mode.describe().to_owned(),
        layout: status.layout.map(|layout| layout.name().to_owned()),
        folders: status.folders,
        busy: status.busy,
        imported: status.imported,
        waiting: status.waiting,
        last_mail: status.last_mail,
        last_look: status.last_look,
        left: left.cloned().collect(),
        left_count: status.unreadable.count + status.left_alone.count,
        problem: status.problem.as_ref().map(|problem| problem.what.clone()),
        advice: status.problem.as_ref().map(|problem| problem.advice.clone()).unwrap_or_default(),
    }
}

/// Removes a source by its number or its path: nothing more is imported from it. The mail that came from it
/// stays. Which of its files came is remembered for 30 days, unless `forget`: added again, to the same
/// account and mailbox, it brings only what is new.
///
/// # Errors
/// If there is none.
pub fn remove(context: &Context, source: &str, forget: bool) -> Result<(), Failure> {
    let known = sources::list(&context.store.snapshot()?)?;
    let matching: Vec<SourceId> = known
        .iter()
        .filter(|known| known.id.0.to_string() == source || known.path == Path::new(source))
        .map(|known| known.id)
        .collect();
    let id = match matching.as_slice() {
        [one] => *one,
        [] => return Err(Failure::Unknown { what: "source", name: source.to_owned() }),
        _ => {
            return Err(Failure::Invalid("several accounts have a source there: give its number".to_owned()));
        }
    };
    context.store.write(move |tx| if forget { sources::forget(tx, id) } else { sources::remove(tx, id) })?;
    reload(context);
    Ok(())
}

/// Tells the watcher that the list of sources is another one.
pub(super) fn reload(context: &Context) {
    if let Some(running) = &context.running {
        running.watcher.reload();
    }
}
