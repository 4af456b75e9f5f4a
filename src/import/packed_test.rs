//! Files that Dovecot compressed or encrypted, and files that are no mail: what comes of them, what goes, what stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::destination::intake::Intake;
use super::disk::coding::Coding;
use super::disk::coding::tests::{ALL, packed};
use super::old::old_mail::{Report, Wishes, read};
use super::watch::scan_test::{bench, stored};
use super::watch::settling::UNCHANGED;
use crate::model::AccountId;
use crate::store::sources::After;
use crate::store::{Options, Store, accounts, mailboxes};

const TEXT: &str = "Subject: packed\n\nOne line,\r\nand another.\n";
const NAME: &str = "new/1700000000.a";

#[test]
fn what_dovecot_compressed_comes_as_it_was() {
    for coding in ALL {
        let mut keeps = bench(|_| After::Keep);
        keeps.deliver("cur/1700000000.a,S=70:2,S", packed(coding, TEXT.as_bytes()));
        for _ in 0..2 {
            keeps.look(true);
            keeps.restart();
            assert_eq!(keeps.texts(), [stored(TEXT)], "{coding:?}");
        }
        assert!(keeps.has("cur/1700000000.a,S=70:2,S"));
        assert_eq!(keeps.problems(), 0);

        let mut deletes = bench(|_| After::Delete);
        deletes.look(true);
        deletes.deliver(NAME, packed(coding, TEXT.as_bytes()));
        deletes.look(false);
        assert_eq!(deletes.texts(), [stored(TEXT)]);
        assert!(!deletes.has(NAME), "it is stored, and was renamed in");
        assert_eq!(deletes.problems(), 0);
    }
}

/// Saved by Windows.
#[test]
fn text_in_utf_16_becomes_utf_8() {
    let mut bench = bench(|_| After::Keep);
    bench.deliver(NAME, packed(Coding::Utf16, TEXT.replace("One", "Größe").as_bytes()));
    bench.look(true);
    assert_eq!(bench.texts(), [stored(&TEXT.replace("One", "Größe"))]);
    assert_eq!(bench.problems(), 0);
}

/// And half of one is none: it waits until it is whole.
#[test]
fn what_is_written_in_place_comes_when_it_is_whole() {
    let long = format!("Subject: long\n\n{}", (0..20_000).map(|n| format!("line {n}\n")).collect::<String>());
    for coding in ALL {
        let mut bench = bench(|_| After::Delete);
        bench.look(true);
        let whole = packed(coding, long.as_bytes());
        bench.write(NAME, &whole[..whole.len() / 2]);
        bench.look(false);
        assert_eq!((bench.count(), bench.problems()), (0, 1), "{coding:?}");
        bench.look_after(UNCHANGED + Duration::from_secs(1));
        assert!(bench.has(NAME), "however long it lay there");
        bench.write(NAME, &whole);
        bench.look(true);
        assert_eq!((bench.texts(), bench.problems()), (vec![stored(&long)], 0));
        bench.look_after(UNCHANGED + Duration::from_secs(1));
        assert!(!bench.has(NAME));
        assert_eq!(bench.count(), 1);
    }
}

#[test]
fn what_is_no_mail_or_cannot_be_read_stays_as_it_is_and_is_named() {
    let cut = packed(Coding::Gzip, TEXT.as_bytes());
    for (bytes, why) in [
        (&b"CRYPTED\x03\x07\x02\0\0\0\0\n\nx\n"[..], "encrypted"),
        (b"\xfd7zXZ\0\0\x04\xe6\xd6\n", "xz"),
        (b"\x7fELF\x02\x01\x01\0\0\n\n", "no mail"),
        (b"SQLite format 3\0\x10\n\0\x01", "no mail"),
        (&packed(Coding::Zstd, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "no mail"),
        (&cut[..cut.len() - 3], "not whole"),
    ] {
        for after in [After::Delete, After::Move("done".into()), After::Keep] {
            let mut bench = bench(|folder| match after {
                After::Move(name) => After::Move(folder.join(name)),
                other => other,
            });
            bench.look(true);
            bench.deliver(NAME, bytes);
            for _ in 0..2 {
                bench.look(true);
                bench.look_after(UNCHANGED + Duration::from_secs(1));
            }
            assert_eq!(bench.count(), 0, "{why}");
            assert_eq!(fs::read(bench.path(NAME)).unwrap(), bytes);
            bench.look(true);
            let left = bench.scanner.status().left_alone.clone();
            assert_eq!(left.count, 1);
            assert!(left.names.iter().all(|name| name.contains(why)), "{left:?}");
        }
    }
}

/// It may be a message that lost its header: it comes, once, and stays.
#[test]
fn what_has_no_field_of_mail_comes_and_is_never_removed() {
    for text in ["Milk: two bottles\n", "BEGIN:VCARD\nVERSION:3.0\nEND:VCARD\n", "\nOnly a body.\n"] {
        let mut bench = bench(|_| After::Delete);
        bench.look(true);
        bench.deliver(NAME, text);
        for _ in 0..3 {
            bench.look(true);
            bench.look_after(UNCHANGED + Duration::from_secs(1));
            bench.restart();
        }
        assert_eq!(bench.texts(), [stored(text)]);
        assert_eq!(fs::read_to_string(bench.path(NAME)).unwrap(), text);
        assert_eq!(bench.problems(), 1);
    }
}

pub(super) fn account() -> (tempfile::TempDir, Store, AccountId) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(folder.path().join("data"))).unwrap();
    let account = store.write(|tx| accounts::create(tx, "anna", None)).unwrap();
    (folder, store, account)
}

pub(super) fn import(store: &Store, account: AccountId, paths: &[PathBuf]) -> Report {
    let mut intake = Intake::new(store.clone(), account, None);
    read(paths, Wishes::default(), &mut intake, &mut |_| {}).unwrap()
}

pub(super) fn counts(store: &Store, account: AccountId) -> Vec<(String, u32)> {
    let list = mailboxes::list(&store.snapshot().unwrap(), account).unwrap();
    let filled = list.iter().filter(|mailbox| mailbox.messages > 0);
    filled.map(|mailbox| (mailbox.name.as_str().to_owned(), mailbox.messages)).collect()
}

pub(super) fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    let old = SystemTime::now() - Duration::from_secs(60);
    fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
}

#[test]
fn an_import_unpacks_what_it_can_and_names_what_it_cannot() {
    let (folder, store, account) = account();
    let root = folder.path().join("Maildir");
    for (n, coding) in ALL.into_iter().enumerate() {
        let text = format!("Subject: {n}\n\nx\n");
        put(&root.join(format!("cur/170000000{n}.{n}:2,S")), packed(coding, text.as_bytes()));
        put(&root.join(format!(".Work/cur/170000000{n}.{n}")), packed(coding, text.as_bytes()));
    }
    put(&root.join("cur/1700000010.e:2,"), b"CRYPTED\x03\x07\x02\0");
    put(&root.join("cur/1700000011.b:2,"), b"\0\0\0\0");
    let cut = packed(Coding::Zstd, TEXT.as_bytes());
    put(&root.join("cur/1700000012.c:2,"), &cut[..cut.len() - 2]);
    let report = import(&store, account, &[root]);
    assert_eq!((report.failed, report.skipped_count), (2, 3), "{report:?}");
    assert_eq!(counts(&store, account), [("INBOX".to_owned(), 4), ("Work".to_owned(), 4)]);
}

#[test]
fn old_files_of_messages_come_out_of_any_packing() {
    let mbox = "From a@b Tue Jan  9 14:00:00 2024\nSubject: one\n\nx\n\n";
    for (coding, ending) in ALL.into_iter().zip(["gz", "zst", "bz2", "lz4"]) {
        let (folder, store, account) = account();
        let (single, tar) = (folder.path().join(format!("Old.mbox.{ending}")), folder.path().join("all.tar"));
        put(&single, packed(coding, mbox.as_bytes()));
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(mbox.len() as u64);
        header.set_mode(0o600);
        builder.append_data(&mut header, "Mail/Sent", mbox.as_bytes()).unwrap();
        put(&tar, packed(coding, &builder.into_inner().unwrap()));
        let report = import(&store, account, &[single, tar]);
        assert_eq!((report.failed, report.skipped_count, report.found), (0, 0, 2), "{report:?}");
        assert_eq!(counts(&store, account), [("Old".to_owned(), 1), ("Sent".to_owned(), 1)], "{coding:?}");
    }
}

/// What is named by itself must be mail; an address book beside it is nobody's loss, and is told of.
#[test]
fn what_is_named_and_is_no_mail_is_skipped_with_words() {
    let (folder, store, account) = account();
    let named = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        put(&path, bytes);
        path
    };
    let paths = [
        named("contacts.vcf", b"BEGIN:VCARD\nVERSION:3.0\nEND:VCARD\n"),
        named("data.json", b"{\"to\": 1}\n"),
        named("list.txt", b"Milk: two bottles\n"),
        named("old.mbox.xz", b"\xfd7zXZ\0\0\x04"),
        named("photo.eml", b"\x89PNG\r\n\0\0"),
        named("message", b"Message-Id: <1@example.org>\n\nx\n"),
        named("odd.eml", b"no header at all\n"),
    ];
    let report = import(&store, account, &paths);
    assert_eq!((report.found, report.skipped_count), (2, 5), "{report:?}");
    assert!(report.skipped.iter().any(|skipped| skipped.why.contains("xz -d")));
}
