//! SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3), with CONDSTORE and QRESYNC (RFC 7162 §3.1.8, §3.2.5).

use std::ops::ControlFlow;

use crate::imap::mailbox::{known_name_of, nowhere, old_name};
use crate::imap::refusal::Refusal;
use crate::imap::session::{Done, Session};
use crate::imap::view::View;
use crate::imap::{flags, news};
use crate::model::{AccountId, MailboxId, ModSeq, SeqNum, UidList, UidListBuilder, UidSet};
use crate::protocol::command::select::{Qresync, Select};
use crate::protocol::response::{self, code::Code, list::Attributes};
use crate::store::changes::{self, Since};
use crate::store::keywords::KeywordTable;
use crate::store::mailboxes::{self, Mailbox};
use crate::store::{Error, Rows, messages, names};

/// All that SELECT tells, read in one snapshot.
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
    vanished: UidSet,
    changed: UidSet,
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
    let opened =
        session.shared.pool.read(move |snapshot| read(snapshot, account, found.id, started, resync)).await;
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

fn read(
    rows: &dyn Rows,
    account: AccountId,
    id: MailboxId,
    started: i64,
    resync: Option<Qresync>,
) -> Result<Option<Opened>, Error> {
    let Some(mailbox) = mailboxes::get(rows, account, id)? else { return Ok(None) };
    let mut uids = UidListBuilder::default();
    let mut fresh = None;
    messages::scan(rows, id, 1..=u32::MAX, &mut |record| {
        if record.save_date >= started && fresh.is_none() {
            fresh = Some(record.uid.get());
        }
        uids.push(record.uid);
        Ok(ControlFlow::Continue(()))
    })?;
    let uids = uids.finish();
    let has_children = names::has_below(rows, account, &mailbox.name)?;
    let subscribed = names::is_subscribed(rows, account, &mailbox.name)?;
    let resync = match resync {
        Some(known) if known.uid_validity == mailbox.uid_validity.get() => {
            Some(missed(rows, account, &mailbox, &uids, &known)?)
        }
        _ => None,
    };
    let keywords = messages::keywords(rows, id)?;
    let fresh = fresh.unwrap_or(mailbox.uid_next);
    Ok(Some(Opened { mailbox, uids, keywords, fresh, subscribed, has_children, resync }))
}

/// What a client that knew the state at `known.modseq` must hear: VANISHED never names more than what is
/// really gone and it can have known, or clients empty their copy (CLIENTS.md, Samsung).
fn missed(
    rows: &dyn Rows,
    account: AccountId,
    mailbox: &Mailbox,
    uids: &UidList,
    known: &Qresync,
) -> Result<Resync, Error> {
    let below_next: UidSet = mailbox.uid_next.checked_sub(1).map(|last| 1..=last).into_iter().collect();
    let named = known.known_uids.clone();
    let scope = named.unwrap_or_else(|| below_next.clone()).intersection(&below_next);
    let since = ModSeq(known.modseq);
    let (gone, changed) = match changes::since(rows, account, mailbox.id, since)? {
        Since::Known(found) => (found.expunged, found.added.union(&found.changed)),
        Since::BelowFloor => (scope.difference(&uids.to_set()), changed_since(rows, mailbox.id, since)?),
    };
    let matched = matched_below(uids, known.matched.as_ref());
    Ok(Resync { vanished: vanished(&gone, &scope, matched), changed: changed.intersection(&scope) })
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

fn changed_since(rows: &dyn Rows, mailbox: MailboxId, since: ModSeq) -> Result<UidSet, Error> {
    let mut changed = UidSet::new();
    messages::scan(rows, mailbox, 1..=u32::MAX, &mut |record| {
        if record.modseq > since {
            changed.insert(record.uid);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(changed)
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
    let lowest = session.shared.hub.take_recent(mailbox.id, mailbox.uid_next, read_only, fresh);
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
        let mut told = news::tell_vanished_earlier(session, &resync.vanished).await;
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
