//! `messages/*.eml` and what FETCH says of each, in `expected.txt`: name, ENVELOPE, BODYSTRUCTURE.
//!
//! Each was compared with Dovecot 2.3 when it was written; where the two differ, the file's comment says why.
//! After a change that is meant, `BLESS=1 cargo test --test pure` writes the file anew, comments kept.

use std::collections::BTreeMap;
use std::path::PathBuf;

use postern::protocol::response::Dialect;

use crate::told::{digest, envelope_of, structure_of};

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pure")
}

/// Name and bytes of every message, in order.
pub fn messages() -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder().join("messages")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

/// As the file has it: line ends of literals as \r\n, other bytes as \xNN where they are not UTF-8.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| match c {
            '\r' => text.push_str("\\r"),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        });
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

#[test]
fn every_message_is_told_as_expected() {
    let file = folder().join("expected.txt");
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let mut comments: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut expected: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for block in text.split("\n\n") {
        let (noted, lines): (Vec<&str>, Vec<&str>) = block.lines().partition(|line| line.starts_with('#'));
        if let Some((name, told)) = lines.split_first() {
            comments.insert(name, noted);
            expected.insert(name, told.to_vec());
        }
    }
    let (mut wrong, mut blessed) = (Vec::new(), Vec::new());
    for (name, message) in messages() {
        let digest = digest(&message);
        let told = [shown(&envelope_of(&digest, Dialect::default())), shown(&structure_of(&digest, true))];
        if expected.get(name.as_str()).is_none_or(|wanted| *wanted != told) {
            wrong.push(format!("{name}\n{}\n{}", told[0], told[1]));
        }
        let mut block = comments.get(name.as_str()).cloned().unwrap_or_default().join("\n");
        if !block.is_empty() {
            block.push('\n');
        }
        blessed.push(format!("{block}{name}\n{}\n{}\n", told[0], told[1]));
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, blessed.join("\n")).unwrap();
        return;
    }
    assert!(messages().len() > 60 && expected.len() == messages().len(), "messages without expectation");
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n\n"));
}
