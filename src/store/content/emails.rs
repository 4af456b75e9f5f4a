//! Contents: what the index knows of each, the thread that it belongs to, and the ids that clients see.
//!
//! A content is stored once for all accounts. What clients see is keyed for the account, so that one
//! learns nothing from another's ids, and made from what outlives a restore.

use std::ops::ControlFlow;

use crate::mail::digest::Digest;
use crate::model::{AccountId, ContentHash, ContentId, ObjectId};
use crate::store::base::codec::{Reader, Writer};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::schema::Table;
use crate::store::base::settings::OBJECT_KEY;

/// The volume of a content that lies nowhere: it was lost, or is still to come from a backup.
pub const NOWHERE: u32 = u32::MAX;

/// What the index knows of a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailRow {
    /// BLAKE3 of its bytes.
    pub hash: ContentHash,
    /// The key of its rows in the volumes: its own id, or that of the copy that replaced damaged bytes.
    pub content: ContentId,
    /// The volume of its header and content.
    pub content_volume: u32,
    /// The volume of its digest.
    pub digest_volume: u32,
    /// Its length.
    pub size: u64,
    /// The length of its header block, with the empty line.
    pub header_len: u32,
    /// Bytes that it takes in the volumes.
    pub stored: u64,
    /// Its thread: the same for all of a conversation. Clients see it keyed, see [`thread_id`].
    pub thread: [u8; 16],
}

impl Row for EmailRow {
    type Key = ();
    const TABLE: Table = Table::Emails;

    fn what((): ()) -> String {
        "the row of a content".to_owned()
    }

    fn write(&self, out: Writer) -> Writer {
        out.raw(&self.hash.0)
            .u64(self.content.0)
            .u32(self.content_volume)
            .u32(self.digest_volume)
            .u64(self.size)
            .u32(self.header_len)
            .u64(self.stored)
            .raw(&self.thread)
    }

    fn read((): (), _: u8, reader: &mut Reader<'_>) -> Option<Self> {
        Some(EmailRow {
            hash: ContentHash(reader.array()?),
            content: ContentId(reader.u64()?),
            content_volume: reader.u32()?,
            digest_volume: reader.u32()?,
            size: reader.u64()?,
            header_len: reader.u32()?,
            stored: reader.u64()?,
            thread: reader.array()?,
        })
    }
}

impl EmailRow {
    /// As it is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_bytes()
    }

    /// From what was stored.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<EmailRow> {
        EmailRow::from_bytes((), bytes).ok()
    }
}

/// The row of a content.
///
/// # Errors
/// Of reading.
pub fn get(rows: &dyn Rows, email: ContentId) -> Result<Option<EmailRow>, Error> {
    let Some(value) = rows.get(Table::Emails, &email.0.to_be_bytes())? else { return Ok(None) };
    EmailRow::from_bytes((), &value).map(Some)
}

/// Puts the row of a content, and finds it by its hash from now on.
pub fn put(tx: &mut dyn Transaction, email: ContentId, row: &EmailRow) {
    tx.put(Table::Emails, &email.0.to_be_bytes(), &row.encode());
    tx.put(Table::ByHash, &row.hash.0, &email.0.to_le_bytes());
}

/// Deletes the row of a content that nothing names any more.
///
/// # Errors
/// Of reading.
pub fn delete(tx: &mut dyn Transaction, email: ContentId, row: &EmailRow) -> Result<(), Error> {
    tx.delete(Table::Emails, &email.0.to_be_bytes());
    if by_hash(tx, row.hash)? == Some(email) {
        tx.delete(Table::ByHash, &row.hash.0);
    }
    Ok(())
}

/// The highest id that has a row.
///
/// # Errors
/// Of reading.
pub fn last(rows: &dyn Rows) -> Result<Option<ContentId>, Error> {
    let mut last = None;
    rows.scan_back(Table::Emails, &[], &[0xff; 9], &mut |key, _| {
        last = key.try_into().ok().map(|key| ContentId(u64::from_be_bytes(key)));
        Ok(ControlFlow::Break(()))
    })?;
    Ok(last)
}

/// The content of a hash.
///
/// # Errors
/// Of reading.
pub fn by_hash(rows: &dyn Rows, hash: ContentHash) -> Result<Option<ContentId>, Error> {
    let Some(value) = rows.get(Table::ByHash, &hash.0)? else { return Ok(None) };
    let number = value.try_into().map(u64::from_le_bytes);
    number.map(|id| Some(ContentId(id))).map_err(|_| Error::Damaged("a row of by_hash".to_owned()))
}

/// The thread of a message that is filed for an account: that of any message which it refers to or that
/// refers to it, else one of its own. From now on its message-ids lead to it.
///
/// # Errors
/// Of reading.
pub fn assign_thread(
    tx: &mut dyn Transaction,
    account: AccountId,
    digest: &Digest,
    hash: ContentHash,
) -> Result<[u8; 16], Error> {
    let keys = thread_keys(account, digest);
    let mut thread = None;
    for key in &keys {
        if let Some(found) = tx.get(Table::Threads, key)? {
            thread = found.try_into().ok();
            break;
        }
    }
    let thread = thread.unwrap_or_else(|| first_half(&blake3::derive_key("postern thread 1", &hash.0)));
    join_thread(tx, account, digest, thread)?;
    Ok(thread)
}

/// Lets a message's ids lead to its thread, where they lead nowhere yet.
///
/// # Errors
/// Of reading.
pub fn join_thread(
    tx: &mut dyn Transaction,
    account: AccountId,
    digest: &Digest,
    thread: [u8; 16],
) -> Result<(), Error> {
    for key in thread_keys(account, digest) {
        if tx.get(Table::Threads, &key)?.is_none() {
            tx.put(Table::Threads, &key, &thread);
        }
    }
    Ok(())
}

/// EMAILID (RFC 8474 §4) of a content as an account sees it.
///
/// # Errors
/// Of reading.
pub fn email_id(rows: &dyn Rows, account: AccountId, email: ContentId) -> Result<ObjectId, Error> {
    let row = get(rows, email)?.ok_or(Error::NotFound("message content"))?;
    Ok(ObjectIds::load(rows, account)?.email(&row))
}

/// THREADID (RFC 8474 §4) of a content as an account sees it.
///
/// # Errors
/// Of reading.
pub fn thread_id(rows: &dyn Rows, account: AccountId, email: ContentId) -> Result<ObjectId, Error> {
    let row = get(rows, email)?.ok_or(Error::NotFound("message content"))?;
    Ok(ObjectIds::load(rows, account)?.thread(&row))
}

/// Makes an account's object ids, for many messages at a time.
#[derive(Clone, Debug)]
pub struct ObjectIds {
    key: [u8; 32],
}

impl ObjectIds {
    /// For one account.
    ///
    /// # Errors
    /// Of reading.
    pub fn load(rows: &dyn Rows, account: AccountId) -> Result<ObjectIds, Error> {
        let mut material = rows.get(Table::Settings, OBJECT_KEY)?.unwrap_or_default();
        material.extend_from_slice(&account.0.to_le_bytes());
        Ok(ObjectIds { key: blake3::derive_key("postern object ids 1", &material) })
    }

    /// EMAILID.
    #[must_use]
    pub fn email(&self, row: &EmailRow) -> ObjectId {
        self.of(b"email", &row.hash.0)
    }

    /// THREADID.
    #[must_use]
    pub fn thread(&self, row: &EmailRow) -> ObjectId {
        self.of(b"thread", &row.thread)
    }

    fn of(&self, kind: &[u8], what: &[u8]) -> ObjectId {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(kind);
        hasher.update(what);
        ObjectId(first_half(hasher.finalize().as_bytes()))
    }
}

fn first_half(hash: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    half
}

/// Keys in `threads` of a message's own id and of those that it refers to, the oldest of these first.
fn thread_keys(account: AccountId, digest: &Digest) -> Vec<Vec<u8>> {
    let own = digest.envelope.message_id.as_deref().map(|id| {
        let id = id.trim_ascii();
        id.strip_prefix(b"<").and_then(|id| id.strip_suffix(b">")).unwrap_or(id)
    });
    let references = digest.references.iter().map(String::as_bytes);
    references
        .chain(own.filter(|id| !id.is_empty()))
        .map(|id| {
            let mut key = account.0.to_be_bytes().to_vec();
            key.extend_from_slice(&first_half(blake3::hash(id).as_bytes()));
            key
        })
        .collect()
}
