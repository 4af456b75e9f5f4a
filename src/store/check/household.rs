//! What is small: accounts, devices, sources, names, events, and the counters that must never be below what is
//! used. Read in one snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::mailbox;
use super::report::{Findings, Kind};
use crate::model::{AccountId, MailboxId, MailboxName, ModSeq};
use crate::store::base::codec::{Reader, all_of, decode, decode_key};
use crate::store::base::error::Error;
use crate::store::base::rows::Rows;
use crate::store::base::schema::Table;
use crate::store::base::settings::{self, Counter};
use crate::store::household::accounts::{self, Account};
use crate::store::household::devices;
use crate::store::mailbox::bin::{self, Kept};
use crate::store::mailbox::events;
use crate::store::mailbox::mailbox_row;
use crate::store::mailbox::mailboxes::{self, Mailbox};

/// A mailbox that is listed, or that was deleted and waits in the bin.
#[derive(Clone, Debug)]
pub(in crate::store) struct Known {
    pub(in crate::store) account: AccountId,
    pub(in crate::store) mailbox: MailboxId,
    /// The account's name, as far as it is known.
    pub(in crate::store) owner: String,
    pub(in crate::store) name: String,
    /// Of a deleted one: how many messages it had, and their sizes.
    pub(in crate::store) deleted: Option<(u32, u64)>,
}

impl Known {
    /// As findings name it.
    pub(in crate::store) fn label(&self) -> String {
        let deleted = if self.deleted.is_some() { " (deleted)" } else { "" };
        format!("{}: {}{deleted}", self.owner, self.name)
    }
}

/// Whose name it is.
fn owner(accounts: &[Account], id: AccountId) -> String {
    let found = accounts.iter().find(|account| account.id == id);
    found.map_or_else(|| format!("(removed account {id})"), |account| account.name.clone())
}

/// Every mailbox whose records are somebody's.
pub(in crate::store) fn known(rows: &dyn Rows) -> Result<Vec<Known>, Error> {
    let accounts = accounts::list(rows)?;
    let mut known = Vec::new();
    for (account, id) in mailbox_row::keys(rows)? {
        let Some(mailbox) = mailboxes::get(rows, account, id)? else { continue };
        let (owner, name) = (owner(&accounts, account), mailbox.name.as_str().to_owned());
        known.push(Known { account, mailbox: id, owner, name, deleted: None });
    }
    for account in bin::accounts(rows)? {
        let owner = owner(&accounts, account);
        bin::list(rows, account, &mut |entry| {
            if let Kept::Mailbox { messages, size, .. } = entry.kept {
                let (owner, name) = (owner.clone(), entry.name.as_str().to_owned());
                let deleted = Some((messages, size));
                known.push(Known { account, mailbox: entry.mailbox, owner, name, deleted });
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(known)
}

/// All of it.
pub(in crate::store) fn check(rows: &dyn Rows, found: &mut Findings) -> Result<(), Error> {
    let accounts = accounts::list(rows)?;
    check_accounts(&accounts, found);
    let keys = mailbox_row::keys(rows)?;
    let mut all = Vec::with_capacity(keys.len());
    for (account, id) in &keys {
        all.extend(mailboxes::get(rows, *account, *id)?);
    }
    let bin = check_bin(rows, found)?;
    check_mailboxes(&accounts, &all, found);
    check_names(rows, &accounts, &all, found)?;
    check_devices(rows, &accounts, found)?;
    check_sources(rows, &accounts, found)?;
    check_lost(rows, &all, &bin, found)?;
    let mut modseq = bin.modseq;
    for account in &accounts {
        modseq = modseq.max(check_events(rows, account, found)?);
    }
    check_counters(rows, &accounts, &all, &bin, modseq, found)
}

fn check_accounts(accounts: &[Account], found: &mut Findings) {
    let mut names = BTreeSet::new();
    for account in accounts {
        if !names.insert(account.name.as_str()) {
            found.add(Kind::Name, format!("two accounts have the name {}", account.name));
        }
    }
}

fn check_mailboxes(accounts: &[Account], all: &[Mailbox], found: &mut Findings) {
    let (mut roles, mut validities) = (BTreeMap::new(), BTreeMap::new());
    for mailbox in all {
        let label = format!("{}: {}", owner(accounts, mailbox.account), mailbox.name.as_str());
        if !accounts.iter().any(|account| account.id == mailbox.account) {
            found.add(Kind::Owner, format!("{label}: a mailbox of an account that is not there"));
        }
        if let Some(role) = mailbox.special_use
            && let Some(other) = roles.insert((mailbox.account, role as u8), label.clone())
        {
            found.add(Kind::Name, format!("{label} and {other} have the same special use"));
        }
        if let Some(other) = validities.insert(mailbox.uid_validity, label.clone()) {
            found.add(Kind::Counter, format!("{label} and {other} have the same UIDVALIDITY"));
        }
    }
}

fn check_names(
    rows: &dyn Rows,
    accounts: &[Account],
    all: &[Mailbox],
    found: &mut Findings,
) -> Result<(), Error> {
    let mut named: BTreeMap<(AccountId, Vec<u8>), u32> = BTreeMap::new();
    rows.scan(Table::Names, &[], &[0xff; 5], &mut |key, value| {
        let account = key.get(..4).and_then(|id| id.try_into().ok()).map_or(0, u32::from_be_bytes);
        // One that does not decode was found with the rows.
        if let Ok(id) = decode("a mailbox's name", value, Reader::u32) {
            named.insert((AccountId(account), key.get(4..).unwrap_or_default().to_vec()), id);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for mailbox in all {
        let key = (mailbox.account, mailbox.name.as_str().as_bytes().to_vec());
        let label = format!("{}: {}", owner(accounts, mailbox.account), mailbox.name.as_str());
        match named.remove(&key) {
            Some(id) if id == mailbox.id.0 => {}
            Some(id) => found.add(
                Kind::Name,
                format!("{label} is the name of mailbox {id}, but mailbox {} has it", mailbox.id),
            ),
            None => found.add(Kind::Name, format!("{label} is not found by its name")),
        }
    }
    for ((account, name), id) in named {
        let name = String::from_utf8_lossy(&name).into_owned();
        found.add(
            Kind::Name,
            format!(
                "{}: the name {name} leads to mailbox {id}, which is not there",
                owner(accounts, account)
            ),
        );
    }
    for account in accounts {
        if !all.iter().any(|mailbox| mailbox.account == account.id && mailbox.name.is_inbox()) {
            found.add(Kind::Name, format!("{} has no {}", account.name, MailboxName::inbox().as_str()));
        }
    }
    Ok(())
}

fn check_devices(rows: &dyn Rows, accounts: &[Account], found: &mut Findings) -> Result<(), Error> {
    let mut keys: BTreeMap<Vec<u8>, (u32, u32)> = BTreeMap::new();
    rows.scan(Table::DeviceKeys, &[], &[0xff; 33], &mut |key, value| {
        if let Ok(place) = decode("a device's password", value, |reader| Some((reader.u32()?, reader.u32()?)))
        {
            keys.insert(key.to_vec(), place);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for (account, id) in device_keys(rows)? {
        let Some(device) = devices::get(rows, account, id)? else { continue };
        let label = format!("the device “{}” of {}", device.name, owner(accounts, account));
        if !accounts.iter().any(|known| known.id == account) {
            found.add(Kind::Owner, format!("{label}: its account is not there"));
        }
        if keys.remove(device.key_hash.as_slice()) != Some((account.0, id.0)) {
            found.add(Kind::Device, format!("{label} is not found by its password"));
        }
    }
    for (account, device) in keys.values() {
        let owner = owner(accounts, AccountId(*account));
        found
            .add(Kind::Device, format!("a password leads to device {device} of {owner}, which is not there"));
    }
    Ok(())
}

fn device_keys(rows: &dyn Rows) -> Result<Vec<(AccountId, crate::model::DeviceId)>, Error> {
    let mut keys = Vec::new();
    rows.scan(Table::Credentials, &[], &[0xff; 9], &mut |key, _| {
        let pair = decode_key("a device's key", key, |key| Some((key.u32()?, key.u32()?)))?;
        keys.push((AccountId(pair.0), crate::model::DeviceId(pair.1)));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(keys)
}

fn check_sources(rows: &dyn Rows, accounts: &[Account], found: &mut Findings) -> Result<(), Error> {
    for source in crate::store::household::sources::list(rows)? {
        if !accounts.iter().any(|account| account.id == source.account) {
            let path = source.path.display();
            found.add(Kind::Owner, format!("{path} is watched for an account that is not there"));
        }
    }
    Ok(())
}

/// What the bin says: which mailboxes wait in it, and the highest numbers.
#[derive(Default)]
struct InBin {
    mailboxes: BTreeSet<u32>,
    modseq: ModSeq,
    account: u32,
}

fn check_bin(rows: &dyn Rows, found: &mut Findings) -> Result<InBin, Error> {
    let mut known = InBin::default();
    for account in bin::accounts(rows)? {
        known.account = known.account.max(account.0);
        bin::list(rows, account, &mut |entry| {
            known.modseq = known.modseq.max(entry.id.modseq);
            match &entry.kept {
                Kept::Account { .. } => {}
                Kept::Mailbox { .. } => {
                    if !known.mailboxes.insert(entry.mailbox.0) {
                        found.add(
                            Kind::LostMailbox,
                            format!("the deleted mailbox {} is in the bin twice", entry.name.as_str()),
                        );
                    }
                }
                Kept::Messages { records, keywords } => {
                    let used = records.iter().fold(0, |bits, record| bits | record.keywords);
                    if keywords.names(used).count() != used.count_ones() as usize {
                        let name = entry.name.as_str();
                        found.add(
                            Kind::Keyword,
                            format!("messages deleted from {name} bear a keyword without a name"),
                        );
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(known)
}

/// Records of mailboxes that are neither listed nor in the bin.
fn check_lost(rows: &dyn Rows, all: &[Mailbox], bin: &InBin, found: &mut Findings) -> Result<(), Error> {
    for id in mailboxes_with_records(rows)? {
        let listed = all.iter().any(|mailbox| mailbox.id == id) || bin.mailboxes.contains(&id.0);
        if !listed {
            let label = format!("mailbox {id}, which is neither listed nor in the bin");
            let tally = mailbox::tally(rows, id, &label, found)?;
            found.add(Kind::LostMailbox, format!("{} messages of {label}", tally.messages));
        }
    }
    Ok(())
}

/// The ids of all mailboxes that have records: a look for each, not a scan of all.
pub(in crate::store) fn mailboxes_with_records(rows: &dyn Rows) -> Result<Vec<MailboxId>, Error> {
    let (mut found, mut low) = (Vec::new(), vec![0]);
    loop {
        let mut next = None;
        rows.scan(Table::Messages, &low, &[0xff; 9], &mut |key, _| {
            next = Some(decode_key("the key of a block", key, |key| {
                let id = key.u32()?;
                key.u32().map(|_| id)
            })?);
            Ok(ControlFlow::Break(()))
        })?;
        let Some(id) = next else { return Ok(found) };
        found.push(MailboxId(id));
        low = all_of(id).1;
    }
}

fn check_events(rows: &dyn Rows, account: &Account, found: &mut Findings) -> Result<ModSeq, Error> {
    let kept = events::kept(rows, account.id)?;
    let mut count = 0_u32;
    let mut last = ModSeq::ZERO;
    let mut below = false;
    events::visit(rows, account.id, ModSeq::ZERO, &mut |event| {
        count += 1;
        last = last.max(event.modseq);
        below |= event.modseq <= kept.floor;
        Ok(ControlFlow::Continue(()))
    })?;
    if count != kept.count || last > kept.last || below {
        found.add(
            Kind::Events,
            format!(
                "{}: the log of mailboxes has {count} rows up to {last}, but says {} up to {}",
                account.name, kept.count, kept.last
            ),
        );
    }
    Ok(last)
}

fn check_counters(
    rows: &dyn Rows,
    accounts: &[Account],
    all: &[Mailbox],
    bin: &InBin,
    modseq: ModSeq,
    found: &mut Findings,
) -> Result<(), Error> {
    let modseq = all.iter().map(|mailbox| mailbox.highest_modseq).chain([modseq]).max().unwrap_or_default();
    let account = accounts.iter().map(|account| account.id.0).chain([bin.account]).max();
    let mailbox = all.iter().map(|mailbox| mailbox.id.0).chain(bin.mailboxes.iter().copied()).max();
    let device = device_keys(rows)?.iter().map(|(_, id)| id.0).max();
    let source = last_source(rows)?;
    let validity = all.iter().map(|mailbox| mailbox.uid_validity.get()).max();
    let used = [
        ("accountid", Counter::Account.name(), account),
        ("deviceid", Counter::Device.name(), device),
        ("mailboxid", Counter::Mailbox.name(), mailbox),
        ("sourceid", Counter::Source.name(), source),
        ("uidvalidity", settings::UID_VALIDITY, validity),
    ];
    for (what, name, used) in used {
        let (has, used) = (settings::number(rows, name)?, u64::from(used.unwrap_or(0)));
        if has < used {
            found.add(Kind::Counter, format!("the counter {what} is at {has}, but {used} is in use"));
        }
    }
    let has = ModSeq(settings::number(rows, settings::MODSEQ)?);
    if has < modseq {
        found.add(Kind::Counter, format!("the counter modseq is at {has}, but {modseq} is in use"));
    }
    Ok(())
}

fn last_source(rows: &dyn Rows) -> Result<Option<u32>, Error> {
    let mut last = None;
    rows.scan_back(Table::Sources, &[], &[0xff; 5], &mut |key, _| {
        last = Some(decode_key("a source's key", key, |key| key.u32())?);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(last)
}

/// What a row of the index is about, in words, as far as its key and its neighbours tell.
pub(in crate::store) fn describe(rows: &dyn Rows, table: Table, key: &[u8]) -> String {
    let first = key.get(..4).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes);
    let second = key.get(4..8).and_then(|id| id.try_into().ok()).map_or(0, u32::from_be_bytes);
    let account = || {
        let accounts = accounts::list(rows).unwrap_or_default();
        owner(&accounts, AccountId(first.unwrap_or(0)))
    };
    let mailbox = || {
        let known = known(rows).unwrap_or_default();
        let found = known.iter().find(|known| Some(known.mailbox.0) == first);
        found.map_or_else(|| format!("mailbox {}", first.unwrap_or(0)), Known::label)
    };
    match table {
        Table::Accounts => format!("account {}", first.unwrap_or(0)),
        Table::Credentials => format!("device {second} of {}", account()),
        Table::Mailboxes => format!("mailbox {second} of {}", account()),
        Table::Names | Table::Subscriptions => {
            format!("{}: {}", account(), String::from_utf8_lossy(key.get(4..).unwrap_or_default()))
        }
        Table::Events | Table::Bin | Table::Threads => account(),
        Table::Messages => format!("{}, messages from UID {second} on", mailbox()),
        Table::Keywords | Table::Changes => mailbox(),
        Table::Sources | Table::Imported => format!("source {}", first.unwrap_or(0)),
        Table::Volumes => format!("volume {}", first.unwrap_or(0)),
        Table::Settings | Table::Certificates => String::from_utf8_lossy(key).into_owned(),
        Table::Emails => format!("content {}", key.try_into().map_or(0, u64::from_be_bytes)),
        Table::DeviceKeys => "a device's password".to_owned(),
        Table::ByHash => "a content's hash".to_owned(),
    }
}

/// Names with the mailboxes that they lead to.
pub(in crate::store) fn name_rows(
    rows: &dyn Rows,
) -> Result<Vec<(AccountId, MailboxName, MailboxId)>, Error> {
    let mut names = Vec::new();
    rows.scan(Table::Names, &[], &[0xff; 5], &mut |key, value| {
        let account = key.get(..4).and_then(|id| id.try_into().ok()).map_or(0, u32::from_be_bytes);
        let name = key
            .get(4..)
            .and_then(|name| std::str::from_utf8(name).ok())
            .and_then(|name| MailboxName::new(name).ok());
        if let (Some(name), Ok(id)) = (name, decode("a mailbox's name", value, Reader::u32)) {
            names.push((AccountId(account), name, MailboxId(id)));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(names)
}
