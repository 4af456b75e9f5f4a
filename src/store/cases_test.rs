//! Cases of the operations on messages that random ones would seldom meet: the limits of what is kept, the
//! RFC's examples, damage, and a measurement.

use std::ops::ControlFlow;

use super::changes::{self, Since};
use super::error::Error;
use super::mailbox::records::changed_after;
use super::messages::{self, FlagChange, NewMessage};
use super::model_test::World;
use super::schema::Table;
use super::{accounts, bin, certificates, devices, events, imported, mailboxes, record, sources};
use crate::model::{ContentId, DateTime, Flag, FlagSet, Keyword, MailboxName, ModSeq, SystemFlags, UidSet};

/// Ranges far from each other: blocks between them are not read, and must not be joined.
#[test]
fn scattered_expunges_in_a_large_mailbox() {
    let mut world = World::new(3, 1);
    let (account, mailbox) = (world.account, world.mailboxes[0]);
    let done =
        world.memory.write(|tx| messages::append(tx, account, mailbox, &vec![new_message(); 9_000])).unwrap();
    let mut left = done.uids;
    for _ in 0..250 {
        let ranges = (0..1 + world.random.below(4)).map(|_| {
            let start = 1 + world.random.below(9_000);
            start..=start + world.random.below(70)
        });
        let uids: UidSet = ranges.collect();
        world.memory.write(|tx| messages::expunge(tx, account, mailbox, &uids, false)).unwrap();
        left = left.difference(&uids);
        let found = messages::uids(&world.memory, mailbox).unwrap();
        assert!(found.iter().map(|(_, uid)| uid.get()).eq(left.iter()));
        world.check_blocks(0);
    }
    assert!(left.len() > 100);
}

/// The last place of a mailbox may be taken, and no more; what is refused changes nothing.
#[test]
fn a_mailbox_has_a_limit() {
    let mut world = World::new(3, 2);
    let (account, [full, other]) = (world.account, [world.mailboxes[0], world.mailboxes[1]]);
    let append = |world: &mut World, mailbox, count| {
        world.memory.write(|tx| messages::append(tx, account, mailbox, &vec![new_message(); count]))
    };
    append(&mut world, full, 10).unwrap();
    append(&mut world, other, 5).unwrap();
    world
        .memory
        .write(|tx| {
            let mut mailbox = mailboxes::get(tx, account, full)?.unwrap();
            mailbox.messages = messages::MOST_MESSAGES - 3;
            mailbox.save(tx);
            Ok::<_, Error>(())
        })
        .unwrap();
    let all: UidSet = std::iter::once(1..=u32::MAX).collect();
    let first: UidSet = std::iter::once(1..=2).collect();
    assert!(matches!(append(&mut world, full, 4), Err(Error::Limit(_))));
    assert!(matches!(
        world.memory.write(|tx| messages::copy(tx, account, other, &all, full)),
        Err(Error::Limit(_))
    ));
    append(&mut world, full, 1).unwrap();
    world.memory.write(|tx| messages::copy(tx, account, other, &first, full)).unwrap();
    assert!(matches!(append(&mut world, full, 1), Err(Error::Limit(_))));
    append(&mut world, other, 1).unwrap();
}

/// From the end on, over blocks and gaps, to the first that is older.
#[test]
fn what_was_saved_since_a_moment() {
    let mut world = World::new(3, 1);
    let (account, mailbox) = (world.account, world.mailboxes[0]);
    let old = world.memory.now;
    let append = |world: &mut World, count| {
        world.memory.write(|tx| messages::append(tx, account, mailbox, &vec![new_message(); count])).unwrap();
    };
    let since = |world: &World, moment| {
        let next = world.mailbox(0).uid_next;
        messages::saved_since(&world.memory, mailbox, next, moment).unwrap()
    };
    assert_eq!(since(&world, old), 1);
    append(&mut world, 300);
    assert_eq!((since(&world, old), since(&world, old + 1)), (1, 301));
    world.memory.now = old + 10;
    append(&mut world, 1_000);
    assert_eq!((since(&world, old), since(&world, old + 1), since(&world, old + 11)), (1, 301, 1_301));
    let gone: UidSet = [290..=310, 500..=900, 1_290..=1_300].into_iter().collect();
    world.memory.write(|tx| messages::expunge(tx, account, mailbox, &gone, false)).unwrap();
    assert_eq!((since(&world, old), since(&world, old + 1), since(&world, old + 11)), (1, 311, 1_301));
    // The clock went back: what came then counts as old, and so does what lies before it.
    world.memory.now = old;
    append(&mut world, 1);
    world.memory.now = old + 20;
    append(&mut world, 2);
    assert_eq!(since(&world, old + 1), 1_302);
}

#[test]
fn small_blocks_far_apart_are_not_joined() {
    let mut world = World::new(3, 1);
    let (account, mailbox) = (world.account, world.mailboxes[0]);
    let mut left = world
        .memory
        .write(|tx| messages::append(tx, account, mailbox, &vec![new_message(); 64 * 40]))
        .unwrap()
        .uids;
    let first = |block: u32, count: u32| block * 64 + 1..=block * 64 + count;
    // The second leaves block 1 with 14 records, to be joined with block 2, and reads block 29.
    for ranges in [vec![first(2, 34), first(29, 54)], vec![first(1, 50), first(30, 1)]] {
        let uids: UidSet = ranges.into_iter().collect();
        world.memory.write(|tx| messages::expunge(tx, account, mailbox, &uids, false)).unwrap();
        left = left.difference(&uids);
    }
    let found = messages::uids(&world.memory, mailbox).unwrap();
    assert!(found.iter().map(|(_, uid)| uid.get()).eq(left.iter()));
    assert_eq!(world.memory.count(Table::Messages), 39);
    world.check_blocks(0);
}

#[test]
fn below_the_whole_rows_the_blocks_tell() {
    let mut world = World::new(5, 1);
    let (account, mailbox) = (world.account, world.mailboxes[0]);
    world.memory.write(|tx| messages::append(tx, account, mailbox, &vec![new_message(); 300])).unwrap();
    world.memory.news.clear();
    let mut after = Vec::new();
    for n in 0..5_000_u32 {
        let uids = UidSet::from_iter([1 + n % 280]);
        let flags = FlagSet::from(SystemFlags::from_bits(1 + (n / 280 % 4) as u8));
        let done = world
            .memory
            .write(|tx| match n % 500 {
                250 => messages::expunge(tx, account, mailbox, &uids, false).map(|done| done.modseq),
                _ => {
                    let replace = FlagChange::Replace;
                    messages::store_flags(tx, account, mailbox, &uids, replace, &flags, None)
                        .map(|done| done.modseq)
                }
            })
            .unwrap();
        after.extend(done);
    }
    let kept = world.mailbox(0);
    assert_eq!(kept.floor, ModSeq::ZERO);
    assert!(kept.log.rows <= changes::ROWS_KEPT + 64 && kept.log.whole_above > ModSeq::ZERO);
    assert!(world.memory.count(Table::Changes) <= 4096 + 64 + 10);
    let Since::Known(changes) = world.since(0, after[0]) else { panic!() };
    assert_eq!(changes.expunged.len(), 10, "expunged UIDs outlive the whole rows");
    assert_eq!(changes.changed.len(), 280 - 10);
}

/// A session that has answered for its own changes hears only of what others changed too.
#[test]
fn answered_changes_are_left_out() {
    let mut world = World::new(5, 1);
    let (account, mailbox) = (world.account, world.mailboxes[0]);
    let added =
        world.memory.write(|tx| messages::append(tx, account, mailbox, &vec![new_message(); 300])).unwrap();
    let mut flag = |uids: &UidSet, flags: SystemFlags| {
        world
            .memory
            .write(|tx| {
                messages::store_flags(tx, account, mailbox, uids, FlagChange::Add, &flags.into(), None)
            })
            .unwrap()
    };
    let own = flag(&UidSet::all(), SystemFlags::FLAGGED);
    flag(&UidSet::from_iter([7..=9]), SystemFlags::SEEN);
    let answered = |modseq| (Some(modseq) == own.modseq).then_some(&own.changed);
    fn since<'a>(world: &World, after: ModSeq, answered: &dyn Fn(ModSeq) -> Option<&'a UidSet>) -> String {
        let (account, mailbox) = (world.account, world.mailboxes[0]);
        let found = changes::since_but(&world.memory, account, mailbox, after, usize::MAX, answered).unwrap();
        let Since::Known(changes) = found else { panic!() };
        changes.changed.to_string()
    }
    assert_eq!(since(&world, added.modseq, &answered), "7:9");
    assert_eq!(since(&world, added.modseq, &|_| None), "1:300");
}

#[test]
fn expunged_uids_are_kept_up_to_a_limit() {
    let mut world = World::new(5, 1);
    let (account, mailbox) = (world.account, world.mailboxes[0]);
    let mut reached = Vec::new();
    for n in 0..13_u32 {
        let modseq = world
            .memory
            .write(|tx| {
                messages::append(tx, account, mailbox, &vec![new_message(); 10_000])?;
                let first = UidSet::from_iter([n * 10_000 + 1..=n * 10_000 + 5]);
                messages::expunge(tx, account, mailbox, &first, false)?;
                tx.modseq()
            })
            .unwrap();
        let all = UidSet::all();
        world.memory.write(|tx| messages::expunge(tx, account, mailbox, &all, false)).unwrap();
        reached.push(modseq);
    }
    let kept = world.mailbox(0);
    assert_eq!((kept.messages, world.memory.count(Table::Messages)), (0, 0));
    assert!(kept.floor > reached[0] && kept.log.expunged <= changes::EXPUNGED_KEPT + 1_024);
    assert_eq!(world.since(0, reached[0]), Since::BelowFloor);
    let Since::Known(changes) = world.since(0, reached[12]) else { panic!() };
    assert_eq!(changes.expunged.len(), 9_995);
    let Since::Known(changes) = world.since(0, reached[11]) else { panic!() };
    // With what came and went in between (RFC 7162 §3.2.6), the other 9,995 of the mailbox before too.
    assert_eq!((changes.expunged.len(), changes.added.len()), (19_995, 0));
}

fn new_message() -> NewMessage {
    NewMessage { email: ContentId(1), size: 10, internal_date: DateTime::utc(5), flags: FlagSet::default() }
}

#[test]
fn one_store_writes_few_rows() {
    let mut world = World::new(5, 1);
    let (account, mailbox) = (world.account, world.mailboxes[0]);
    world.memory.write(|tx| messages::append(tx, account, mailbox, &vec![new_message(); 6_400])).unwrap();
    let before = world.memory.writes;
    let (all, seen) = (UidSet::all(), FlagSet::from(SystemFlags::SEEN));
    world
        .memory
        .write(|tx| messages::store_flags(tx, account, mailbox, &all, FlagChange::Add, &seen, None))
        .unwrap();
    // A hundred blocks, the changes, the mailbox, the modseq.
    assert_eq!(world.memory.writes - before, 103);
    let before = world.memory.writes;
    let again = world
        .memory
        .write(|tx| messages::store_flags(tx, account, mailbox, &all, FlagChange::Add, &seen, None))
        .unwrap();
    assert_eq!((again, world.memory.writes - before), (messages::Stored::default(), 0));
}

/// RFC 7162 §3.1.3, examples 2 and 7.
#[test]
fn unchangedsince() {
    let mut world = World::new(5, 1);
    let (account, mailbox) = (world.account, world.mailboxes[0]);
    let (added, _) = world
        .memory
        .write(|tx| {
            let done = messages::append(tx, account, mailbox, &vec![new_message(); 9])?;
            Ok((done.modseq, ()))
        })
        .unwrap();
    let mut store = |uids: &[u32], since: u64, word: &str| {
        let (uids, flags): (UidSet, FlagSet) = (
            uids.iter().copied().collect(),
            [Flag::Keyword(Keyword::new(word).unwrap())].into_iter().collect(),
        );
        world
            .memory
            .write(|tx| {
                let since = Some(ModSeq(since));
                messages::store_flags(tx, account, mailbox, &uids, FlagChange::Add, &flags, since)
            })
            .unwrap()
    };
    assert_eq!(store(&[7], added.0, "a").changed.to_string(), "7");
    let second = store(&[5, 7, 9], added.0, "b");
    assert_eq!((second.changed.to_string(), second.modified.to_string()), ("5,9".into(), "7".into()));
    let never = store(&[1], 0, "$MDNSent");
    assert_eq!((never.modified.to_string(), never.modseq), ("1".into(), None));
    // The keyword that nothing was given is not in the table either.
    let table = messages::keywords(&world.memory, mailbox).unwrap();
    assert!(table.all().map(Keyword::as_str).eq(["a", "b"]));
}

/// A keyword makes room for the 65th when no message bears it: neither one that is stored nor one that is being
/// stored in the same operation.
#[test]
fn the_bit_of_a_keyword_that_nothing_bears_is_given_anew() {
    let mut world = World::new(5, 2);
    let (account, mailbox, other) = (world.account, world.mailboxes[0], world.mailboxes[1]);
    let words = |words: &[String]| -> FlagSet {
        words.iter().map(|word| Flag::Keyword(Keyword::new(word).unwrap())).collect()
    };
    let (k, n) = (|n: u32| format!("k{n}"), |n: u32| format!("n{n}"));
    let all: Vec<String> = (0..64).map(k).collect();
    let bearing = |flags: &[String]| NewMessage { flags: words(flags), ..new_message() };
    let append = |world: &mut World, new: &[NewMessage]| {
        world.memory.write(|tx| messages::append(tx, account, mailbox, new)).unwrap();
    };
    let store = |world: &mut World, uid: u32, change, flags: &[String]| {
        let (uids, flags) = (std::iter::once(uid).collect(), words(flags));
        world.memory.write(|tx| messages::store_flags(tx, account, mailbox, &uids, change, &flags, None))
    };
    let shown = |world: &World, mailbox, wanted: u32| -> Vec<String> {
        let table = messages::keywords(&world.memory, mailbox).unwrap();
        let mut shown = Vec::new();
        messages::scan(&world.memory, mailbox, wanted..=wanted, &mut |record| {
            shown.extend(table.names(record.keywords).map(|word| word.as_str().to_owned()));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        shown
    };
    let room = |world: &World| !messages::keywords(&world.memory, mailbox).unwrap().is_full();
    append(&mut world, &[bearing(&all)]);
    assert!(!room(&world));
    assert!(matches!(store(&mut world, 1, FlagChange::Add, &[n(0)]), Err(Error::Limit(_))));
    // Two words are free, and three are wanted: of the words that STORE itself names none is taken.
    store(&mut world, 1, FlagChange::Remove, &[k(3), k(9)]).unwrap();
    assert!(room(&world));
    assert!(matches!(store(&mut world, 1, FlagChange::Add, &[n(0), n(1), n(2)]), Err(Error::Limit(_))));
    assert!(matches!(store(&mut world, 1, FlagChange::Add, &[k(3), n(0), n(1)]), Err(Error::Limit(_))));
    store(&mut world, 1, FlagChange::Add, &[k(3), n(0)]).unwrap();
    let mut left: Vec<String> = (0..64).map(|bit| if bit == 9 { n(0) } else { k(bit) }).collect();
    assert_eq!(shown(&world, mailbox, 1), left);
    assert!(!room(&world));
    // Messages of one operation do not take each other's words; what finds no room is left off.
    store(&mut world, 1, FlagChange::Remove, &[k(5)]).unwrap();
    append(&mut world, &[bearing(&[n(5)]), bearing(&[n(6)]), bearing(&[k(63)])]);
    left.remove(5);
    assert_eq!(shown(&world, mailbox, 1), left);
    assert_eq!([2, 3, 4].map(|uid| shown(&world, mailbox, uid)), [vec![n(5)], vec![], vec![k(63)]]);
    // Copied where other words hold the bits, each keeps its own.
    world.memory.write(|tx| messages::append(tx, account, other, &[bearing(&[n(5), k(1)])])).unwrap();
    let uids: UidSet = (1..=4_u32).collect();
    world.memory.write(|tx| messages::copy(tx, account, mailbox, &uids, other)).unwrap();
    assert_eq!(shown(&world, other, 3), [n(5)]);
    assert_eq!(shown(&world, other, 2).len(), 63);
    // What was read with the old table shows nothing of a bit that means another word now.
    let known = messages::keywords(&world.memory, mailbox).unwrap();
    store(&mut world, 2, FlagChange::Replace, &[]).unwrap();
    store(&mut world, 3, FlagChange::Add, &[n(7)]).unwrap();
    let agreeing = messages::keywords_agreeing(&world.memory, mailbox, &known).unwrap();
    assert_eq!(agreeing, !(1 << 5));
    assert_eq!(shown(&world, mailbox, 3), [n(7)]);
}

#[test]
fn expunged_messages_are_in_the_bin_and_moved_ones_are_not() {
    let mut world = World::new(5, 2);
    let (account, from, to) = (world.account, world.mailboxes[0], world.mailboxes[1]);
    let flags: FlagSet = [Flag::Keyword(Keyword::new("$Label1").unwrap())].into_iter().collect();
    let message = NewMessage { flags, ..new_message() };
    world
        .memory
        .write(|tx| {
            messages::append(tx, account, from, &vec![message; 200])?;
            messages::move_(tx, account, from, &(1..=50_u32).collect(), to)?;
            messages::expunge(tx, account, from, &(101..=200_u32).collect(), false)?;
            messages::expunge(tx, account, from, &(51..=60_u32).collect(), false)
        })
        .unwrap();
    let mut entries = Vec::new();
    bin::list(&world.memory, account, &mut |entry| {
        entries.push(entry);
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    let counts: Vec<usize> = entries
        .iter()
        .map(|entry| match &entry.kept {
            bin::Kept::Messages { records, keywords } => {
                assert!(keywords.names(records[0].keywords).map(Keyword::as_str).eq(["$Label1"]));
                records.len()
            }
            _ => panic!(),
        })
        .collect();
    assert_eq!(counts, [64, 36, 10]);
    assert_eq!((entries[0].name.as_str(), bin::size(&world.memory, account).unwrap()), ("m0", 1_100));
    let mut emails = 0;
    bin::emails(&world.memory, &mut |_| emails += 1).unwrap();
    assert_eq!(emails, 110);
    world.memory.now += 400 * 86_400;
    let expire = |world: &mut World| {
        let now = bin::clock(&world.memory).unwrap();
        while world.memory.write(|tx| bin::expire(tx, account, now, 30 * 86_400)).unwrap() {}
        world.memory.count(Table::Bin)
    };
    assert_eq!(expire(&mut world), 3, "the wall clock leapt, the bin's did not");
    world.memory.write(|tx| bin::advance(tx, u64::MAX)).unwrap();
    assert_eq!(expire(&mut world), 3);
    (0..29).for_each(|_| world.memory.write(|tx| bin::advance(tx, 86_400)).unwrap());
    assert_eq!(expire(&mut world), 0);
}

#[test]
fn the_newest_events_are_kept() {
    let mut world = World::new(5, 1);
    let account = world.account;
    let name = MailboxName::new("x").unwrap();
    let mut reached = Vec::new();
    for n in 0..1_500 {
        let modseq = world
            .memory
            .write(|tx| {
                if n % 2 == 0 {
                    mailboxes::subscribe(tx, account, &name)?;
                } else {
                    mailboxes::unsubscribe(tx, account, &name)?;
                }
                tx.modseq()
            })
            .unwrap();
        reached.push(modseq);
    }
    assert_eq!(events::since(&world.memory, account, ModSeq::ZERO).unwrap(), Since::BelowFloor);
    let Since::Known(found) = events::since(&world.memory, account, reached[600]).unwrap() else { panic!() };
    assert_eq!(found.len(), 899);
    assert!(found.is_sorted_by_key(|event| event.modseq));
    assert!(world.memory.count(Table::Events) <= 1_101);
}

/// Every byte of every row, changed or cut off: answers or errors, never a panic.
#[test]
fn damaged_rows_do_not_panic() {
    let mut world = World::new(5, 1);
    let (account, mailbox) = (world.account, world.mailboxes[0]);
    let flags: FlagSet = [Flag::Keyword(Keyword::new("k").unwrap())].into_iter().collect();
    let name = MailboxName::new("m1").unwrap();
    world
        .memory
        .write(|tx| {
            devices::add(tx, account, "phone", [7; 32], b"scram".to_vec())?;
            let source = sources::add(tx, account, "/m".as_ref(), Some("a"), sources::After::Delete)?;
            let row = imported::Imported {
                hash: [1; 32],
                length: 2,
                modified: 4,
                missed_since: Some(3),
                filed: None,
                instance: None,
            };
            imported::put(tx, source, b".a", b"b", &row)?;
            let certificate = certificates::Certificate { chain: "a".to_owned(), key: "b".to_owned() };
            certificates::put(tx, "c", &certificate)?;
            let message = NewMessage { flags, ..new_message() };
            messages::append(tx, account, mailbox, &vec![message; 3])?;
            messages::expunge(tx, account, mailbox, &UidSet::from_iter([1_u32]), false)?;
            mailboxes::create(tx, account, &name, None)?;
            mailboxes::delete(tx, account, &name)
        })
        .unwrap();
    for table in Table::EVERY {
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            world.memory.rows(table).map(|(key, value)| (key.clone(), value.clone())).collect();
        for (key, value) in rows {
            for at in 0..value.len() {
                let mut changed = value.clone();
                changed[at] = changed[at].wrapping_add(127);
                for bytes in [&changed[..], &value[..at]] {
                    let put = |bytes: &[u8], world: &mut World| {
                        world.memory.write(|tx| {
                            tx.put(table, &key, bytes);
                            Ok(())
                        })
                    };
                    put(bytes, &mut world).unwrap();
                    read_everything(&mut world);
                    put(&value, &mut world).unwrap();
                }
            }
        }
    }
}

fn read_everything(world: &mut World) {
    let (account, mailbox, all) = (world.account, world.mailboxes[0], UidSet::all());
    let rows = &world.memory;
    let _ = (accounts::list(rows), devices::list(rows, account), sources::list(rows));
    let _ = (devices::by_key(rows, &[7; 32]), certificates::get(rows, "c"), certificates::list(rows));
    let _ = (mailboxes::list(rows, account), mailboxes::subscriptions(rows, account));
    let _ = (events::since(rows, account, ModSeq::ZERO), bin::size(rows, account), bin::accounts(rows));
    let _ = (changes::since(rows, account, mailbox, ModSeq::ZERO), messages::uids(rows, mailbox));
    let _ = (messages::emails(rows, &mut |_| ()), bin::emails(rows, &mut |_| ()));
    // Undone, so that the next damage meets what was there.
    let flags = FlagSet::from(SystemFlags::SEEN);
    let undone = |_| Err::<(), Error>(Error::Refused("undone"));
    let memory = &mut world.memory;
    let _ =
        memory.write(|tx| messages::append(tx, account, mailbox, &[new_message()]).and_then(|_| undone(())));
    let _ = memory.write(|tx| {
        messages::store_flags(tx, account, mailbox, &all, FlagChange::Add, &flags, None)
            .and_then(|_| undone(()))
    });
    let _ = memory.write(|tx| messages::expunge(tx, account, mailbox, &all, false).and_then(|_| undone(())));
    let _ = memory.write(|tx| bin::expire(tx, account, i64::MAX, 0).and_then(|_| undone(())));
    let _ = memory.write(|tx| accounts::remove(tx, account).and_then(undone));
}

#[test]
#[ignore = "a measurement: run it alone, optimised"]
fn speed() {
    let mut world = World::new(5, 1);
    let (account, mailbox) = (world.account, world.mailboxes[0]);
    let timed = |what: &str, job: &mut dyn FnMut()| {
        let start = std::time::Instant::now();
        job();
        println!("{what}: {:?}", start.elapsed());
    };
    let new = vec![new_message(); 100_000];
    let (all, seen) = (UidSet::all(), FlagSet::from(SystemFlags::SEEN));
    timed("append 100,000", &mut || {
        world.memory.write(|tx| messages::append(tx, account, mailbox, &new)).unwrap();
    });
    timed("scan", &mut || {
        let visit = &mut |_: &record::Record| Ok(ControlFlow::Continue(()));
        messages::scan(&world.memory, mailbox, 1..=u32::MAX, visit).unwrap();
    });
    timed("uids", &mut || _ = messages::uids(&world.memory, mailbox).unwrap());
    timed("store_flags of all", &mut || {
        world
            .memory
            .write(|tx| messages::store_flags(tx, account, mailbox, &all, FlagChange::Add, &seen, None))
            .unwrap();
    });
    let odd: UidSet = (0..50_000_u32).map(|n| n * 2 + 1).collect();
    let flagged = FlagSet::from(SystemFlags::FLAGGED);
    timed("store_flags of every other", &mut || {
        world
            .memory
            .write(|tx| messages::store_flags(tx, account, mailbox, &odd, FlagChange::Add, &flagged, None))
            .unwrap();
    });
    timed("since from the start", &mut || _ = world.since(0, ModSeq(9)));
    timed("changed_after, nothing", &mut || {
        _ = changed_after(&world.memory, mailbox, ModSeq(1 << 40)).unwrap();
    });
    timed("expunge every other", &mut || {
        world.memory.write(|tx| messages::expunge(tx, account, mailbox, &odd, false)).unwrap();
    });
}
