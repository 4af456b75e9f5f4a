//! The catalogue: everything that an index holds and that cannot be derived from anything else, as one file that
//! shows whether it is whole. An index is made anew out of it (`postern check --repair`), and so is a store out
//! of a backup (`postern restore`).
//!
//! The file: `postern catalogue` 17 | version 4 | length of the head 4 | head | xxh3 of the head 8 | frames
//! (`frames`). The head: store id 16 | generation 8 | epoch 8 | sequence 8 | modseq 8 | time 8 | number 8 | mark of
//! the household 16 | length 1, program | the store's format 4. A later version may put more behind it. Rows are as they are stored, each
//! with its own version, table by table in the order of [`TABLES`], by key.

use std::io::{Read, Write};
use std::ops::ControlFlow;

use crate::store::base::error::Error;
use crate::store::base::rows::Rows;
use crate::store::base::schema::{SCHEMA_VERSION, Table};
use crate::store::check::frames::{Count, FrameReader, FrameWriter, damaged, sum};
use crate::store::content::snapshot::Snapshot;
use crate::store::household::accounts;
use crate::store::mailbox::mailboxes;

const MAGIC: &[u8; 17] = b"postern catalogue";
const VERSION: u32 = 1;
/// No head is longer.
const HEAD_MAX: usize = 4096;
/// What follows the magic, before the head.
const PREFACE: usize = MAGIC.len() + 8;
/// Behind every key.
const END: [u8; 512] = [0xff; 512];

/// The tables that it holds. What is left out: `changes` and `events`, which a rebuild or a restore drops anyway,
/// and `by_hash`, which follows from `emails`.
pub const TABLES: [Table; 16] = [
    Table::Settings,
    Table::Accounts,
    Table::Credentials,
    Table::DeviceKeys,
    Table::Certificates,
    Table::Sources,
    Table::Mailboxes,
    Table::Names,
    Table::Subscriptions,
    Table::Keywords,
    Table::Volumes,
    Table::Emails,
    Table::Messages,
    Table::Bin,
    Table::Threads,
    Table::Imported,
];

/// What follows from other tables, or goes with a restore.
pub const DERIVED: [Table; 3] = [Table::Changes, Table::Events, Table::ByHash];

/// What is called for each row of a catalogue.
pub type Visit<'a> = dyn FnMut(Table, &[u8], &[u8]) -> Result<(), Error> + 'a;

/// Which store a catalogue is of, and as of when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The store's id.
    pub store: [u8; 16],
    /// The store's generation.
    pub generation: u64,
    /// The journal's epoch.
    pub epoch: u64,
    /// The journal's record that it reached.
    pub sequence: u64,
    /// The last modseq given.
    pub modseq: u64,
    /// When it was written, in seconds since 1970.
    pub time: i64,
    /// One more than that of the catalogue before, where a store keeps several.
    pub number: u64,
    /// What the household looked like: see [`household`].
    pub household: [u8; 16],
    /// The version of the program that wrote it.
    pub program: String,
    /// The store's format: which versions its rows may have.
    pub format: u32,
}

/// What a catalogue holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Of which store, and when.
    pub head: Head,
    /// Rows.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// BLAKE3 of everything but the last frame: what names this catalogue.
    pub hash: [u8; 32],
}

/// Writes the catalogue of a snapshot: a stream, a few hundred kilobytes in memory whatever the store holds. Let
/// go of the snapshot when it is done.
///
/// # Errors
/// [`Error::Damaged`] where the index is; of reading and writing.
pub fn write(snapshot: &Snapshot, number: u64, now: i64, out: &mut dyn Write) -> Result<Summary, Error> {
    let place = snapshot.place()?;
    let head = Head {
        store: place.store,
        generation: place.generation,
        epoch: place.epoch,
        sequence: place.sequence,
        modseq: place.modseq,
        time: now,
        number,
        household: household(snapshot)?,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        format: SCHEMA_VERSION,
    };
    write_rows(snapshot, head, out)
}

/// As [`write`], of any rows.
pub(super) fn write_rows(rows: &dyn Rows, head: Head, out: &mut dyn Write) -> Result<Summary, Error> {
    let writing = |error| Error::io("writing a catalogue", error);
    let mut frames = FrameWriter::new(out);
    frames.plain(&encode_preface(&head)).map_err(writing)?;
    for table in TABLES {
        rows.scan(table, &[], &END, &mut |key, value| {
            frames.row(table as u8, key, value).map_err(writing)?;
            Ok(ControlFlow::Continue(()))
        })?;
    }
    let (Count { rows, bytes }, hash) = frames.finish().map_err(writing)?;
    Ok(Summary { head, rows, bytes, hash })
}

/// For tests: a catalogue of rows that are in the order of its tables, of no store.
pub(in crate::store) fn of_rows(
    rows: &[(Table, Vec<u8>, Vec<u8>)],
    out: &mut dyn Write,
) -> Result<Summary, Error> {
    let (writing, head) = (|error| Error::io("writing a catalogue", error), Head::default());
    let mut frames = FrameWriter::new(out);
    frames.plain(&encode_preface(&head)).map_err(writing)?;
    rows.iter().try_for_each(|(table, key, value)| frames.row(*table as u8, key, value)).map_err(writing)?;
    let (Count { rows, bytes }, hash) = frames.finish().map_err(writing)?;
    Ok(Summary { head, rows, bytes, hash })
}

/// Reads a catalogue, and gives every row to `visit`. Frame by frame: a row that is given is as it was written,
/// but only the end of the file shows that none is missing. Who must not begin before that is known reads it
/// twice, with [`verify`] first.
///
/// # Errors
/// [`Error::Damaged`]; [`Error::Incompatible`] for one of a newer version; of reading, and of `visit`.
pub fn read(input: &mut dyn Read, visit: &mut Visit<'_>) -> Result<Summary, Error> {
    let mut frames = FrameReader::new(input);
    let head = decode_preface(&mut frames)?;
    let (count, hash) = frames.rows(&mut |number, key, value| match Table::from_number(number) {
        Some(table) => visit(table, key, value),
        None => Err(newer(&head.program)),
    })?;
    Ok(Summary { head, rows: count.rows, bytes: count.bytes, hash })
}

/// Reads all of a catalogue, and whether it is whole.
///
/// # Errors
/// As [`read`].
pub fn verify(input: &mut dyn Read) -> Result<Summary, Error> {
    read(input, &mut |_, _, _| Ok(()))
}

/// What the household looks like: another mark after each change of what people set up (accounts, devices, sources,
/// certificates, mailboxes with their names and roles, subscriptions), the same whatever mail comes and goes.
///
/// # Errors
/// Of reading.
pub fn household(rows: &dyn Rows) -> Result<[u8; 16], Error> {
    let mut hasher = blake3::Hasher::new();
    let mut note = |table: Table, key: &[u8], value: &[u8]| {
        hasher.update(&[table as u8]);
        for part in [key, value] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    };
    let whole = [Table::Accounts, Table::DeviceKeys, Table::Certificates, Table::Sources, Table::Names];
    for table in whole.into_iter().chain([Table::Subscriptions]) {
        rows.scan(table, &[], &END, &mut |key, value| {
            note(table, key, value);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    for account in accounts::list(rows)? {
        for mailbox in mailboxes::list(rows, account.id)? {
            let role = mailbox.special_use.map_or(0, |role| role as u8);
            note(Table::Mailboxes, &mailbox.id.0.to_be_bytes(), &[role]);
        }
    }
    let mut mark = [0; 16];
    mark.iter_mut().zip(hasher.finalize().as_bytes()).for_each(|(to, from)| *to = *from);
    Ok(mark)
}

fn encode_preface(head: &Head) -> Vec<u8> {
    let program = head.program.as_bytes();
    let program = program.get(..program.len().min(255)).unwrap_or_default();
    let mut fields = head.store.to_vec();
    for number in [head.generation, head.epoch, head.sequence, head.modseq, head.time as u64, head.number] {
        fields.extend_from_slice(&number.to_le_bytes());
    }
    fields.extend_from_slice(&head.household);
    fields.push(program.len() as u8);
    fields.extend_from_slice(program);
    fields.extend_from_slice(&head.format.to_le_bytes());
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&(fields.len() as u32).to_le_bytes());
    out.extend_from_slice(&fields);
    out.extend_from_slice(&sum(&fields).to_le_bytes());
    out
}

fn decode_preface(frames: &mut FrameReader<'_>) -> Result<Head, Error> {
    let preface = frames.plain(PREFACE)?;
    let (magic, numbers) = preface.split_at_checked(MAGIC.len()).unwrap_or_default();
    if magic != MAGIC {
        return Err(damaged("it does not begin as one"));
    }
    let number = |at: usize| {
        numbers.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, u32::from_le_bytes)
    };
    let (version, length) = (number(0), number(4) as usize);
    if length > HEAD_MAX {
        return Err(damaged("its head's length cannot be"));
    }
    let fields = frames.plain(length)?;
    if frames.plain(8)? != sum(&fields).to_le_bytes() {
        return Err(damaged("its head's checksum does not fit"));
    }
    let head = decode_head(&fields).ok_or_else(|| damaged("its head cannot be read"))?;
    if version > VERSION || head.format > SCHEMA_VERSION {
        return Err(newer(&head.program));
    }
    Ok(head)
}

fn decode_head(fields: &[u8]) -> Option<Head> {
    let number = |n: usize| Some(u64::from_le_bytes(fields.get(16 + 8 * n..24 + 8 * n)?.try_into().ok()?));
    let length = usize::from(*fields.get(80)?);
    let program = String::from_utf8_lossy(fields.get(81..81 + length)?).into_owned();
    Some(Head {
        store: fields.get(..16)?.try_into().ok()?,
        generation: number(0)?,
        epoch: number(1)?,
        sequence: number(2)?,
        modseq: number(3)?,
        time: number(4)? as i64,
        number: number(5)?,
        household: fields.get(64..80)?.try_into().ok()?,
        program,
        format: u32::from_le_bytes(fields.get(81 + length..85 + length)?.try_into().ok()?),
    })
}

fn newer(program: &str) -> Error {
    Error::Incompatible(format!(
        "this catalogue was written by postern {program}: install that version or newer"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContentId, DateTime, FlagSet, MailboxName, SpecialUse};
    use crate::store::base::memory::Memory;
    use crate::store::base::rows::Transaction;
    use crate::store::base::settings;
    use crate::store::mailbox::messages::{self, NewMessage};

    fn head() -> Head {
        Head {
            store: [7; 16],
            generation: 1,
            epoch: 2,
            sequence: 3,
            modseq: 4,
            time: -5,
            number: 6,
            household: [8; 16],
            program: "0.1.0".to_owned(),
            format: SCHEMA_VERSION,
        }
    }

    fn filled() -> Memory {
        let mut memory = Memory::new();
        let account = memory.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        let inbox = mailboxes::by_name(&memory, account, &MailboxName::inbox()).unwrap().unwrap().id;
        let new: Vec<NewMessage> = (1..30_000)
            .map(|n| NewMessage {
                email: ContentId(n),
                size: n,
                internal_date: DateTime::utc(n as i64),
                flags: FlagSet::default(),
            })
            .collect();
        memory.write(|tx| messages::append(tx, account, inbox, &new)).unwrap();
        // What no compression makes small, so that there are several frames.
        let threads = |tx: &mut dyn Transaction| {
            for n in 0..15_000_u32 {
                let key = blake3::hash(&n.to_le_bytes());
                tx.put(Table::Threads, key.as_bytes().get(..20).unwrap(), key.as_bytes());
            }
            Ok(())
        };
        memory.write(threads).unwrap();
        memory
    }

    fn written(memory: &Memory) -> (Vec<u8>, Summary) {
        let mut bytes = Vec::new();
        let summary = write_rows(memory, head(), &mut bytes).unwrap();
        (bytes, summary)
    }

    #[test]
    fn every_table_is_in_it_or_derived() {
        let mut all: Vec<Table> = TABLES.into_iter().chain(DERIVED).collect();
        all.sort();
        assert_eq!(all, Table::EVERY);
    }

    #[test]
    fn what_is_written_is_read() {
        let memory = filled();
        let (bytes, summary) = written(&memory);
        let mut rows = 0;
        let read = read(&mut bytes.as_slice(), &mut |table, key, value| {
            rows += 1;
            assert_eq!(memory.get(table, key).unwrap().as_deref(), Some(value));
            Ok(())
        })
        .unwrap();
        assert_eq!((&read, &summary.head, rows), (&summary, &head(), summary.rows));
        let expected: usize = TABLES.iter().map(|table| memory.count(*table)).sum();
        assert_eq!(summary.rows, expected as u64);
        assert!(bytes.len() > 100_000, "{} bytes: more than one frame", bytes.len());
    }

    /// Flipped, cut, and longer: no damage goes unseen, and no row that is given is another than was written.
    #[test]
    fn damage_is_seen_wherever_it_is() {
        let memory = filled();
        let (bytes, _) = written(&memory);
        let places = (0..200).chain((200..bytes.len()).step_by(4999)).chain(bytes.len() - 70..bytes.len());
        let sound = |bytes: &[u8]| {
            let mut input = bytes;
            read(&mut input, &mut |table, key, value| {
                assert_eq!(memory.get(table, key).unwrap().as_deref(), Some(value));
                Ok(())
            })
        };
        for at in places {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            match sound(&changed) {
                Err(Error::Damaged(_) | Error::Incompatible(_)) => {}
                other => panic!("byte {at}: {other:?}"),
            }
            assert!(matches!(sound(&bytes[..at]), Err(Error::Damaged(_))), "cut at {at}");
        }
    }

    #[test]
    fn one_of_a_newer_program_is_refused_with_what_to_install() {
        let mut bytes = Vec::new();
        let head = Head { format: SCHEMA_VERSION + 1, program: "9.9.9".to_owned(), ..head() };
        write_rows(&Memory::new(), head, &mut bytes).unwrap();
        match verify(&mut bytes.as_slice()) {
            Err(Error::Incompatible(why)) => assert!(why.contains("9.9.9"), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn frames_of_two_catalogues_do_not_mix() {
        let mut memory = filled();
        let (one, _) = written(&memory);
        memory.write(|tx| settings::put(tx, "a", b"another")).unwrap();
        let (two, _) = written(&memory);
        let split = one.len() / 2;
        let mixed = [&one[..split], &two[two.len() - (one.len() - split)..]].concat();
        assert!(verify(&mut mixed.as_slice()).is_err());
        // The end of another: its frames are whole, but not these.
        let ended = [&one[..one.len() - 64], &two[two.len() - 64..]].concat();
        assert!(matches!(verify(&mut ended.as_slice()), Err(Error::Damaged(_))));
    }

    #[test]
    fn the_household_is_what_people_set_up() {
        let mut memory = filled();
        let account = accounts::by_name(&memory, "anna").unwrap().unwrap().id;
        let inbox = mailboxes::by_name(&memory, account, &MailboxName::inbox()).unwrap().unwrap().id;
        let before = household(&memory).unwrap();
        let message = NewMessage {
            email: ContentId(1),
            size: 1,
            internal_date: DateTime::utc(0),
            flags: FlagSet::default(),
        };
        memory.write(|tx| messages::append(tx, account, inbox, &[message])).unwrap();
        assert_eq!(household(&memory).unwrap(), before, "mail is not the household");
        let name = MailboxName::new("Bills").unwrap();
        let bills = memory.write(|tx| mailboxes::create(tx, account, &name, None)).unwrap();
        let made = household(&memory).unwrap();
        assert_ne!(made, before);
        let drafts = mailboxes::by_name(&memory, account, &MailboxName::new("Drafts").unwrap());
        let drafts = drafts.unwrap().unwrap().id;
        memory.write(|tx| mailboxes::set_special_use(tx, account, drafts, None)).unwrap();
        let role = Some(SpecialUse::Drafts);
        memory.write(|tx| mailboxes::set_special_use(tx, account, bills, role)).unwrap();
        assert_ne!(household(&memory).unwrap(), made, "a role");
    }
}
