//! Contents: put back from a backup where they are damaged, known again where their rows were lost, and filed into
//! "Recovered" where nothing lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::Evidence;
use super::contents::subject;
use super::mend::recovered;
use super::report::{Findings, Kind, Message};
use super::source::ContentSource;
use super::tolerant::Tolerant;
use super::volumes::{is_known, row_of};
use crate::mail::date::parse_date;
use crate::model::{AccountId, ContentHash, ContentId, DateTime, FlagSet, MailboxName};
use crate::store::base::error::Error;
use crate::store::base::rows::{Transaction, VolumeRows};
use crate::store::base::schema::{Table, VolumeTable};
use crate::store::base::settings::{self, EMAIL_ID};
use crate::store::content::contents::{self, Filing};
use crate::store::content::emails::{self, EmailRow};
use crate::store::content::incoming::Incoming;
use crate::store::content::sweep::Marks;
use crate::store::engine::store::Store;
use crate::store::household::accounts;
use crate::store::mailbox::messages::{self, NewMessage};
use crate::store::mailbox::{bin, mailboxes};

/// Bytes of a content that are read at a time.
const CHUNK: u64 = 256 << 10;

/// Contents that cannot be read, and those that no row names.
pub(in crate::store) fn contents(
    store: &Store,
    evidence: &Evidence,
    source: &mut Option<&mut dyn ContentSource>,
    done: &mut Findings,
) -> Result<(), Error> {
    shut(store, evidence)?;
    for (volume, content) in &evidence.unnamed {
        know_again(store, *volume, *content, &evidence.missing, done)?;
    }
    let mut restored: BTreeMap<&'static str, u64> = BTreeMap::new();
    for email in evidence.damaged.keys() {
        if let Some(how) = replace(store, *email, source)? {
            *restored.entry(how).or_default() += 1;
        }
    }
    for (how, count) in restored {
        done.add(Kind::DamagedContent, format!("{count} contents {how}"));
    }
    Ok(())
}

/// Volumes that cannot be read take no more mail: what is put back must not go there again.
fn shut(store: &Store, evidence: &Evidence) -> Result<(), Error> {
    let damaged: BTreeSet<u32> = evidence.volumes.clone();
    store.write(move |tx| {
        for number in damaged {
            if let Some(mut row) = crate::store::engine::volumes::get(tx, number)? {
                row.damaged = true;
                tx.put(Table::Volumes, &number.to_be_bytes(), &row.encode());
            }
        }
        Ok(())
    })?;
    store.command(|engine| {
        engine.placement.active = None;
        Ok(())
    })
}

/// A whole message whose row was lost: where messages name it, they have it again; else it is filed.
pub(in crate::store) fn know_again(
    store: &Store,
    volume: u32,
    content: ContentId,
    missing: &BTreeSet<ContentId>,
    done: &mut Findings,
) -> Result<(), Error> {
    let snapshot = store.snapshot()?;
    let Some(value) = snapshot.get_row(volume, VolumeTable::Digest, &contents::key(content))? else {
        return Ok(());
    };
    let Some(filing) = contents::decode_filing(&value) else { return Ok(()) };
    if is_known(&Tolerant(&snapshot), filing.hash)? {
        return Ok(());
    }
    let mut row = row_of(content, volume, &filing);
    row.stored = contents::stored(&snapshot, &row)?;
    let header = filing.digest.as_ref().map_or(0, |digest| digest.root.header.end).min(filing.size);
    row.header_len = u32::try_from(header).unwrap_or(u32::MAX);
    drop(snapshot);
    if missing.contains(&filing.email) {
        let (email, message) = (filing.email, told(store, &filing)?);
        store.write(move |tx| {
            emails::put(tx, email, &row);
            Ok(())
        })?;
        done.add_message(Kind::MissingContent, "messages that can be read again", message);
        return Ok(());
    }
    let email = free_id(store, content)?;
    list(store, email, Some(row), &filing, done)
}

/// The content's own id, if no row has it.
fn free_id(store: &Store, content: ContentId) -> Result<ContentId, Error> {
    let taken = emails::get(&Tolerant(&store.snapshot()?), content)?.is_some();
    if taken { store.next_email() } else { Ok(content) }
}

fn told(store: &Store, filing: &Filing) -> Result<Message, Error> {
    let owner = accounts::get(&Tolerant(&store.snapshot()?), filing.account)?;
    Ok(Message {
        account: owner.map(|account| account.name),
        mailbox: Some(filing.mailbox.as_str().to_owned()),
        size: Some(filing.size),
        subject: filing.digest.as_ref().and_then(subject),
        ..Message::default()
    })
}

/// Files a content into "Recovered": of its account, or of the first if that is not there.
fn list(
    store: &Store,
    email: ContentId,
    row: Option<EmailRow>,
    filing: &Filing,
    done: &mut Findings,
) -> Result<(), Error> {
    let message = told(store, filing)?;
    let date = filing.digest.as_ref().and_then(|digest| parse_date(digest.envelope.date.as_deref()?));
    let (account, size) = (filing.account, filing.size);
    store.write(move |tx| {
        let account = owner(tx, account)?;
        if let Some(row) = &row {
            emails::put(tx, email, row);
        }
        let target = match mailboxes::by_name(tx, account, &recovered())? {
            Some(mailbox) => mailbox.id,
            None => {
                let id = mailboxes::create(tx, account, &recovered(), None)?;
                mailboxes::subscribe(tx, account, &recovered())?;
                id
            }
        };
        let internal_date = date.unwrap_or_else(|| DateTime::utc(tx.now()));
        let new = NewMessage { email, size, internal_date, flags: FlagSet::default() };
        messages::append(tx, account, target, &[new]).map(drop)
    })?;
    let what = "messages that nothing listed are in the mailbox “Recovered” now";
    done.add_message(Kind::UnnamedContent, what, message);
    Ok(())
}

/// The account that a message was filed for; else the first, or one that is made: whoever sets up the server anew
/// gives it a password.
fn owner(tx: &mut dyn Transaction, account: AccountId) -> Result<AccountId, Error> {
    if accounts::get(tx, account)?.is_some() {
        return Ok(account);
    }
    match accounts::list(tx)?.first() {
        Some(first) => Ok(first.id),
        None => accounts::create(tx, "recovered", None),
    }
}

/// After records were lost: contents that neither a message nor the bin names are filed into "Recovered".
pub(in crate::store) fn unlisted(store: &Store, done: &mut Findings) -> Result<(), Error> {
    let snapshot = store.snapshot()?;
    let mut named = Marks::new(settings::number(&Tolerant(&snapshot), EMAIL_ID)?);
    messages::emails(&Tolerant(&snapshot), &mut |email| named.set(email))?;
    bin::emails(&Tolerant(&snapshot), &mut |email| named.set(email))?;
    drop(snapshot);
    let mut next = Some(0);
    while let Some(from) = next.take() {
        let (rows, last) = store.walk(from)?;
        next = last.map(|last| last.0.saturating_add(1));
        for (email, row) in rows {
            if named.has(email) {
                continue;
            }
            let filing = contents::filing(&store.snapshot()?, &row);
            let filing = filing.unwrap_or_else(|_| unknown(email, &row));
            list(store, email, None, &filing, done)?;
        }
    }
    Ok(())
}

/// Of a content whose digest cannot be read.
fn unknown(email: ContentId, row: &EmailRow) -> Filing {
    Filing {
        account: AccountId(0),
        email,
        size: row.size,
        hash: row.hash,
        thread: row.thread,
        mailbox: MailboxName::inbox(),
        digest: None,
    }
}

/// Puts a content that cannot be read anew: from its own bytes if only its digest is damaged, else from a backup.
/// Says how, if it could.
fn replace(
    store: &Store,
    email: ContentId,
    source: &mut Option<&mut dyn ContentSource>,
) -> Result<Option<&'static str>, Error> {
    let snapshot = store.snapshot()?;
    let Some(row) = emails::get(&Tolerant(&snapshot), email)? else { return Ok(None) };
    let place = match contents::filing(&snapshot, &row) {
        Ok(filing) => (filing.account, filing.mailbox),
        Err(_) => (first_owner(store)?, recovered()),
    };
    let own = contents::verify_bytes(&snapshot, &row).is_ok();
    drop(snapshot);
    let mut incoming = store.incoming_verbatim(u64::MAX);
    let whole = if own {
        own_bytes(store, &row, &mut incoming)?;
        true
    } else {
        match source {
            Some(source) => source.content(&row.hash, row.size, &mut Into(&mut incoming))?,
            None => false,
        }
    };
    if !whole {
        return Ok(None);
    }
    let put = file(store, incoming, row.hash, place)?;
    let how = if own { "have their digest again" } else { "were put back from the backup" };
    Ok(put.then_some(how))
}

fn first_owner(store: &Store) -> Result<AccountId, Error> {
    let first = accounts::list(&Tolerant(&store.snapshot()?))?.first().map(|account| account.id);
    Ok(first.unwrap_or(AccountId(1)))
}

fn own_bytes(store: &Store, row: &EmailRow, incoming: &mut Incoming) -> Result<(), Error> {
    let mut at = 0;
    while at < row.size {
        let mut bytes = Vec::new();
        contents::read(&store.snapshot()?, row, at..at + CHUNK, &mut bytes)?;
        if bytes.is_empty() {
            return Err(Error::Damaged(format!("content {}", row.content)));
        }
        incoming.write(&bytes)?;
        at += bytes.len() as u64;
    }
    Ok(())
}

/// What is known under this hash and cannot be read takes these bytes (`Prepared::file`).
fn file(
    store: &Store,
    incoming: Incoming,
    hash: ContentHash,
    (account, mailbox): (AccountId, MailboxName),
) -> Result<bool, Error> {
    let prepared = incoming.finish()?;
    if prepared.hash() != hash {
        return Ok(false);
    }
    store.write(move |tx: &mut dyn Transaction| prepared.file(tx, account, &mailbox).map(|_| true))
}

/// What a source writes goes in.
struct Into<'a>(&'a mut Incoming);

impl Write for Into<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
