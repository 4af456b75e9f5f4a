//! What a session has told its client of the selected mailbox: the map between sequence numbers and UIDs,
//! and what has happened since.
//!
//! Invariants:
//! - `uids` is exactly the list that the client's sequence numbers stand for. It changes only in
//!   [`View::expunge`] and [`View::extend`], each of which comes with the responses that tell it.
//! - Every change up to `seen` has been read; what of it could not be told yet waits in `pending`.
//! - Every change up to `told` has been told.

use std::collections::VecDeque;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;

use crate::model::{
    AccountId, MailboxId, MailboxName, ModSeq, SeqNum, SequenceSet, Uid, UidList, UidSet, UidValidity,
};
use crate::protocol::command::Messages;
use crate::store::changes::{self, Since};
use crate::store::{Error, Rows};
use crate::store::{mailboxes, messages};

/// How many of a session's own changes are remembered so that they are not echoed. Older ones would be told
/// again, which does no harm.
const OWN_CHANGES: usize = 64;
/// How many ranges of UIDs all of them may have.
const OWN_RANGES: usize = 10_000;

/// News of more ranges of UIDs are not taken up at once: what the client has is compared with what is there, part by
/// part.
pub const MOST_RANGES: usize = 20_000;
/// Messages of a part.
const WINDOW: usize = 8_192;

/// The selected mailbox as the client knows it.
#[derive(Debug, Clone)]
pub struct View {
    /// The account that owns the mailbox.
    pub account: AccountId,
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Its name when it was selected.
    pub name: MailboxName,
    /// Opened with EXAMINE.
    pub read_only: bool,
    uid_validity: UidValidity,
    uids: UidList,
    pending: UidList,
    recent: UidSet,
    seen: ModSeq,
    told: ModSeq,
    sent: ModSeq,
    own: VecDeque<(ModSeq, Arc<UidSet>)>,
    /// Stands for the keywords that the client knows: FLAGS is sent again when they are others.
    pub keywords_told: u64,
    /// The result of the last SEARCH RETURN (SAVE): UIDs (RFC 5182 §2.1), those among them that are gone. No UID
    /// comes back, and to take away each would make a range of each.
    pub saved: Arc<UidList>,
}

/// What has happened since `seen`, as sets of UIDs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// Gone, and known to the view.
    pub expunged: UidSet,
    /// New, in ascending order.
    pub added: UidSet,
    /// Known to the view, with other flags.
    pub changed: UidSet,
    /// Where reading has arrived.
    pub upto: ModSeq,
}

/// What a look at the store found.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// All of it.
    Known(Update),
    /// More than is kept, or than is taken up at once, up to this modseq: compare.
    TooMuch(ModSeq),
}

/// A part of a view.
#[derive(Debug)]
pub struct Window {
    account: AccountId,
    mailbox: MailboxId,
    uid_validity: UidValidity,
    seen: ModSeq,
    /// The UIDs from its first to its last.
    pub uids: RangeInclusive<u32>,
    known: UidSet,
}

impl Window {
    /// What has gone of it, and what has changed since the view was read.
    ///
    /// # Errors
    /// As [`View::read`].
    pub fn compare(&self, rows: &dyn Rows) -> Result<Update, Error> {
        existing(rows, self.account, self.mailbox, self.uid_validity)?;
        let (mut present, mut changed) = (UidSet::new(), UidSet::new());
        messages::scan(rows, self.mailbox, self.uids.clone(), &mut |record| {
            present.insert(record.uid);
            if record.modseq > self.seen {
                changed.insert(record.uid);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Update {
            expunged: self.known.difference(&present),
            added: UidSet::new(),
            changed: changed.intersection(&self.known),
            upto: self.seen,
        })
    }
}

/// The mailbox, if it is the one that was selected.
fn existing(
    rows: &dyn Rows,
    account: AccountId,
    mailbox: MailboxId,
    uid_validity: UidValidity,
) -> Result<mailboxes::Mailbox, Error> {
    mailboxes::get(rows, account, mailbox)?
        .filter(|known| known.uid_validity == uid_validity)
        .ok_or(Error::NotFound("mailbox"))
}

impl Update {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expunged.is_empty() && self.added.is_empty() && self.changed.is_empty()
    }
}

impl View {
    /// A view as SELECT has just told it.
    #[must_use]
    pub fn new(
        account: AccountId,
        (mailbox, uid_validity): (MailboxId, UidValidity),
        name: MailboxName,
        read_only: bool,
        uids: UidList,
        reached: ModSeq,
    ) -> Self {
        View {
            account,
            mailbox,
            name,
            read_only,
            uid_validity,
            uids,
            pending: UidList::default(),
            recent: UidSet::new(),
            seen: reached,
            told: reached,
            sent: ModSeq::ZERO,
            own: VecDeque::new(),
            keywords_told: 0,
            saved: Arc::default(),
        }
    }

    /// The client's UIDs in the order of its sequence numbers.
    #[must_use]
    pub fn uids(&self) -> &UidList {
        &self.uids
    }

    /// EXISTS as the client knows it.
    #[must_use]
    pub fn exists(&self) -> u32 {
        self.uids.len()
    }

    /// Changes up to here have been read.
    #[must_use]
    pub fn seen(&self) -> ModSeq {
        self.seen
    }

    /// Changes up to here have been told.
    #[must_use]
    pub fn told(&self) -> ModSeq {
        self.told
    }

    /// UIDs that are gone but not told yet.
    #[must_use]
    pub fn pending(&self) -> &UidList {
        &self.pending
    }

    /// Whether some of these are gone but not told yet.
    #[must_use]
    pub fn any_pending(&self, uids: &UidSet) -> bool {
        self.pending.select_uids(uids).next().is_some()
    }

    /// Those of a list that are not known to be gone, and whether some are.
    #[must_use]
    pub fn still_there(&self, uids: UidList) -> (UidList, bool) {
        let named = uids.len();
        let there = uids.without(&self.pending);
        let some_gone = there.len() < named;
        (there, some_gone)
    }

    /// Those of these that are not known to be gone.
    #[must_use]
    pub fn without_pending(&self, uids: UidSet) -> UidSet {
        if self.any_pending(&uids) { uids.difference(&self.pending.to_set()) } else { uids }
    }

    /// UIDs that are `\Recent` in this session (RFC 3501 §2.3.2), those among them that are not there, or not any
    /// more: to take away each would make a range of each.
    #[must_use]
    pub fn recent(&self) -> &UidSet {
        &self.recent
    }

    /// Adds to the UIDs that are recent here.
    pub fn add_recent(&mut self, uids: RangeInclusive<u32>) {
        self.recent.insert_range(uids);
    }

    /// How many recent messages the client can see.
    #[must_use]
    pub fn recent_count(&self) -> u32 {
        let Some(first) = self.recent.first() else { return 0 };
        self.uids
            .select_uids(&std::iter::once(first..=u32::MAX).collect())
            .filter(|(_, uid)| self.recent.contains(uid.get()))
            .count() as u32
    }

    /// Whether reading `rows` could find anything new, judged by the modseq that the bell rang.
    #[must_use]
    pub fn is_behind(&self, reached: ModSeq) -> bool {
        reached > self.seen || !self.pending.is_empty()
    }

    /// Notes that a MODSEQ was sent to the client.
    pub fn note_sent(&mut self, modseq: ModSeq) {
        self.sent = self.sent.max(modseq);
    }

    /// `told`, if the client was sent a higher MODSEQ than that and so must not take what it saw for
    /// HIGHESTMODSEQ (RFC 7162 §3.2.4).
    #[must_use]
    pub fn correction(&self) -> Option<ModSeq> {
        (self.sent > self.told).then_some(self.told)
    }

    /// Notes a change that this session made and has answered for: it is not echoed.
    pub fn note_own(&mut self, modseq: ModSeq, uids: UidSet) {
        self.own.push_back((modseq, Arc::new(uids)));
        let ranges = |own: &VecDeque<(ModSeq, Arc<UidSet>)>| -> usize {
            own.iter().map(|(_, uids)| uids.ranges().len()).sum()
        };
        while self.own.len() > OWN_CHANGES || self.own.len() > 1 && ranges(&self.own) > OWN_RANGES {
            self.own.pop_front();
        }
    }

    /// Whether a record's present state is this session's own answered change.
    #[must_use]
    pub fn is_own(&self, uid: Uid, modseq: ModSeq) -> bool {
        self.own_change(modseq).is_some_and(|uids| uids.contains(uid.get()))
    }

    /// Forgets own changes that were read past: they cannot come up again.
    pub fn forget_own(&mut self) {
        self.own.retain(|(modseq, _)| *modseq > self.seen);
    }

    fn own_change(&self, modseq: ModSeq) -> Option<&UidSet> {
        self.own.iter().find(|(known, _)| *known == modseq).map(|(_, uids)| &**uids)
    }

    /// The UIDs that a command names, by number or by UID. `None` as [`View::by_number`].
    #[must_use]
    pub fn named(&self, uid: bool, messages: &Messages) -> Option<UidList> {
        match messages {
            Messages::Set(set) if !uid => self.by_number(set),
            messages => Some(self.named_uids(messages)),
        }
    }

    /// The UIDs that a UID command names.
    #[must_use]
    pub fn named_uids(&self, messages: &Messages) -> UidList {
        match messages {
            Messages::Saved => self.uids.intersection(&self.saved),
            Messages::Set(set) => self.by_uid(set),
        }
    }

    /// The sequence numbers and UIDs that a set of sequence numbers means. `None` if it names a number
    /// that does not exist, which is the client's error (RFC 9051 §9, `seq-number`).
    #[must_use]
    pub fn by_number(&self, set: &SequenceSet) -> Option<UidList> {
        let last = self.exists();
        if set.max_number().is_some_and(|number| number > last) || (set.has_last() && last == 0) {
            return None;
        }
        Some(self.uids.numbered(&set.resolve(last)))
    }

    /// The UIDs of the view that a UID set means; those that do not exist are ignored (RFC 9051 §6.4.9).
    #[must_use]
    pub fn by_uid(&self, set: &SequenceSet) -> UidList {
        self.uids.only(&set.resolve(self.highest_uid()))
    }

    /// Reads what has happened since `seen`.
    ///
    /// # Errors
    /// Those of the store; `NotFound` if the mailbox is gone, or was put back since under another UIDVALIDITY.
    pub fn read(&self, rows: &dyn Rows) -> Result<News, Error> {
        let upto = existing(rows, self.account, self.mailbox, self.uid_validity)?.highest_modseq;
        // To read every message that the session has just answered for would cost as much as the change.
        let answered = |modseq| self.own_change(modseq);
        match changes::since_but(rows, self.account, self.mailbox, self.seen, MOST_RANGES, &answered)? {
            Since::Known(found) => {
                Ok(News::Known(self.known_only(found.expunged, &found.added, &found.changed, found.upto)))
            }
            Since::BelowFloor => Ok(News::TooMuch(upto)),
        }
    }

    /// What the client can have known: VANISHED and FETCH name nothing else, and what is new to the view is
    /// told by EXISTS alone.
    fn known_only(&self, expunged: UidSet, added: &UidSet, changed: &UidSet, upto: ModSeq) -> Update {
        let last = self.highest_uid();
        let above: UidSet = last.checked_add(1).map(|first| first..=u32::MAX).into_iter().collect();
        let known = |set: &UidSet| -> UidSet { self.uids.select_uids(set).map(|(_, uid)| uid).collect() };
        let everything = added.union(changed);
        Update {
            expunged: self.without_pending(known(&expunged)),
            added: everything.intersection(&above),
            changed: known(changed).difference(&expunged),
            upto,
        }
    }

    /// The highest UID that the client knows.
    #[must_use]
    pub fn highest_uid(&self) -> u32 {
        self.uids.last().map_or(0, Uid::get)
    }

    /// The next part of the view, from a UID on, to be compared with what is there.
    #[must_use]
    pub fn window(&self, from: u32) -> Option<Window> {
        let rest: UidSet = std::iter::once(from..=u32::MAX).collect();
        let known: UidSet = self.uids.select_uids(&rest).take(WINDOW).map(|(_, uid)| uid).collect();
        Some(Window {
            account: self.account,
            mailbox: self.mailbox,
            uid_validity: self.uid_validity,
            seen: self.seen,
            uids: from..=known.last()?,
            known: self.without_pending(known),
        })
    }

    /// Takes in what was read, but for the messages themselves: expunged UIDs wait until they may be told.
    pub fn take(&mut self, update: &Update) {
        if update.expunged.first() > self.pending.last().map(Uid::get) {
            self.pending.extend(update.expunged.uids());
        } else if !update.expunged.is_empty() {
            self.pending = UidList::from(&self.pending.to_set().union(&update.expunged));
        }
        self.seen = self.seen.max(update.upto);
        if self.pending.is_empty() {
            self.told = self.seen;
        }
    }

    /// Removes the last of what is pending, at most so many ranges and so many messages, and returns the UIDs and
    /// the sequence numbers that they had.
    pub fn expunge(&mut self, ranges: usize, messages: u32) -> (UidSet, UidSet) {
        let gone = self.pending.take_last(ranges, messages);
        let numbers = self.uids.remove(&gone);
        if self.pending.is_empty() {
            self.told = self.seen;
        }
        (gone, numbers)
    }

    /// Appends new UIDs: EXISTS follows.
    pub fn extend(&mut self, added: &UidSet) {
        self.uids.extend(added.uids());
    }

    /// The sequence number of a UID in this view.
    #[must_use]
    pub fn seq(&self, uid: Uid) -> Option<SeqNum> {
        self.uids.seq(uid)
    }
}

/// The numbers of EXPUNGE responses, in the order in which they are sent: from the end, so that none shifts
/// another (RFC 9051 §7.5.1).
pub fn expunge_order(numbers: &UidSet) -> impl Iterator<Item = u32> + '_ {
    numbers.iter().rev()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Endpoint;

    fn view(uids: &[u32]) -> View {
        let list = uids.iter().copied().filter_map(Uid::new).collect();
        View::new(
            AccountId(1),
            (MailboxId(1), UidValidity::new(1).unwrap()),
            MailboxName::inbox(),
            false,
            list,
            ModSeq(10),
        )
    }

    #[test]
    fn expunged_messages_keep_their_number_until_told() {
        let uids: Vec<u32> = (1..=8).map(|n| n * 10).chain(100..110).collect();
        let mut view = view(&uids);
        view.take(&Update {
            expunged: [20_u32, 40].into_iter().chain(102..106).collect(),
            upto: ModSeq(11),
            ..Update::default()
        });
        assert_eq!((view.exists(), view.told(), view.seen()), (18, ModSeq(10), ModSeq(11)));
        assert_eq!(view.seq(Uid::new(30).unwrap()), SeqNum::new(3));
        let mut told = Vec::new();
        while !view.pending().is_empty() {
            assert_eq!(view.told(), ModSeq(10), "not all is told yet");
            let (gone, numbers) = view.expunge(1, 3);
            told.extend(gone.iter().rev().zip(expunge_order(&numbers)));
        }
        assert_eq!(told, [(105, 14), (104, 13), (103, 12), (102, 11), (40, 4), (20, 2)]);
        assert_eq!((view.exists(), view.told()), (12, ModSeq(11)));
    }

    #[test]
    fn numbers_past_the_end_are_an_error_and_uids_are_not() {
        let view = view(&[10, 20]);
        let past = SequenceSet::range(Endpoint::Number(2), Endpoint::Number(3));
        assert!(view.by_number(&past).is_none());
        assert!(view.by_uid(&past).is_empty());
        let star = SequenceSet::range(Endpoint::Number(100), Endpoint::Last);
        assert_eq!(view.by_uid(&star).to_set().to_string(), "20");
        assert_eq!(
            view.by_number(&SequenceSet::range(Endpoint::Last, Endpoint::Last)).unwrap().to_set().to_string(),
            "20"
        );
    }

    #[test]
    fn only_what_the_client_knows_vanishes() {
        let view = view(&[10, 20]);
        let set = |numbers: &[u32]| -> UidSet { numbers.iter().copied().collect() };
        let update = view.known_only(set(&[5, 10, 25]), &set(&[30]), &set(&[20, 27]), ModSeq(12));
        assert_eq!(update.expunged.to_string(), "10");
        assert_eq!(update.added.to_string(), "27,30");
        assert_eq!(update.changed.to_string(), "20");
    }
}
