//! Accounts made, changed and removed.

use crate::model::{AccountId, AccountName, MailboxName, SpecialUse};
use crate::store::base::error::Error;
use crate::store::base::rows::{News, Rows, Transaction};
use crate::store::base::schema::Table;
use crate::store::base::settings::{self, Counter};
use crate::store::household::account_row::existing;
use crate::store::household::{devices, sources};
use crate::store::mailbox::bin::{self, drop_range};
use crate::store::mailbox::mailboxes;

pub use crate::store::household::account_row::{Account, by_name, get, list};

/// The most accounts: they are looked up by name in a list.
pub const MAX_ACCOUNTS: usize = 1_000;
/// Makes an account with INBOX and the usual mailboxes, subscribed.
///
/// # Errors
/// [`Error::Refused`] for a name that cannot be one; [`Error::Exists`]; [`Error::Limit`].
pub fn create(tx: &mut dyn Transaction, name: &str, password_hash: Option<&str>) -> Result<AccountId, Error> {
    let name = free_name(tx, name)?;
    let account = Account {
        id: AccountId(settings::next_id(tx, Counter::Account)?),
        name,
        password_hash: password_hash.map(str::to_owned),
        created: tx.now(),
        salt: tx.random(),
        disabled: false,
    };
    account.save(tx);
    let defaults = SpecialUse::DEFAULTS.map(|(special_use, name)| (Some(special_use), name));
    for (special_use, name) in std::iter::once((None, "INBOX")).chain(defaults) {
        let name = MailboxName::new(name).map_err(|_| Error::Refused("that is no mailbox name"))?;
        mailboxes::create(tx, account.id, &name, special_use)?;
        // Clients show no mailbox that is not subscribed.
        mailboxes::subscribe(tx, account.id, &name)?;
    }
    publish(tx, account.id)?;
    Ok(account.id)
}

/// A name that a new account can have.
fn free_name(rows: &dyn Rows, name: &str) -> Result<String, Error> {
    let name = AccountName::new(name).map_err(|error| Error::Refused(error.describe()))?;
    let accounts = list(rows)?;
    if accounts.iter().any(|account| account.name == name.as_str()) {
        return Err(Error::Exists("an account of this name"));
    }
    if accounts.len() >= MAX_ACCOUNTS {
        return Err(Error::Limit("there are 1,000 accounts already"));
    }
    Ok(name.as_str().to_owned())
}

/// Lets an account that was removed be one again, with nothing in it and no way to log in.
pub(super) fn revive(
    tx: &mut dyn Transaction,
    id: AccountId,
    name: &str,
    created: i64,
) -> Result<String, Error> {
    let name = free_name(tx, name)?;
    let salt = tx.random();
    let account = Account { id, name, password_hash: None, created, salt, disabled: false };
    account.save(tx);
    publish(tx, id)?;
    Ok(account.name)
}

fn publish(tx: &mut dyn Transaction, account: AccountId) -> Result<(), Error> {
    let modseq = tx.modseq()?;
    tx.publish(News { account, mailbox: None, modseq });
    Ok(())
}

fn update(tx: &mut dyn Transaction, id: AccountId, change: impl FnOnce(&mut Account)) -> Result<(), Error> {
    let mut account = existing(tx, id)?;
    change(&mut account);
    account.save(tx);
    publish(tx, id)
}

/// Sets the password's hash, or takes the password away.
///
/// # Errors
/// [`Error::NotFound`].
pub fn set_password(tx: &mut dyn Transaction, id: AccountId, hash: Option<&str>) -> Result<(), Error> {
    update(tx, id, |account| account.password_hash = hash.map(str::to_owned))
}

/// Lets nobody log in any more, or lets them again.
///
/// # Errors
/// [`Error::NotFound`].
pub fn set_disabled(tx: &mut dyn Transaction, id: AccountId, disabled: bool) -> Result<(), Error> {
    update(tx, id, |account| account.disabled = disabled)
}

/// Removes an account with its devices, sources and mailboxes. The mailboxes, its name and its subscriptions
/// stay for undelete until the bin lets them go; devices, passwords and sources are gone.
///
/// # Errors
/// [`Error::NotFound`].
pub fn remove(tx: &mut dyn Transaction, id: AccountId) -> Result<(), Error> {
    let account = existing(tx, id)?;
    for device in devices::list(tx, id)? {
        devices::revoke(tx, id, device.id)?;
    }
    crate::store::household::revoked::forget(tx, id)?;
    sources::forget_all(tx, id)?;
    let mut numbers = bin::Numbering::new(tx, id)?;
    for mailbox in mailboxes::list(tx, id)? {
        mailboxes::discard(tx, &mailbox, &mut numbers)?;
    }
    bin::put_account(tx, (id, &account.name, account.created), &mut numbers)?;
    // Bounded, so it needs no slices.
    let mut budget = usize::MAX;
    drop_range(tx, Table::Events, id.0, &mut budget)?;
    tx.delete(Table::Accounts, &id.0.to_be_bytes());
    publish(tx, id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContentId, DateTime, FlagSet};
    use crate::store::memory::Memory;
    use crate::store::messages;

    #[test]
    fn an_account_begins_with_its_mailboxes_subscribed() {
        let mut memory = Memory::new();
        let id = memory.write(|tx| create(tx, "Anna@Example.org", Some("hash"))).unwrap();
        let account = by_name(&memory, "ANNA@example.org").unwrap().unwrap();
        assert_eq!((account.id, account.name.as_str()), (id, "anna@example.org"));
        assert_eq!(account.password_hash.as_deref(), Some("hash"));
        let names: Vec<String> =
            mailboxes::list(&memory, id).unwrap().iter().map(|mailbox| mailbox.name.to_string()).collect();
        assert_eq!(names, ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]);
        assert_eq!(mailboxes::subscriptions(&memory, id).unwrap().len(), 6);
        assert!(matches!(memory.write(|tx| create(tx, "anna@example.org", None)), Err(Error::Exists(_))));
        for bad in ["", "a b", "a/b", "a\n", &"x".repeat(256)] {
            assert!(matches!(memory.write(|tx| create(tx, bad, None)), Err(Error::Refused(_))), "{bad:?}");
        }
    }

    #[test]
    fn passwords_and_disabling() {
        let mut memory = Memory::new();
        let id = memory.write(|tx| create(tx, "anna", None)).unwrap();
        let salt = get(&memory, id).unwrap().unwrap().salt;
        memory.write(|tx| set_password(tx, id, Some("new"))).unwrap();
        memory.write(|tx| set_disabled(tx, id, true)).unwrap();
        let account = get(&memory, id).unwrap().unwrap();
        assert_eq!((account.password_hash.as_deref(), account.disabled), (Some("new"), true));
        assert_eq!(account.salt, salt);
        assert!(memory.write(|tx| set_password(tx, AccountId(99), None)).is_err());
    }

    #[test]
    fn a_removed_account_leaves_nothing_once_the_bin_has_run() {
        let mut memory = Memory::new();
        let id = memory.write(|tx| create(tx, "anna", None)).unwrap();
        let other = memory.write(|tx| create(tx, "bert", None)).unwrap();
        memory
            .write(|tx| {
                devices::add(tx, id, "phone", [7; 32], b"scram".to_vec())?;
                let inbox = mailboxes::by_name(tx, id, &MailboxName::inbox())?.unwrap();
                let message = messages::NewMessage {
                    email: ContentId(1),
                    size: 5,
                    internal_date: DateTime::utc(0),
                    flags: FlagSet::default(),
                };
                messages::append(tx, id, inbox.id, &vec![message; 500])?;
                Ok(())
            })
            .unwrap();
        memory.write(|tx| remove(tx, id)).unwrap();
        assert!(get(&memory, id).unwrap().is_none() && by_name(&memory, "anna").unwrap().is_none());
        assert_eq!(memory.count(Table::Credentials) + memory.count(Table::DeviceKeys), 0);
        assert_eq!(bin::accounts(&memory).unwrap(), [id]);
        while memory.write(|tx| bin::expire(tx, id, 30 * 86_400 - 1, 30 * 86_400)).unwrap() {}
        assert_eq!(memory.count(Table::Bin), 7, "its mailboxes and itself stay for their time");
        assert_eq!(mailboxes::subscriptions(&memory, id).unwrap().len(), 6);
        while memory.write(|tx| bin::expire(tx, id, 30 * 86_400, 30 * 86_400)).unwrap() {}
        for table in [Table::Bin, Table::Messages, Table::Changes, Table::Keywords] {
            assert_eq!(memory.count(table), 0, "{}", table.name());
        }
        assert!(mailboxes::subscriptions(&memory, id).unwrap().is_empty());
        assert_eq!(mailboxes::list(&memory, other).unwrap().len(), 6);
        assert!(memory.write(|tx| create(tx, "anna", None)).unwrap() > other, "an id is used once");
    }
}
