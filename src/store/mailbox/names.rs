//! An account's names in order, page by page: those of its mailboxes and those that it is subscribed to. All of them
//! together may take 30 MB.

use std::ops::ControlFlow;

use crate::model::{AccountId, MailboxId, MailboxName};
use crate::store::base::codec::{all_of, with_text};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::Rows;
use crate::store::base::schema::Table;
use crate::store::mailbox::mailbox_row::{Named, id_of, name_key};

/// A name that is a mailbox's, or that the account is subscribed to, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub name: MailboxName,
    /// The mailbox that has it.
    pub mailbox: Option<MailboxId>,
    /// Whether the account is subscribed to it.
    pub subscribed: bool,
}

/// What is known of a name.
///
/// # Errors
/// Of reading.
pub fn get(rows: &dyn Rows, account: AccountId, name: &MailboxName) -> Result<Option<Name>, Error> {
    let mailbox = id_of(rows, account, name)?;
    let subscribed = is_subscribed(rows, account, name)?;
    Ok((mailbox.is_some() || subscribed).then(|| Name { name: name.clone(), mailbox, subscribed }))
}

/// Whether the account is subscribed to a name.
///
/// # Errors
/// Of reading.
pub fn is_subscribed(rows: &dyn Rows, account: AccountId, name: &MailboxName) -> Result<bool, Error> {
    Ok(rows.get(Table::Subscriptions, &name_key(account, name))?.is_some())
}

/// Whether mailboxes lie below a name.
///
/// # Errors
/// Of reading.
pub fn has_below(rows: &dyn Rows, account: AccountId, name: &MailboxName) -> Result<bool, Error> {
    any_below(rows, Table::Names, account, name)
}

/// Whether the account is subscribed to names below this one.
///
/// # Errors
/// Of reading.
pub fn has_subscribed_below(rows: &dyn Rows, account: AccountId, name: &MailboxName) -> Result<bool, Error> {
    any_below(rows, Table::Subscriptions, account, name)
}

/// What lies below a name stands together: from `name/` up to the character behind the separator.
fn any_below(rows: &dyn Rows, table: Table, account: AccountId, name: &MailboxName) -> Result<bool, Error> {
    let edge = |end: char| with_text(account.0, format!("{name}{end}").as_bytes());
    let mut found = false;
    rows.scan(table, &edge('/'), &edge('0'), &mut |_, _| {
        found = true;
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// The first names behind `after`, at most so many, sorted by their bytes.
///
/// # Errors
/// Of reading.
pub fn page(rows: &dyn Rows, account: AccountId, after: &str, most: usize) -> Result<Vec<Name>, Error> {
    let (mut low, (_, high)) = (with_text(account.0, after.as_bytes()), all_of(account.0));
    // No name has a NUL.
    low.push(0);
    let mut named = Vec::new();
    rows.scan(Table::Names, &low, &high, &mut |key, value| {
        let mailbox = Some(Named::from_bytes((), value)?.0);
        named.push(Name { name: name_of(key)?, mailbox, subscribed: false });
        Ok(if named.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    let mut all: Vec<Name> = Vec::with_capacity(named.len());
    let mut named = named.into_iter().peekable();
    rows.scan(Table::Subscriptions, &low, &high, &mut |key, _| {
        let name = name_of(key)?;
        while let Some(before) = named.next_if(|known| known.name < name) {
            all.push(before);
        }
        let mailbox = named.next_if(|known| known.name == name).and_then(|known| known.mailbox);
        all.push(Name { name, mailbox, subscribed: true });
        Ok(if all.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    all.extend(named);
    all.truncate(most);
    Ok(all)
}

/// The name of a row of `names` or `subscriptions`.
pub(in crate::store) fn name_of(key: &[u8]) -> Result<MailboxName, Error> {
    let name = key.get(4..).and_then(|name| std::str::from_utf8(name).ok());
    let name = name.and_then(|name| MailboxName::new(name).ok());
    name.ok_or_else(|| Error::Damaged("a name or a subscription".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;
    use crate::store::{accounts, mailboxes};

    fn name(text: &str) -> MailboxName {
        MailboxName::new(text).unwrap()
    }

    #[test]
    fn pages_of_any_size_are_all_names_in_order() {
        let mut memory = Memory::new();
        let anna = memory.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        let other = memory.write(|tx| accounts::create(tx, "other", None)).unwrap();
        for text in ["a", "a-b", "a/b", "a/b/c", "ab", "é"] {
            memory.write(|tx| mailboxes::create(tx, anna, &name(text), None)).unwrap();
        }
        for text in ["a", "a/b", "a/gone", "zz", "0"] {
            memory.write(|tx| mailboxes::subscribe(tx, anna, &name(text))).unwrap();
        }
        memory.write(|tx| mailboxes::subscribe(tx, other, &name("other"))).unwrap();
        let all = page(&memory, anna, "", usize::MAX).unwrap();
        let known: Vec<MailboxName> = all.iter().map(|name| name.name.clone()).collect();
        assert!(known.is_sorted());
        for mailbox in mailboxes::list(&memory, anna).unwrap() {
            assert!(all.iter().any(|name| name.name == mailbox.name && name.mailbox == Some(mailbox.id)));
        }
        let subscribed: Vec<MailboxName> =
            all.iter().filter(|name| name.subscribed).map(|name| name.name.clone()).collect();
        assert_eq!(subscribed, mailboxes::subscriptions(&memory, anna).unwrap());
        assert_eq!(all.iter().filter(|name| name.mailbox.is_none()).count(), 3);
        for most in 1..=all.len() {
            let (mut paged, mut after) = (Vec::new(), String::new());
            loop {
                let some = page(&memory, anna, &after, most).unwrap();
                assert!(some.len() <= most);
                let Some(last) = some.last() else { break };
                last.name.as_str().clone_into(&mut after);
                paged.extend(some);
            }
            assert_eq!(paged, all, "{most} at a time");
        }
        let below = |text: &str| has_below(&memory, anna, &name(text)).unwrap();
        assert_eq!(["a", "a/b", "ab", "a/b/c", "zz"].map(below), [true, true, false, false, false]);
        assert!(has_subscribed_below(&memory, anna, &name("a")).unwrap());
        assert!(!has_subscribed_below(&memory, anna, &name("a/b")).unwrap());
        assert_eq!(get(&memory, anna, &name("a/gone")).unwrap().unwrap().mailbox, None);
        assert_eq!(get(&memory, anna, &name("nowhere")).unwrap(), None);
    }
}
