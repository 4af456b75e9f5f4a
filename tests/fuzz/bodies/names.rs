//! Names: of files in a Maildir with their flags, of folders, of mailboxes, and the keywords beside a Maildir.

use postern::import::maildir::folder_name;
use postern::import::maildir::keywords::Keywords;
use postern::import::maildir::message_name;
use postern::model::MailboxName;
use postern::protocol::utf7;

use super::texts;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(
        &[b""],
        &[
            "1700000000.M5P7.host,S=1234,W=1260:2,FSab",
            "1446800000_0.789.box,U=3,FMD5=7e33429f656f1e6e9d79b29c3f82c57e:2,S",
            "a:b!2,S;1,x:2",
            ".INBOX.Entw&APw-rfe.R&-D",
            "&U,BTFw-/&ZeVnLIqe-",
            "Work/2024/Über uns",
            "inbox/Inbox/",
            "0 $Label1\n1 NonJunk\r\n25 last\n26 far\nx",
        ],
    )
}

pub fn run(data: &[u8]) {
    file(data);
    folder(data);
    let keywords = Keywords::parse(data);
    let named = (b'a'..=b'z').filter(|letter| keywords.by_letter(*letter).is_some()).count();
    let flags = message_name::flags(&[b"x:2,", data].concat(), &keywords);
    assert!(flags.keywords.len() <= named + 1);
    let text = String::from_utf8_lossy(data);
    mailbox(&text);
    let encoded = utf7::encode(&text);
    assert!(encoded.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && encoded.len() <= 4 * text.len() + 8);
    assert_eq!(utf7::decode(&encoded).as_deref(), Some(&*text));
    if let Some(decoded) = utf7::decode(&text) {
        assert_eq!(utf7::decode(&utf7::encode(&decoded)), Some(decoded));
    }
}

/// A program may change flags as it likes: the file is the same one.
fn file(name: &[u8]) {
    let base = message_name::base(name);
    assert!(base.len() <= name.len() && base.is_empty() == name.is_empty());
    assert!(message_name::letters(name).len() <= name.len());
    let _ = (message_name::told_size(name), message_name::seconds(name));
    if base.is_empty() || message_name::base(&base) != base {
        return;
    }
    for flags in [&b""[..], b"S", b"FRSTab"] {
        let flagged = [&base, &b":2,"[..], flags].concat();
        assert_eq!(message_name::base(&flagged), base);
        assert_eq!(message_name::letters(&flagged), flags);
    }
}

/// What a folder is called is what a mailbox may be called, and stays so.
fn folder(name: &[u8]) {
    let level = folder_name::decode(name);
    assert!(level.text.len() <= 9 * name.len(), "{} of {}", level.text.len(), name.len());
    let again = folder_name::plain(&level.text);
    assert!(!again.escaped && again.text == level.text);
    if !level.text.is_empty() && level.text.len() <= 200 {
        assert!(MailboxName::new(&level.text).is_ok(), "{:?}", level.text);
    }
}

fn mailbox(text: &str) {
    let Ok(name) = MailboxName::new(text) else { return };
    assert!(name.as_str().len() <= MailboxName::MAX_LEN);
    assert_eq!(MailboxName::new(name.as_str()).as_ref(), Ok(&name));
    assert_eq!(name.levels().collect::<Vec<_>>().join("/"), name.as_str());
    assert_eq!(name.is_inbox(), name.as_str() == "INBOX");
    for above in name.ancestors() {
        assert!(name.is_below(&above) && !above.is_below(&name));
    }
}
