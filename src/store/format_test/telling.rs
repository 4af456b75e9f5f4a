//! What a store says of itself, as text: mailboxes, messages byte for byte (by hash), flags, UIDs, modseqs, the bin,
//! accounts and the household. Two versions that say the same have lost nothing between them.

use std::fmt::{Display, Write};
use std::ops::ControlFlow;

use crate::model::{AccountId, Keyword, MailboxId, ModSeq, SourceId, Uid};
use crate::store::accounts::Account;
use crate::store::bin::{self, Kept};
use crate::store::changes::{self, Since};
use crate::store::devices::Device;
use crate::store::emails::ObjectIds;
use crate::store::imported::Imported;
use crate::store::mailboxes::{self, Mailbox};
use crate::store::messages::{self, KeywordTable, Record};
use crate::store::revoked::Revoked;
use crate::store::sources::Source;
use crate::store::{
    Snapshot, Store, accounts, arrivals, certificates, devices, emails, events, imported, revoked, settings,
    sources, volumes,
};

/// The settings that the maker sets.
const SETTINGS: [&str; 4] = ["admin.password", "setup.skipped", "a.number", "last"];
/// The folders of the files that it imports.
const FOLDERS: [&[u8]; 2] = [b"", b".Sent"];

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn shown(bytes: &[u8]) -> impl Display {
    bytes.escape_ascii()
}

pub(super) fn told(store: &Store) -> String {
    let rows = store.snapshot().unwrap();
    let mut out = String::new();
    writeln!(out, "store {}", hex(&store.id())).unwrap();
    for account in accounts::list(&rows).unwrap() {
        let Account { id, name, password_hash, created, salt, disabled, .. } = &account;
        writeln!(out, "\naccount {id} {name} {password_hash:?} {created} {} disabled {disabled}", hex(salt))
            .unwrap();
        devices::list(&rows, account.id).unwrap().iter().for_each(|device| tell_device(&mut out, device));
        let names = mailboxes::subscriptions(&rows, account.id).unwrap();
        names.iter().for_each(|name| writeln!(out, "subscribed {name}").unwrap());
        for mailbox in mailboxes::list(&rows, account.id).unwrap() {
            tell_mailbox(&mut out, &rows, &mailbox);
        }
        match events::since(&rows, account.id, ModSeq::ZERO).unwrap() {
            Since::Known(events) => events.iter().for_each(|event| {
                writeln!(out, "event {} {} {:?}", event.modseq, event.mailbox, event.kind).unwrap();
            }),
            Since::BelowFloor => writeln!(out, "events below the floor").unwrap(),
        }
    }
    tell_bin(&mut out, &rows);
    tell_household(&mut out, &rows);
    out
}

fn tell_device(out: &mut String, device: &Device) {
    let Device { id, account, name, key_hash, scram, created, last_used, client, address, .. } = device;
    let (key, scram) = (hex(key_hash), shown(scram));
    writeln!(
        out,
        "device {id} of {account} {name} {key} {scram} {created} {last_used:?} {client:?} {address:?}"
    )
    .unwrap();
}

fn tell_mailbox(out: &mut String, rows: &Snapshot, mailbox: &Mailbox) {
    let Mailbox { id, account, name, uid_validity, uid_next, highest_modseq, object_id, .. } = mailbox;
    let Mailbox { special_use, first_unseen, floor, messages, unseen, deleted, size, created, .. } = mailbox;
    writeln!(
        out,
        "\nmailbox {id} {name}: {uid_validity} next {uid_next} modseq {highest_modseq} {object_id} {special_use:?} \
         first {:?} floor {floor} messages {messages} unseen {unseen} deleted {deleted} size {size} made {created}",
        first_unseen.map(Uid::get),
    )
    .unwrap();
    tell_messages(out, rows, *account, *id);
    match changes::since(rows, *account, *id, ModSeq::ZERO).unwrap() {
        Since::Known(changes) => writeln!(
            out,
            "changes: added {:?} changed {:?} expunged {:?} upto {}",
            changes.added.ranges(),
            changes.changed.ranges(),
            changes.expunged.ranges(),
            changes.upto
        ),
        Since::BelowFloor => writeln!(out, "changes below the floor"),
    }
    .unwrap();
}

fn tell_messages(out: &mut String, rows: &Snapshot, account: AccountId, mailbox: MailboxId) {
    let keywords = messages::keywords(rows, mailbox).unwrap();
    messages::scan(rows, mailbox, 1..=u32::MAX, &mut |record| {
        tell_record(out, rows, account, record, &keywords);
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
}

fn tell_record(
    out: &mut String,
    rows: &Snapshot,
    account: AccountId,
    record: &Record,
    keywords: &KeywordTable,
) {
    let row = emails::get(rows, record.email).unwrap().unwrap();
    let ids = ObjectIds::load(rows, account).unwrap();
    let (mut content, digest) = (Vec::new(), rows.digest(record.email).unwrap());
    rows.read(record.email, 0..u64::MAX, &mut content).unwrap();
    rows.verify(record.email).unwrap();
    let hash = blake3::hash(&content);
    assert_eq!((content.len() as u64, *hash.as_bytes()), (record.size, row.hash.0));
    let flags: Vec<&str> = record.flags.names().collect();
    let words: Vec<&str> = keywords.names(record.keywords).map(Keyword::as_str).collect();
    writeln!(
        out,
        "{} {} {} {} {}+{} saved {} [{}] [{}] {} {} {} {:?}",
        record.uid,
        record.modseq,
        record.size,
        hash.to_hex(),
        record.internal_date.unix,
        record.internal_date.offset_minutes,
        record.save_date,
        flags.join(" "),
        words.join(" "),
        ids.email(&row),
        ids.thread(&row),
        row.header_len,
        digest.envelope.subject.as_deref().map(|subject| shown(subject).to_string()),
    )
    .unwrap();
}

fn tell_bin(out: &mut String, rows: &Snapshot) {
    writeln!(out, "\nbin, its clock at {}", bin::clock(rows).unwrap()).unwrap();
    for account in bin::accounts(rows).unwrap() {
        let mut entries = Vec::new();
        bin::list(rows, account, &mut |entry| {
            entries.push(entry);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        for entry in entries {
            writeln!(
                out,
                "of {account}: {:?} {} {} at {} clock {}",
                entry.id, entry.mailbox, entry.name, entry.at, entry.clock
            )
            .unwrap();
            match entry.kept {
                Kept::Messages { records, keywords } => {
                    records.iter().for_each(|record| tell_record(out, rows, account, record, &keywords));
                }
                Kept::Mailbox { special_use, messages, size, .. } => {
                    writeln!(out, "mailbox {special_use:?} of {messages} messages, {size} bytes").unwrap();
                    tell_messages(out, rows, account, entry.mailbox);
                }
                Kept::Account { name, created } => {
                    writeln!(out, "account {name} of {created}").unwrap();
                }
            }
        }
    }
}

fn tell_household(out: &mut String, rows: &Snapshot) {
    writeln!(out, "\nhousehold").unwrap();
    for device in revoked::list(rows).unwrap() {
        let Revoked { account, name, key_hash, at, tried, .. } = device;
        writeln!(out, "revoked of {account} {name} {} at {at} tried {tried:?}", hex(&key_hash)).unwrap();
    }
    for source in sources::list(rows).unwrap() {
        let Source { id, account, path, mailbox, after, created, .. } = source;
        writeln!(out, "source {id} of {account} {path:?} {mailbox:?} {after:?} {created}").unwrap();
    }
    // One that was removed is listed no more, but its files are known.
    for source in (1..=4).map(SourceId) {
        let came = arrivals::list(rows, source).unwrap();
        let came: Vec<i64> = came.iter().map(|arrival| arrival.at).collect();
        writeln!(out, "arrivals {source}: {came:?}").unwrap();
        for folder in FOLDERS {
            imported::scan(rows, source, folder, None, &mut |base, row| {
                let Imported { hash, length, modified, missed_since, .. } = row;
                let (folder, base, hash) = (shown(folder), shown(base), hex(hash));
                // Since when it is missed the first version noted by another clock.
                let missed = missed_since.is_some();
                writeln!(out, "imported {source} {folder} {base} {hash} {length} {modified} missed {missed}")
                    .unwrap();
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        }
    }
    for name in certificates::list(rows).unwrap() {
        let found = certificates::get(rows, &name).unwrap().unwrap();
        writeln!(out, "certificate {name}: {} {}", found.chain, found.key).unwrap();
    }
    for name in SETTINGS {
        let value = settings::get(rows, name).unwrap().map(|value| shown(&value).to_string());
        writeln!(out, "setting {name}: {value:?}").unwrap();
    }
    for (number, row) in volumes::list(rows).unwrap() {
        writeln!(out, "volume {number} damaged {}", row.damaged).unwrap();
    }
    writeln!(out, "modseq {}", crate::store::last_modseq(rows).unwrap()).unwrap();
}
