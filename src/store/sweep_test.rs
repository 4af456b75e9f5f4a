//! A sweep beside jobs that file messages.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::base::sim::SimDisk;
use super::tests::{message, open, options, whole};
use super::{Error, Options, Rows, Store};
use crate::model::{AccountId, ContentId, MailboxName};
use crate::store::base::schema::Table;

/// Opened when the sweep has looked at what is live, and then the job is told to be published.
static GATE: Mutex<Option<Sender<()>>> = Mutex::new(None);
static PUBLISHED: Mutex<Option<Receiver<()>>> = Mutex::new(None);

fn live(rows: &dyn Rows, visit: &mut dyn FnMut(ContentId)) -> Result<(), Error> {
    rows.scan(Table::Imported, &[], &[0xff; 9], &mut |key, _| {
        visit(ContentId(u64::from_be_bytes(key.try_into().unwrap())));
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    // Between the look and what follows it the message is published.
    drop(GATE.lock().unwrap().take());
    if let Some(published) = PUBLISHED.lock().unwrap().take() {
        let _ = published.recv();
    }
    Ok(())
}

/// A job has filed a message, and is not published yet when a sweep begins: the sweep sees neither what the job has
/// named nor, in its snapshot, the message. Kills of a server in which all happened at once showed a message that was
/// acknowledged and had no content.
#[test]
fn a_message_that_is_filed_but_not_published_is_not_swept() {
    let disk = SimDisk::default();
    let store = Store::open(Options { live_emails: Some(live), ..options(&disk, 3) }).unwrap();
    let ((open_gate, gate), (tell, published)) = (channel::<()>(), channel());
    *GATE.lock().unwrap() = Some(open_gate);
    *PUBLISHED.lock().unwrap() = Some(published);
    let mut incoming = store.incoming(1 << 20);
    incoming.write(&message(1, 5_000)).unwrap();
    let prepared = incoming.finish().unwrap();
    let (filed, is_filed) = channel();
    store
        .begin_then(
            move |tx| {
                let email = prepared.file(tx, AccountId(1), &MailboxName::inbox())?;
                tx.put(Table::Imported, &email.0.to_be_bytes(), &[]);
                drop(prepared);
                let _ = filed.send(email);
                let _ = gate.recv();
                Ok(())
            },
            move |_| drop(tell),
        )
        .unwrap();
    let email = is_filed.recv().unwrap();
    // A sweep that waits for the job must not wait for ever.
    let opener = std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(300));
        drop(GATE.lock().unwrap().take());
    });
    assert_eq!(store.sweep().unwrap().dropped, 0);
    opener.join().unwrap();
    assert_eq!(whole(&store, email).unwrap(), message(1, 5_000));
    store.close().unwrap();
    assert_eq!(whole(&open(&disk), email).unwrap(), message(1, 5_000));
}
