//! Every row of a store, as it lies in its files: a line each of file, table, key and value, in hexadecimal. Of a
//! piece of content, which is only bytes, length and BLAKE3.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use super::telling::hex;
use crate::store::engine::database::{File, Kind};
use crate::store::env::{Paths, RealDisk};
use crate::store::schema::{Table, VolumeTable};

pub(super) fn rows_of(data: &Path) -> String {
    let paths = Paths { data: data.to_owned() };
    let mut out = String::new();
    let tables = Table::EVERY.map(|table| (table as u8, table.name()));
    file_rows(&mut out, &paths.index(), Kind::Index, &tables);
    let mut volumes: Vec<u32> = std::fs::read_dir(paths.mail())
        .unwrap()
        .filter_map(|entry| Paths::volume_number(entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    volumes.sort_unstable();
    let tables = VolumeTable::EVERY.map(|table| (table as u8, table.name()));
    for number in volumes {
        file_rows(&mut out, &paths.volume(number), Kind::Volume, &tables);
    }
    out
}

fn file_rows(out: &mut String, path: &Path, kind: Kind, tables: &[(u8, &str)]) {
    let file = Arc::new(File::open(&RealDisk, path, kind, 1 << 20, false).unwrap());
    let view = file.view().unwrap();
    let name = path.file_stem().unwrap().to_str().unwrap();
    for (number, table) in [(0, "meta")].iter().chain(tables) {
        let mut rows = view.range(*number, &[], &[0xff; 64]).unwrap();
        while let Some((key, value)) = rows.step(false).unwrap() {
            let value = match *table {
                "content" => format!("{} bytes {}", value.len(), blake3::hash(&value).to_hex()),
                _ => hex(&value),
            };
            writeln!(out, "{name} {table} {} {value}", hex(&key)).unwrap();
        }
    }
    file.give_up();
}
