//! APPEND (RFC 9051 §6.3.12), MULTIAPPEND (RFC 3502): messages are streamed into the store as they come.

use std::borrow::Cow;
use std::time::Duration;

use crate::imap::client::{Client, LoggedIn};
use crate::imap::connection::Input;
use crate::imap::names::{name_of, no_target, tell_old_name};
use crate::imap::outcome::Done;
use crate::imap::refusal::Stop;
use crate::model::{AccountId, DateTime, MailboxId, MailboxName, SpecialUse};
use crate::protocol::command::append::{self, Message};
use crate::protocol::command::{Tag, tag_of};
use crate::protocol::framing::{Event, LiteralHead};
use crate::protocol::response::{self, code::Code, list::Attributes};
use crate::store::filing::{self, Arrival};
use crate::store::{Error, Incoming, Prepared, mailboxes};

pub use crate::protocol::command::append::is_append;

/// A client that is sending a message pauses no longer.
const PATIENCE: Duration = Duration::from_secs(300);
/// Bytes that are handed to the store at a time.
const PIECE: usize = 64 * 1024;
/// A larger message takes its turn with other large ones: to compress forty at a time would leave nothing to others.
const SMALL: u64 = 256 * 1024;
/// What a message may hold of memory while it waits for the others of its APPEND.
const HELD: u64 = 1024 * 1024;
/// What all of them may.
const MOST_HELD: u64 = 16 * HELD;
/// What each holds besides, however small it is, and what each byte that stands before it becomes: a flag is short.
const OVERHEAD: u64 = 4 * 1024;
const OVERHEAD_A_BYTE: u64 = 16;

/// Where the messages go.
struct Target {
    account: AccountId,
    mailbox: MailboxId,
    name: MailboxName,
    special_use: Option<SpecialUse>,
}

/// What became of an APPEND.
pub enum Appended {
    /// Nothing yet: the literal was the name of the mailbox, and the command goes on.
    Begun,
    /// It is no APPEND that can be followed.
    Wrong(Option<Tag>, Option<Code>, Cow<'static, str>),
    /// This is its answer.
    Ended(Tag, Result<Done, Stop>),
}

/// Takes the whole command from its first literal on.
pub async fn run(session: &mut LoggedIn<'_>, head: LiteralHead) -> Appended {
    if append::is_mailbox_literal(&head.so_far) {
        return collect_name(session.client, &head);
    }
    match append::parse_head(&head.so_far, session.client.enabled.command_dialect()) {
        Ok((tag, first)) => Appended::Ended(tag, take_all(session, first, head).await),
        Err(error) => Appended::Wrong(error.tag, None, error.text.into()),
    }
}

/// What the client sends of a refused message is read and thrown away, unless that would take for ever.
pub fn discard_rest(client: &mut Client) {
    if !client.io.framer.discard_rest() {
        client.bye(Some(Code::TooBig), "The message is far too long to be read and thrown away");
    }
}

/// The mailbox's name is itself a literal.
fn collect_name(client: &mut Client, head: &LiteralHead) -> Appended {
    if !client.io.framer.accept() {
        let text = "A mailbox's name is not that long";
        return Appended::Wrong(tag_of(&head.so_far), Some(Code::TooBig), text.into());
    }
    if !head.non_sync {
        response::continuation(&mut client.writer(), "Go on");
    }
    Appended::Begun
}

async fn take_all(session: &mut LoggedIn<'_>, first: append::Head, head: LiteralHead) -> Result<Done, Stop> {
    let account = session.user.account;
    let client = &mut *session.client;
    let target = target(client, account, &first).await?;
    let (mut message, mut head) = (first.message, head);
    let (mut taken, mut held) = (Vec::new(), 0);
    loop {
        check_size(client, &head)?;
        check_room(client, head.len).await?;
        held += head.len.min(HELD) + OVERHEAD + OVERHEAD_A_BYTE * head.so_far.len() as u64;
        if held > MOST_HELD {
            return Err(Stop::no(Code::Limit, "Too many messages in one APPEND; send them one by one"));
        }
        let wrapped = message.utf8;
        let prepared = take_one(client, &head).await?;
        taken.push((prepared, std::mem::take(&mut message)));
        match next(client).await? {
            Event::Line(rest) if closes(&rest, wrapped).is_some_and(<[u8]>::is_empty) => break,
            Event::Literal(following) => {
                let rest = closes(&following.so_far, wrapped);
                let rest = rest.ok_or_else(|| Stop::bad("UTF8's parenthesis does not close"))?;
                message = append::parse_next(rest).map_err(|error| Stop::bad(error.0))?;
                head = following;
            }
            _ => return Err(Stop::bad("Something follows the message")),
        }
    }
    let (name, special_use) = (target.name.clone(), target.special_use);
    let done = store(client, target, taken).await?;
    tell_old_name(client, &first.mailbox, &name, Attributes { special_use, ..Attributes::default() });
    Ok(done)
}

/// State, mailbox and quota are looked at before the client sends anything.
async fn target(client: &Client, account: AccountId, head: &append::Head) -> Result<Target, Stop> {
    let name = name_of(&head.mailbox)?;
    let wanted = name.clone();
    let found =
        client.shared.pool.read(move |snapshot| mailboxes::by_name(snapshot, account, &wanted)).await?;
    let found = found.ok_or_else(|| no_target(&name))?;
    Ok(Target { account, mailbox: found.id, name, special_use: found.special_use })
}

fn check_size(client: &Client, head: &LiteralHead) -> Result<(), Stop> {
    let limit = client.shared.message_limit;
    if head.len > limit {
        return Err(Stop::no(
            Code::TooBig,
            format!("A message may have {limit} bytes, this one has {}", head.len),
        ));
    }
    // RFC 3502 §4: an error, and the way to cancel an APPEND of several.
    if head.len == 0 {
        return Err(Stop::no(Code::Cannot, "An empty message cannot be stored"));
    }
    Ok(())
}

/// Before the client sends it: on a full disk it would send in vain.
async fn check_room(client: &Client, bytes: u64) -> Result<(), Stop> {
    let store = client.shared.pool.store().clone();
    Ok(client.shared.pool.blocking(move || store.room_for(bytes)).await?)
}

/// What Python's imaplib puts into the literal instead of around it once UTF8=ACCEPT is enabled; no header
/// begins so.
const WRAPPED_INSIDE: &[u8] = b"UTF8 (";

/// Streams a literal into the store.
async fn take_one(client: &mut Client, head: &LiteralHead) -> Result<Prepared, Stop> {
    let store = client.shared.pool.store().clone();
    let limit = client.shared.message_limit;
    // Line ends are made CRLF, which may make it longer; a literal8 is kept byte for byte (RFC 9051 §6.3.12).
    let mut incoming =
        if head.binary { store.incoming_verbatim(limit) } else { store.incoming(limit.saturating_mul(2)) };
    client.io.framer.stream();
    if !head.non_sync {
        response::continuation(&mut client.writer(), "Go on");
    }
    let (mut first, mut unwraps) = (true, false);
    loop {
        let mut piece = Vec::new();
        while piece.len() < PIECE && client.io.framer.left() > 0 {
            let bytes = client.io.framer.take(PIECE - piece.len());
            if bytes.is_empty() {
                client.io.fill(PATIENCE).await?;
            } else if piece.is_empty() {
                piece = bytes;
            } else {
                // At once, and so much that it is a mapping of its own: what two hundred clients send goes back to the
                // system whole, and leaves no holes in the heap. Room that is not used takes no memory.
                if piece.capacity() < PIECE {
                    piece.reserve(2 * PIECE);
                }
                piece.extend_from_slice(&bytes);
            }
        }
        let last = client.io.framer.left() == 0;
        if std::mem::take(&mut first) && client.enabled.utf8 && !head.binary {
            unwraps = piece.starts_with(WRAPPED_INSIDE);
            piece.drain(..if unwraps { WRAPPED_INSIDE.len() } else { 0 });
        }
        if unwraps && last {
            piece.pop_if(|byte| *byte == b')');
        }
        let pool = &client.shared.pool;
        let step = if head.len > SMALL {
            pool.bulk(move || write(incoming, &piece, last)).await?
        } else {
            pool.blocking(move || write(incoming, &piece, last)).await?
        };
        match step {
            Step::More(back) => incoming = *back,
            Step::Whole(prepared) => return Ok(*prepared),
        }
    }
}

enum Step {
    More(Box<Incoming>),
    Whole(Box<Prepared>),
}

fn write(mut incoming: Incoming, piece: &[u8], last: bool) -> Result<Step, Error> {
    incoming.write(piece)?;
    if last {
        incoming.finish().map(|whole| Step::Whole(Box::new(whole)))
    } else {
        Ok(Step::More(Box::new(incoming)))
    }
}

/// What follows a message.
async fn next(client: &mut Client) -> Result<Event, Stop> {
    match client.io.next(PATIENCE).await {
        Input::Event(event) => Ok(event),
        _ => Err(Stop::hangup("gone in the middle of APPEND")),
    }
}

/// What stands behind the parenthesis that closes `UTF8 (`.
fn closes(rest: &[u8], wrapped: bool) -> Option<&[u8]> {
    if wrapped { rest.strip_prefix(b")") } else { Some(rest) }
}

/// All messages in one job: all of them are there afterwards, or none.
async fn store(client: &mut Client, target: Target, taken: Vec<(Prepared, Message)>) -> Result<Done, Stop> {
    let done = client
        .shared
        .pool
        .write(move |tx| {
            // While the message came it may have been deleted.
            if mailboxes::get(tx, target.account, target.mailbox)?.is_none() {
                return Ok(Err(no_target(&target.name)));
            }
            let now = DateTime::utc(tx.now());
            let arrivals: Vec<_> = taken
                .iter()
                .map(|(prepared, message)| Arrival {
                    prepared,
                    internal_date: message.date.unwrap_or(now),
                    flags: message.flags.clone(),
                })
                .collect();
            filing::file(tx, target.account, target.mailbox, &arrivals).map(|filed| Ok(filed.appended))
        })
        .await??;
    Ok(Done::with(Code::AppendUid(done.uid_validity, done.uids), "APPEND completed"))
}
