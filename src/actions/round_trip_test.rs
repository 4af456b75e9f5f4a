//! What an export wrote is imported again: each message byte for byte, with its flags and its date, whatever it is.

use std::collections::BTreeMap;

use super::export::Choice;
use super::{Context, export};
use crate::credential::Hasher;
use crate::export::Format;
use crate::import::destination::intake::Intake;
use crate::import::old::old_mail::{self, Wishes};
use crate::model::{AccountId, DateTime, Flag, FlagSet, Keyword, MailboxName, SystemFlags};
use crate::store::filing::{self, Arrival};
use crate::store::{LineEnds, Options, Store, accounts, mailboxes, messages};
use crate::tls::Certificates;

/// A message, its date and its flags.
type Shown = (Vec<u8>, i64, String);

/// Bytes that programs have sent, and others that none should.
fn messages() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        &b"Subject: plain\r\n\r\nText\r\n"[..],
        b"Subject: no end\r\n\r\nText",
        b"Subject: empty lines\r\n\r\n\r\nText\r\n\r\n\r\n",
        b"Subject: no body\r\n\r\n",
        b"Subject: no empty line\r\n",
        b"Subject: no line end at all",
        b"Subject: two CRs\r\r\n\r\r\nText\r\r\n\r\r\r\n",
        b"Subject: two CRs at the end\r\n\r\nText\r\r",
        b"Subject: one CR\r\n\r\nlone\rCR\r\nends so\r",
        b"\rSubject: begins with CR\r\n\r\nText\r\n",
        b"\xef\xbb\xbfSubject: BOM\r\nTo: x@example.org\r\n\r\nText\r\n",
        b"\xef\xbb\xbf\r\nBOM and no header\r\n",
        b"No header at all\r\n",
        b"No header at all,\r\n\r\nand paragraphs.\r\n",
        b"\r\nThe header is empty\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"x",
        b"Subject: NUL\r\n\r\na\0b\r\n",
        b"no header, and a NUL \0\r\n",
        b"\0",
        b"Subject: mbox\r\n\r\nFrom me\r\n\r\nFrom a@example.org Mon Jan  5 10:00:00 2004\r\nTo: you\r\n\r\n>From you\r\n>>>From\r\n",
        b"From a@example.org Mon Jan  5 10:00:00 2004\r\nSubject: kept its line\r\n\r\nText\r\n",
        b">From a@example.org Mon Jan  5 10:00:00 2004\r\nSubject: kept that\r\n\r\nText\r\n",
        b">From: a@example.org\r\nSubject: quoted field\r\n\r\n>From: x\r\n>From y\r\n",
        b"Subject: in the header\r\nFrom me to you\r\n>From you\r\n\r\nText\r\n",
        b"From \r\n",
        b"From \r\n\r\nFrom \r\n\r\n",
        b"Status: RO\r\nX-Status: F\r\nX-Keywords: other\r\nContent-Length: 3\r\nLines: 1\r\nSubject: came with these\r\n\r\nText\r\n",
        b"Subject: length\r\nContent-Length: 70\r\n\r\nText\r\n\r\nFrom a@example.org Mon Jan  5 10:00:00 2004\r\nTo: you\r\n\r\nMore\r\n",
        b"Status: RO\r\nX-Postern-Size: 3\r\nSubject: an export in an export\r\n\r\nText\r\n",
        b"Subject: x\r\nX-Mozilla-Status: 0009\r\nX-Gmail-Labels: Sent\r\n\r\nText\r\n",
        b"X-IMAP: 1 2\r\nSubject: DON'T DELETE THIS MESSAGE -- x\r\n\r\nText\r\n",
        b" folded first\r\nSubject: x\r\n\r\nText\r\n",
        b"Subject : space\r\nNo colon\r\n\r\nText\r\n",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    let long = |letter: &str, count: usize| letter.repeat(count).into_bytes();
    all.push(
        [b"Subject: long\r\nTo: ".to_vec(), long("a", 300_000), b"\r\nCc: x\r\n\r\nText".to_vec()].concat(),
    );
    all.push([b"Subject: long lines\r\n\r\n".to_vec(), long("From \r\n\r\r\n", 20_000)].concat());
    // Whatever comes, of the bytes that matter.
    let mut seed = 7_u32;
    for length in 1..120 {
        let bytes = (0..length).flat_map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let parts: [&[u8]; 9] =
                [b"\r", b"\r\n", b"\r\n", b"From ", b">", b"a: b", b"x", b"\xef\xbb\xbf", b"\r\n\r\n"];
            parts[(seed >> 16) as usize % parts.len()].to_vec()
        });
        all.push(bytes.collect());
    }
    all
}

fn context(folder: &std::path::Path) -> Context {
    let store = Store::open(Options::new(folder)).unwrap();
    let certificates = std::sync::Arc::new(Certificates::open(&store).unwrap());
    Context { store, hasher: std::sync::Arc::new(Hasher::new()), certificates, running: None }
}

fn file(store: &Store, account: AccountId, n: usize, bytes: &[u8]) {
    let mut incoming = store.incoming_verbatim(1 << 24);
    incoming.write(bytes).unwrap();
    let prepared = incoming.finish().unwrap();
    let name = MailboxName::new(if n.is_multiple_of(3) { "INBOX" } else { "Work/2024" }).unwrap();
    let mut flags = FlagSet::default();
    if n.is_multiple_of(2) {
        flags.insert(Flag::System(SystemFlags::SEEN));
    }
    if n.is_multiple_of(5) {
        flags.insert(Flag::System(SystemFlags::FLAGGED));
        flags.insert(Flag::Keyword(Keyword::new("Later").unwrap()));
    }
    let internal_date = DateTime::utc(1_700_000_000 + n as i64);
    store
        .write(move |tx| {
            let mailbox = match mailboxes::by_name(tx, account, &name)? {
                Some(mailbox) => mailbox.id,
                None => mailboxes::create(tx, account, &name, None)?,
            };
            filing::file(tx, account, mailbox, &[Arrival { prepared: &prepared, internal_date, flags }])
        })
        .unwrap();
}

/// All messages of an account by their mailboxes, in their order.
fn shown(store: &Store, account: AccountId) -> BTreeMap<String, Vec<Shown>> {
    let snapshot = store.snapshot().unwrap();
    let mut all = BTreeMap::new();
    for mailbox in mailboxes::list(&snapshot, account).unwrap() {
        let keywords = messages::keywords(&snapshot, mailbox.id).unwrap();
        let mut found: Vec<Shown> = Vec::new();
        messages::scan(&snapshot, mailbox.id, 1..=u32::MAX, &mut |record| {
            let mut bytes = Vec::new();
            snapshot.read(record.email, 0..u64::MAX, &mut bytes)?;
            let words = keywords.names(record.keywords).map(|word| word.as_str().to_owned());
            let flags: Vec<_> = record.flags.names().map(str::to_owned).chain(words).collect();
            found.push((bytes, record.internal_date.unix, flags.join(" ")));
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .unwrap();
        if !found.is_empty() {
            all.insert(mailbox.name.as_str().to_owned(), found);
        }
    }
    all
}

#[test]
fn what_was_exported_comes_back_as_it_was() {
    assert_ne!(LineEnds::Crlf, LineEnds::Verbatim);
    let folder = tempfile::tempdir().unwrap();
    let context = context(&folder.path().join("data"));
    let store = &context.store;
    let anna = store.write(|tx| accounts::create(tx, "anna", None)).unwrap();
    let all = messages();
    all.iter().enumerate().for_each(|(n, bytes)| file(store, anna, n, bytes));
    let wanted = shown(store, anna);
    assert_eq!(wanted.values().map(Vec::len).sum::<usize>(), all.len());
    for (format, name) in [(Format::Maildir, "bert"), (Format::Mbox, "carl")] {
        let out = folder.path().join(name);
        let choice = Choice { account: Some("anna".to_owned()), ..Choice::default() };
        let mut outlet = crate::export::open(format, &out).unwrap();
        export::plan(&context, choice).unwrap().run(&mut *outlet).unwrap();
        drop(outlet);
        let account = store.write(move |tx| accounts::create(tx, name, None)).unwrap();
        let mut intake = Intake::new(store.clone(), account, None);
        let report = old_mail::read(&[out], Wishes::default(), &mut intake, &mut |_| {}).unwrap();
        assert_eq!(report.skipped, [], "{name}");
        let found = shown(store, account);
        for (mailbox, wanted) in &wanted {
            let found = found.get(mailbox).map_or(&[][..], Vec::as_slice);
            for (wanted, found) in wanted.iter().zip(found) {
                let text = |bytes: &[u8]| bytes[..bytes.len().min(400)].escape_ascii().to_string();
                assert_eq!(text(&found.0), text(&wanted.0), "{format:?}");
                assert!(
                    found == wanted,
                    "{format:?}: {}: {:?} {:?}",
                    text(&wanted.0),
                    (found.1, &found.2),
                    (wanted.1, &wanted.2)
                );
            }
            assert_eq!(found.len(), wanted.len(), "{format:?}, {mailbox}");
        }
    }
}
