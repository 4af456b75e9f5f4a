//! Mailboxes made, deleted, renamed and given roles; subscriptions.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::model::{AccountId, MailboxId, MailboxName, ModSeq, ObjectId, SpecialUse, UidSet};
use crate::store::base::codec::{Reader, Writer, all_of, pair};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::{News, Rows, Transaction};
use crate::store::base::schema::Table;
use crate::store::base::settings::{self, Counter};
use crate::store::mailbox::events::{self, EventKind};
use crate::store::mailbox::mailbox_row::{Log, id_of, name_key, put_name};
use crate::store::mailbox::names::name_of;
use crate::store::mailbox::{bin, messages};

pub(in crate::store) use crate::store::mailbox::mailbox_row::existing;
pub use crate::store::mailbox::mailbox_row::{Mailbox, by_name, get, list};

/// The most mailboxes of an account: every LIST reads them all.
pub const MAX_MAILBOXES: usize = 10_000;
/// The most subscriptions of an account: they outlive their mailboxes, so they need a limit of their own.
pub const MAX_SUBSCRIPTIONS: usize = 20_000;

/// How many rows of an account a table has.
fn count(rows: &dyn Rows, table: Table, account: AccountId) -> Result<usize, Error> {
    let (low, high) = all_of(account.0);
    let mut count = 0;
    rows.scan(table, &low, &high, &mut |_, _| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

/// Makes a mailbox, and those above it that are missing (RFC 9051 §6.3.4).
///
/// # Errors
/// [`Error::Exists`] if the name or the special use (RFC 6154 §3) is taken; [`Error::Limit`];
/// [`Error::Refused`] for a special use that no mailbox can have.
pub fn create(
    tx: &mut dyn Transaction,
    account: AccountId,
    name: &MailboxName,
    special_use: Option<SpecialUse>,
) -> Result<MailboxId, Error> {
    if id_of(tx, account, name)?.is_some() {
        return Err(Error::Exists("a mailbox of this name"));
    }
    if let Some(special_use) = special_use {
        check_special_use(tx, account, special_use, None)?;
    }
    make_parents(tx, account, name)?;
    let mailbox = make(tx, account, name.clone(), special_use)?;
    publish(tx, account)?;
    Ok(mailbox.id)
}

/// Makes those above a new mailbox that are missing, if there is room for all.
fn make_parents(tx: &mut dyn Transaction, account: AccountId, name: &MailboxName) -> Result<(), Error> {
    let mut missing = missing_parents(tx, account, name)?;
    if count(tx, Table::Names, account)? + missing.len() >= MAX_MAILBOXES {
        return Err(Error::Limit("the account has too many mailboxes"));
    }
    missing.reverse();
    for parent in missing {
        make(tx, account, parent, None)?;
    }
    Ok(())
}

fn missing_parents(
    rows: &dyn Rows,
    account: AccountId,
    name: &MailboxName,
) -> Result<Vec<MailboxName>, Error> {
    let mut missing = Vec::new();
    for parent in name.ancestors() {
        if id_of(rows, account, &parent)?.is_none() {
            missing.push(parent);
        }
    }
    Ok(missing)
}

fn make(
    tx: &mut dyn Transaction,
    account: AccountId,
    name: MailboxName,
    special_use: Option<SpecialUse>,
) -> Result<Mailbox, Error> {
    let id = MailboxId(settings::next_id(tx, Counter::Mailbox)?);
    let mailbox = Mailbox { special_use, ..empty(tx, account, id, name)? };
    admit(tx, &mailbox)?;
    Ok(mailbox)
}

/// A mailbox that nobody has seen yet.
pub(in crate::store) fn empty(
    tx: &mut dyn Transaction,
    account: AccountId,
    id: MailboxId,
    name: MailboxName,
) -> Result<Mailbox, Error> {
    Ok(Mailbox {
        id,
        account,
        name,
        uid_validity: settings::next_uid_validity(tx)?,
        uid_next: 1,
        highest_modseq: tx.modseq()?,
        object_id: ObjectId(tx.random()),
        special_use: None,
        first_unseen: None,
        floor: ModSeq::ZERO,
        messages: 0,
        unseen: 0,
        deleted: 0,
        size: 0,
        created: tx.now(),
        log: Log::default(),
    })
}

fn admit(tx: &mut dyn Transaction, mailbox: &Mailbox) -> Result<(), Error> {
    mailbox.save(tx);
    put_name(tx, mailbox);
    events::record(tx, mailbox.account, mailbox.id, EventKind::Created)
}

/// Lists a mailbox again whose records still lie under its id, under a name that must be free, with its role if no
/// other has it. UIDVALIDITY and MAILBOXID are new; its UIDs stay and none is used again. There
/// must be no rows of `changes` left: nobody may ask what happened under the old UIDVALIDITY.
pub(in crate::store) fn readmit(
    tx: &mut dyn Transaction,
    account: AccountId,
    id: MailboxId,
    name: &MailboxName,
    (special_use, uid_next): (Option<SpecialUse>, u32),
) -> Result<Mailbox, Error> {
    make_parents(tx, account, name)?;
    let mut mailbox = empty(tx, account, id, name.clone())?;
    let free = |role: &SpecialUse| check_special_use(tx, account, *role, Some(id)).is_ok();
    mailbox.special_use = special_use.filter(free);
    mailbox.floor = mailbox.highest_modseq;
    mailbox.log.whole_above = mailbox.highest_modseq;
    messages::count_all(tx, &mut mailbox)?;
    mailbox.uid_next = mailbox.uid_next.max(uid_next);
    admit(tx, &mailbox)?;
    // A session that has had it open all the while must learn that it is another one now.
    tx.publish(News { account, mailbox: Some(id), modseq: mailbox.highest_modseq });
    publish(tx, account)?;
    Ok(mailbox)
}

fn publish(tx: &mut dyn Transaction, account: AccountId) -> Result<(), Error> {
    let modseq = tx.modseq()?;
    tx.publish(News { account, mailbox: None, modseq });
    Ok(())
}

/// Deletes a mailbox with its messages, and leaves those below it (RFC 9051 §6.3.5). Its records stay for
/// undelete until the bin lets them go; its subscription stays (RFC 9051 §6.3.7).
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Refused`] for INBOX.
pub fn delete(tx: &mut dyn Transaction, account: AccountId, name: &MailboxName) -> Result<(), Error> {
    if name.is_inbox() {
        return Err(Error::Refused("INBOX cannot be deleted"));
    }
    let mailbox = by_name(tx, account, name)?.ok_or(Error::NotFound("mailbox"))?;
    let mut numbers = bin::Numbering::new(tx, account)?;
    discard(tx, &mailbox, &mut numbers)?;
    events::record(tx, account, mailbox.id, EventKind::Deleted { name: name.clone() })?;
    // Whoever has it selected must hear of it.
    let modseq = tx.modseq()?;
    tx.publish(News { account, mailbox: Some(mailbox.id), modseq });
    publish(tx, account)
}

/// Takes a mailbox from the lists; its records go to the bin.
pub(in crate::store) fn discard(
    tx: &mut dyn Transaction,
    mailbox: &Mailbox,
    numbers: &mut bin::Numbering,
) -> Result<(), Error> {
    bin::put_mailbox(tx, mailbox, numbers)?;
    tx.delete(Table::Names, &name_key(mailbox.account, &mailbox.name));
    tx.delete(Table::Mailboxes, &pair(mailbox.account.0, mailbox.id.0));
    Ok(())
}

/// Renames a mailbox and those below it; UIDs and UIDVALIDITY stay. Renaming INBOX moves its messages to
/// a new mailbox and leaves INBOX and what is below it (RFC 9051 §6.3.6). The new names are subscribed as the old ones
/// were; those stay subscribed, for no server removes a subscription by itself (RFC 3501 §6.3.9).
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Exists`] if any of the new names is taken; [`Error::Refused`] if the new
/// name lies below the old one, or one of them would be too long; [`Error::Limit`].
pub fn rename(
    tx: &mut dyn Transaction,
    account: AccountId,
    from: &MailboxName,
    to: &MailboxName,
) -> Result<(), Error> {
    if from.is_inbox() {
        return rename_inbox(tx, account, to);
    }
    if to.is_below(from) {
        return Err(Error::Refused("a mailbox cannot be moved below itself"));
    }
    let mut moved = renamed(tx, account, from, to)?;
    let names: Vec<_> = moved.iter().map(|(mailbox, name)| (mailbox.name.clone(), name.clone())).collect();
    let mut parents = missing_parents(tx, account, to)?;
    if count(tx, Table::Names, account)? + parents.len() > MAX_MAILBOXES {
        return Err(Error::Limit("the account has too many mailboxes"));
    }
    for (mailbox, _) in &moved {
        tx.delete(Table::Names, &name_key(account, &mailbox.name));
    }
    parents.reverse();
    for parent in parents {
        make(tx, account, parent, None)?;
    }
    for (mailbox, name) in &mut moved {
        if id_of(tx, account, name)?.is_some() {
            return Err(Error::Exists("a mailbox of this name"));
        }
        let old = std::mem::replace(&mut mailbox.name, name.clone());
        mailbox.save(tx);
        put_name(tx, mailbox);
        events::record(tx, account, mailbox.id, EventKind::Renamed { from: old, to: name.clone() })?;
    }
    follow(tx, account, &names)?;
    publish(tx, account)
}

/// A mailbox and those below it, each with the name that it gets.
fn renamed(
    rows: &dyn Rows,
    account: AccountId,
    from: &MailboxName,
    to: &MailboxName,
) -> Result<Vec<(Mailbox, MailboxName)>, Error> {
    let mailbox = by_name(rows, account, from)?;
    let mut all: Vec<Mailbox> = list(rows, account)?;
    all.retain(|below| below.name.is_below(from));
    // A name that is only there because of those below it is renamed with them.
    if mailbox.is_none() && all.is_empty() {
        return Err(Error::NotFound("mailbox"));
    }
    if id_of(rows, account, to)?.is_some() {
        return Err(Error::Exists("a mailbox of this name"));
    }
    mailbox
        .into_iter()
        .chain(all)
        .map(|mailbox| match mailbox.name.moved(from, to) {
            Ok(name) => Ok((mailbox, name)),
            Err(_) => Err(Error::Refused("the new name would be too long or too deep")),
        })
        .collect()
}

fn rename_inbox(tx: &mut dyn Transaction, account: AccountId, to: &MailboxName) -> Result<(), Error> {
    let inbox = by_name(tx, account, &MailboxName::inbox())?.ok_or(Error::NotFound("mailbox"))?;
    let new = create(tx, account, to, None)?;
    messages::move_(tx, account, inbox.id, &UidSet::all(), new)?;
    follow(tx, account, &[(inbox.name, to.clone())])?;
    publish(tx, account)
}

/// Subscribes to new names as the old ones are.
fn follow(
    tx: &mut dyn Transaction,
    account: AccountId,
    renamed: &[(MailboxName, MailboxName)],
) -> Result<(), Error> {
    let known: BTreeSet<MailboxName> = subscriptions(tx, account)?.into_iter().collect();
    let new = renamed.iter().filter(|(old, new)| known.contains(old) && !known.contains(new));
    for (n, (_, new)) in new.enumerate() {
        if known.len() + n >= MAX_SUBSCRIPTIONS {
            return Err(Error::Limit("the account has too many subscriptions"));
        }
        put_subscription(tx, account, new)?;
    }
    Ok(())
}

fn put_subscription(tx: &mut dyn Transaction, account: AccountId, name: &MailboxName) -> Result<(), Error> {
    tx.put(Table::Subscriptions, &name_key(account, name), &Subscribed.to_bytes());
    let mailbox = id_of(tx, account, name)?.unwrap_or(events::NO_MAILBOX);
    events::record(tx, account, mailbox, EventKind::Subscribed { name: name.clone() })
}

/// Gives a mailbox a role, or none.
///
/// # Errors
/// [`Error::Exists`] if another mailbox has it; [`Error::Refused`] if no mailbox can have it.
pub fn set_special_use(
    tx: &mut dyn Transaction,
    account: AccountId,
    id: MailboxId,
    special_use: Option<SpecialUse>,
) -> Result<(), Error> {
    let mut mailbox = existing(tx, account, id)?;
    if let Some(special_use) = special_use {
        check_special_use(tx, account, special_use, Some(id))?;
    }
    if mailbox.special_use == special_use {
        return Ok(());
    }
    mailbox.special_use = special_use;
    mailbox.save(tx);
    events::record(tx, account, id, EventKind::Changed)?;
    publish(tx, account)
}

/// The mailbox in a new generation of the store: its messages and UIDs stay, under a new UIDVALIDITY, and nothing
/// is known of what changed before.
///
/// # Errors
/// Of reading; if there is no UIDVALIDITY left.
pub(in crate::store) fn begin_generation(
    tx: &mut dyn Transaction,
    mut mailbox: Mailbox,
) -> Result<(), Error> {
    mailbox.uid_validity = settings::next_uid_validity(tx)?;
    mailbox.highest_modseq = ModSeq(settings::number(tx, settings::MODSEQ)?);
    mailbox.floor = mailbox.highest_modseq;
    mailbox.log = Log { whole_above: mailbox.highest_modseq, ..Log::default() };
    mailbox.save(tx);
    Ok(())
}

fn check_special_use(
    rows: &dyn Rows,
    account: AccountId,
    special_use: SpecialUse,
    except: Option<MailboxId>,
) -> Result<(), Error> {
    if !special_use.may_be_assigned() {
        return Err(Error::Refused("no mailbox of this server can have this special use"));
    }
    let all = list(rows, account)?;
    let taken = all.iter().any(|known| known.special_use == Some(special_use) && Some(known.id) != except);
    if taken { Err(Error::Exists("a mailbox with this special use")) } else { Ok(()) }
}

/// A subscription: all that is known of it is its key.
pub(in crate::store) struct Subscribed;

impl Row for Subscribed {
    type Key = ();
    const TABLE: Table = Table::Subscriptions;

    fn what((): ()) -> String {
        "a subscription".to_owned()
    }

    fn write(&self, out: Writer) -> Writer {
        out
    }

    fn read((): (), _: u8, _: &mut Reader<'_>) -> Option<Self> {
        Some(Subscribed)
    }
}

/// Subscribes to a name; there need be no mailbox of that name (RFC 9051 §6.3.7).
///
/// # Errors
/// [`Error::Limit`].
pub fn subscribe(tx: &mut dyn Transaction, account: AccountId, name: &MailboxName) -> Result<(), Error> {
    let key = name_key(account, name);
    if tx.get(Table::Subscriptions, &key)?.is_some() {
        return Ok(());
    }
    if count(tx, Table::Subscriptions, account)? >= MAX_SUBSCRIPTIONS {
        return Err(Error::Limit("the account has too many subscriptions"));
    }
    put_subscription(tx, account, name)?;
    publish(tx, account)
}

/// Ends a subscription; one that is not there is no error.
///
/// # Errors
/// Of reading.
pub fn unsubscribe(tx: &mut dyn Transaction, account: AccountId, name: &MailboxName) -> Result<(), Error> {
    let key = name_key(account, name);
    if tx.get(Table::Subscriptions, &key)?.is_none() {
        return Ok(());
    }
    tx.delete(Table::Subscriptions, &key);
    let mailbox = id_of(tx, account, name)?.unwrap_or(events::NO_MAILBOX);
    events::record(tx, account, mailbox, EventKind::Unsubscribed { name: name.clone() })?;
    publish(tx, account)
}

/// The names that an account is subscribed to, sorted.
///
/// # Errors
/// Of reading.
pub fn subscriptions(rows: &dyn Rows, account: AccountId) -> Result<Vec<MailboxName>, Error> {
    let (low, high) = all_of(account.0);
    let mut names = Vec::new();
    rows.scan(Table::Subscriptions, &low, &high, &mut |key, _| {
        names.push(name_of(key)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContentId, DateTime, FlagSet, Uid};
    use crate::store::accounts;
    use crate::store::changes::Since;
    use crate::store::memory::Memory;

    fn name(text: &str) -> MailboxName {
        MailboxName::new(text).unwrap()
    }

    struct Fixture {
        memory: Memory,
        account: AccountId,
    }

    impl Fixture {
        fn new() -> Self {
            let mut memory = Memory::new();
            let account = memory.write(|tx| accounts::create(tx, "anna", None)).unwrap();
            Fixture { memory, account }
        }

        fn create(&mut self, text: &str) -> Result<MailboxId, Error> {
            self.memory.write(|tx| create(tx, self.account, &name(text), None))
        }

        fn delete(&mut self, text: &str) -> Result<(), Error> {
            self.memory.write(|tx| delete(tx, self.account, &name(text)))
        }

        fn rename(&mut self, from: &str, to: &str) -> Result<(), Error> {
            self.memory.write(|tx| rename(tx, self.account, &name(from), &name(to)))
        }

        fn mailbox(&self, text: &str) -> Option<Mailbox> {
            by_name(&self.memory, self.account, &name(text)).unwrap()
        }

        fn fill(&mut self, text: &str, count: usize) -> Mailbox {
            let id = self.mailbox(text).unwrap().id;
            let message = messages::NewMessage {
                email: ContentId(7),
                size: 10,
                internal_date: DateTime::utc(0),
                flags: FlagSet::default(),
            };
            let new = vec![message; count];
            self.memory.write(|tx| messages::append(tx, self.account, id, &new)).unwrap();
            self.mailbox(text).unwrap()
        }

        /// Those that the account did not begin with.
        fn names(&self) -> Vec<String> {
            let all = list(&self.memory, self.account).unwrap();
            let defaults = ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"];
            all.iter().map(|mailbox| mailbox.name.to_string()).filter(|n| !defaults.contains(&&**n)).collect()
        }
    }

    #[test]
    fn parents_are_made() {
        let mut fixture = Fixture::new();
        fixture.create("owatagusiam/blurdybloop").unwrap();
        assert_eq!(fixture.names(), ["owatagusiam", "owatagusiam/blurdybloop"]);
        assert!(matches!(fixture.create("owatagusiam"), Err(Error::Exists(_))));
        assert!(matches!(fixture.create("inbox"), Err(Error::Exists(_))));
        let (one, two) = (fixture.mailbox("owatagusiam").unwrap(), fixture.mailbox("INBOX").unwrap());
        assert_ne!((one.uid_validity, one.object_id), (two.uid_validity, two.object_id));
        assert_eq!((one.uid_next, one.messages, one.first_unseen), (1, 0, None));
        assert!(one.highest_modseq > ModSeq::ZERO, "RFC 7162 §3.1.2.1");
    }

    /// RFC 9051 §6.3.5, the second example, and the promise about UIDs.
    #[test]
    fn deleting_leaves_what_is_below() {
        let mut fixture = Fixture::new();
        fixture.create("foo/bar").unwrap();
        let old = fixture.fill("foo", 3);
        fixture.delete("foo").unwrap();
        assert_eq!(fixture.names(), ["foo/bar"]);
        assert!(matches!(fixture.delete("foo"), Err(Error::NotFound(_))));
        assert!(matches!(fixture.delete("INBOX"), Err(Error::Refused(_))));
        fixture.create("foo").unwrap();
        let new = fixture.mailbox("foo").unwrap();
        assert!(new.uid_validity > old.uid_validity && new.id != old.id && new.object_id != old.object_id);
    }

    #[test]
    fn a_deleted_mailbox_keeps_its_records_until_its_time() {
        let mut fixture = Fixture::new();
        let account = fixture.account;
        fixture.create("foo").unwrap();
        let foo = fixture.fill("foo", 1_000);
        fixture.delete("foo").unwrap();
        let mut found = None;
        bin::list(&fixture.memory, account, &mut |entry| {
            found = Some(entry);
            Ok(ControlFlow::Break(()))
        })
        .unwrap();
        let entry = found.unwrap();
        assert_eq!((entry.mailbox, &entry.name, entry.size()), (foo.id, &name("foo"), 10_000));
        assert_eq!(
            entry.kept.clone(),
            bin::Kept::Mailbox { special_use: None, messages: 1_000, size: 10_000, uid_next: 1_001 }
        );
        assert_eq!(messages::uids(&fixture.memory, foo.id).unwrap().len(), 1_000);
        let mut live = 0;
        messages::emails(&fixture.memory, &mut |_| live += 1).unwrap();
        assert_eq!(live, 1_000);
        while fixture.memory.write(|tx| bin::remove(tx, account, entry.id)).unwrap() {}
        assert_eq!(fixture.memory.count(Table::Messages) + fixture.memory.count(Table::Bin), 0);
    }

    /// RFC 9051 §6.3.6, the first example.
    #[test]
    fn renaming_takes_along_what_is_below() {
        let mut fixture = Fixture::new();
        fixture.create("foo/bar").unwrap();
        fixture.create("foobar").unwrap();
        let before = fixture.fill("foo/bar", 2);
        fixture.rename("foo", "baz/rag/zowie").unwrap();
        assert_eq!(fixture.names(), ["baz", "baz/rag", "baz/rag/zowie", "baz/rag/zowie/bar", "foobar"]);
        let after = fixture.mailbox("baz/rag/zowie/bar").unwrap();
        assert_eq!(Mailbox { name: before.name.clone(), ..after }, before);
        assert!(matches!(fixture.rename("foo", "x"), Err(Error::NotFound(_))));
        assert!(matches!(fixture.rename("baz", "foobar"), Err(Error::Exists(_))));
        assert!(matches!(fixture.rename("baz", "baz/deeper"), Err(Error::Refused(_))));
        assert!(matches!(fixture.rename("baz", "INBOX"), Err(Error::Exists(_))));
    }

    #[test]
    fn renaming_upwards_and_collisions_below() {
        let mut fixture = Fixture::new();
        for text in ["a/b/c", "x/c", "a/d"] {
            fixture.create(text).unwrap();
        }
        fixture.delete("x").unwrap();
        let refused = fixture.rename("a/b", "x");
        assert!(matches!(refused, Err(Error::Exists(_))), "x/c is there");
        assert_eq!(fixture.names(), ["a", "a/b", "a/b/c", "a/d", "x/c"], "and nothing is half done");
        fixture.delete("a").unwrap();
        fixture.rename("a/b", "a").unwrap();
        assert_eq!(fixture.names(), ["a", "a/c", "a/d", "x/c"]);
        // A name that has nothing but what is below it.
        fixture.rename("x", "y").unwrap();
        assert_eq!(fixture.names(), ["a", "a/c", "a/d", "y/c"]);
        let long = "y".repeat(MailboxName::MAX_LEN);
        assert!(matches!(fixture.rename("a", &long), Err(Error::Refused(_))));
    }

    /// RFC 9051 §6.3.6, the second example.
    #[test]
    fn renaming_inbox_moves_its_messages() {
        let mut fixture = Fixture::new();
        fixture.create("INBOX/bar").unwrap();
        let before = fixture.fill("INBOX", 100);
        fixture.rename("INBOX", "old-mail").unwrap();
        assert_eq!(fixture.names(), ["INBOX/bar", "old-mail"]);
        let (inbox, old) = (fixture.mailbox("INBOX").unwrap(), fixture.mailbox("old-mail").unwrap());
        assert_eq!((inbox.id, inbox.uid_validity, inbox.uid_next), (before.id, before.uid_validity, 101));
        assert_eq!((inbox.messages, inbox.unseen, inbox.size, inbox.first_unseen), (0, 0, 0, None));
        assert_eq!((old.messages, old.unseen, old.size), (100, 100, 1_000));
        assert_eq!(old.first_unseen, Uid::new(1));
        assert_eq!(bin::size(&fixture.memory, fixture.account).unwrap(), 0);
    }

    #[test]
    fn a_special_use_has_one_mailbox() {
        let mut fixture = Fixture::new();
        let account = fixture.account;
        let id = fixture.create("Entwürfe").unwrap();
        let mut set = |special_use| fixture.memory.write(|tx| set_special_use(tx, account, id, special_use));
        assert!(matches!(set(Some(SpecialUse::Drafts)), Err(Error::Exists(_))));
        assert!(matches!(set(Some(SpecialUse::All)), Err(Error::Refused(_))));
        let drafts = fixture.mailbox("Drafts").unwrap().id;
        fixture.memory.write(|tx| set_special_use(tx, account, drafts, None)).unwrap();
        let mut set = |special_use| fixture.memory.write(|tx| set_special_use(tx, account, id, special_use));
        set(Some(SpecialUse::Drafts)).unwrap();
        set(Some(SpecialUse::Drafts)).unwrap();
        assert_eq!(fixture.mailbox("Entwürfe").unwrap().special_use, Some(SpecialUse::Drafts));
        let sent = Some(SpecialUse::Sent);
        let taken = fixture.memory.write(|tx| create(tx, account, &name("x"), sent));
        assert!(matches!(taken, Err(Error::Exists(_))));
    }

    /// RFC 9051 §6.3.7: a server must not unsubscribe on its own when a mailbox goes.
    #[test]
    fn subscriptions_outlive_mailboxes() {
        let mut fixture = Fixture::new();
        let account = fixture.account;
        fixture.create("foo").unwrap();
        fixture.memory.write(|tx| subscribe(tx, account, &name("foo"))).unwrap();
        fixture.memory.write(|tx| subscribe(tx, account, &name("never"))).unwrap();
        fixture.delete("foo").unwrap();
        let names = subscriptions(&fixture.memory, account).unwrap();
        assert!(names.contains(&name("foo")) && names.contains(&name("never")));
        fixture.memory.write(|tx| unsubscribe(tx, account, &name("foo"))).unwrap();
        fixture.memory.write(|tx| unsubscribe(tx, account, &name("foo"))).unwrap();
        assert_eq!(subscriptions(&fixture.memory, account).unwrap().len(), 7);
    }

    #[test]
    fn events_tell_what_happened() {
        let mut fixture = Fixture::new();
        let account = fixture.account;
        let id = fixture.create("a/b").unwrap();
        let parent = fixture.mailbox("a").unwrap();
        let after = parent.highest_modseq;
        fixture.memory.news.clear();
        fixture.rename("a", "c").unwrap();
        fixture.delete("c/b").unwrap();
        let Since::Known(found) = events::since(&fixture.memory, account, after).unwrap() else { panic!() };
        let kinds: Vec<(MailboxId, EventKind)> =
            found.into_iter().map(|event| (event.mailbox, event.kind)).collect();
        assert_eq!(
            kinds,
            [
                (parent.id, EventKind::Renamed { from: name("a"), to: name("c") }),
                (id, EventKind::Renamed { from: name("a/b"), to: name("c/b") }),
                (id, EventKind::Deleted { name: name("c/b") }),
            ]
        );
        let told: Vec<Option<MailboxId>> = fixture.memory.news.iter().map(|news| news.mailbox).collect();
        assert_eq!(told, [None, Some(id), None]);
    }

    #[test]
    fn a_mailbox_of_another_account_is_not_there() {
        let mut fixture = Fixture::new();
        let other = fixture.memory.write(|tx| accounts::create(tx, "bert", None)).unwrap();
        let inbox = fixture.fill("INBOX", 3).id;
        assert!(get(&fixture.memory, other, inbox).unwrap().is_none());
        let all = UidSet::all();
        let refused = fixture.memory.write(|tx| messages::expunge(tx, other, inbox, &all, false));
        assert!(matches!(refused, Err(Error::NotFound(_))));
        let sent = fixture.mailbox("Sent").unwrap().id;
        let refused = fixture.memory.write(|tx| messages::copy(tx, other, inbox, &all, sent));
        assert!(matches!(refused, Err(Error::NotFound(_))));
    }
}
