//! What FETCH writes of each message: a plan compiled from the command, and a run over messages that can be
//! left and gone on with at any item, and within a literal.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use crate::imap::command::fetch::message::{self, Current};
use crate::imap::connection::CHUNK;
use crate::imap::flags;
use crate::imap::job::Job;
use crate::model::{AccountId, MailboxId, MailboxName, ModSeq, SeqNum, Uid, UidList, UidSet};
use crate::protocol::command::fetch::{Fetch, Item};
use crate::protocol::response::fetch::Fetch as Response;
use crate::protocol::response::{Dialect, Writer};
use crate::store::emails::ObjectIds;
use crate::store::fault::Fault;
use crate::store::keywords::KeywordTable;
use crate::store::messages;
use crate::store::record::Record;
use crate::store::{Error, Snapshot, contained};

/// Records that are read at a time.
const BATCH: usize = 512;
/// Pieces of parts that are read before they are written until the snapshot is let go of: about a mebibyte.
const PREPARED_A_STEP: usize = 16;
/// The clock is looked at after so many items that only the record is asked for, and after each other one: to look
/// costs as much as to write one of those.
const CLOCKED: u32 = 32;
/// Of so many messages of a FETCH that cannot be read the log tells each: a volume that is lost held thousands.
const TOLD: u64 = 100;
/// What helps where a content is damaged: the same bytes take its place, in every mailbox where it lies.
const REPAIR: &str = "import or append the same message again, from a backup or another program's copy: it takes the damaged one's place";

/// What is wanted of each message.
#[derive(Clone, Debug)]
pub struct Plan {
    items: Vec<Item>,
    condstore: bool,
}

impl Plan {
    /// Compiles a command; `condstore` if the session speaks CONDSTORE.
    #[must_use]
    pub fn compile(command: &Fetch, condstore: bool) -> Self {
        let mut items = command.items.clone();
        // RFC 9051 §6.4.8: UID FETCH answers with UID. RFC 7162 §3.1.4.1: CHANGEDSINCE with MODSEQ.
        // Thunderbird shows the wrong message unless it is the first item.
        if command.uid {
            items.retain(|item| *item != Item::Uid);
            items.insert(0, Item::Uid);
        }
        if command.changed_since.is_some() && !items.contains(&Item::ModSeq) {
            items.push(Item::ModSeq);
        }
        Plan { items, condstore }
    }

    /// Whether MODSEQ was asked for: the session speaks CONDSTORE from then on.
    #[must_use]
    pub fn wants_modseq(&self) -> bool {
        self.items.contains(&Item::ModSeq)
    }

    /// Whether it reads bodies, which sets `\Seen`.
    #[must_use]
    pub fn sets_seen(&self) -> bool {
        self.items.iter().any(|item| match item {
            Item::Section { peek, .. } | Item::Binary { peek, .. } => !peek,
            _ => false,
        })
    }

    /// Whether it may show flags.
    #[must_use]
    pub fn shows_flags(&self) -> bool {
        self.sets_seen() || self.items.contains(&Item::Flags)
    }

    fn needs_ids(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::EmailId | Item::ThreadId))
    }
}

/// The messages of a run, and how they are shown.
pub struct Scope {
    /// Whose mailbox.
    pub account: AccountId,
    /// Which.
    pub mailbox: MailboxId,
    /// What it is called, for the log.
    pub name: MailboxName,
    /// The client's numbering.
    pub numbers: Arc<UidList>,
    /// Which messages.
    pub uids: UidList,
    /// Those that this FETCH has marked as read: their flags are shown.
    pub newly_seen: UidList,
    /// Those that are `\Recent`.
    pub recent: UidSet,
    /// The mailbox's keywords.
    pub keywords: KeywordTable,
    /// How strings are written.
    pub dialect: Dialect,
}

/// A run of a plan over messages.
pub struct Run {
    plan: Plan,
    scope: Scope,
    todo: Box<dyn Iterator<Item = UidSet> + Send>,
    batch: VecDeque<(SeqNum, Record)>,
    current: Option<Current>,
    ids: Option<ObjectIds>,
    highest: ModSeq,
    missed: bool,
    /// Where the message in hand begins in the output, if nothing of it can have been sent.
    mark: Option<usize>,
    failure: Option<Error>,
    /// What could not be had of a message with which nothing is wrong.
    refused: Option<Error>,
    /// Messages that could not be read, and the last of them.
    failed: u64,
    failed_last: Option<Uid>,
}

impl Run {
    /// A run that has written nothing.
    #[must_use]
    pub fn new(plan: Plan, scope: Scope) -> Self {
        let todo = Box::new(scope.uids.clone().batches(BATCH));
        Run {
            plan,
            scope,
            todo,
            batch: VecDeque::new(),
            current: None,
            ids: None,
            highest: ModSeq::ZERO,
            missed: false,
            mark: None,
            failure: None,
            refused: None,
            failed: 0,
            failed_last: None,
        }
    }

    /// Whether a literal is announced that is not whole yet.
    #[must_use]
    pub fn in_literal(&self) -> bool {
        self.current.as_ref().is_some_and(Current::in_literal)
    }

    /// Names the message that is being written in the log, and says what can be done for it if it is damaged.
    pub fn tell_damage(&self, error: &Error, what: &str) {
        let uid = self.current.as_ref().map(|current| current.record.uid.get());
        let (account, mailbox) = (self.scope.account.0, self.scope.name.as_str());
        // A disk that fails and an error of Postern's own are no damage: the same bytes again would not help.
        let advice = (error.fault() == Some(Fault::File)).then_some(REPAIR);
        tracing::error!(account, mailbox, uid, %error, advice, "{what}");
    }

    /// The highest MODSEQ that was written.
    #[must_use]
    pub fn highest_modseq(&self) -> ModSeq {
        self.highest
    }

    /// Whether some of the messages were gone.
    #[must_use]
    pub fn missed(&self) -> bool {
        self.missed
    }

    /// How many messages could not be read, and why the first could not; the others were written. If all could be, what
    /// was refused first.
    pub fn take_failure(&mut self) -> Option<(u64, Error)> {
        if self.failed > TOLD {
            let (account, mailbox) = (self.scope.account.0, self.scope.name.as_str());
            tracing::error!(
                account,
                mailbox,
                messages = self.failed,
                "so many messages of one FETCH cannot be read"
            );
        }
        match self.failure.take() {
            Some(error) => Some((self.failed, error)),
            None => self.refused.take().map(|error| (1, error)),
        }
    }

    /// After an error: makes what was written end in a whole response. False if it cannot be, since a literal is
    /// announced that will not come: then the connection must end.
    #[must_use]
    pub fn close(&mut self, error: &Error, out: &mut Vec<u8>) -> bool {
        if let (Error::Internal(_), Some(_)) = (error, &self.current) {
            return false;
        }
        if self.in_literal() {
            return false;
        }
        self.end(out);
        true
    }

    fn fill(&mut self, snapshot: &Snapshot, until: Instant, out: &mut Vec<u8>) -> Result<bool, Error> {
        if self.plan.needs_ids() && self.ids.is_none() {
            self.ids = Some(ObjectIds::load(snapshot, self.scope.account)?);
        }
        let (mut prepared, mut unclocked) = (0, 0);
        while out.len() < CHUNK {
            // Something is written first, so that it goes on however busy the machine is.
            if unclocked >= CLOCKED {
                unclocked = 0;
                if Instant::now() >= until {
                    break;
                }
            }
            unclocked += self.cost();
            let Some(current) = &self.current else {
                if self.begin(snapshot, out)? {
                    continue;
                }
                return Ok(false);
            };
            if let Some(pieces) = current.preparing() {
                if prepared >= PREPARED_A_STEP {
                    break;
                }
                prepared += pieces;
            }
            if current.is_busy() {
                self.go_on(snapshot, out)?;
            } else if current.next < self.plan.items.len() {
                self.item(snapshot, out)?;
            } else {
                self.end(out);
            }
        }
        Ok(true)
    }

    /// What comes next costs, against [`CLOCKED`].
    fn cost(&self) -> u32 {
        let Some(current) = &self.current else { return 1 };
        match self.plan.items.get(current.next) {
            _ if current.is_busy() => CLOCKED,
            None => 1,
            Some(Item::Uid | Item::Flags | Item::InternalDate | Item::Rfc822Size | Item::ModSeq) => 1,
            Some(_) => CLOCKED,
        }
    }

    /// Begins the next message; false if there is none.
    fn begin(&mut self, snapshot: &Snapshot, out: &mut Vec<u8>) -> Result<bool, Error> {
        while self.batch.is_empty() {
            let Some(wanted) = self.todo.next() else { return Ok(false) };
            let (batch, mut found) = (&mut self.batch, 0);
            // Both come in the order of UIDs: to look up each number would cost half a chunk of the list.
            let mut numbers = self.scope.numbers.select_uids(&wanted).peekable();
            let known = messages::keywords_agreeing(snapshot, self.scope.mailbox, &self.scope.keywords)?;
            messages::select(snapshot, self.scope.mailbox, &wanted, &mut |record| {
                found += 1;
                while numbers.next_if(|(_, uid)| *uid < record.uid).is_some() {}
                if let Some((number, _)) = numbers.next_if(|(_, uid)| *uid == record.uid) {
                    batch.push_back((number, Record { keywords: record.keywords & known, ..*record }));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            self.missed |= found < wanted.len();
        }
        let Some((number, record)) = self.batch.pop_front() else { return Ok(true) };
        self.mark = Some(out.len());
        let mut writer = Writer::new(out, self.scope.dialect);
        let first = Response::new(&mut writer, number).leave();
        self.current = Some(Current::new(record, first));
        Ok(true)
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let Some(current) = self.current.take() else { return };
        let mut writer = Writer::new(out, self.scope.dialect);
        let mut response = Response::resume(&mut writer, current.first);
        let mut empty = current.first;
        if self.scope.newly_seen.contains(current.record.uid) {
            // RFC 7162 §3.2.4: UID and MODSEQ in every FETCH that tells of a change.
            if self.plan.condstore && !self.plan.items.contains(&Item::Uid) {
                response.uid(current.record.uid);
                empty = false;
            }
            if !self.plan.items.contains(&Item::Flags) {
                response.flags(self.scope.flags(&current.record));
                empty = false;
            }
            if self.plan.condstore && !self.plan.wants_modseq() {
                response.modseq(current.record.modseq);
                self.highest = self.highest.max(current.record.modseq);
            }
        }
        if empty {
            // Nothing could be read of it: a response is never empty.
            response.uid(current.record.uid);
        }
        response.finish();
    }

    /// Writes the next item, or begins to.
    fn item(&mut self, snapshot: &Snapshot, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let Some(item) = self.plan.items.get(current.next) else { return Ok(()) };
        current.next += 1;
        let (scope, ids, highest) = (&self.scope, self.ids.as_ref(), &mut self.highest);
        let written = current.item(snapshot, out, scope.dialect, |current, response| {
            match item {
                Item::ModSeq => {
                    *highest = current.record.modseq.max(*highest);
                    response.modseq(current.record.modseq);
                }
                Item::Flags => response.flags(scope.flags(&current.record)),
                other => message::write(snapshot, current, response, other, ids)?,
            }
            Ok(())
        });
        self.done(snapshot, written)
    }

    /// Goes on with an item that is not written at once.
    fn go_on(&mut self, snapshot: &Snapshot, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let written = current.go_on(snapshot, out, self.scope.dialect);
        self.done(snapshot, written)
    }

    fn done(&mut self, snapshot: &Snapshot, written: Result<(), Error>) -> Result<(), Error> {
        let Err(error) = written else { return Ok(()) };
        match &self.current {
            Some(current) if current.in_literal() => {
                // It is read to its end before it is announced again, so that its reader gets past it next time.
                snapshot.suspect(current.record.email);
                Err(error)
            }
            _ => self.passed_over(error),
        }
    }

    /// An item that cannot be read: the other items, and the other messages, can be all the same.
    fn passed_over(&mut self, error: Error) -> Result<(), Error> {
        match error {
            Error::Closed => return Err(error),
            // Who asked hears of it; there is nothing for whoever reads the log to mend.
            Error::Refused(_) | Error::UnknownEncoding => {
                self.refused.get_or_insert(error);
                return Ok(());
            }
            _ => {}
        }
        let uid = self.current.as_ref().map(|current| current.record.uid);
        if std::mem::replace(&mut self.failed_last, uid) != uid {
            self.failed += 1;
        }
        if self.failed <= TOLD {
            self.tell_damage(&error, "a message cannot be read");
        }
        self.failure.get_or_insert(error);
        Ok(())
    }
}

impl Job for Run {
    /// As of every job. An error is one after which it cannot be gone on; then [`Run::close`].
    fn step(&mut self, snapshot: &Snapshot, until: Instant, out: &mut Vec<u8>) -> Result<bool, Error> {
        self.mark = self.current.is_none().then_some(out.len());
        if let Some(current) = &mut self.current {
            current.keep();
        }
        let filled = contained("a message could not be shown", || self.fill(snapshot, until, out));
        self.current.iter_mut().for_each(Current::pause);
        let (Err(error @ Error::Internal(_)), Some(mark), true) =
            (&filled, self.mark, self.current.is_some())
        else {
            return filled;
        };
        // Nobody knows what was written of this message; what follows it can be sent all the same.
        out.truncate(mark);
        self.passed_over(error.clone())?;
        self.current = None;
        Ok(true)
    }

    /// What was written of the messages before is kept, and that of the message in hand may be gone on with.
    fn failed(&mut self, _: usize, _: &mut Vec<u8>) {}
}

impl Scope {
    fn flags<'s>(&'s self, record: &Record) -> impl Iterator<Item = &'s str> + use<'s> {
        flags::names(record, &self.keywords, self.recent.contains(record.uid.get()))
    }
}
