//! EXPUNGE, UID EXPUNGE and CLOSE (RFC 9051 §6.4.1, §6.4.3, §6.4.9).

use crate::imap::refusal::Refusal;
use crate::imap::session::{Done, Session};
use crate::model::{UidList, UidSet};
use crate::protocol::command::expunge::Expunge;
use crate::protocol::response::code::Code;
use crate::store::messages;

/// UIDs of a job: no other job waits longer than about 50 ms for it (STORE.md, One writer).
pub const SLICE: usize = 5_000;

/// Expunges what is `\Deleted`, of all messages or of those that UID EXPUNGE names. The EXPUNGE or VANISHED
/// responses are the news that precede the tagged reply.
///
/// # Errors
/// In a mailbox opened with EXAMINE, and those of the store.
pub async fn run(session: &mut Session, command: Expunge) -> Result<Done, Refusal> {
    let view = writable(session)?;
    let uids = match &command.uids {
        Some(messages) => crate::imap::fetch::resolve_uids(view, messages),
        None => view.uids().clone(),
    };
    expunge(session, uids).await?;
    Ok(Done::ok("EXPUNGE completed"))
}

/// CLOSE: expunges without telling, unless the mailbox was opened with EXAMINE, and leaves it.
///
/// # Errors
/// Those of the store.
pub async fn close(session: &mut Session) -> Result<Done, Refusal> {
    if !session.view()?.read_only {
        expunge(session, session.view()?.uids().clone()).await?;
    }
    session.deselect();
    Ok(Done::ok("CLOSE completed"))
}

/// The view, if its mailbox may be changed.
///
/// # Errors
/// NO in a mailbox opened with EXAMINE.
pub fn writable(session: &Session) -> Result<&crate::imap::view::View, Refusal> {
    let view = session.view()?;
    if view.read_only {
        return Err(Refusal::no(
            Code::ReadOnly,
            "The mailbox was opened with EXAMINE: nothing can be changed",
        ));
    }
    Ok(view)
}

async fn expunge(session: &Session, uids: UidList) -> Result<(), Refusal> {
    let view = session.view()?;
    let (account, mailbox) = (view.account, view.mailbox);
    for slice in uids.batches(SLICE) {
        session
            .shared
            .pool
            .write(move |tx| messages::expunge(tx, account, mailbox, &slice, true).map(drop))
            .await?;
    }
    Ok(())
}

/// Cuts a set into sets of at most `size` numbers.
pub fn slices(uids: &UidSet, size: usize) -> impl Iterator<Item = UidSet> + use<> {
    let mut rest: Vec<std::ops::RangeInclusive<u32>> = uids.ranges().to_vec();
    rest.reverse();
    let size = size as u64;
    std::iter::from_fn(move || {
        let mut slice = UidSet::new();
        let mut left = size;
        while left > 0 {
            let Some(range) = rest.pop() else { break };
            let (start, end) = (u64::from(*range.start()), u64::from(*range.end()));
            let taken = (end - start + 1).min(left);
            slice.insert_range(start as u32..=(start + taken - 1) as u32);
            if start + taken <= end {
                rest.push((start + taken) as u32..=end as u32);
            }
            left -= taken;
        }
        (!slice.is_empty()).then_some(slice)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_the_set() {
        let set: UidSet = [1..=10, 20..=20, 30..=35].into_iter().collect();
        let cut: Vec<String> = slices(&set, 7).map(|slice| slice.to_string()).collect();
        assert_eq!(cut, ["1:7", "8:10,20,30:32", "33:35"]);
        assert_eq!(slices(&UidSet::new(), 7).count(), 0);
    }
}
