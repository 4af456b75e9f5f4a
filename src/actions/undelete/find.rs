//! What things in the bin are called in commands, and whose they are.

use std::fmt;
use std::str::FromStr;

use crate::actions::{Context, Failure};
use crate::model::{AccountId, ModSeq, Uid};
use crate::store::bin::{self, Entry, EntryId, Kept};
use crate::store::{Error, Rows, accounts, mailboxes};

/// The id of an entry, or of one of its messages: `4711`, `4711-2`, `4711.17`, `4711-2.17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ItemId {
    pub(super) entry: EntryId,
    pub(super) uid: Option<Uid>,
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.entry.modseq.0)?;
        if self.entry.number > 0 {
            write!(f, "-{}", self.entry.number)?;
        }
        self.uid.map_or(Ok(()), |uid| write!(f, ".{}", uid.get()))
    }
}

impl FromStr for ItemId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (entry, uid) = match text.trim().split_once('.') {
            Some((entry, uid)) => (entry, Some(uid)),
            None => (text.trim(), None),
        };
        let (modseq, number) = entry.split_once('-').unwrap_or((entry, "0"));
        let (modseq, number) = (modseq.parse().map_err(drop)?, number.parse().map_err(drop)?);
        let uid = uid.map(|uid| uid.parse().ok().and_then(Uid::new).ok_or(())).transpose()?;
        Ok(ItemId { entry: EntryId { modseq: ModSeq(modseq), number }, uid })
    }
}

/// An account that has something in the bin.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) id: AccountId,
    pub(super) name: String,
    /// Whether there is no such account now.
    pub(super) removed: bool,
}

/// The accounts that have something in the bin, those of this name.
pub(super) fn owners(rows: &dyn Rows, name: Option<&str>) -> Result<Vec<Owner>, Failure> {
    let mut found = Vec::new();
    for id in bin::accounts(rows)? {
        let owner = match accounts::get(rows, id)? {
            Some(account) => Owner { id, name: account.name, removed: false },
            None => Owner { id, name: removed_name(rows, id)?, removed: true },
        };
        if name.is_none_or(|name| owner.name.eq_ignore_ascii_case(name.trim())) {
            found.push(owner);
        }
    }
    match name {
        Some(name) if found.is_empty() && accounts::by_name(rows, name.trim())?.is_none() => {
            Err(Failure::Unknown { what: "account", name: name.to_owned() })
        }
        _ => Ok(found),
    }
}

fn removed_name(rows: &dyn Rows, id: AccountId) -> Result<String, Error> {
    Ok(match bin::removed(rows, id)?.map(|entry| entry.kept) {
        Some(Kept::Account { name, .. }) => name,
        // Version 0.1 kept no name.
        _ => format!("account {id}"),
    })
}

/// The entry of an id.
pub(super) fn entry(rows: &dyn Rows, owners: &[Owner], id: EntryId) -> Result<Option<(Owner, Entry)>, Error> {
    // A modseq is the store's, so no two accounts have one.
    for owner in owners {
        if let Some(entry) = bin::get(rows, owner.id, id)? {
            return Ok(Some((owner.clone(), entry)));
        }
    }
    Ok(None)
}

/// What its mailbox is called now; where it is gone, as it was when the entry was made.
pub(super) fn mailbox_name(rows: &dyn Rows, owner: &Owner, entry: &Entry) -> Result<String, Error> {
    if matches!(entry.kept, Kept::Account { .. }) {
        return Ok(String::new());
    }
    let now = mailboxes::get(rows, owner.id, entry.mailbox)?;
    Ok(now.map_or_else(|| entry.name.to_string(), |mailbox| mailbox.name.to_string()))
}

/// As it was typed.
pub(super) fn parse(id: &str) -> Result<ItemId, Failure> {
    let wrong = |()| Failure::Invalid(format!("{id:?} is no id: take one from `postern undelete list`"));
    id.parse().map_err(wrong)
}

/// A message by its id.
pub(super) fn message(context: &Context, id: &str) -> Result<(Owner, Entry, Uid), Failure> {
    let parsed = parse(id)?;
    let snapshot = context.store.snapshot()?;
    let found = entry(&snapshot, &owners(&snapshot, None)?, parsed.entry)?;
    match (found, parsed.uid) {
        (Some((owner, entry)), Some(uid)) => Ok((owner, entry, uid)),
        (Some(_), None) => Err(Failure::Invalid(format!("{id} is no message"))),
        (None, _) => Err(Failure::Unknown { what: "deleted message", name: id.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_there_and_back() {
        for text in ["1", "4711-2", "4711.17", "4711-2.17"] {
            assert_eq!(text.parse::<ItemId>().unwrap().to_string(), text);
        }
        assert_eq!(" 4711-0.17\n".parse::<ItemId>().unwrap().to_string(), "4711.17");
        for text in ["", "x", "1.", "1.0", "1-", "1-x", ".5", "1.2.3", "-1", "1.5 6"] {
            assert!(text.parse::<ItemId>().is_err(), "{text}");
        }
    }
}
