//! FORMAT.md held against rows: its tables of fields are read, and every golden row must consist of just these, and so
//! must what this version writes for it.

use std::collections::BTreeMap;

use super::{fixture, open, text, unpack};
use crate::model::{AccountId, DeviceId, MailboxId, ModSeq, SourceId};
use crate::store::base::row::Row;
use crate::store::base::settings::Setting;
use crate::store::bin::{Entry, EntryId};
use crate::store::changes::Change;
use crate::store::devices::Holder;
use crate::store::events::{self, Event};
use crate::store::mailbox::mailbox_row::Named;
use crate::store::mailboxes::{Mailbox, Subscribed};
use crate::store::schema::{SCHEMA_VERSION, Table};
use crate::store::volumes::VolumeRow;
use crate::store::{accounts, certificates, devices, emails, imported, record, sources};

const DOCUMENT: &str = include_str!("../FORMAT.md");

/// A field's name and kind.
type Fields = Vec<(String, String)>;

/// A table of fields: behind the heading `### section (N)`, the one whose header begins with `header`.
fn fields(section: Option<&str>, header: &str) -> Option<Fields> {
    let text = match section {
        Some(section) => &DOCUMENT[DOCUMENT.find(&format!("\n### {section} ("))? + 1..],
        None => DOCUMENT,
    };
    let mut lines = text.lines();
    let own = |line: &&str| section.is_some() && line.starts_with("##");
    lines
        .by_ref()
        .skip(1)
        .take_while(|line| !own(line))
        .find(|line| line.starts_with(&format!("| {header} |")))?;
    let rows =
        lines.skip(1).map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit_once(" | "));
    Some(rows.map(|(name, kind)| (name.to_owned(), kind.trim_matches('`').to_owned())).collect())
}

/// The newest version that a section tells of.
fn newest(section: &str) -> u8 {
    (1..=u8::MAX)
        .take_while(|version| fields(Some(section), &format!("version {version}")).is_some())
        .last()
        .unwrap()
}

/// Bytes taken apart as the document says.
struct Taken<'a> {
    rest: &'a [u8],
    /// The numbers among the fields.
    numbers: BTreeMap<String, u64>,
}

impl<'a> Taken<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Taken { rest: bytes, numbers: BTreeMap::new() }
    }

    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(count).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: u64) -> Option<u64> {
        Some(self.take(bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.number(1)?;
            number |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A field of a kind; gives its number, if it is one.
    fn field(&mut self, kind: &str) -> Option<u64> {
        if let Some((condition, kind)) = kind.split_once(": ") {
            let (name, value) = condition.split_once(" = ")?;
            let is = *self.numbers.get(name)? == value.parse::<u64>().ok()?;
            return if is { self.field(kind) } else { Some(0) };
        }
        if let Some((count, kinds)) = kind.split_once(" × ") {
            for _ in 0..*self.numbers.get(count)? {
                kinds.split(' ').try_for_each(|kind| self.field(kind).map(drop))?;
            }
            return Some(0);
        }
        if let Some(kind) = kind.strip_prefix("option ") {
            return match self.number(1)? {
                0 => Some(0),
                1 => self.field(kind),
                _ => None,
            };
        }
        if let Some(count) = kind.strip_suffix(" bytes") {
            return self.take(count.parse().ok()?).map(|_| 0);
        }
        match kind {
            "u8" => self.number(1),
            "u32" => self.number(4),
            "u64" | "i64" => self.number(8),
            "varint" => self.varint(),
            "text" | "bytes" => {
                let count = self.varint()?;
                self.take(count).map(|_| 0)
            }
            "rest" => self.take(self.rest.len() as u64).map(|_| 0),
            "uids" => {
                for _ in 0..self.varint()? * 2 {
                    self.varint()?;
                }
                Some(0)
            }
            "block" => self.block(),
            _ => panic!("FORMAT.md: no field is a {kind}"),
        }
    }

    fn block(&mut self) -> Option<u64> {
        let start = fields_of_blocks()?;
        let (columns, head) = start.split_last()?;
        assert!(columns.0.starts_with("nine columns"));
        for (name, kind) in head {
            let number = self.field(kind)?;
            self.numbers.insert(format!("block {name}"), number);
        }
        let count = *self.numbers.get("block count")?;
        for _ in 0..9 {
            let widths = self.number(1)?;
            self.take((widths >> 4) + (widths & 15) * count)?;
        }
        Some(0)
    }

    fn all(&mut self, fields: &Fields) -> Result<(), String> {
        for (name, kind) in fields {
            let number = self.field(kind).ok_or_else(|| format!("{name} is no {kind}"))?;
            let short = name.split([',', ';']).next().unwrap_or(name);
            self.numbers.insert(short.to_owned(), number);
        }
        if self.rest.is_empty() { Ok(()) } else { Err(format!("{} bytes are left", self.rest.len())) }
    }
}

fn fields_of_blocks() -> Option<Fields> {
    let at = DOCUMENT.find("### Blocks")?;
    let lines = DOCUMENT[at..].lines().skip_while(|line| !line.starts_with("| field |")).skip(2);
    let rows = lines.map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit_once(" | "));
    Some(rows.map(|(name, kind)| (name.to_owned(), kind.trim_matches('`').to_owned())).collect())
}

fn check_value(section: &str, value: &[u8]) {
    let version = value[0];
    let fields = fields(Some(section), &format!("version {version}"))
        .unwrap_or_else(|| panic!("FORMAT.md tells of no version {version} of {section}"));
    // The version of a block is its own first byte.
    let own = if section == "messages" { value } else { &value[1..] };
    Taken::of(own).all(&fields).unwrap_or_else(|why| panic!("a row of {section}, version {version}: {why}"));
}

fn check_key(section: &str, key: &[u8]) {
    let at =
        DOCUMENT.find(&format!("\n### {section} (")).unwrap_or_else(|| panic!("no section of {section}"));
    let parts = DOCUMENT[at..].split("\nKey: `").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
    let mut taken = Taken::of(key);
    for part in parts.split(", ") {
        let words: Vec<&str> = part.split(' ').collect();
        let kind = match words.as_slice() {
            [.., count, "bytes"] => format!("{count} bytes"),
            [.., last] if ["u8", "u32", "u64", "rest"].contains(last) => (*last).to_owned(),
            _ => continue,
        };
        taken.field(&kind).unwrap_or_else(|| panic!("a key of {section}: {part}"));
    }
    assert!(taken.rest.is_empty(), "a key of {section} is longer than {parts}");
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// What this version writes for a row.
fn again<R: Row>(section: &str, table: Table, key: R::Key, value: &[u8]) -> Vec<u8> {
    assert_eq!((R::TABLE, R::VERSION), (table, newest(section)), "FORMAT.md, {section}");
    R::from_bytes(key, value).unwrap().to_bytes()
}

fn written_anew(table: Table, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let number = |at: usize| u32::from_be_bytes(key[at..at + 4].try_into().unwrap());
    let modseq = || ModSeq(u64::from_be_bytes(key[4..12].try_into().unwrap()));
    let name = table.name();
    Some(match table {
        Table::Accounts => again::<accounts::Account>(name, table, AccountId(number(0)), value),
        Table::Credentials => {
            again::<devices::Device>(name, table, (AccountId(number(0)), DeviceId(number(4))), value)
        }
        Table::DeviceKeys => again::<Holder>(name, table, (), value),
        Table::Settings if key == crate::store::settings::OBJECT_KEY => return None,
        Table::Settings => again::<Setting>(name, table, (), value),
        Table::Certificates => again::<certificates::Certificate>(name, table, (), value),
        Table::Sources => again::<sources::Source>(name, table, SourceId(number(0)), value),
        Table::Volumes => again::<VolumeRow>(name, table, (), value),
        Table::Mailboxes => {
            again::<Mailbox>(name, table, (AccountId(number(0)), MailboxId(number(4))), value)
        }
        Table::Names => again::<Named>(name, table, (), value),
        Table::Subscriptions => again::<Subscribed>(name, table, (), value),
        Table::Messages => record::encode(&record::decode(value).unwrap()),
        Table::Keywords => again::<crate::model::Keyword>(name, table, MailboxId(number(0)), value),
        Table::Changes => again::<Change>(name, table, (), value),
        Table::Events if modseq() == ModSeq::ZERO => again::<events::Kept>(name, table, (), value),
        Table::Events => again::<Event>(name, table, modseq(), value),
        Table::Emails => again::<emails::EmailRow>(name, table, (), value),
        Table::Imported => again::<imported::Imported>(name, table, (), value),
        Table::Bin => again::<Entry>(name, table, EntryId { modseq: modseq(), number: number(12) }, value),
        Table::ByHash | Table::Threads => return None,
    })
}

/// The rows of the index and the volumes: file, table, key and value.
fn golden(format: u32) -> Vec<(String, String, Vec<u8>, Vec<u8>)> {
    let row = |line: &str| {
        let mut parts = line.split(' ');
        let mut next = || parts.next().unwrap_or_default().to_owned();
        let (file, table, key, value) = (next(), next(), next(), next());
        // Of content there is only how long it is.
        let value = if table == "content" { Vec::new() } else { unhex(&value) };
        (file, table, unhex(&key), value)
    };
    text(&format!("format-{format}-rows.txt")).lines().map(row).collect()
}

#[test]
fn golden_rows_are_as_the_document_says_and_as_this_version_writes_them() {
    for format in super::FORMATS {
        let mut tables = BTreeMap::new();
        for (file, name, key, value) in golden(format) {
            if name == "meta" {
                continue;
            }
            *tables.entry(name.clone()).or_insert(0) += 1;
            check_key(&name, &key);
            let table = Table::EVERY.into_iter().find(|table| table.name() == name && file == "index");
            let Some(table) = table else {
                // A volume's: this version writes head and digest as it did, only compressed anew.
                if name != "content" {
                    check_value(&name, &value);
                }
                continue;
            };
            let is_floor = table == Table::Events && key[4..12] == [0; 8];
            match written_anew(table, &key, &value) {
                None => assert_eq!(value.len(), if table == Table::ByHash { 8 } else { 16 }, "{name}"),
                Some(anew) => {
                    if !is_floor {
                        check_value(&name, &value);
                        check_value(&name, &anew);
                    }
                    assert!(anew[0] != value[0] || anew == value, "a row of {name} is written otherwise");
                    assert!(anew[0] >= value[0], "{name}");
                }
            }
        }
        let every = Table::EVERY.len() + crate::store::schema::VolumeTable::EVERY.len();
        assert_eq!(tables.len(), every, "a row of every table: {tables:?}");
    }
}

/// The numbers among a row's fields, by name, as the document has them.
fn numbers(section: &str, value: &[u8]) -> BTreeMap<String, u64> {
    let mut taken = Taken::of(&value[1..]);
    taken.all(&fields(Some(section), &format!("version {}", value[0])).unwrap()).unwrap();
    taken.numbers
}

/// Fields of the same length in another order would fit all the same.
#[test]
fn fields_are_in_the_order_of_the_document() {
    let mut compared = 0;
    for (file, name, key, value) in golden(1) {
        let Some(table) = Table::EVERY.into_iter().find(|table| table.name() == name && file == "index")
        else {
            continue;
        };
        let number = |at: usize| u32::from_be_bytes(key[at..at + 4].try_into().unwrap());
        let expected: Vec<(&str, u64)> = match table {
            Table::Mailboxes => {
                let id = (AccountId(number(0)), MailboxId(number(4)));
                let mailbox = Mailbox::from_bytes(id, &value).unwrap();
                vec![
                    ("UIDVALIDITY", mailbox.uid_validity.get().into()),
                    ("UIDNEXT", mailbox.uid_next.into()),
                    ("HIGHESTMODSEQ", mailbox.highest_modseq.0),
                    ("special use", mailbox.special_use.map_or(0, |special_use| special_use as u64)),
                    ("first unseen UID", mailbox.first_unseen.map_or(0, |uid| uid.get().into())),
                    ("floor", mailbox.floor.0),
                    ("messages", mailbox.messages.into()),
                    ("unseen", mailbox.unseen.into()),
                    ("deleted", mailbox.deleted.into()),
                    ("size", mailbox.size),
                    ("created", mailbox.created as u64),
                ]
            }
            Table::Emails => {
                let row = emails::EmailRow::from_bytes((), &value).unwrap();
                vec![
                    ("key of its rows in the volumes", row.content.0),
                    ("volume of head and content", row.content_volume.into()),
                    ("volume of the digest", row.digest_volume.into()),
                    ("size", row.size),
                    ("bytes of the header block", row.header_len.into()),
                    ("bytes taken in the volumes", row.stored),
                ]
            }
            Table::Volumes => {
                let row = VolumeRow::from_bytes((), &value).unwrap();
                vec![
                    ("generation", row.generation),
                    ("bytes of content in it", row.live),
                    ("of these dead", row.dead),
                    ("damaged", row.damaged.into()),
                ]
            }
            Table::Imported => {
                let row = imported::Imported::from_bytes((), &value).unwrap();
                vec![("its length", row.length), ("modified", row.modified as u64)]
            }
            Table::Accounts => {
                let account = accounts::Account::from_bytes(AccountId(number(0)), &value).unwrap();
                vec![("created", account.created as u64), ("disabled", account.disabled.into())]
            }
            _ => continue,
        };
        let found = numbers(&name, &value);
        for (field, number) in expected {
            assert_eq!(found.get(field), Some(&number), "{field} of {name}");
            compared += 1;
        }
    }
    assert!(compared > 500, "{compared}");
}

#[test]
fn every_fact_of_a_file_is_in_the_document() {
    let folder = unpack("format-1-unclean.tar.gz");
    open(folder.path(), 5).close().unwrap();
    let rows = super::golden::rows_of(folder.path());
    let known: Vec<(&str, &str)> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once(" |"))
        .filter_map(|(key, rest)| Some((key.split('`').next()?, rest.split('`').nth(1)?)))
        .collect();
    let mut facts = 0;
    for line in rows.lines().filter(|line| line.split(' ').nth(1) == Some("meta")) {
        let parts: Vec<&str> = line.split(' ').collect();
        let (key, value) = (unhex(parts[2]), unhex(parts.get(3).unwrap_or(&"")));
        let name = String::from_utf8_lossy(&key).into_owned();
        let name = if key.starts_with(b"volume") { "volume" } else { &name };
        let kind = known.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        let kind = kind.unwrap_or_else(|| panic!("FORMAT.md does not tell of {name} in meta"));
        let mut taken = Taken::of(&value);
        assert!(taken.field(kind).is_some() && taken.rest.is_empty(), "{name} is no {kind}");
        facts += 1;
    }
    assert!(facts > 20, "{facts}");
}

fn check_records(segment: &[u8], from: usize) -> usize {
    let (record, row) = (fields(None, "record").unwrap(), fields(None, "row").unwrap());
    let mut found = 0;
    for at in (from..segment.len()).step_by(4096).filter(|at| segment[*at..].starts_with(b"PJR1")) {
        let mut taken = Taken::of(&segment[at..]);
        let left = taken.all(&record).unwrap_err();
        assert!(left.ends_with("bytes are left"), "{left}");
        let length = usize::try_from(taken.numbers["length of the payload"]).unwrap();
        assert_eq!(segment.len() - at - taken.rest.len(), 72 + length);
        let mut payload = &segment[at + 72..at + 72 + length];
        while !payload.is_empty() {
            let mut taken = Taken::of(payload);
            let (value, head) = row.split_last().unwrap();
            assert_eq!(value.0, "value");
            let _ = taken.all(&head.to_vec());
            let length = taken.numbers["length of the value"];
            taken.take(if length == u64::from(u32::MAX) { 0 } else { length }).expect("a value");
            payload = taken.rest;
        }
        found += 1;
    }
    found
}

#[test]
fn the_journal_is_as_the_document_says() {
    let folder = unpack("format-1-unclean.tar.gz");
    let read = |n: u32| std::fs::read(folder.path().join(format!("journal/{n:04}.journal"))).unwrap();
    let of_format_1: usize = (0..3).map(|n| check_records(&read(n), 0)).sum();
    assert!(of_format_1 > 5, "{of_format_1}");
    let store = open(folder.path(), 5);
    store.write(|tx| crate::store::settings::put(tx, "a", b"b")).unwrap();
    let mut records = 0;
    for n in 0..3 {
        let segment = read(n);
        if segment.starts_with(b"PJS1") {
            let left = Taken::of(&segment).all(&fields(None, "title").unwrap()).unwrap_err();
            assert_eq!(left, format!("{} bytes are left", segment.len() - 72));
            records += check_records(&segment, 4096);
        }
    }
    assert!(records > 1, "{records}");
}

#[test]
fn the_document_tells_of_this_format() {
    assert!(DOCUMENT.contains(&format!("\n| {SCHEMA_VERSION} | ")), "format {SCHEMA_VERSION}");
    for table in Table::EVERY {
        assert!(
            DOCUMENT.contains(&format!("\n### {} ({})\n", table.name(), table as u8)),
            "{}",
            table.name()
        );
    }
    assert!(fixture("").is_dir());
}
