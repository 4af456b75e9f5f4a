//! Rows of the index and the journal's bytes read back: a value or an error, and what is written is read again.

use postern::store::read_back;
use postern::store::schema::Table;

use super::{first, stored_rows};

/// Rows of each table that are seeds.
const OF_EACH: usize = 6;
/// In place of a table's number: the journal's bytes.
const JOURNAL: u8 = 0xff;

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for table in Table::EVERY {
        let of = stored_rows("index").into_iter().filter(|(name, ..)| name == table.name()).take(OF_EACH);
        for (_, key, value) in of {
            assert_eq!(read_back::row(table, &key, &value), Ok(true), "{} {key:?}", table.name());
            seeds.push([&[table as u8, key.len() as u8], &key[..], &value].concat());
        }
    }
    let journal = |bytes: &[u8]| [&[JOURNAL, 0], bytes].concat();
    seeds.extend(read_back::journal_heads(&[1, 2, 3, 4, 5, 6]).iter().map(|bytes| journal(bytes)));
    let mut rows = Vec::new();
    for (table, key, value) in
        [(4, &b"modseq"[..], Some(&b"\x01\x07"[..])), (11, b"\0\0\0\x01\0\0\0\x02", None)]
    {
        rows.extend_from_slice(&[0, 0, 0, 0, table]);
        rows.extend_from_slice(&(key.len() as u32).to_le_bytes());
        rows.extend_from_slice(&value.map_or(u32::MAX, |value| value.len() as u32).to_le_bytes());
        rows.extend_from_slice(&[key, value.unwrap_or_default()].concat());
    }
    seeds.push(journal(&rows));
    seeds
}

pub fn run(data: &[u8]) {
    let (table, rest) = first(data);
    let (length, rest) = first(rest);
    let told = match Table::from_number(table) {
        Some(table) => {
            let (key, value) = rest.split_at(usize::from(length).min(rest.len()));
            read_back::row(table, key, value).map(drop)
        }
        None => read_back::journal(rest).and_then(|()| heads(rest)),
    };
    assert_eq!(told, Ok(()));
}

/// What a journal says before its rows, with any numbers: read as it was written, or with a bit changed not at all.
fn heads(bytes: &[u8]) -> Result<(), String> {
    let (words, _) = bytes.as_chunks::<8>();
    let Some(words) = words.first_chunk::<6>() else { return Ok(()) };
    for mut head in read_back::journal_heads(&words.map(u64::from_le_bytes)) {
        read_back::journal(&head)?;
        let at = usize::from(bytes[0]) % head.len();
        head[at] ^= 1 << (bytes[1] % 8);
        read_back::journal(&head)?;
    }
    Ok(())
}
