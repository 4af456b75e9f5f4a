//! What comes through the control and delivery sockets: frames and their heads, and requests, which are read again as
//! they were sent.

use postern::control::delivery;
use postern::control::frame::{self, Kind};
use postern::control::message::{Reply, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::texts;

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = texts(
        &[b""],
        &[
            r#"{"do":"account-add","name":"anna","password":null}"#,
            r#"{"do":"device-revoke","account":"anna","device":"3"}"#,
            r#"{"do":"source-add","path":"/home/anna/Maildir","account":null,"mailbox":"Work","after":"keep"}"#,
            r#"{"do":"source-remove","source":"1"}"#,
            r#"{"do":"import","account":null,"mailbox":"Old"}"#,
            r#"{"do":"undelete-keep","days":30}"#,
            r#"{"do":"status"}"#,
            r#"{"account":"anna","mailbox":null}"#,
            r#"{"ok":{"devices":[]}}"#,
            r#"{"refused":{"reason":"no","advice":["try"]}}"#,
            r#"{"ok":{"keeping":{"days":30}}}"#,
        ],
    );
    let known = |seed: &[u8]| {
        let message =
            serde_json::from_slice::<Request>(seed).is_ok() || serde_json::from_slice::<Reply>(seed).is_ok();
        message || serde_json::from_slice::<delivery::Order>(seed).is_ok()
    };
    seeds.iter().for_each(|seed| assert!(known(seed), "{}", seed.escape_ascii()));
    let frames: &[(Kind, &[u8])] = &[
        (Kind::Mailbox, br#"{"name":"Work"}"#),
        (Kind::Message, br#"{"uid":1,"date":0,"flags":["\\Seen"],"size":5}"#),
        (Kind::Data, b"hello"),
        (Kind::File, br#"{"mailbox":"x","flags":[]}"#),
        (Kind::Discard, b""),
        (Kind::Failed, br#""why""#),
        (Kind::End, b"{}"),
    ];
    let mut all = Vec::new();
    for (kind, content) in frames {
        let mut one = Vec::new();
        frame::write(&mut one, *kind, content).unwrap();
        all.extend_from_slice(&one);
        seeds.push(one);
    }
    seeds.push(all);
    seeds.push(b"d\xff\xff\xff\xffshort".to_vec());
    seeds
}

pub fn run(data: &[u8]) {
    frames(data);
    message::<Request>(data);
    message::<Reply>(data);
    message::<delivery::Order>(data);
    if let Ok(request) = serde_json::from_slice::<Request>(data) {
        let again: Request = serde_json::from_slice(&serde_json::to_vec(&request).unwrap()).unwrap();
        assert_eq!(again, request);
    }
}

/// What was read is what is written; nothing is longer than a frame may be.
fn frames(data: &[u8]) {
    let (mut rest, mut content) = (data, Vec::new());
    loop {
        let before = rest;
        match frame::read(&mut rest, &mut content) {
            Ok(Some(kind)) => {
                assert!(content.len() <= frame::LONGEST);
                let mut written = Vec::new();
                frame::write(&mut written, kind, &content).unwrap();
                assert_eq!(written, before[..before.len() - rest.len()]);
            }
            Ok(None) => return assert!(before.is_empty()),
            Err(_) => return assert!(content.len() <= frame::LONGEST && !before.is_empty()),
        }
    }
}

fn message<T: Serialize + DeserializeOwned>(data: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(data) else { return };
    let written = serde_json::to_vec(&read).unwrap();
    let again = serde_json::to_vec(&serde_json::from_slice::<T>(&written).unwrap()).unwrap();
    assert_eq!(again, written);
}
