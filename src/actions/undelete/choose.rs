//! What an order names, or what fits a filter: accounts, mailboxes and messages of the bin.

use std::collections::{BTreeMap, BTreeSet};

use super::find::{self, ItemId, Owner};
use super::list::list;
use super::{Filter, Item, Search, What};
use crate::actions::{Context, Failure};
use crate::model::{AccountId, MailboxId, UidSet};
use crate::store::bin::{Entry, Kept};
use crate::store::record::BLOCK_MAX;
use crate::store::undelete::{self, Pick};
use crate::store::{Error, Rows};

/// Items of a filter that are looked at at a time.
const PAGE: usize = 1_000;

/// Items by kind, with what is known of each.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) accounts: Vec<(ItemId, Owner)>,
    pub(super) mailboxes: Vec<(ItemId, Owner, Entry)>,
    /// By account and the mailbox that they were in.
    pub(super) messages: BTreeMap<(AccountId, MailboxId), (Owner, Vec<Pick>)>,
}

impl Chosen {
    /// Takes an item; whether there is such a one.
    fn take(&mut self, rows: &dyn Rows, owner: &Owner, entry: &Entry, id: ItemId) -> Result<bool, Error> {
        match (&entry.kept, id.uid) {
            (Kept::Account { .. }, None) => self.accounts.push((id, owner.clone())),
            (Kept::Mailbox { .. }, None) => self.mailboxes.push((id, owner.clone(), entry.clone())),
            (Kept::Account { .. }, Some(_)) => return Ok(false),
            (Kept::Messages { .. }, None) | (_, Some(_)) => {
                let uids = id.uid.map_or_else(UidSet::all, |uid| std::iter::once(uid).collect());
                let mut found = false;
                undelete::records(rows, entry, &uids, &mut |_| found = true)?;
                if found {
                    self.take_messages(owner, entry, uids);
                }
                return Ok(found);
            }
        }
        Ok(true)
    }

    fn take_messages(&mut self, owner: &Owner, entry: &Entry, uids: UidSet) {
        let of_mailbox = self.messages.entry((owner.id, entry.mailbox));
        let (_, picks) = of_mailbox.or_insert_with(|| (owner.clone(), Vec::new()));
        match picks.last_mut().filter(|pick| pick.entry == entry.id) {
            Some(pick) => pick.uids = pick.uids.union(&uids),
            None => picks.push(Pick { entry: entry.id, uids }),
        }
    }
}

/// What these ids name; what names nothing is added to `missing`.
pub(super) fn choose(
    context: &Context,
    ids: &[String],
    missing: &mut Vec<String>,
) -> Result<Chosen, Failure> {
    let mut chosen = Chosen::default();
    let mut seen = BTreeSet::new();
    let rows = context.store.snapshot()?;
    let owners = find::owners(&rows, None)?;
    // Messages of one entry stand together in a list.
    let mut last: Option<(Owner, Entry)> = None;
    for text in ids {
        let id = find::parse(text)?;
        if !seen.insert(id) {
            continue;
        }
        if last.as_ref().is_none_or(|(_, entry)| entry.id != id.entry) {
            last = find::entry(&rows, &owners, id.entry)?;
        }
        let found = match &last {
            Some((owner, entry)) => chosen.take(&rows, owner, entry, id)?,
            None => false,
        };
        if !found {
            missing.push(text.clone());
        }
    }
    Ok(chosen)
}

/// Goes through all that fits, page by page.
pub(super) fn pages(
    context: &Context,
    filter: &Filter,
    each: &mut dyn FnMut(Vec<Item>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut search = Search { filter: filter.clone(), after: None, limit: PAGE };
    loop {
        let page = list(context, &search)?;
        each(page.items)?;
        match page.next {
            Some(next) => search.after = Some(next),
            None => return Ok(()),
        }
    }
}

pub(super) fn ids_of(items: Vec<Item>, wanted: impl Fn(&What) -> bool) -> Vec<String> {
    items.into_iter().filter(|item| wanted(&item.what)).map(|item| item.id).collect()
}

/// Cuts picks into portions of at most so many messages. All of an entry of expunged messages are 64 at most.
pub(super) fn portions(picks: Vec<Pick>, most: usize) -> Vec<Vec<Pick>> {
    let (mut portions, mut portion, mut held) = (Vec::new(), Vec::new(), 0);
    for (count, pick) in picks.into_iter().flat_map(|pick| pieces(pick, most)) {
        if held + count > most && !portion.is_empty() {
            portions.push(std::mem::take(&mut portion));
            held = 0;
        }
        held += count;
        portion.push(pick);
    }
    if !portion.is_empty() {
        portions.push(portion);
    }
    portions
}

/// A pick as picks of at most so many messages, and how many these are.
fn pieces(pick: Pick, most: usize) -> Vec<(usize, Pick)> {
    if pick.uids == UidSet::all() {
        return vec![(BLOCK_MAX, pick)];
    }
    let uids: Vec<u32> = pick.uids.iter().collect();
    let cut = uids.chunks(most.max(1));
    cut.map(|uids| (uids.len(), Pick { entry: pick.entry, uids: uids.iter().copied().collect() })).collect()
}
