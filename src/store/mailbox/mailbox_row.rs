//! A mailbox's row, and the reads of it: by id, by name, all of an account.

use std::ops::ControlFlow;

use crate::model::{AccountId, MailboxId, MailboxName, ModSeq, ObjectId, SpecialUse, Uid, UidValidity};
use crate::store::base::codec::{Reader, Writer, all_of, decode_key, pair, with_text};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::schema::Table;

/// A mailbox. Its counts are kept up to date with every change, so that STATUS and LIST never scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Its id, never used again.
    pub id: MailboxId,
    /// Whose it is.
    pub account: AccountId,
    /// Its name.
    pub name: MailboxName,
    /// UIDVALIDITY
    pub uid_validity: UidValidity,
    /// UIDNEXT
    pub uid_next: u32,
    /// HIGHESTMODSEQ
    pub highest_modseq: ModSeq,
    /// MAILBOXID (RFC 8474), fixed.
    pub object_id: ObjectId,
    /// Its role.
    pub special_use: Option<SpecialUse>,
    /// The lowest UID without `\Seen`.
    pub first_unseen: Option<Uid>,
    /// What was expunged up to here is no longer known.
    pub floor: ModSeq,
    /// MESSAGES
    pub messages: u32,
    /// UNSEEN
    pub unseen: u32,
    /// DELETED: messages with `\Deleted`.
    pub deleted: u32,
    /// SIZE: the sum of the messages' sizes.
    pub size: u64,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// What `changes` holds of it.
    pub(in crate::store) log: Log,
}

/// What is kept of a mailbox in `changes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Log {
    /// Rows above this one are whole; of those up to it only what was expunged is left.
    pub(in crate::store) whole_above: ModSeq,
    /// How many whole rows there are.
    pub(in crate::store) rows: u32,
    /// How many expunged UIDs all rows hold.
    pub(in crate::store) expunged: u32,
}

impl Row for Mailbox {
    type Key = (AccountId, MailboxId);
    const TABLE: Table = Table::Mailboxes;

    fn what((_, id): Self::Key) -> String {
        format!("mailbox {id}")
    }

    fn write(&self, out: Writer) -> Writer {
        out.bytes(self.name.as_str().as_bytes())
            .u32(self.uid_validity.get())
            .u32(self.uid_next)
            .u64(self.highest_modseq.0)
            .raw(&self.object_id.0)
            .u8(self.special_use.map_or(0, |special_use| special_use as u8))
            .u32(self.first_unseen.map_or(0, Uid::get))
            .u64(self.floor.0)
            .u32(self.messages)
            .u32(self.unseen)
            .u32(self.deleted)
            .u64(self.size)
            .i64(self.created)
            .u64(self.log.whole_above.0)
            .u32(self.log.rows)
            .u32(self.log.expunged)
    }

    fn read((account, id): Self::Key, _: u8, reader: &mut Reader<'_>) -> Option<Self> {
        Some(Mailbox {
            id,
            account,
            name: reader.name()?,
            uid_validity: UidValidity::new(reader.u32()?)?,
            uid_next: reader.u32()?,
            highest_modseq: ModSeq(reader.u64()?),
            object_id: ObjectId(reader.array()?),
            special_use: match reader.u8()? {
                0 => None,
                byte => Some(SpecialUse::from_byte(byte)?),
            },
            first_unseen: Uid::new(reader.u32()?),
            floor: ModSeq(reader.u64()?),
            messages: reader.u32()?,
            unseen: reader.u32()?,
            deleted: reader.u32()?,
            size: reader.u64()?,
            created: reader.i64()?,
            log: Log { whole_above: ModSeq(reader.u64()?), rows: reader.u32()?, expunged: reader.u32()? },
        })
    }
}

impl Mailbox {
    pub(in crate::store) fn save(&self, tx: &mut dyn Transaction) {
        tx.put(Self::TABLE, &pair(self.account.0, self.id.0), &self.to_bytes());
    }
}

/// A mailbox by its id.
///
/// # Errors
/// Of reading.
pub fn get(rows: &dyn Rows, account: AccountId, id: MailboxId) -> Result<Option<Mailbox>, Error> {
    let Some(bytes) = rows.get(Table::Mailboxes, &pair(account.0, id.0))? else { return Ok(None) };
    Mailbox::from_bytes((account, id), &bytes).map(Some)
}

/// The mailbox, which must be there.
pub(in crate::store) fn existing(
    rows: &dyn Rows,
    account: AccountId,
    id: MailboxId,
) -> Result<Mailbox, Error> {
    get(rows, account, id)?.ok_or(Error::NotFound("mailbox"))
}

/// A mailbox by its name.
///
/// # Errors
/// Of reading.
pub fn by_name(rows: &dyn Rows, account: AccountId, name: &MailboxName) -> Result<Option<Mailbox>, Error> {
    match id_of(rows, account, name)? {
        Some(id) => get(rows, account, id),
        None => Ok(None),
    }
}

/// The mailbox that a name leads to.
pub(in crate::store) struct Named(pub(in crate::store) MailboxId);

impl Row for Named {
    type Key = ();
    const TABLE: Table = Table::Names;

    fn what((): ()) -> String {
        "a mailbox's name".to_owned()
    }

    fn write(&self, out: Writer) -> Writer {
        out.u32(self.0.0)
    }

    fn read((): (), _: u8, reader: &mut Reader<'_>) -> Option<Self> {
        reader.u32().map(|id| Named(MailboxId(id)))
    }
}

/// The id of the mailbox of a name.
pub(in crate::store) fn id_of(
    rows: &dyn Rows,
    account: AccountId,
    name: &MailboxName,
) -> Result<Option<MailboxId>, Error> {
    let Some(bytes) = rows.get(Table::Names, &name_key(account, name))? else { return Ok(None) };
    Named::from_bytes((), &bytes).map(|named| Some(named.0))
}

/// The key of a name in `names` and `subscriptions`.
pub(in crate::store) fn name_key(account: AccountId, name: &MailboxName) -> Vec<u8> {
    with_text(account.0, name.as_str().as_bytes())
}

/// Lets a mailbox be found by its name.
pub(in crate::store) fn put_name(tx: &mut dyn Transaction, mailbox: &Mailbox) {
    tx.put(Table::Names, &name_key(mailbox.account, &mailbox.name), &Named(mailbox.id).to_bytes());
}

/// The accounts and ids of all mailboxes that are listed.
///
/// # Errors
/// Of reading.
pub(in crate::store) fn keys(rows: &dyn Rows) -> Result<Vec<(AccountId, MailboxId)>, Error> {
    let mut keys = Vec::new();
    rows.scan(Table::Mailboxes, &[], &[0xff; 9], &mut |key, _| {
        let pair = decode_key("a mailbox's key", key, |key| Some((key.u32()?, key.u32()?)))?;
        keys.push((AccountId(pair.0), MailboxId(pair.1)));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(keys)
}

/// An account's mailboxes, by name.
///
/// # Errors
/// Of reading.
pub fn list(rows: &dyn Rows, account: AccountId) -> Result<Vec<Mailbox>, Error> {
    let (low, high) = all_of(account.0);
    let mut mailboxes = Vec::new();
    rows.scan(Table::Mailboxes, &low, &high, &mut |key, value| {
        let id = decode_key("a mailbox's key", key, |key| key.u32().and(key.u32()))?;
        mailboxes.push(Mailbox::from_bytes((account, MailboxId(id)), value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    mailboxes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(mailboxes)
}
