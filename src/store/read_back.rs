//! For tests: bytes that are read back as each kind of record. Whatever they are, reading ends with a value or an error;
//! a value that is written is read again as the same.

use crate::model::{AccountId, ContentHash, ContentId, DeviceId, MailboxId, ModSeq, SourceId, Uid};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::VolumeRows;
use crate::store::base::schema::{Table, VolumeTable};
use crate::store::base::settings::Setting;
use crate::store::check::{catalogue, rows};
use crate::store::content::contents;
use crate::store::content::emails::EmailRow;
use crate::store::engine::volumes::VolumeRow;
use crate::store::engine::{journal, lineage, redo, segment};
use crate::store::household::account_row::Account;
use crate::store::household::certificates::Certificate;
use crate::store::household::devices::{Device, Holder};
use crate::store::household::imported::Imported;
use crate::store::household::sources::Source;
use crate::store::mailbox::bin::{Entry, EntryId};
use crate::store::mailbox::changes::Change;
use crate::store::mailbox::events::{Event, Kept};
use crate::store::mailbox::mailbox_row::{Mailbox, Named};
use crate::store::mailbox::mailboxes::Subscribed;
use crate::store::mailbox::record;

/// A row of the index, as the check reads it and as each of its types; gives whether it is one.
///
/// # Errors
/// What is not as it must be.
pub fn row(table: Table, key: &[u8], value: &[u8]) -> Result<bool, String> {
    each_type(table, key, value).map(|()| rows::decodes(table, key, value))
}

fn each_type(table: Table, key: &[u8], value: &[u8]) -> Result<(), String> {
    let number =
        |at: usize| key.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, u32::from_be_bytes);
    let (account, second) = (AccountId(number(0)), number(4));
    match table {
        Table::Accounts => again::<Account>(account, value),
        Table::Credentials => again::<Device>((account, DeviceId(second)), value),
        Table::DeviceKeys => again::<Holder>((), value),
        Table::Settings => again::<Setting>((), value),
        Table::Certificates => again::<Certificate>((), value),
        Table::Sources => again::<Source>(SourceId(number(0)), value),
        Table::Volumes => again::<VolumeRow>((), value),
        Table::Mailboxes => again::<Mailbox>((account, MailboxId(second)), value),
        Table::Names => again::<Named>((), value),
        Table::Subscriptions => again::<Subscribed>((), value),
        Table::Messages => block(value),
        Table::Keywords => again::<crate::model::Keyword>(MailboxId(number(0)), value),
        Table::Changes => again::<Change>((), value),
        Table::Events => again::<Event>(ModSeq(1), value).and_then(|()| again::<Kept>((), value)),
        Table::Emails => again::<EmailRow>((), value),
        Table::Imported => again::<Imported>((), value),
        Table::Bin => again::<Entry>(EntryId { modseq: ModSeq(1), number: second }, value),
        Table::ByHash | Table::Threads => Ok(()),
    }
}

fn again<T: Row>(key: T::Key, value: &[u8]) -> Result<(), String> {
    let Ok(found) = T::from_bytes(key, value) else { return Ok(()) };
    let written = found.to_bytes();
    match T::from_bytes(key, &written) {
        Ok(found) if found.to_bytes() == written => Ok(()),
        Ok(_) => Err(format!("{} is written another way each time", T::what(key))),
        Err(error) => Err(format!("{} is not read as it was written: {error}", T::what(key))),
    }
}

/// A block of records: all ways to read it agree.
fn block(bytes: &[u8]) -> Result<(), String> {
    let (mut uids, mut emails) = (Vec::new(), Vec::new());
    let told =
        record::uids(bytes, &mut uids).is_ok() & record::emails(bytes, &mut |id| emails.push(id)).is_ok();
    let Ok(records) = record::decode(bytes) else { return Ok(()) };
    let head = record::head(bytes).map_err(|error| error.to_string())?;
    let agree = told
        && head.count == records.len()
        && uids == records.iter().map(|record| record.uid).collect::<Vec<Uid>>()
        && emails == records.iter().map(|record| record.email).collect::<Vec<ContentId>>();
    if !agree {
        return Err("a block says different things of itself".to_owned());
    }
    match record::decode(&record::encode(&records)) {
        Ok(again) if again == records => Ok(()),
        _ => Err("a block is not read as it was written".to_owned()),
    }
}

/// The same value for every row of a table.
struct OneContent<'a> {
    digest: &'a [u8],
    head: &'a [u8],
    content: &'a [u8],
}

impl VolumeRows for OneContent<'_> {
    fn get_row(&self, _: u32, table: VolumeTable, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let first = key.get(8..).is_none_or(|piece| piece.iter().all(|byte| *byte == 0));
        Ok(match table {
            VolumeTable::Digest => Some(self.digest.to_vec()),
            VolumeTable::Head => Some(self.head.to_vec()),
            VolumeTable::Content => first.then(|| self.content.to_vec()),
        })
    }
}

/// A content of this length out of its rows in a volume: what is read of it is no longer than was asked for.
///
/// # Errors
/// What is not as it must be.
pub fn content(size: u64, digest: &[u8], head: &[u8], content: &[u8]) -> Result<(), String> {
    let rows = OneContent { digest, head, content };
    let row = EmailRow {
        hash: ContentHash([0; 32]),
        content: ContentId(1),
        content_volume: 1,
        digest_volume: 1,
        size,
        header_len: 0,
        stored: 0,
        thread: [0; 16],
    };
    let _ = (contents::filing(&rows, &row), contents::stored(&rows, &row), contents::verify(&rows, &row));
    for range in [0..size, 0..u64::MAX, size / 2..size / 2 + 10] {
        let (mut out, length) = (Vec::new(), range.end.min(size).saturating_sub(range.start));
        let read = contents::read(&rows, &row, range, &mut out);
        if out.len() as u64 > length || read.is_ok() && out.len() as u64 != length {
            return Err(format!("{} bytes were read of {length}", out.len()));
        }
    }
    let Ok(found) = contents::digest(&rows, &row) else { return Ok(()) };
    match crate::mail::digest::Digest::decode(&found.encode()) {
        Some(again) if again == found => Ok(()),
        _ => Err("a digest is not read as it was written".to_owned()),
    }
}

/// What the journal holds: a record's rows, its head, a segment's title, and what `meta` keeps of them.
///
/// # Errors
/// What is not as it must be.
pub fn journal(bytes: &[u8]) -> Result<(), String> {
    if let Some(rows) = redo::Row::decode_all(bytes) {
        let mut written = Vec::new();
        rows.iter().for_each(|row| row.encode(&mut written));
        if written != bytes {
            return Err("rows are not written as they were read".to_owned());
        }
        if rows.iter().map(redo::Row::bytes).sum::<usize>() != bytes.len() {
            return Err("rows have another length than they say".to_owned());
        }
    }
    let same = |one: &dyn std::fmt::Debug, other: &dyn std::fmt::Debug, what: &str| {
        let is = format!("{one:?}") == format!("{other:?}");
        if is { Ok(()) } else { Err(format!("{what}: {one:?} was read as {other:?}")) }
    };
    if let Some(mut head) = redo::Head::decode(bytes) {
        same(&Some(head), &redo::Head::decode(&head.encode()), "a record's head")?;
    }
    if let Some(title) = segment::Title::decode(bytes) {
        same(&Some(title), &segment::Title::decode(&title.encode()), "a segment's title")?;
    }
    if let Some(mark) = journal::Mark::decode(bytes) {
        same(&Some(&mark), &journal::Mark::decode(&mark.encode()).as_ref(), "a mark")?;
    }
    if let Some(moment) = lineage::Moment::decode(bytes) {
        same(&Some(moment), &lineage::Moment::decode(&moment.encode()), "a moment")?;
    }
    Ok(())
}

/// The bytes of a record's head and of a segment's title that say what these numbers do, for a test to change.
#[must_use]
pub fn journal_heads(numbers: &[u64; 6]) -> [Vec<u8>; 2] {
    let [generation, epoch, sequence, batch, before, payload_sum] = *numbers;
    let (more, mark, close) = (epoch & 1 != 0, epoch & 2 != 0, epoch & 4 != 0);
    let length = sequence as u32;
    let mut head = redo::Head {
        more,
        mark,
        close,
        length,
        generation,
        epoch,
        sequence,
        batch,
        before,
        payload_sum,
        sum: 0,
    };
    let identity = [epoch as u8; 16];
    let title = segment::Title { id: identity, generation, number: length, identity, size: before };
    [head.encode().to_vec(), title.encode()]
}

/// A catalogue of these rows.
///
/// # Errors
/// As of writing one.
pub fn catalogue(rows: &[(Table, Vec<u8>, Vec<u8>)]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    catalogue::of_rows(rows, &mut out)?;
    Ok(out)
}
