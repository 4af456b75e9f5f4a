//! COPY and MOVE (RFC 9051 §6.4.7, §6.4.8).

use std::ops::ControlFlow;

use crate::imap::client::{Client, Selected};
use crate::imap::command::expunge::may_change;
use crate::imap::names::{name_of, no_target};
use crate::imap::outcome::Done;
use crate::imap::refusal::{Refusal, Stop};
use crate::model::{AccountId, MailboxId, MailboxName, Uid, UidSet, UidValidity};
use crate::protocol::command::copy::Copy;
use crate::protocol::response::code::Code;
use crate::store::{Error, Rows, mailboxes, messages};

/// Messages of one job of a MOVE.
const SLICE: usize = 2_000;

/// COPY: all or nothing, in one operation.
///
/// # Errors
/// TRYCREATE without the target; NO if a message named by number is gone.
pub async fn copy(session: &mut Selected<'_>, command: Copy) -> Result<Done, Stop> {
    let (account, from) = (session.view.account, session.view.mailbox);
    let uids = session.named(command.uid, &command.messages)?.to_set();
    if !command.uid && session.view.any_pending(&uids) {
        return Err(gone().into());
    }
    let (to, name) = target(session.client, &command.mailbox, account).await?;
    if uids.is_empty() {
        return Ok(Done::ok("Nothing to copy"));
    }
    let by_number = !command.uid;
    let copied = session
        .client
        .shared
        .pool
        .write(move |tx| {
            if mailboxes::get(tx, account, to)?.is_none() {
                return Ok(Err(no_target(&name)));
            }
            if by_number && count(tx, from, &uids)? < uids.len() {
                return Ok(Err(gone()));
            }
            messages::copy(tx, account, from, &uids, to).map(Ok)
        })
        .await??;
    Ok(reply(copied.uid_validity, copied.from, copied.to)
        .map_or_else(|| Done::ok("Nothing to copy"), |code| Done::with(code, "COPY completed")))
}

/// COPY is all or nothing (RFC 9051 §6.4.7): a number whose message is gone names something that cannot be
/// copied. A UID that is gone names nothing, and Apple Mail shows ghosts if that is an error.
fn gone() -> Refusal {
    Refusal::no(Code::ExpungeIssued, "Some of the messages are gone; nothing was copied")
}

/// How many of these messages are there.
fn count(rows: &dyn Rows, mailbox: MailboxId, uids: &UidSet) -> Result<u64, Error> {
    let mut count = 0;
    messages::select(rows, mailbox, uids, &mut |_| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

/// MOVE, in slices each of which is atomic; one untagged COPYUID names all, before the EXPUNGEs (RFC 6851
/// §4.3).
///
/// # Errors
/// TRYCREATE without the target; NO in a mailbox opened with EXAMINE, and if a message named by number is gone.
pub async fn move_(session: &mut Selected<'_>, command: Copy) -> Result<Done, Stop> {
    may_change(session.view)?;
    let (account, from) = (session.view.account, session.view.mailbox);
    let uids = session.named(command.uid, &command.messages)?;
    let named = u64::from(uids.len());
    let (to, name) = target(session.client, &command.mailbox, account).await?;
    let (mut sources, mut targets, mut validity) = (Vec::new(), Vec::new(), None);
    let mut failure = None;
    for slice in uids.batches(SLICE) {
        let name = name.clone();
        let moved = session
            .client
            .shared
            .pool
            .write(move |tx| match mailboxes::get(tx, account, to)? {
                Some(_) => messages::move_(tx, account, from, &slice, to).map(Ok),
                None => Ok(Err(no_target(&name))),
            })
            .await;
        match moved.map_err(Stop::from).and_then(|moved| moved.map_err(Stop::from)) {
            Ok(moved) => {
                validity = Some(moved.uid_validity);
                sources.extend(moved.from);
                targets.extend(moved.to);
            }
            // What was moved so far is told all the same.
            Err(stop) => {
                failure = Some(stop);
                break;
            }
        }
    }
    let moved = sources.len() as u64;
    if let Some(code) = validity.and_then(|validity| reply(validity, sources, targets)) {
        session.client.untagged("OK", Some(code), "Moved");
    }
    match failure {
        Some(stop) => Err(stop),
        None if !command.uid && moved < named => {
            Err(Stop::no(Code::ExpungeIssued, "Some of the messages were gone; the others are moved"))
        }
        // The EXPUNGEs are the news that precede the tagged reply.
        None => Ok(Done::ok("MOVE completed")),
    }
}

fn reply(validity: UidValidity, from: Vec<Uid>, to: Vec<Uid>) -> Option<Code> {
    (!from.is_empty()).then_some(Code::CopyUid { validity, from, to })
}

/// The mailbox to copy to, and what it is called.
async fn target(
    client: &Client,
    argument: &crate::protocol::command::MailboxArg,
    account: AccountId,
) -> Result<(MailboxId, MailboxName), Stop> {
    let name = name_of(argument)?;
    let wanted = name.clone();
    let found =
        client.shared.pool.read(move |snapshot| mailboxes::by_name(snapshot, account, &wanted)).await?;
    let found = found.ok_or_else(|| no_target(&name))?;
    Ok((found.id, name))
}
