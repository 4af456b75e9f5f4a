//! Rows made true again from other rows: records are believed before counts, names before guesses.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::Evidence;
use super::counters;
use super::household::{known, mailboxes_with_records, name_rows};
use super::mailbox;
use super::report::{Findings, Kind};
use super::tolerant::Tolerant;
use crate::model::{AccountId, ContentId, MailboxId, MailboxName, ModSeq};
use crate::store::base::codec::{Writer, pair};
use crate::store::base::error::Error;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::schema::Table;
use crate::store::base::settings::{self, Counter};
use crate::store::content::contents;
use crate::store::content::emails::{self, EmailRow};
use crate::store::content::reclaim::ReclaimReport;
use crate::store::engine::store::Store;
use crate::store::engine::volumes::{self, VolumeRow};
use crate::store::household::accounts::{self, Account};
use crate::store::household::{devices, sources};
use crate::store::mailbox::bin::drop_range;
use crate::store::mailbox::mailbox_row::{self, Log, Mailbox, put_name};
use crate::store::mailbox::mailboxes;
use crate::store::mailbox::record::{self, BLOCK_MAX, Record};
use crate::store::mailbox::{blocks, events, keywords, messages};

/// Rows that one job puts or deletes.
const SLICE: usize = 512;
/// What is done to one mailbox.
type MendMailbox = (Mailbox, Vec<String>);

/// Rows that cannot be read go: each was all that it held. Says whether records were among them.
pub(in crate::store) fn drop_rows(
    store: &Store,
    evidence: &Evidence,
    done: &mut Findings,
) -> Result<bool, Error> {
    for slice in evidence.rows.chunks(SLICE) {
        let rows = slice.to_vec();
        store.write(move |tx| {
            rows.iter().for_each(|(table, key)| tx.delete(*table, key));
            Ok(())
        })?;
    }
    if !evidence.rows.is_empty() {
        done.add(Kind::Row, format!("{} rows that cannot be read were dropped", evidence.rows.len()));
    }
    let holds_records = |table: &Table| matches!(table, Table::Messages | Table::Bin | Table::Mailboxes);
    Ok(evidence.rows.iter().any(|(table, _)| holds_records(table)))
}

/// Accounts, mailboxes and devices that others point to, and the counters.
pub(in crate::store) fn household(store: &Store, lossy: bool, done: &mut Findings) -> Result<(), Error> {
    let told = store.write(move |tx| {
        let mut told = Vec::new();
        mend_accounts(tx, &mut told)?;
        mend_devices(tx, &mut told)?;
        Ok(told)
    })?;
    told.into_iter().for_each(|what| done.add(Kind::Owner, what));
    counters::mend(store, lossy, done)?;
    lost_mailboxes(store, done)?;
    let told = store.write(move |tx| {
        let mut told = Vec::new();
        mend_names(tx, &mut told)?;
        for account in accounts::list(tx)? {
            mend_events(tx, account.id, lossy, &mut told)?;
        }
        Ok(told)
    })?;
    told.into_iter().for_each(|what| done.add(Kind::Name, what));
    Ok(())
}

fn mend_accounts(tx: &mut dyn Transaction, told: &mut Vec<String>) -> Result<(), Error> {
    let there: BTreeSet<AccountId> = accounts::list(tx)?.into_iter().map(|account| account.id).collect();
    let mut wanted: BTreeSet<AccountId> =
        mailbox_row::keys(tx)?.into_iter().map(|(account, _)| account).collect();
    wanted.extend(sources::list(tx)?.into_iter().map(|source| source.account));
    for id in wanted.difference(&there) {
        let name = format!("recovered-{id}");
        told.push(format!("an account that was lost has the name {name} now: give it a password"));
        let (created, salt) = (tx.now(), tx.random());
        Account { id: *id, name, password_hash: None, created, salt, disabled: false }.save(tx);
    }
    if there.is_empty() && wanted.is_empty() {
        return Ok(());
    }
    for account in accounts::list(tx)? {
        if mailboxes::by_name(tx, account.id, &MailboxName::inbox()).ok().flatten().is_none() {
            let last = u64::from(counters::last_mailbox(tx)?);
            counters::raise(tx, Counter::Mailbox.name(), last)?;
            let inbox = (account.id, MailboxName::inbox());
            let claimed = name_rows(tx)?.into_iter().any(|(account, name, _)| (account, name) == inbox);
            if !claimed {
                told.push(format!("{} has an INBOX again", account.name));
                mailboxes::create(tx, account.id, &MailboxName::inbox(), None)?;
            }
        }
    }
    Ok(())
}

fn mend_devices(tx: &mut dyn Transaction, told: &mut Vec<String>) -> Result<(), Error> {
    let mut keys = BTreeMap::new();
    tx.scan(Table::DeviceKeys, &[], &[0xff; 33], &mut |key, value| {
        keys.insert(key.to_vec(), value.to_vec());
        Ok(ControlFlow::Continue(()))
    })?;
    for account in accounts::list(tx)? {
        for device in devices::list(tx, account.id)? {
            let value = Writer::new().u32(account.id.0).u32(device.id.0).finish();
            if keys.remove(device.key_hash.as_slice()).as_ref() != Some(&value) {
                told.push(format!("the device “{}” of {} can log in again", device.name, account.name));
                tx.put(Table::DeviceKeys, &device.key_hash, &value);
            }
        }
    }
    for key in keys.keys() {
        told.push("a password that led to no device is dropped".to_owned());
        tx.delete(Table::DeviceKeys, key);
    }
    Ok(())
}

fn mend_names(tx: &mut dyn Transaction, told: &mut Vec<String>) -> Result<(), Error> {
    let mut names: BTreeMap<(AccountId, Vec<u8>), MailboxId> = name_rows(tx)?
        .into_iter()
        .map(|(account, name, id)| ((account, name.as_str().as_bytes().to_vec()), id))
        .collect();
    let mut roles = BTreeSet::new();
    for (account, id) in mailbox_row::keys(tx)? {
        let Some(mut mailbox) = mailboxes::get(tx, account, id)? else { continue };
        if mailbox.special_use.is_some_and(|role| !roles.insert((account, role as u8))) {
            told.push(format!(
                "{} has no special use any more: another mailbox has it",
                mailbox.name.as_str()
            ));
            mailbox.special_use = None;
            mailbox.save(tx);
        }
        let key = (account, mailbox.name.as_str().as_bytes().to_vec());
        match names.get(&key) {
            Some(known) if *known == id => {}
            Some(known)
                if mailboxes::get(tx, account, *known)?.is_some_and(|other| other.name == mailbox.name) =>
            {
                mailbox.name = free_name(tx, account, &mailbox.name)?;
                told.push(format!(
                    "a mailbox whose name another has is called {} now",
                    mailbox.name.as_str()
                ));
                mailbox.save(tx);
                put_name(tx, &mailbox);
            }
            _ => {
                told.push(format!("{} is found by its name again", mailbox.name.as_str()));
                put_name(tx, &mailbox);
            }
        }
        names.insert((account, mailbox.name.as_str().as_bytes().to_vec()), id);
    }
    for ((account, name), id) in names {
        if mailboxes::get(tx, account, id)?.is_none_or(|mailbox| mailbox.name.as_str().as_bytes() != name) {
            tx.delete(Table::Names, &[&account.0.to_be_bytes()[..], &name].concat());
            told.push(format!("the name {} led nowhere and is dropped", String::from_utf8_lossy(&name)));
        }
    }
    Ok(())
}

/// A name that no mailbox has.
fn free_name(rows: &dyn Rows, account: AccountId, name: &MailboxName) -> Result<MailboxName, Error> {
    let taken: BTreeSet<String> = name_rows(rows)?
        .into_iter()
        .filter(|(owner, ..)| *owner == account)
        .map(|(_, name, _)| name.as_str().to_owned())
        .collect();
    let candidates = (1..).map(|n| format!("{} (recovered {n})", name.leaf()));
    let free = candidates.take(10_000).find(|name| !taken.contains(name));
    free.and_then(|name| MailboxName::new(&name).ok()).ok_or(Error::Limit("no name is left"))
}

/// Who has missed something compares LIST anew.
fn mend_events(
    tx: &mut dyn Transaction,
    account: AccountId,
    lossy: bool,
    told: &mut Vec<String>,
) -> Result<(), Error> {
    let kept = events::kept(tx, account)?;
    let (mut count, mut wrong) = (0, false);
    events::visit(tx, account, ModSeq::ZERO, &mut |event| {
        count += 1;
        wrong |= event.modseq > kept.last || event.modseq <= kept.floor;
        Ok(ControlFlow::Continue(()))
    })?;
    if wrong || count != kept.count || lossy {
        events::reset(tx, account)?;
        if !lossy {
            told.push(format!("the log of mailboxes of account {account} begins anew"));
        }
    }
    Ok(())
}

/// Mailboxes that have records or a name, and are neither listed nor in the bin, get their row back.
fn lost_mailboxes(store: &Store, done: &mut Findings) -> Result<(), Error> {
    let snapshot = store.snapshot()?;
    let rows = Tolerant(&snapshot);
    let listed: BTreeSet<MailboxId> = known(&rows)?.into_iter().map(|known| known.mailbox).collect();
    let accounts: Vec<AccountId> = accounts::list(&rows)?.into_iter().map(|account| account.id).collect();
    let names = name_rows(&rows)?;
    let mut wanted: BTreeSet<MailboxId> = mailboxes_with_records(&rows)?.into_iter().collect();
    wanted.extend(names.iter().filter(|(account, ..)| accounts.contains(account)).map(|(.., id)| *id));
    for id in wanted.difference(&listed) {
        let named = names.iter().find(|(.., known)| known == id);
        let place = match named {
            Some((account, name, _)) => Some((*account, name.clone())),
            None => filed_at(&snapshot, &rows, *id)?,
        };
        let first = accounts.first().map(|account| (*account, recovered()));
        let Some((account, name)) = place.or(first) else { continue };
        let (id, label) = (*id, name.as_str().to_owned());
        store.write(move |tx| revive(tx, account, id, name))?;
        done.add(Kind::LostMailbox, format!("the mailbox {label} is listed again"));
    }
    Ok(())
}

/// The name of the mailbox for what nothing lists.
pub(in crate::store) fn recovered() -> MailboxName {
    MailboxName::new("Recovered").unwrap_or_else(|_| MailboxName::inbox())
}

/// Where the first of a mailbox's messages was filed first.
fn filed_at(
    snapshot: &crate::store::content::snapshot::Snapshot,
    rows: &dyn Rows,
    id: MailboxId,
) -> Result<Option<(AccountId, MailboxName)>, Error> {
    let mut place = None;
    messages::scan(rows, id, 1..=u32::MAX, &mut |record| {
        if let Some(row) = emails::get(rows, record.email)? {
            place = contents::filing(snapshot, &row).ok().map(|filing| (filing.account, filing.mailbox));
        }
        Ok(if place.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(place.filter(|(account, _)| accounts::get(rows, *account).is_ok_and(|found| found.is_some())))
}

/// A mailbox's row anew. What it counts is mended with the others.
fn revive(
    tx: &mut dyn Transaction,
    account: AccountId,
    id: MailboxId,
    name: MailboxName,
) -> Result<(), Error> {
    let taken = mailboxes::by_name(tx, account, &name).ok().flatten().is_some_and(|other| other.id != id);
    let name = if taken { free_name(tx, account, &name)? } else { name };
    let mailbox = mailboxes::empty(tx, account, id, name)?;
    mailbox.save(tx);
    put_name(tx, &mailbox);
    Ok(())
}

/// Each mailbox's row, blocks, keywords and log. After a loss each gets a new UIDVALIDITY.
pub(in crate::store) fn mailboxes(store: &Store, lossy: bool, done: &mut Findings) -> Result<(), Error> {
    let all = mailbox_row::keys(&Tolerant(&store.snapshot()?))?;
    for (account, id) in all {
        let told = store.write(move |tx| mend_mailbox(tx, account, id, lossy))?;
        if let Some((mailbox, told)) = told {
            told.into_iter()
                .for_each(|what| done.add(Kind::Counts, format!("{}: {what}", mailbox.name.as_str())));
        }
        forget_changes(store, id, lossy)?;
    }
    Ok(())
}

/// What is left of a log that begins anew goes in slices: it lies below the floor, where nobody looks.
fn forget_changes(store: &Store, id: MailboxId, lossy: bool) -> Result<(), Error> {
    while lossy
        && store.write(move |tx| {
            let mut budget = SLICE;
            drop_range(tx, Table::Changes, id.0, &mut budget).map(|done| !done)
        })?
    {}
    Ok(())
}

fn mend_mailbox(
    tx: &mut dyn Transaction,
    account: AccountId,
    id: MailboxId,
    lossy: bool,
) -> Result<Option<MendMailbox>, Error> {
    let Some(mut mailbox) = mailboxes::get(tx, account, id)? else { return Ok(None) };
    let mut found = Findings::default();
    mailbox::check(tx, &mailbox, "", &mut found)?;
    let report = found.finish(true);
    if report.findings.is_empty() && !lossy {
        return Ok(None);
    }
    let has = |kind: Kind| report.findings.iter().any(|finding| finding.kind == kind);
    let mut told: Vec<String> =
        report.findings.iter().map(|finding| finding.what.trim_start_matches(": ").to_owned()).collect();
    if has(Kind::Block) {
        rewrite_blocks(tx, id)?;
    }
    let tally = mailbox::tally(tx, id, "", &mut Findings::default())?;
    name_keywords(tx, id, tally.keywords, &mut told)?;
    mailbox.messages = tally.messages;
    (mailbox.unseen, mailbox.deleted) = (tally.unseen, tally.deleted);
    (mailbox.size, mailbox.first_unseen) = (tally.size, tally.first_unseen);
    mailbox.uid_next = mailbox.uid_next.max(tally.last().saturating_add(1));
    if lossy {
        mailbox.uid_validity = settings::next_uid_validity(tx)?;
    }
    if lossy || has(Kind::Changes) || has(Kind::Block) || has(Kind::Numbers) {
        // Whoever knows an older modseq compares anew.
        mailbox.highest_modseq = tx.modseq()?;
        mailbox.floor = mailbox.highest_modseq;
        mailbox.log = Log { whole_above: mailbox.highest_modseq, rows: 0, expunged: 0 };
    }
    mailbox.save(tx);
    Ok(Some((mailbox, told)))
}

/// All records in order, none twice.
fn rewrite_blocks(tx: &mut dyn Transaction, id: MailboxId) -> Result<(), Error> {
    let mut records: BTreeMap<u32, Record> = BTreeMap::new();
    let mut keys = Vec::new();
    tx.scan(
        Table::Messages,
        &pair(id.0, 0),
        &crate::store::base::codec::behind_pair(id.0, u32::MAX),
        &mut |key, value| {
            keys.push(blocks::lowest(key)?);
            for record in record::decode(value).unwrap_or_default() {
                let newer = records.get(&record.uid.get()).is_none_or(|known| known.modseq < record.modseq);
                if newer {
                    records.insert(record.uid.get(), record);
                }
            }
            Ok(ControlFlow::Continue(()))
        },
    )?;
    keys.into_iter().for_each(|key| tx.delete(Table::Messages, &pair(id.0, key)));
    let records: Vec<Record> = records.into_values().collect();
    for block in records.chunks(BLOCK_MAX) {
        if let Some(first) = block.first() {
            tx.put(Table::Messages, &pair(id.0, first.uid.get()), &record::encode(block));
        }
    }
    Ok(())
}

fn name_keywords(
    tx: &mut dyn Transaction,
    id: MailboxId,
    used: u64,
    told: &mut Vec<String>,
) -> Result<(), Error> {
    let named = keywords::load(tx, id)?;
    for bit in (0..64_u8).filter(|bit| used >> bit & 1 == 1 && named.names(1 << bit).next().is_none()) {
        let name = format!("recovered-{bit}");
        tx.put(
            Table::Keywords,
            &[&id.0.to_be_bytes()[..], &[bit]].concat(),
            &[&[1], name.as_bytes()].concat(),
        );
        told.push(format!("a keyword whose name was lost is called {name}"));
    }
    Ok(())
}

/// Every content is found by its hash, and no hash leads elsewhere.
pub(in crate::store) fn hashes(store: &Store, done: &mut Findings) -> Result<(), Error> {
    let (mut next, mut count) = (Some(0), 0);
    while let Some(from) = next.take() {
        let (rows, last) = store.walk(from)?;
        next = last.map(|last| last.0.saturating_add(1));
        for slice in rows.chunks(SLICE) {
            let slice: Vec<(ContentId, EmailRow)> = slice.to_vec();
            count += store.write(move |tx| put_hashes(tx, &slice))?;
        }
    }
    let mut dangling = Vec::new();
    let snapshot = store.snapshot()?;
    let rows = Tolerant(&snapshot);
    rows.scan(Table::ByHash, &[], &[0xff; 33], &mut |key, value| {
        let email = value.try_into().map(u64::from_le_bytes).map_or(ContentId(0), ContentId);
        if emails::get(&rows, email)?.is_none_or(|row| row.hash.0 != key) {
            dangling.push(key.to_vec());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    drop(snapshot);
    count += dangling.len();
    for slice in dangling.chunks(SLICE) {
        let slice = slice.to_vec();
        store.write(move |tx| {
            slice.iter().for_each(|key| tx.delete(Table::ByHash, key));
            Ok(())
        })?;
    }
    if count > 0 {
        done.add(Kind::ByHash, format!("{count} contents are found by their hash again"));
    }
    Ok(())
}

fn put_hashes(tx: &mut dyn Transaction, slice: &[(ContentId, EmailRow)]) -> Result<usize, Error> {
    let mut count = 0;
    for (email, row) in slice {
        let known = emails::by_hash(tx, row.hash)?;
        let sound = match known {
            Some(known) => emails::get(tx, known)?.is_some_and(|other| other.hash == row.hash),
            None => false,
        };
        if !sound {
            tx.put(Table::ByHash, &row.hash.0, &email.0.to_le_bytes());
            count += 1;
        }
    }
    Ok(count)
}

/// What can be read of volumes that are damaged or missing, and of what of theirs lies elsewhere, is copied into others.
pub(in crate::store) fn move_out(store: &Store, evidence: &Evidence) -> Result<(), Error> {
    for volume in evidence.volumes.union(&evidence.missing_volumes) {
        match store.move_out(*volume, &mut ReclaimReport::default()) {
            // They stay where they can be read, and are told as before.
            Err(Error::NoSpace { .. }) => return Ok(()),
            other => other?,
        };
    }
    Ok(())
}

/// Live bytes are what is named; a volume that cannot be read takes no more mail, and one of which nothing is named any
/// more is forgotten.
pub(in crate::store) fn volumes(
    store: &Store,
    evidence: &Evidence,
    done: &mut Findings,
) -> Result<(), Error> {
    let (mut stored, mut next): (BTreeMap<u32, u64>, _) = (BTreeMap::new(), Some(0));
    while let Some(from) = next.take() {
        let (rows, last) = store.walk(from)?;
        next = last.map(|last| last.0.saturating_add(1));
        for (_, row) in rows {
            *stored.entry(row.content_volume).or_default() += row.stored;
            stored.entry(row.digest_volume).or_default();
        }
    }
    let (damaged, missing) = (evidence.volumes.clone(), evidence.missing_volumes.clone());
    let generation = store.inner.shared.generation;
    let told = store.write(move |tx| {
        let known: BTreeMap<u32, VolumeRow> = volumes::list(tx)?.into_iter().collect();
        let mut told = Vec::new();
        let numbers: BTreeSet<u32> = known.keys().chain(stored.keys()).copied().collect();
        for number in numbers {
            let before = known.get(&number).copied();
            let mut row = before.unwrap_or(VolumeRow { generation, ..VolumeRow::default() });
            row.live = stored.get(&number).copied().unwrap_or(0);
            row.dead = 0;
            row.damaged |= damaged.contains(&number);
            if (row.damaged || missing.contains(&number)) && !stored.contains_key(&number) {
                told.push(match missing.contains(&number) {
                    true => format!("volume {number} is missing, and nothing is looked for in it any more"),
                    false => format!(
                        "volume {number} is damaged and holds nothing that is known: its file is set aside"
                    ),
                });
                tx.delete(Table::Volumes, &number.to_be_bytes());
                settings::delete(tx, &volumes::rest_name(number));
                continue;
            }
            if before.is_none_or(|before| before.damaged != row.damaged) {
                let what = if row.damaged { "takes no more mail" } else { "is listed again" };
                told.push(format!("volume {number} {what}"));
            }
            tx.put(Table::Volumes, &number.to_be_bytes(), &row.encode());
        }
        Ok(told)
    })?;
    told.into_iter().for_each(|what| done.add(Kind::VolumeBytes, what));
    Ok(())
}
