//! Each kind of fault is put into a store, and found; a store without any is found without any.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{CheckOptions, Depth, Kind, Report};
use crate::model::{
    AccountId, ContentId, DateTime, Flag, FlagSet, Keyword, MailboxName, SystemFlags, UidSet,
};
use crate::store::base::codec::pair;
use crate::store::base::sim::{Dice, SimClock, SimDisk, SimRandom};
use crate::store::messages::{self, FlagChange, NewMessage};
use crate::store::schema::Table;
use crate::store::{
    Error, Options, Rows, Store, Transaction, accounts, bin, devices, emails, mailboxes, sources,
};

fn live(rows: &dyn Rows, visit: &mut dyn FnMut(ContentId)) -> Result<(), Error> {
    messages::emails(rows, visit)?;
    bin::emails(rows, visit)
}

pub(super) fn options(disk: &SimDisk) -> Options {
    Options {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(SimClock(1_800_000_000.into())),
        random: Arc::new(SimRandom::new(disk.position() as u64 + 3)),
        segment_size: 256 << 10,
        volume_size: 4 << 20,
        reserve: 0,
        live_emails: Some(live),
        ..Options::new("/data")
    }
}

pub(super) fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

pub(super) fn message(seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let length = if seed % 7 == 3 { 200_000 } else { 200 + dice.below(3_000) };
    let mut bytes = format!("From: a@b\r\nSubject: message {seed}\r\n\r\n").into_bytes();
    while (bytes.len() as u64) < length {
        bytes.extend_from_slice(format!("{:x} a line\r\n", dice.roll()).as_bytes());
    }
    bytes
}

pub(super) fn file(store: &Store, account: AccountId, mailbox: &str, bytes: &[u8]) -> ContentId {
    let mut incoming = store.incoming(1 << 30);
    incoming.write(bytes).unwrap();
    let prepared = incoming.finish().unwrap();
    let mailbox = name(mailbox);
    store
        .write(move |tx| {
            let target = mailboxes::by_name(tx, account, &mailbox)?.unwrap();
            let email = prepared.file(tx, account, &target.name)?;
            let mut flags = FlagSet::from(SystemFlags::SEEN);
            flags.insert(Flag::Keyword(Keyword::new("$Work").unwrap()));
            let new = NewMessage { email, size: prepared.size(), internal_date: DateTime::utc(5), flags };
            messages::append(tx, account, target.id, &[new])?;
            Ok(email)
        })
        .unwrap()
}

/// A household with mail, some of it flagged, copied, expunged; a mailbox deleted, one renamed; a device, a source.
pub(super) fn household(store: &Store) -> AccountId {
    let anna = store
        .write(|tx| {
            let anna = accounts::create(tx, "anna", Some("hash"))?;
            let ben = accounts::create(tx, "ben", None)?;
            devices::add(tx, anna, "phone", [7; 32], vec![1])?;
            devices::add(tx, ben, "tablet", [8; 32], vec![1])?;
            sources::add(tx, anna, std::path::Path::new("/m"), None, sources::After::Keep)?;
            for name in ["Old", "Gone", "Lists/rust"] {
                mailboxes::create(tx, anna, &super::tests::name(name), None)?;
            }
            Ok(anna)
        })
        .unwrap();
    for seed in 0..20 {
        file(store, anna, ["INBOX", "Old", "Gone"][seed as usize % 3], &message(seed));
    }
    store
        .write(move |tx| {
            let id = |tx: &dyn Transaction, text: &str| {
                mailboxes::by_name(tx, anna, &name(text)).unwrap().unwrap().id
            };
            let (inbox, old) = (id(tx, "INBOX"), id(tx, "Old"));
            messages::copy(tx, anna, inbox, &(1..=3).collect(), old)?;
            messages::store_flags(
                tx,
                anna,
                inbox,
                &(2..=4).collect(),
                FlagChange::Remove,
                &SystemFlags::SEEN.into(),
                None,
            )?;
            messages::expunge(tx, anna, old, &(2..=2).collect(), false)?;
            messages::move_(tx, anna, inbox, &(5..=5).collect(), old)?;
            mailboxes::rename(tx, anna, &name("Lists"), &name("Groups"))?;
            mailboxes::delete(tx, anna, &name("Gone"))
        })
        .unwrap();
    anna
}

pub(super) fn check(store: &Store) -> Report {
    store.check(&CheckOptions::default(), &mut |_| ControlFlow::Continue(())).unwrap()
}

fn kinds(report: &Report) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = report.findings.iter().map(|finding| finding.kind).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

#[test]
fn a_sound_store_has_no_findings_at_any_time() {
    let disk = SimDisk::default();
    let store = Store::open(options(&disk)).unwrap();
    assert_eq!(check(&store).findings, []);
    household(&store);
    let report = check(&store);
    assert_eq!(report.findings, [], "{report}");
    assert!(report.complete && report.looked.contents == 20 && report.looked.messages > 14, "{report:?}");
    store.checkpoint().unwrap();
    store.sweep().unwrap();
    store.reclaim().unwrap();
    assert_eq!(check(&store).findings, []);
    store.close().unwrap();
    let store = Store::open(options(&disk)).unwrap();
    assert_eq!(check(&store).findings, []);
}

#[test]
fn a_check_goes_as_deep_as_it_is_told_and_stops_when_it_is_told() {
    let store = Store::open(options(&SimDisk::default())).unwrap();
    household(&store);
    let looked = |depth| {
        let options = CheckOptions { depth, ..CheckOptions::default() };
        let report = store.check(&options, &mut |_| ControlFlow::Continue(())).unwrap();
        assert!(report.complete && report.is_clean());
        report.looked.contents
    };
    assert_eq!(looked(Depth::Index), 0);
    let parts: u64 = (0..4).map(|which| looked(Depth::Part { of: 4, which })).sum();
    assert_eq!(parts, looked(Depth::Contents));
    let report = store.check(&CheckOptions::default(), &mut |_| ControlFlow::Break(())).unwrap();
    assert!(!report.complete);
}

#[test]
fn a_check_beside_writers_finds_nothing() {
    let store = Store::open(options(&SimDisk::default())).unwrap();
    let anna = household(&store);
    let writer = {
        let store = store.clone();
        std::thread::spawn(move || {
            for seed in 100..160 {
                let bytes = message(seed);
                file(&store, anna, "INBOX", &bytes);
                store
                    .write(move |tx| {
                        let inbox = mailboxes::by_name(tx, anna, &name("INBOX"))?.unwrap();
                        let some: UidSet = (1..=inbox.uid_next).step_by(3).collect();
                        let flag = FlagSet::from(SystemFlags::FLAGGED);
                        let how = if seed % 2 == 0 { FlagChange::Add } else { FlagChange::Remove };
                        messages::store_flags(tx, anna, inbox.id, &some, how, &flag, None)?;
                        messages::expunge(
                            tx,
                            anna,
                            inbox.id,
                            &(seed as u32 - 95..=seed as u32 - 95).collect(),
                            false,
                        )
                    })
                    .unwrap();
                if seed % 20 == 0 {
                    store.sweep().unwrap();
                    store.reclaim().unwrap();
                }
            }
        })
    };
    let mut checks = 0;
    while !writer.is_finished() || checks == 0 {
        let report = check(&store);
        assert_eq!(report.findings, [], "{report}");
        checks += 1;
    }
    writer.join().unwrap();
}

/// Puts one fault in, and gives what is found.
fn found(
    fault: impl FnOnce(&mut dyn Transaction, AccountId) -> Result<(), Error> + Send + 'static,
) -> Report {
    let store = Store::open(options(&SimDisk::default())).unwrap();
    let anna = household(&store);
    store.write(move |tx| fault(tx, anna)).unwrap();
    check(&store)
}

fn inbox(tx: &dyn Transaction, account: AccountId) -> mailboxes::Mailbox {
    mailboxes::by_name(tx, account, &name("INBOX")).unwrap().unwrap()
}

#[test]
fn wrong_counts_and_numbers_are_found() {
    let report = found(|tx, anna| {
        let mut inbox = inbox(tx, anna);
        inbox.messages += 1;
        inbox.first_unseen = None;
        inbox.save(tx);
        Ok(())
    });
    assert_eq!(kinds(&report), [Kind::Counts]);
    assert!(report.findings[0].what.starts_with("anna: INBOX: "), "{report}");
    let report = found(|tx, anna| {
        let mut inbox = inbox(tx, anna);
        inbox.uid_next = 2;
        inbox.save(tx);
        Ok(())
    });
    assert!(kinds(&report).contains(&Kind::Numbers), "{report}");
    let report = found(|tx, anna| {
        let mut inbox = inbox(tx, anna);
        inbox.log.rows += 1;
        inbox.save(tx);
        Ok(())
    });
    assert_eq!(kinds(&report), [Kind::Changes]);
}

#[test]
fn counters_below_what_is_used_are_found() {
    for counter in ["modseq", "uidvalidity", "mailboxid", "accountid", "deviceid", "sourceid", "emailid"] {
        let report = found(move |tx, _| {
            tx.put(Table::Settings, counter.as_bytes(), &[1, 0, 0, 0, 0, 0, 0, 0, 0]);
            Ok(())
        });
        assert_eq!(kinds(&report), [Kind::Counter], "{counter}: {report}");
    }
}

#[test]
fn rows_that_do_not_decode_are_found_in_every_table() {
    for table in Table::EVERY {
        let report = found(move |tx, _| {
            let mut first = None;
            tx.scan(table, &[], &[0xff; 64], &mut |key, _| {
                first = Some(key.to_vec());
                Ok(ControlFlow::Break(()))
            })?;
            if let Some(key) = first {
                tx.put(table, &key, &[1, 9]);
            }
            Ok(())
        });
        let empty =
            matches!(table, Table::Certificates | Table::Subscriptions | Table::Imported | Table::Threads);
        assert!(empty || kinds(&report).contains(&Kind::Row), "{table:?}: {report}");
    }
}

#[test]
fn contradictions_between_tables_are_found() {
    let report = found(|tx, anna| {
        let inbox = inbox(tx, anna);
        tx.delete(Table::Names, &[&anna.0.to_be_bytes()[..], b"INBOX"].concat());
        tx.delete(Table::Keywords, &[&inbox.id.0.to_be_bytes()[..], &[0]].concat());
        tx.delete(Table::DeviceKeys, &[7; 32]);
        Ok(())
    });
    assert_eq!(kinds(&report), [Kind::Keyword, Kind::Name, Kind::Device]);
    let report = found(|tx, anna| {
        let inbox = inbox(tx, anna);
        tx.delete(Table::Mailboxes, &pair(anna.0, inbox.id.0));
        Ok(())
    });
    assert_eq!(kinds(&report), [Kind::Name, Kind::LostMailbox]);
    let report = found(|tx, anna| {
        let mut email = None;
        messages::scan(tx, inbox(tx, anna).id, 1..=1, &mut |record| {
            email = Some(record.email);
            Ok(ControlFlow::Break(()))
        })?;
        let row = emails::get(tx, email.unwrap())?.unwrap();
        emails::delete(tx, email.unwrap(), &row)
    });
    assert_eq!(kinds(&report), [Kind::MissingContent, Kind::UnnamedContent]);
    let missing = report.findings.iter().find(|finding| finding.kind == Kind::MissingContent).unwrap();
    assert_eq!((missing.messages[0].mailbox.as_deref(), missing.messages[0].uid), (Some("INBOX"), Some(1)));
    let unnamed = report.findings.iter().find(|finding| finding.kind == Kind::UnnamedContent).unwrap();
    assert_eq!(unnamed.messages[0].subject.as_deref(), Some("message 0"));
}
