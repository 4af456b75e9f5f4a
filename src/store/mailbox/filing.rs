//! The one way in: messages whose bytes have come are put into a mailbox, in the job of whoever brings them. APPEND, a
//! delivery, the watcher, an import and a backup that is brought back all end here.
//!
//! A message's content is put, or found where it is known (`content::incoming`), with the digest that ENVELOPE, SEARCH and
//! threads are answered from; then a record in the mailbox names it. What is copied or moved has its content already and comes
//! in by [`messages::copy`] and [`messages::move_`]. Whether a mailbox may take any of it is asked at one place for all of
//! them, `messages::admit`.

use std::collections::BTreeMap;

use crate::model::{AccountId, ContentId, DateTime, FlagSet, MailboxId, MailboxName};
use crate::store::base::error::Error;
use crate::store::base::rows::Transaction;
use crate::store::content::incoming::Prepared;
use crate::store::mailbox::mailbox_row;
use crate::store::mailbox::messages::{self, Appended, NewMessage};

/// A message that has come, and what its record says.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// Its bytes.
    pub prepared: &'a Prepared,
    /// Its INTERNALDATE.
    pub internal_date: DateTime,
    /// Its flags.
    pub flags: FlagSet,
}

impl Arrival<'_> {
    fn put(
        &self,
        tx: &mut dyn Transaction,
        account: AccountId,
        name: &MailboxName,
    ) -> Result<NewMessage, Error> {
        Ok(NewMessage {
            email: self.prepared.file(tx, account, name)?,
            size: self.prepared.size(),
            internal_date: self.internal_date,
            flags: self.flags.clone(),
        })
    }
}

/// What became of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filed {
    /// Their contents, in their order.
    pub contents: Vec<ContentId>,
    /// Where the mailbox lists them, in their order.
    pub appended: Appended,
}

/// Files messages in a mailbox: all of them, or none and an error.
///
/// # Errors
/// [`Error::NotFound`] if the mailbox is gone; [`Error::Limit`] if it is full; whatever keeps their bytes out of the volumes.
pub fn file(
    tx: &mut dyn Transaction,
    account: AccountId,
    mailbox: MailboxId,
    arrivals: &[Arrival<'_>],
) -> Result<Filed, Error> {
    let target = mailbox_row::existing(tx, account, mailbox)?;
    // Before their bytes take room that a refusal would have to give back.
    messages::admit(&target, arrivals.len())?;
    let new = arrivals
        .iter()
        .map(|arrival| arrival.put(tx, account, &target.name))
        .collect::<Result<Vec<_>, Error>>()?;
    let appended = messages::append(tx, account, mailbox, &new)?;
    Ok(Filed { contents: new.iter().map(|message| message.email).collect(), appended })
}

/// Files each message in several mailboxes, for old mail comes with labels: its content is put once. One that names none is
/// left out.
///
/// # Errors
/// As [`file()`].
pub fn file_in_each(
    tx: &mut dyn Transaction,
    account: AccountId,
    arrivals: &[(Arrival<'_>, Vec<MailboxId>)],
) -> Result<(), Error> {
    let mut new: BTreeMap<MailboxId, Vec<NewMessage>> = BTreeMap::new();
    for (arrival, mailboxes) in arrivals {
        let Some(first) = mailboxes.first() else { continue };
        let target = mailbox_row::existing(tx, account, *first)?;
        let message = arrival.put(tx, account, &target.name)?;
        for mailbox in mailboxes {
            new.entry(*mailbox).or_default().push(message.clone());
        }
    }
    for (mailbox, new) in new {
        messages::append(tx, account, mailbox, &new)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::mailbox::mailboxes;
    use crate::store::{Options, Store, accounts};

    fn prepared(store: &Store, text: &str) -> Prepared {
        let mut incoming = store.incoming(1 << 20);
        incoming.write(text.as_bytes()).unwrap();
        incoming.finish().unwrap()
    }

    fn arrival(prepared: &Prepared) -> Arrival<'_> {
        Arrival { prepared, internal_date: DateTime::utc(7), flags: FlagSet::default() }
    }

    #[test]
    fn all_of_them_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(folder.path())).unwrap();
        let anna = store.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        let of = |name: &str| {
            let name = MailboxName::new(name).unwrap();
            mailboxes::by_name(&store.snapshot().unwrap(), anna, &name).unwrap().unwrap()
        };
        let (inbox, sent) = (of("INBOX").id, of("Sent").id);
        let (a, b) = (prepared(&store, "Subject: a\r\n\r\n"), prepared(&store, "Subject: b\r\n\r\n"));
        let filed = store.write(move |tx| file(tx, anna, inbox, &[arrival(&a), arrival(&b), arrival(&a)]));
        let filed = filed.unwrap();
        assert_eq!(filed.contents.len(), 3);
        assert_eq!(filed.contents[0], filed.contents[2]);
        assert_eq!(filed.appended.uids.iter().count(), 3);
        // A mailbox that is not there takes none, and leaves none elsewhere.
        let (c, d) = (prepared(&store, "Subject: c\r\n\r\n"), prepared(&store, "Subject: d\r\n\r\n"));
        let gone = MailboxId(9_999);
        let refused = store.write(move |tx| file(tx, anna, gone, &[arrival(&c)])).unwrap_err();
        assert!(matches!(refused, Error::NotFound(_)), "{refused}");
        let refused = store.write(move |tx| file_in_each(tx, anna, &[(arrival(&d), vec![inbox, gone])]));
        assert!(matches!(refused, Err(Error::NotFound(_))));
        assert_eq!((of("INBOX").messages, of("Sent").messages), (3, 0));
        let (e, f) = (prepared(&store, "Subject: e\r\n\r\n"), prepared(&store, "Subject: f\r\n\r\n"));
        store
            .write(move |tx| {
                file_in_each(tx, anna, &[(arrival(&e), vec![inbox, sent]), (arrival(&f), vec![])])
            })
            .unwrap();
        assert_eq!((of("INBOX").messages, of("Sent").messages), (4, 1));
    }
}
