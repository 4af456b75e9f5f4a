//! Every row of the index, one by one: whether it can be read, and whether it decodes.

use std::ops::ControlFlow;

use crate::model::{AccountId, DeviceId, MailboxId, ModSeq, SourceId};
use crate::store::base::error::Error;
use crate::store::base::rows::{Rows, Visit};
use crate::store::base::schema::Table;
use crate::store::base::settings;
use crate::store::content::emails;
use crate::store::engine::volumes;
use crate::store::household::{accounts, certificates, devices, imported, sources};
use crate::store::mailbox::{bin, changes, events, keywords, mailboxes, record};

/// Rows that know of one row only: so a row is decoded by the same code that reads it in earnest.
struct OneRow<'a> {
    table: Table,
    key: &'a [u8],
    value: &'a [u8],
}

impl OneRow<'_> {
    fn is_in(&self, table: Table, low: &[u8], high: &[u8]) -> bool {
        table == self.table && low <= self.key && self.key < high
    }
}

impl Rows for OneRow<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok((table == self.table && key == self.key).then(|| self.value.to_vec()))
    }

    fn scan(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        if self.is_in(table, low, high) { visit(self.key, self.value).map(drop) } else { Ok(()) }
    }

    fn scan_back(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.scan(table, low, high, visit)
    }
}

fn number(key: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(at..at + 4)?.try_into().ok()?))
}

/// Whether a row of the index is one that this program can read.
pub(in crate::store) fn decodes(table: Table, key: &[u8], value: &[u8]) -> bool {
    decode(&OneRow { table, key, value }).is_some() || is_newer(table, key, value)
}

/// A whole row of a version that this program does not know: a newer one wrote it, and it must stay.
fn is_newer(table: Table, key: &[u8], value: &[u8]) -> bool {
    let versioned = !matches!(table, Table::ByHash | Table::Threads) && key != settings::OBJECT_KEY;
    versioned && value.first().is_some_and(|version| *version > 1)
}

fn decode(row: &OneRow<'_>) -> Option<()> {
    let OneRow { table, key, value } = *row;
    let done = |result: Result<(), Error>| result.ok();
    let first = || number(key, 0);
    let there = |found: bool| found.then_some(());
    match table {
        Table::Accounts => there(key.len() == 4 && accounts::get(row, AccountId(first()?)).ok()?.is_some()),
        Table::Credentials => {
            let id = DeviceId(number(key, 4)?);
            there(devices::get(row, AccountId(first()?), id).ok()?.is_some())
        }
        Table::DeviceKeys => there(key.len() == 32 && value.len() == 9),
        Table::Settings => done(setting(row)),
        Table::Certificates => {
            let name = std::str::from_utf8(key).ok()?;
            there(certificates::get(row, name).ok()?.is_some())
        }
        Table::Sources => sources::get(row, SourceId(first()?)).ok().map(drop),
        Table::Volumes => there(key.len() == 4 && volumes::VolumeRow::decode(value).is_some()),
        Table::Mailboxes => {
            let id = MailboxId(number(key, 4)?);
            there(mailboxes::get(row, AccountId(first()?), id).ok()?.is_some())
        }
        Table::Names => there(value.len() == 5 && text(key).is_some()),
        Table::Subscriptions => mailboxes::subscriptions(row, AccountId(first()?)).ok().map(drop),
        Table::Messages => there(key.len() == 8 && record::decode(value).is_ok()),
        Table::Keywords => there(keywords::load(row, MailboxId(first()?)).ok()?.all().next().is_some()),
        Table::Changes => done(changes::visit(row, MailboxId(first()?), ModSeq(0), &mut |_, _| {
            Ok(ControlFlow::Continue(()))
        })),
        Table::Events => events::since(row, AccountId(first()?), ModSeq(u64::MAX - 1))
            .and_then(|_| events::since(row, AccountId(first().unwrap_or(0)), ModSeq(0)))
            .ok()
            .map(drop),
        Table::Emails => there(key.len() == 8 && emails::EmailRow::decode(value).is_some()),
        Table::ByHash => there(key.len() == 32 && value.len() == 8),
        Table::Threads => there(key.len() == 20 && value.len() == 16),
        Table::Imported => {
            let mut parts = key.get(4..)?.splitn(2, |byte| *byte == 0);
            let (folder, base) = (parts.next()?, parts.next()?);
            there(imported::get(row, SourceId(first()?), folder, base).ok()?.is_some())
        }
        Table::Bin => {
            let mut found = false;
            let mut visit = |_| {
                found = true;
                Ok(ControlFlow::Continue(()))
            };
            bin::list(row, AccountId(first()?), &mut visit).ok()?;
            there(found)
        }
    }
}

fn text(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(4..)?).ok()
}

/// Settings that every start reads, and that are numbers.
const NUMBERS: [&str; 8] =
    ["modseq", "uidvalidity", "emailid", "volume", "accountid", "deviceid", "mailboxid", "sourceid"];

/// The one secret is raw bytes; all others have their version before them.
fn setting(row: &OneRow<'_>) -> Result<(), Error> {
    if row.key == settings::OBJECT_KEY {
        return Ok(());
    }
    let name = std::str::from_utf8(row.key).map_err(|_| Error::Damaged("a setting".to_owned()))?;
    if NUMBERS.contains(&name) {
        settings::number(row, name).map(drop)
    } else {
        settings::get(row, name).map(drop)
    }
}
