//! SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3), with CONDSTORE and QRESYNC (RFC 7162 §3.1.8, §3.2.5).

use std::ops::ControlFlow;
use std::time::Instant;

use crate::imap::fair_queue::Step;
use crate::imap::names::{known_name_of, nowhere, old_name};
use crate::imap::refusal::Refusal;
use crate::imap::session::{Done, Session};
use crate::imap::view::View;
use crate::imap::{flags, news};
use crate::model::{AccountId, MailboxId, ModSeq, SeqNum, UidList, UidListBuilder, UidSet};
use crate::protocol::command::select::{Qresync, Select};
use crate::protocol::response::{self, code::Code, list::Attributes};
use crate::store::changes::{self, Changes, Since};
use crate::store::keywords::KeywordTable;
use crate::store::mailboxes::{self, Mailbox};
use crate::store::{Error, Rows, Store, contained, messages, names};

/// The clock is looked at after so many messages.
const CLOCKED: u32 = 1_024;
/// So often the UIDs of a mailbox are read anew in steps, if more changes meanwhile than is kept.
const MOST_ANEW: u32 = 3;

/// All that SELECT tells, as one snapshot has it.
struct Opened {
    mailbox: Mailbox,
    uids: UidList,
    keywords: KeywordTable,
    /// The lowest UID delivered since the server started.
    fresh: u32,
    subscribed: bool,
    has_children: bool,
    resync: Option<Resync>,
}

/// What a QRESYNC client has missed.
struct Resync {
    vanished: UidList,
    changed: UidList,
}

/// Opens a mailbox. Whatever was open is closed first, also when this fails (RFC 9051 §6.3.2).
///
/// # Errors
/// If there is no such mailbox.
pub async fn run(session: &mut Session, command: Select) -> Result<Done, Refusal> {
    if command.qresync.is_some() && !session.enabled.qresync {
        return Err(Refusal::bad("ENABLE QRESYNC comes first (RFC 7162 §3.2.5)"));
    }
    if session.deselect().is_some() {
        session.untagged("OK", Some(Code::Closed), "The mailbox that was open is closed");
    }
    if command.condstore || command.qresync.is_some() {
        session.enabled.condstore = true;
    }
    let account = session.account()?;
    let name = known_name_of(&command.mailbox)?;
    let (wanted, resync) = (name.clone(), command.qresync);
    let started = session.shared.started_unix;
    // The bell rings for this mailbox before it is read, so that nothing falls in between.
    let found = session
        .shared
        .pool
        .read(move |snapshot| mailboxes::by_name(snapshot, account, &wanted))
        .await?
        .ok_or_else(nowhere)?;
    session.user()?.bell.watch(Some(found.id));
    let opened = read(session, Scan::new(account, found.id, started, resync)).await;
    let opened = match opened {
        Ok(Some(opened)) => opened,
        other => {
            session.user()?.bell.watch(None);
            return Err(other.err().unwrap_or_else(nowhere));
        }
    };
    let old_name = old_name(session, &command.mailbox, &opened.mailbox.name);
    tell(session, opened, command.read_only, old_name).await
}

/// Reads a mailbox in steps.
async fn read(session: &Session, mut scan: Scan) -> Result<Option<Opened>, Refusal> {
    let mut step = Step::First;
    loop {
        let work = move |store: &Store, until: Instant| {
            let mut scan = scan;
            let read = contained("a mailbox could not be read", || scan.step(&store.snapshot()?, until));
            (scan, read)
        };
        let (back, read) = session.shared.pool.step(step, work).await;
        (scan, step) = (back, Step::Further);
        match read? {
            Read::All(opened) => return Ok(Some(*opened)),
            Read::Nothing => return Ok(None),
            Read::Some if session.io.has_hung_up() => {
                return Err(Refusal::hangup("gone during SELECT"));
            }
            Read::Some => {}
        }
    }
}

/// How far a step came.
enum Read {
    All(Box<Opened>),
    Some,
    /// There is no such mailbox any more.
    Nothing,
}

/// A mailbox that is being read. What it ends with is the state of one snapshot: what changed while its UIDs were
/// read is made up for, or all of them are read anew.
struct Scan {
    account: AccountId,
    id: MailboxId,
    started: i64,
    known: Option<Qresync>,
    anew: u32,
    /// The mailbox when the first of the UIDs were read.
    begun: Option<Mailbox>,
    next: u32,
    uids: UidListBuilder,
    /// Those that changed since the state that a QRESYNC client knows.
    changed: UidListBuilder,
    fresh: Option<u32>,
}

impl Scan {
    fn new(account: AccountId, id: MailboxId, started: i64, known: Option<Qresync>) -> Self {
        let (anew, begun, uids, changed, fresh) = Default::default();
        Scan { account, id, started, known, anew, begun, next: 1, uids, changed, fresh }
    }

    fn step(&mut self, rows: &dyn Rows, until: Instant) -> Result<Read, Error> {
        let Some(mailbox) = mailboxes::get(rows, self.account, self.id)? else { return Ok(Read::Nothing) };
        let begun = self.begun.get_or_insert_with(|| mailbox.clone());
        if begun.uid_validity != mailbox.uid_validity {
            return Ok(Read::Nothing);
        }
        let since = begun.highest_modseq;
        if !self.scan(rows, until)? {
            return Ok(Read::Some);
        }
        let meanwhile = match changes::since(rows, self.account, self.id, since)? {
            Since::Known(found) => found,
            Since::BelowFloor => {
                let known = self.known.take();
                *self = Scan { anew: self.anew + 1, ..Scan::new(self.account, self.id, self.started, known) };
                return Ok(Read::Some);
            }
        };
        self.finish(rows, mailbox, &meanwhile).map(|opened| Read::All(Box::new(opened)))
    }

    /// Reads UIDs until a moment. Whether those were all.
    fn scan(&mut self, rows: &dyn Rows, until: Instant) -> Result<bool, Error> {
        let known = self.known.as_ref().map_or(ModSeq(u64::MAX), |known| ModSeq(known.modseq));
        let (mut unclocked, mut all) = (0, true);
        // Who always meets a mailbox that changes faster than it is read reads it in one step.
        let patient = self.anew < MOST_ANEW;
        messages::scan(rows, self.id, self.next..=u32::MAX, &mut |record| {
            if unclocked == CLOCKED {
                unclocked = 0;
                if patient && Instant::now() >= until {
                    (self.next, all) = (record.uid.get(), false);
                    return Ok(ControlFlow::Break(()));
                }
            }
            unclocked += 1;
            if record.save_date >= self.started && self.fresh.is_none() {
                self.fresh = Some(record.uid.get());
            }
            self.uids.push(record.uid);
            if record.modseq > known {
                self.changed.push(record.uid);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }

    fn finish(&mut self, rows: &dyn Rows, mailbox: Mailbox, meanwhile: &Changes) -> Result<Opened, Error> {
        let mut uids = std::mem::take(&mut self.uids).finish();
        // What came meanwhile has been read: its UIDs are the highest.
        uids.remove(&meanwhile.expunged);
        let resync = match &self.known {
            Some(known) if known.uid_validity == mailbox.uid_validity.get() => {
                let mut changed = std::mem::take(&mut self.changed).finish();
                if !meanwhile.changed.is_empty() {
                    changed = UidList::from(&changed.to_set().union(&meanwhile.changed));
                }
                changed.remove(&meanwhile.expunged);
                Some(missed(rows, self.account, &mailbox, &uids, known, changed)?)
            }
            _ => None,
        };
        Ok(Opened {
            has_children: names::has_below(rows, self.account, &mailbox.name)?,
            subscribed: names::is_subscribed(rows, self.account, &mailbox.name)?,
            keywords: messages::keywords(rows, self.id)?,
            fresh: self.fresh.unwrap_or(mailbox.uid_next),
            mailbox,
            uids,
            resync,
        })
    }
}

/// What a client that knew the state at `known.modseq` must hear: VANISHED never names more than what is
/// really gone and it can have known, or clients empty their copy (CLIENTS.md, Samsung).
fn missed(
    rows: &dyn Rows,
    account: AccountId,
    mailbox: &Mailbox,
    uids: &UidList,
    known: &Qresync,
    changed: UidList,
) -> Result<Resync, Error> {
    let below_next: UidSet = mailbox.uid_next.checked_sub(1).map(|last| 1..=last).into_iter().collect();
    let named = known.known_uids.clone();
    let scope = named.unwrap_or_else(|| below_next.clone()).intersection(&below_next);
    let since = ModSeq(known.modseq);
    let gone = match changes::since(rows, account, mailbox.id, since)? {
        Since::Known(found) => found.expunged,
        Since::BelowFloor => scope.difference(&uids.to_set()),
    };
    let matched = matched_below(uids, known.matched.as_ref());
    let vanished = UidList::from(&vanished(&gone, &scope, matched));
    Ok(Resync { vanished, changed: changed.only(&scope) })
}

/// What is gone of what the client can have known, without what it says it knows by number and UID (RFC 7162
/// §3.2.5.2).
fn vanished(gone: &UidSet, scope: &UidSet, matched: u32) -> UidSet {
    let unmatched: UidSet = matched.checked_add(1).map(|from| from..=u32::MAX).into_iter().collect();
    gone.intersection(scope).intersection(&unmatched)
}

/// The highest UID up to which the client's pairs of number and UID agree with the mailbox.
fn matched_below(uids: &UidList, pairs: Option<&(UidSet, UidSet)>) -> u32 {
    let Some((numbers, wanted)) = pairs else { return 0 };
    let pairs = numbers.iter().zip(wanted.iter()).take(10_000);
    pairs
        .take_while(|(number, uid)| {
            SeqNum::new(*number).and_then(|number| uids.uid(number)).is_some_and(|known| known.get() == *uid)
        })
        .map(|(_, uid)| uid)
        .last()
        .unwrap_or(0)
}

async fn tell(
    session: &mut Session,
    opened: Opened,
    read_only: bool,
    old_name: Option<String>,
) -> Result<Done, Refusal> {
    let Opened { mailbox, uids, keywords, fresh, subscribed, has_children, resync } = opened;
    let rev2 = session.enabled.rev2;
    let unseen = mailbox.first_unseen.and_then(|uid| uids.seq(uid));
    let account = session.account()?;
    let ids = (mailbox.id, mailbox.uid_validity);
    let mut view = View::new(account, ids, mailbox.name.clone(), read_only, uids, mailbox.highest_modseq);
    let lowest = session.shared.bells.take_recent(mailbox.id, mailbox.uid_next, read_only, fresh);
    if lowest < mailbox.uid_next {
        view.add_recent(lowest..=mailbox.uid_next - 1);
    }
    view.keywords_told = flags::fingerprint(&keywords);
    let (exists, recent) = (view.exists(), view.recent_count());
    flags::write(session, &keywords, read_only);
    let mut writer = session.writer();
    response::exists(&mut writer, exists);
    if rev2 {
        // RFC 9051 §6.3.2: LIST tells the mailbox's canonical name.
        let attributes = Attributes {
            has_children: Some(has_children),
            subscribed,
            special_use: mailbox.special_use,
            old_name,
            ..Attributes::default()
        };
        response::list::list(&mut writer, &attributes, mailbox.name.as_str());
    } else {
        response::recent(&mut writer, recent);
        if let Some(number) = unseen {
            session.untagged("OK", Some(Code::Unseen(number.get())), "The first unseen message");
        }
    }
    session.untagged("OK", Some(Code::UidValidity(mailbox.uid_validity)), "UIDs are valid");
    session.untagged("OK", Some(Code::UidNext(mailbox.uid_next)), "The next UID");
    session.untagged("OK", Some(Code::HighestModSeq(mailbox.highest_modseq.0.max(1))), "The highest modseq");
    session.untagged("OK", Some(Code::MailboxId(mailbox.object_id)), "The mailbox's id");
    session.open(view);
    if let Some(resync) = resync {
        let mut told = news::tell_vanished_earlier(session, resync.vanished).await;
        if told.is_ok() {
            told = news::tell_changed(session, &resync.changed).await;
        }
        if let Err(refusal) = told {
            // Nothing is open after a NO (RFC 9051 §6.3.2).
            session.deselect();
            return Err(refusal);
        }
    }
    Ok(if read_only {
        Done::with(Code::ReadOnly, "EXAMINE completed")
    } else {
        Done::with(Code::ReadWrite, "SELECT completed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Uid;

    fn set(ranges: &[std::ops::RangeInclusive<u32>]) -> UidSet {
        ranges.iter().cloned().collect()
    }

    #[test]
    fn sequence_match_of_the_rfc() {
        // RFC 7162 §3.2.5.2: the fourth message has UID 8, the twelfth UID 25.
        let uids: UidList = (1..=11_u32).map(|n| n * 2).chain([25, 30]).filter_map(Uid::new).collect();
        let matched = |numbers: &[u32], wanted: &[u32]| {
            let pairs = (numbers.iter().copied().collect(), wanted.iter().copied().collect());
            matched_below(&uids, Some(&pairs))
        };
        assert_eq!(matched(&[4, 12], &[8, 24]), 8);
        assert_eq!(matched(&[4, 12], &[8, 25]), 25);
        assert_eq!(matched(&[4], &[9]), 0);
        assert_eq!(matched(&[99], &[8]), 0);
        assert_eq!(matched_below(&uids, None), 0);
    }

    #[test]
    fn only_what_the_client_can_have_known_vanishes() {
        let gone = set(&[1..=1, 3..=3, 5..=7, 40..=40]);
        let scope = set(&[1..=20]);
        assert_eq!(vanished(&gone, &scope, 0).to_string(), "1,3,5:7");
        assert_eq!(vanished(&gone, &scope, 5).to_string(), "6:7");
        assert!(vanished(&gone, &scope, u32::MAX).is_empty());
        assert!(vanished(&gone, &UidSet::new(), 0).is_empty());
    }
}
