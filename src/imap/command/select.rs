//! SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3), with CONDSTORE and QRESYNC (RFC 7162 §3.1.8, §3.2.5).

use std::time::Instant;

use crate::imap::change_bell::Interest;
use crate::imap::client::{LoggedIn, Selected};
use crate::imap::fair_queue::Step;
use crate::imap::job::{self, Job};
use crate::imap::names::{known_name_of, nowhere, old_name};
use crate::imap::outcome::Done;
use crate::imap::refusal::Stop;
use crate::imap::scan::{Read, Scan, Scanned, Wanted};
use crate::imap::view::{MOST_RANGES, View};
use crate::imap::{flags, news};
use crate::model::{AccountId, MailboxId, ModSeq, SeqNum, UidList, UidSet};
use crate::protocol::command::select::{Qresync, Select};
use crate::protocol::response::{self, code::Code, list::Attributes};
use crate::store::changes::{self, Since};
use crate::store::keywords::KeywordTable;
use crate::store::mailboxes;
use crate::store::{Error, Rows, Snapshot, messages, names};

/// All that SELECT tells, as one snapshot has it.
struct Opened {
    scanned: Scanned,
    keywords: KeywordTable,
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
pub async fn run(session: &mut LoggedIn<'_>, command: Select) -> Result<Done, Stop> {
    if command.qresync.is_some() && !session.client.enabled.qresync {
        return Err(Stop::bad("ENABLE QRESYNC comes first (RFC 7162 §3.2.5)"));
    }
    if session.deselect() {
        session.client.untagged("OK", Some(Code::Closed), "The mailbox that was open is closed");
    }
    if command.condstore || command.qresync.is_some() {
        session.client.enabled.condstore = true;
    }
    let account = session.user.account;
    let name = known_name_of(&command.mailbox)?;
    let (wanted, known) = (name.clone(), command.qresync.clone());
    let shared = &session.client.shared;
    // The bell rings for this mailbox before it is read, so that nothing falls in between.
    let found = shared.pool.read(move |snapshot| mailboxes::by_name(snapshot, account, &wanted)).await?;
    let id = found.ok_or_else(nowhere)?.id;
    session.user.bell.watch(Interest::Mailbox(id));
    let opening = Opening::new(account, id, shared.started_unix, known);
    let opened = match open(session, opening).await {
        Ok(opened) => tell(session, opened, command).await,
        Err(stop) => Err(stop),
    };
    if opened.is_err() {
        // Nothing is open after a NO (RFC 9051 §6.3.2).
        session.deselect();
    }
    opened
}

async fn open(session: &mut LoggedIn<'_>, opening: Opening) -> Result<Opened, Stop> {
    let client = &mut *session.client;
    let (opening, done) = job::run(&client.shared.pool, &mut client.io, Step::First, opening).await;
    done?;
    opening.opened.ok_or_else(nowhere)
}

/// A mailbox that is being opened.
struct Opening {
    account: AccountId,
    id: MailboxId,
    known: Option<Qresync>,
    scan: Scan,
    opened: Option<Opened>,
}

impl Job for Opening {
    fn step(&mut self, snapshot: &Snapshot, until: Instant, _: &mut Vec<u8>) -> Result<bool, Error> {
        match self.scan.step(snapshot, until)? {
            Read::Some => return Ok(true),
            Read::All(scanned) => self.opened = Some(self.finish(snapshot, *scanned)?),
            Read::Nothing => {}
        }
        Ok(false)
    }
}

impl Opening {
    fn new(account: AccountId, id: MailboxId, started: i64, known: Option<Qresync>) -> Self {
        let since = ModSeq(known.as_ref().map_or(u64::MAX, |known| known.modseq));
        let wanted = Wanted { account, mailbox: id, from: 1, since, saved_since: started };
        Opening { account, id, known, scan: Scan::new(wanted), opened: None }
    }

    fn finish(&self, rows: &dyn Rows, mut scanned: Scanned) -> Result<Opened, Error> {
        let mailbox = &scanned.mailbox;
        let resync = match &self.known {
            Some(known) if known.uid_validity == mailbox.uid_validity.get() => {
                let changed = std::mem::take(&mut scanned.changed);
                Some(missed(rows, self.account, &scanned, known, &changed)?)
            }
            _ => None,
        };
        Ok(Opened {
            has_children: names::has_below(rows, self.account, &scanned.mailbox.name)?,
            subscribed: names::is_subscribed(rows, self.account, &scanned.mailbox.name)?,
            keywords: messages::keywords(rows, self.id)?,
            scanned,
            resync,
        })
    }
}

/// What a client that knew the state at `known.modseq` must hear: VANISHED never names more than what is
/// really gone and it can have known, or clients empty their copy (CLIENTS.md, Samsung).
fn missed(
    rows: &dyn Rows,
    account: AccountId,
    scanned: &Scanned,
    known: &Qresync,
    changed: &UidList,
) -> Result<Resync, Error> {
    let Scanned { mailbox, uids, .. } = scanned;
    let below_next: UidSet = mailbox.uid_next.checked_sub(1).map(|last| 1..=last).into_iter().collect();
    let named = known.known_uids.clone();
    let scope = named.unwrap_or_else(|| below_next.clone()).intersection(&below_next);
    let since = ModSeq(known.modseq);
    // What is more than so many ranges is not looked up one by one, but seen from what is there.
    let gone = match changes::since_but(rows, account, mailbox.id, since, MOST_RANGES, &|_| None)? {
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

async fn tell(session: &mut LoggedIn<'_>, opened: Opened, command: Select) -> Result<Done, Stop> {
    let Opened { scanned, keywords, subscribed, has_children, resync } = opened;
    let Scanned { mailbox, uids, fresh, .. } = scanned;
    let read_only = command.read_only;
    let client = &mut *session.client;
    let rev2 = client.enabled.rev2;
    let unseen = mailbox.first_unseen.and_then(|uid| uids.seq(uid));
    let ids = (mailbox.id, mailbox.uid_validity);
    let account = session.user.account;
    let mut view = View::new(account, ids, mailbox.name.clone(), read_only, uids, mailbox.highest_modseq);
    let lowest = client.shared.bells.take_recent(mailbox.id, mailbox.uid_next, read_only, fresh);
    if lowest < mailbox.uid_next {
        view.add_recent(lowest..=mailbox.uid_next - 1);
    }
    view.keywords_told = flags::fingerprint(&keywords);
    flags::write(client, &keywords, read_only);
    let old_name = old_name(client, &command.mailbox, &mailbox.name);
    let mut writer = client.writer();
    response::exists(&mut writer, view.exists());
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
        response::recent(&mut writer, view.recent_count());
        if let Some(number) = unseen {
            client.untagged("OK", Some(Code::Unseen(number.get())), "The first unseen message");
        }
    }
    client.untagged("OK", Some(Code::UidValidity(mailbox.uid_validity)), "UIDs are valid");
    client.untagged("OK", Some(Code::UidNext(mailbox.uid_next)), "The next UID");
    client.untagged("OK", Some(Code::HighestModSeq(mailbox.highest_modseq.0.max(1))), "The highest modseq");
    client.untagged("OK", Some(Code::MailboxId(mailbox.object_id)), "The mailbox's id");
    let view = session.open.insert(Box::new(view));
    if let Some(resync) = resync {
        let mut selected = Selected { client, user: session.user, view };
        news::tell_vanished_earlier(&mut selected, resync.vanished).await?;
        news::tell_changed(&mut selected, &resync.changed).await?;
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
