//! Catalogues: what was written is read; with any bytes changed no row is given that was not written, and it is never
//! taken for a whole one.

use postern::store::check::catalogue;
use postern::store::read_back;
use postern::store::schema::Table;

use super::{first, stored_rows};

type Row = (Table, Vec<u8>, Vec<u8>);

/// Rows of a seed.
const ROWS: usize = 12;

pub fn seeds() -> Vec<Vec<u8>> {
    let rows = stored_rows("index");
    let of = |name: &str| Table::EVERY.into_iter().find(|table| table.name() == name);
    let rows: Vec<Vec<u8>> = rows
        .iter()
        .filter(|(_, key, value)| key.len() < 256 && value.len() < 256)
        .filter_map(|(table, key, value)| {
            let head = [of(table)? as u8, key.len() as u8, value.len() as u8];
            Some([&head[..], key, value].concat())
        })
        .collect();
    let seeds = rows.chunks(ROWS).step_by(5).map(|rows| [&[0, 9, 40][..], &rows.concat()].concat());
    seeds.chain([b"\x01postern catalogue\x01\0\0\0\x56\0\0\0".to_vec()]).collect()
}

pub fn run(data: &[u8]) {
    let (kind, rest) = first(data);
    if kind % 8 == 1 {
        assert!(read(rest).1.is_none(), "bytes of no store are a whole catalogue");
        return;
    }
    let Some(([place, bit], rest)) = rest.split_first_chunk::<2>() else { return };
    let rows = rows(rest);
    let mut file = read_back::catalogue(&rows).unwrap();
    let whole = read(&file);
    assert_eq!(whole.0, rows);
    assert_eq!(whole.1, Some(rows.len() as u64));
    let at = file.len() * usize::from(*place) / 256;
    if bit % 16 < 8 {
        file[at] ^= 1 << (bit % 8);
    } else {
        file.truncate(at);
    }
    let (some, summary) = read(&file);
    assert!(rows.starts_with(&some), "a row is given that was never written");
    assert_eq!(summary, None, "changed at {at} of {}", file.len());
}

fn rows(mut rest: &[u8]) -> Vec<Row> {
    let mut rows = Vec::new();
    while let Some(([table, key, value], after)) = rest.split_first_chunk::<3>() {
        let (key, after) = after.split_at(usize::from(*key).min(after.len()));
        let (value, after) = after.split_at(usize::from(*value).min(after.len()));
        let table = Table::EVERY[usize::from(*table) % Table::EVERY.len()];
        rows.push((table, key.to_vec(), value.to_vec()));
        rest = after;
    }
    rows
}

/// The rows that are given, and how many there are if it is whole.
fn read(mut file: &[u8]) -> (Vec<Row>, Option<u64>) {
    let mut rows = Vec::new();
    let read = catalogue::read(&mut file, &mut |table, key, value| {
        rows.push((table, key.to_vec(), value.to_vec()));
        Ok(())
    });
    (rows, read.ok().map(|summary| summary.rows))
}
