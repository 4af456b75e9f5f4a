//! Old mail of other programs: what is read of it, where it goes, and that nothing of it is passed over in silence.

use std::ops::ControlFlow;

use super::destination::intake::Intake;
use super::old::old_mail::{Wishes, read};
use super::packed_test::{account, counts, import, put};
use super::watch::scan_test::text_of;
use crate::model::{AccountId, MailboxName, SystemFlags};
use crate::store::record::Record;
use crate::store::{Store, mailboxes, messages};

fn mail(n: u32) -> String {
    format!("Subject: {n}\n\nMessage {n}.\n")
}

/// Text and flags of each message of a mailbox, and its INTERNALDATE.
fn held(store: &Store, account: AccountId, name: &str) -> Vec<(String, SystemFlags, i64)> {
    let (snapshot, name) = (store.snapshot().unwrap(), MailboxName::new(name).unwrap());
    let mailbox = mailboxes::by_name(&snapshot, account, &name).unwrap().unwrap();
    let mut records = Vec::new();
    messages::scan(&snapshot, mailbox.id, 1..=u32::MAX, &mut |record| {
        records.push(*record);
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    let shown = |record: &Record| (text_of(&snapshot, record.email), record.flags, record.internal_date.unix);
    records.iter().map(shown).collect()
}

#[test]
fn kmail() {
    let (folder, store, account) = account();
    let root = folder.path().join("local-mail");
    for (n, at) in [
        "inbox/cur",
        ".inbox.directory/Lists/cur",
        ".inbox.directory/.Lists.directory/Rust/cur",
        "sent-mail/cur",
    ]
    .into_iter()
    .enumerate()
    {
        put(&root.join(at).join(format!("170000000{n}.{n}:2,S")), mail(n as u32));
    }
    // An old one keeps folders as mboxes beside their indexes.
    put(&root.join(".inbox.directory/2003"), format!("From a@b Tue Jan  9 14:00:00 2024\n{}\n", mail(9)));
    put(&root.join(".inbox.directory/.2003.index"), "# KMail-Index V1506\n\0\0");
    let report = import(&store, account, &[root]);
    assert_eq!((report.failed, report.skipped_count, report.found), (0, 0, 5), "{report:?}");
    let wanted = [("INBOX", 1), ("INBOX/2003", 1), ("INBOX/Lists", 1), ("INBOX/Lists/Rust", 1), ("Sent", 1)];
    let mut found = counts(&store, account);
    found.sort();
    let wanted: Vec<_> = wanted.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(found, wanted);
}

#[test]
fn mh_in_the_order_of_its_numbers_with_its_marks() {
    let (folder, store, account) = account();
    let root = folder.path().join("Mail");
    for n in [1, 2, 9, 10, 100] {
        put(&root.join("Lists/rust").join(n.to_string()), mail(n));
    }
    put(&root.join("Lists/rust/.mh_sequences"), "cur: 2\nunseen: 9-10\nreplied: 100\n");
    put(&root.join("Lists/rust/,3"), mail(3));
    put(&root.join("Plain/1"), mail(1));
    put(&root.join("Plain/2"), "no mail\n");
    let report = import(&store, account, &[root]);
    assert_eq!((report.failed, report.found), (0, 6), "{report:?}");
    let found = held(&store, account, "Lists/rust");
    let subjects: Vec<_> = found.iter().map(|(text, ..)| text.lines().next().unwrap().to_owned()).collect();
    assert_eq!(subjects, ["Subject: 1", "Subject: 2", "Subject: 9", "Subject: 10", "Subject: 100"]);
    let seen: Vec<_> = found.iter().map(|(_, flags, _)| flags.contains(SystemFlags::SEEN)).collect();
    assert_eq!(seen, [true, true, false, false, true]);
    assert!(found[4].1.contains(SystemFlags::ANSWERED));
    assert!(!held(&store, account, "Plain")[0].1.contains(SystemFlags::SEEN), "nothing tells");
}

#[test]
fn apple_mail() {
    let (folder, store, account) = account();
    let root = folder.path().join("V10");
    let emlx = |text: &str, flags: u32| {
        let list = format!(
            "<plist><dict>\n<key>date-received</key>\n<integer>1388534400</integer>\n<key>flags</key>\n\
             <integer>{flags}</integer>\n</dict></plist>\n"
        );
        format!("{}\n{text}{list}", text.len())
    };
    put(&root.join("A-1/INBOX.mbox/B-2/Data/1/Messages/11.emlx"), emlx(&mail(1), 0x11));
    put(&root.join("A-1/Work.mbox/Old.mbox/B-3/Data/Messages/12.emlx"), emlx(&mail(2), 0));
    put(&root.join("A-1/Work.mbox/B-3/Data/Messages/13.emlx"), "400\nSubject: cut\n\n");
    put(&root.join("A-1/Work.mbox/B-3/Data/Messages/14.emlx"), "Subject: no length\n\n");
    let report = import(&store, account, &[root]);
    assert_eq!((report.failed, report.skipped_count, report.found), (1, 2, 2), "{report:?}");
    let [(text, flags, date)] = &held(&store, account, "INBOX")[..] else { panic!("not one message") };
    assert_eq!((text.as_str(), *date), ("Subject: 1\r\n\r\nMessage 1.\r\n", 1_388_534_400));
    assert!(flags.contains(SystemFlags::SEEN) && flags.contains(SystemFlags::FLAGGED));
    assert_eq!(held(&store, account, "Work/Old").len(), 1);
}

/// What is mail and is not read is counted, and its owner told what to do.
#[test]
fn other_forms_are_named() {
    let (folder, store, account) = account();
    let root = folder.path().join("old");
    for n in 0..30 {
        put(&root.join(format!("sdbox/mailboxes/INBOX/dbox-Mails/u.{n}")), "2 M1e C4\n\0\0");
    }
    put(&root.join("mdbox/storage/m.1"), "2 M1e C4\n\0\0");
    put(&root.join("Outlook/archive.pst"), "!BDN\0\0\0");
    put(&root.join("Outlook/one.msg"), b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0");
    put(&root.join("Express/Inbox.dbx"), b"\xcf\xad\x12\xfe\xc5\xfd");
    put(&root.join("texts/letter.txt"), mail(1));
    put(&root.join("texts/todo.txt"), "Milk: two bottles\n");
    put(&root.join("texts/photo.jpg"), b"\xff\xd8\xff\0");
    let report = import(&store, account, &[root]);
    assert_eq!((report.found, report.failed, report.skipped_count), (0, 0, 35), "{report:?}");
    let told = report.skipped.iter().map(|one| format!("{} {}\n", one.what, one.why)).collect::<String>();
    for words in
        ["dbox-Mails: 30 files Dovecot", "readpst", "msgconvert", "undbx", "texts: 1 file looks like"]
    {
        assert!(told.contains(words), "no {words} in\n{told}");
    }
}

#[test]
fn a_single_file_goes_into_the_mailbox_that_was_named() {
    let (folder, store, account) = account();
    let mbox = format!("From a@b Tue Jan  9 14:00:00 2024\n{}\n", mail(1));
    put(&folder.path().join("m.mbox"), &mbox);
    put(&folder.path().join("one.eml"), mail(2));
    put(&folder.path().join("more/x.mbox"), &mbox);
    let into = |paths: &[&str], name: &str| {
        let paths: Vec<_> = paths.iter().map(|path| folder.path().join(path)).collect();
        let mut intake = Intake::new(store.clone(), account, Some(MailboxName::new(name).unwrap()));
        let wishes = Wishes { below: true, ..Wishes::default() };
        read(&paths, wishes, &mut intake, &mut |_| {}).unwrap();
    };
    into(&["m.mbox"], "Big");
    into(&["one.eml"], "Letters");
    into(&["m.mbox", "one.eml"], "Two");
    into(&["more"], "More");
    let names: Vec<_> = counts(&store, account).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Big", "Letters", "More/x", "Two", "Two/m"]);
}

/// Of a classic Macintosh. A file of old mail has lines in the end; what lies in a Maildir comes byte for byte.
#[test]
fn files_with_bare_carriage_returns_lose_nothing() {
    let (folder, store, account) = account();
    let text = format!("Subject: old\rTo: b\r\r{}", "a line of an old Macintosh\r".repeat(8_000));
    assert!(text.len() > 200_000);
    let dated = "From a@b Tue Jan  9 14:00:00 2024\r";
    put(&folder.path().join("a/mac.eml"), &text);
    put(&folder.path().join("b/Maildir/cur/1700000000.1:2,S"), &text);
    put(&folder.path().join("c/mac.mbox"), format!("{dated}{text}\r{dated}A: 2\r\rx\r"));
    put(&folder.path().join("d/Maildir/cur/1700000000.1:2,S"), format!("{dated}{text}"));
    let lines = text.replace('\r', "\r\n");
    for (path, name, wanted) in [
        ("a", "a", vec![lines.clone()]),
        ("b/Maildir", "INBOX", vec![text.clone()]),
        ("c", "mac", vec![lines, "A: 2\r\n\r\nx\r\n".to_owned()]),
        ("d/Maildir", "INBOX", vec![text.clone(), format!("{dated}{text}")]),
    ] {
        let report = import(&store, account, &[folder.path().join(path)]);
        assert_eq!((report.failed, report.skipped_count), (0, 0), "{path}: {report:?}");
        let found: Vec<_> = held(&store, account, name).into_iter().map(|(text, ..)| text).collect();
        let sizes: Vec<_> = found.iter().map(String::len).collect();
        assert!(found == wanted, "{path}: {sizes:?} bytes");
    }
}

/// The names of files are what they were.
#[test]
fn thunderbird_with_a_file_a_message() {
    let (folder, store, account) = account();
    let root = folder.path().join("Mail");
    for at in ["Inbox/cur", "Work.sbd/Old.sbd/2019/cur", "Work/cur"] {
        put(&root.join(at).join("1700000000.1.eml"), mail(1));
    }
    put(&root.join("Work.msf"), "// <!-- <mdb:mork:z v=\"1.4\"/> -->");
    let report = import(&store, account, &[root]);
    assert_eq!((report.failed, report.skipped_count, report.found), (0, 0, 3), "{report:?}");
    let names: Vec<_> = counts(&store, account).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["INBOX", "Work", "Work/Old/2019"]);
}
