//! Sources: Maildirs that are watched and imported.
//!
//! Rows of version 1 had the wall clock's time in `removed`. It is not known by the clock of what ages: such a source
//! counts as removed when that is next looked at.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::model::{AccountId, MailboxName, SourceId};
use crate::store::base::codec::{Reader, Writer, decode_key};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::{News, Rows, Transaction};
use crate::store::base::running;
use crate::store::base::schema::Table;
use crate::store::base::settings::{self, Counter};
use crate::store::household::account_row;
use crate::store::household::arrivals;

/// The most sources: each is watched by a thread.
pub const MAX_SOURCES: usize = 64;
/// The most removed sources whose files are remembered; the one that was removed first goes.
const MAX_REMOVED: usize = 64;
/// The longest path, in bytes, as the system has it.
pub const MAX_PATH: usize = 4_096;

/// What happens to a file once its message is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// It stays.
    Keep,
    /// It is deleted.
    Delete,
    /// It is moved to this folder.
    Move(PathBuf),
}

/// A watched Maildir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its id, never used again.
    pub id: SourceId,
    /// The account that its messages go to.
    pub account: AccountId,
    /// Where it is.
    pub path: PathBuf,
    /// The mailbox that everything goes to, or `None` if folders keep their names.
    pub mailbox: Option<String>,
    /// What happens to its files.
    pub after: After,
    /// When it was added, in seconds since 1970.
    pub created: i64,
    /// When it was removed, by [`running`]. It is watched no more, but for a while its files are remembered, so that it may
    /// be added again (with another `after`, say) and nothing comes twice.
    removed: Option<i64>,
}

impl Row for Source {
    type Key = SourceId;
    const TABLE: Table = Table::Sources;
    const VERSION: u8 = 2;

    fn what(id: SourceId) -> String {
        format!("source {id}")
    }

    fn write(&self, out: Writer) -> Writer {
        let out = out
            .u32(self.account.0)
            .bytes(self.path.as_os_str().as_bytes())
            .option(self.mailbox.as_deref(), |out, mailbox| out.bytes(mailbox.as_bytes()))
            .i64(self.created)
            .option(self.removed, |out, removed| out.i64(removed));
        match &self.after {
            After::Keep => out.u8(0),
            After::Delete => out.u8(1),
            After::Move(folder) => out.u8(2).bytes(folder.as_os_str().as_bytes()),
        }
    }

    fn read(id: SourceId, version: u8, reader: &mut Reader<'_>) -> Option<Self> {
        let path = |reader: &mut Reader<'_>| Some(PathBuf::from(OsStr::from_bytes(reader.bytes()?)));
        Some(Source {
            id,
            account: AccountId(reader.u32()?),
            path: path(reader)?,
            mailbox: reader.option(Reader::text)?.map(str::to_owned),
            created: reader.i64()?,
            removed: reader.option(Reader::i64)?.map(|at| if version == 1 { running::UNKNOWN } else { at }),
            after: match reader.u8()? {
                0 => After::Keep,
                1 => After::Delete,
                2 => After::Move(path(reader)?),
                _ => return None,
            },
        })
    }
}

impl Source {
    fn save(&self, tx: &mut dyn Transaction) {
        tx.put(Self::TABLE, &self.id.0.to_be_bytes(), &self.to_bytes());
    }

    fn check(&self, rows: &dyn Rows) -> Result<(), Error> {
        account_row::existing(rows, self.account)?;
        let valid = |path: &Path| path.is_absolute() && path.as_os_str().len() <= MAX_PATH;
        if !valid(&self.path) || matches!(&self.after, After::Move(folder) if !valid(folder)) {
            return Err(Error::Refused("a source's path must be absolute"));
        }
        if self.mailbox.as_deref().is_some_and(|name| MailboxName::new(name).is_err()) {
            return Err(Error::Refused("that is no mailbox name"));
        }
        let same =
            |other: &Source| other.id != self.id && other.account == self.account && other.path == self.path;
        if list(rows)?.iter().any(same) { Err(Error::Exists("a source at this path")) } else { Ok(()) }
    }
}

/// Adds a source. One that was removed lately comes back with its id, and so with what is known of its
/// files, if it is the same: that account's, that path, into that mailbox.
///
/// # Errors
/// [`Error::NotFound`] if there is no such account; [`Error::Refused`] for a path that is not absolute or
/// a name that no mailbox can have; [`Error::Exists`] if the account has this path; [`Error::Limit`].
pub fn add(
    tx: &mut dyn Transaction,
    account: AccountId,
    path: &Path,
    mailbox: Option<&str>,
    after: After,
) -> Result<SourceId, Error> {
    if list(tx)?.len() >= MAX_SOURCES {
        return Err(Error::Limit("there are 64 sources already"));
    }
    let mut source = Source {
        id: SourceId(0),
        account,
        path: path.to_owned(),
        mailbox: mailbox.map(str::to_owned),
        after,
        created: tx.now(),
        removed: None,
    };
    source.check(tx)?;
    let known = every(tx)?.into_iter().find(|known| {
        known.removed.is_some()
            && (known.account, &known.path, &known.mailbox) == (account, &source.path, &source.mailbox)
    });
    source.id = match known {
        Some(known) => known.id,
        None => SourceId(settings::next_id(tx, Counter::Source)?),
    };
    source.save(tx);
    publish(tx, account)?;
    Ok(source.id)
}

fn publish(tx: &mut dyn Transaction, account: AccountId) -> Result<(), Error> {
    let modseq = tx.modseq()?;
    tx.publish(News { account, mailbox: None, modseq });
    Ok(())
}

/// A source by its id.
///
/// # Errors
/// Of reading.
pub fn get(rows: &dyn Rows, id: SourceId) -> Result<Option<Source>, Error> {
    Ok(get_any(rows, id)?.filter(|source| source.removed.is_none()))
}

/// A source by its id, removed or not.
fn get_any(rows: &dyn Rows, id: SourceId) -> Result<Option<Source>, Error> {
    let bytes = rows.get(Table::Sources, &id.0.to_be_bytes())?;
    bytes.map(|bytes| Source::from_bytes(id, &bytes)).transpose()
}

/// All sources, in the order in which they were added.
///
/// # Errors
/// Of reading.
pub fn list(rows: &dyn Rows) -> Result<Vec<Source>, Error> {
    Ok(every(rows)?.into_iter().filter(|source| source.removed.is_none()).collect())
}

/// Removed ones too.
fn every(rows: &dyn Rows) -> Result<Vec<Source>, Error> {
    let mut sources = Vec::new();
    rows.scan(Table::Sources, &[], &[0xff; 5], &mut |key, value| {
        let id = decode_key("a source's key", key, |key| key.u32())?;
        sources.push(Source::from_bytes(SourceId(id), value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(sources)
}

/// Changes a source; its id says which.
///
/// # Errors
/// [`Error::NotFound`], and as [`add`].
pub fn update(tx: &mut dyn Transaction, source: &Source) -> Result<(), Error> {
    get(tx, source.id)?.ok_or(Error::NotFound("source"))?;
    source.check(tx)?;
    source.save(tx);
    publish(tx, source.account)
}

/// Removes a source: it is watched no more. What is known of its files is kept for
/// [`crate::store::household::imported::FORGET_AFTER`].
///
/// # Errors
/// [`Error::NotFound`].
pub fn remove(tx: &mut dyn Transaction, id: SourceId) -> Result<(), Error> {
    let source = get(tx, id)?.ok_or(Error::NotFound("source"))?;
    let removed = Some(running::clock(tx)?);
    arrivals::forget(tx, id);
    date_removed(tx)?;
    Source { removed, ..source }.save(tx);
    let mut removed: Vec<_> = every(tx)?.into_iter().filter(|source| source.removed.is_some()).collect();
    removed.sort_by_key(|source| (source.removed, source.id));
    for oldest in removed.iter().rev().skip(MAX_REMOVED) {
        tx.delete(Table::Sources, &oldest.id.0.to_be_bytes());
    }
    publish(tx, source.account)
}

/// Removes a source and forgets which of its files were imported: added again, it brings everything again.
/// The rows are dropped in slices afterwards, by [`crate::store::household::imported::sweep`].
///
/// # Errors
/// [`Error::NotFound`].
pub fn forget(tx: &mut dyn Transaction, id: SourceId) -> Result<(), Error> {
    let source = get_any(tx, id)?.ok_or(Error::NotFound("source"))?;
    arrivals::forget(tx, id);
    tx.delete(Table::Sources, &id.0.to_be_bytes());
    publish(tx, source.account)
}

/// Forgets all sources of an account.
///
/// # Errors
/// Of reading.
pub(in crate::store) fn forget_all(tx: &mut dyn Transaction, account: AccountId) -> Result<(), Error> {
    every(tx)?
        .into_iter()
        .filter(|source| source.account == account)
        .try_for_each(|source| forget(tx, source.id))
}

/// Sources of which it is not known when they were removed were removed now.
fn date_removed(tx: &mut dyn Transaction) -> Result<(), Error> {
    let now = running::clock(tx)?;
    for source in every(tx)?.into_iter().filter(|source| source.removed.is_some_and(|at| at > now)) {
        Source { removed: Some(now), ..source }.save(tx);
    }
    Ok(())
}

/// Forgets the sources that were removed longer ago than `keep_for` seconds of [`running`].
///
/// # Errors
/// Of reading.
pub(in crate::store) fn expire(tx: &mut dyn Transaction, keep_for: i64) -> Result<(), Error> {
    date_removed(tx)?;
    let now = running::clock(tx)?;
    every(tx)?
        .into_iter()
        .filter(|source| source.removed.is_some_and(|at| now.saturating_sub(at) >= keep_for))
        .try_for_each(|source| forget(tx, source.id))
}

/// Whether what is known of a source's files is to be kept.
pub(in crate::store) fn is_remembered(rows: &dyn Rows, id: SourceId) -> Result<bool, Error> {
    Ok(get_any(rows, id)?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::household::accounts;
    use crate::store::memory::Memory;

    #[test]
    fn sources_come_back() {
        let mut memory = Memory::new();
        let account = memory.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        let path = Path::new(OsStr::from_bytes(b"/srv/\xff/Maildir"));
        let id = memory
            .write(|tx| add(tx, account, path, Some("Old/Mail"), After::Move("/srv/done".into())))
            .unwrap();
        let mut source = get(&memory, id).unwrap().unwrap();
        assert_eq!((source.path.as_path(), source.mailbox.as_deref()), (path, Some("Old/Mail")));
        assert_eq!(source.after, After::Move("/srv/done".into()));
        (source.after, source.mailbox) = (After::Delete, None);
        memory.write(|tx| update(tx, &source)).unwrap();
        assert_eq!(list(&memory).unwrap(), [source]);
        assert!(matches!(
            memory.write(|tx| add(tx, account, path, None, After::Keep)),
            Err(Error::Exists(_))
        ));
        memory.write(|tx| remove(tx, id)).unwrap();
        assert!(list(&memory).unwrap().is_empty());
    }

    #[test]
    fn the_same_source_comes_back_and_another_does_not() {
        let mut memory = Memory::new();
        let account = memory.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        let mut again = |mailbox: Option<&str>, after| {
            memory
                .write(|tx| {
                    let id = add(tx, account, Path::new("/m"), mailbox, after)?;
                    assert_eq!(list(tx)?.len(), 1);
                    remove(tx, id)?;
                    assert!(list(tx)?.is_empty() && get(tx, id)?.is_none() && is_remembered(tx, id)?);
                    assert!(matches!(remove(tx, id), Err(Error::NotFound(_))));
                    Ok(id)
                })
                .unwrap()
        };
        let first = again(None, After::Keep);
        assert_ne!(again(Some("Old"), After::Keep), first);
        assert_eq!(again(None, After::Delete), first);
        memory.write(|tx| expire(tx, 1)).unwrap();
        assert!(is_remembered(&memory, first).unwrap());
        memory.write(|tx| forget_all(tx, account)).unwrap();
        assert_ne!(memory.write(|tx| add(tx, account, Path::new("/m"), None, After::Keep)).unwrap(), first);
    }

    #[test]
    fn removed_sources_are_bounded_and_expire() {
        let mut memory = Memory::new();
        let account = memory.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        for n in 0..MAX_REMOVED + 5 {
            memory
                .write(|tx| {
                    let id = add(tx, account, Path::new(&format!("/m{n}")), None, After::Keep)?;
                    remove(tx, id)
                })
                .unwrap();
        }
        assert_eq!(memory.count(Table::Sources), MAX_REMOVED);
        memory.write(|tx| expire(tx, 0)).unwrap();
        assert_eq!(memory.count(Table::Sources), 0);
    }

    #[test]
    fn what_is_no_source_is_refused() {
        let mut memory = Memory::new();
        let account = memory.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        let mut refused = |path: &str, mailbox, after| {
            memory.write(|tx| add(tx, account, Path::new(path), mailbox, after)).is_err()
        };
        assert!(refused("relative", None, After::Keep));
        assert!(refused("/a", Some("a//b"), After::Keep));
        assert!(refused("/a", None, After::Move("b".into())));
    }

    #[test]
    fn sources_of_the_first_version_are_read_and_were_removed_now() {
        let mut memory = Memory::new();
        let account = memory.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        let old = |removed: Option<i64>| {
            let out = Writer::of_version(1).u32(account.0).bytes(b"/m");
            let out = out.option(None, |out, ()| out).i64(1_700_000_000);
            out.option(removed, Writer::i64).u8(1).finish()
        };
        memory
            .write(|tx| {
                tx.put(Table::Sources, &1_u32.to_be_bytes(), &old(None));
                tx.put(Table::Sources, &2_u32.to_be_bytes(), &old(Some(1_700_000_000)));
                Ok(())
            })
            .unwrap();
        let kept = list(&memory).unwrap();
        assert_eq!((kept.len(), kept[0].created, &kept[0].after), (1, 1_700_000_000, &After::Delete));
        memory.write(|tx| running::advance(tx, 86_400)).unwrap();
        memory.write(|tx| expire(tx, 86_400)).unwrap();
        assert!(is_remembered(&memory, SourceId(2)).unwrap(), "from now on");
        memory.write(|tx| running::advance(tx, 86_400)).unwrap();
        memory.write(|tx| expire(tx, 86_400)).unwrap();
        assert!(!is_remembered(&memory, SourceId(2)).unwrap());
        assert_eq!(list(&memory).unwrap(), kept);
    }
}
