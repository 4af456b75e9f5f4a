//! Goes through the bin, deleted last first: all accounts' entries as one list, cut into pages.

use std::cmp::Reverse;
use std::ops::ControlFlow;

use super::find::{self, ItemId, Owner};
use super::{Filter, Item, Page, Search, What};
use crate::actions::{Context, Failure, human};
use crate::mail::digest::{Address, Digest};
use crate::mail::encoded_word;
use crate::mail::text::Needle;
use crate::model::{AccountId, CivilDate, DateTime, Uid};
use crate::store::bin::{self, Entry, EntryId, Kept};
use crate::store::keywords::KeywordTable;
use crate::store::record::Record;
use crate::store::{Error, Rows, Snapshot, Store, mailboxes, messages, undelete};

/// Messages that are looked at for a page, at most: a search for a rare word comes back in between.
const LOOKED: usize = 20_000;
/// Messages that are looked at in one snapshot.
const AT_A_TIME: usize = 256;
/// The most items of a page.
const LONGEST: usize = 1_000;
/// Letters of a subject, and of a line of addresses, that are shown.
const SUBJECT: usize = 500;
pub(super) const ADDRESSES: usize = 1_000;
/// A day, in seconds.
const DAY: i64 = 86_400;

/// A page of what fits.
///
/// # Errors
/// If there is no such account, or `after` is nothing that a page gave.
pub fn list(context: &Context, search: &Search) -> Result<Page, Failure> {
    let after = search.after.as_deref().map(Position::parse).transpose()?;
    let mut walk = Walk::new(&context.store, &search.filter, after)?;
    let limit = search.limit.clamp(1, LONGEST);
    let (mut items, mut last) = (Vec::new(), None);
    // One more than the page has: without it there is no other.
    let next = walk.run(&mut |item, at| {
        if items.len() == limit {
            return ControlFlow::Break(());
        }
        items.push(item);
        last = Some(at);
        ControlFlow::Continue(())
    })?;
    let next = if items.len() == limit { next.and(last) } else { next };
    Ok(Page { items, next: next.map(Position::text) })
}

/// A place in the list: after this entry, or after this message of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    account: AccountId,
    at: ItemId,
}

impl Position {
    fn parse(text: &str) -> Result<Self, Failure> {
        let parsed = text.split_once(':').and_then(|(account, at)| {
            Some(Position { account: AccountId(account.parse().ok()?), at: at.parse().ok()? })
        });
        parsed.ok_or_else(|| Failure::Invalid(format!("{text:?} is no place in the list")))
    }

    fn text(self) -> String {
        format!("{}:{}", self.account.0, self.at)
    }
}

/// What a filter asks, ready to be compared.
struct Matcher {
    mailbox: Option<String>,
    since: Option<i64>,
    before: Option<i64>,
    words: Vec<Needle>,
    /// Whether an account was named: then a removed one is looked into.
    named: bool,
}

impl Matcher {
    fn new(filter: &Filter) -> Self {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let words = filter.words.as_deref().unwrap_or_default();
        Matcher {
            mailbox: given(&filter.mailbox).map(|name| name.trim().trim_end_matches('/').to_lowercase()),
            since: filter.since,
            before: filter.before,
            words: words.split_whitespace().map(Needle::new).collect(),
            named: given(&filter.account).is_some(),
        }
    }

    /// By the day on which it was deleted.
    fn is_day(&self, at: i64) -> bool {
        let day = CivilDate::days_since_epoch(DateTime::utc(at).local_date());
        self.since.is_none_or(|since| day >= since) && self.before.is_none_or(|before| day < before)
    }

    fn is_mailbox(&self, names: [&str; 2]) -> bool {
        let Some(wanted) = &self.mailbox else { return true };
        names.iter().any(|name| {
            let name = name.to_lowercase();
            name.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    fn has_words(&self, text: &str) -> bool {
        self.words.iter().all(|word| word.is_in(text))
    }

    /// Whether messages of deleted mailboxes are items of their own: the mailbox as a whole says nothing of a
    /// message that is looked for.
    fn looks_inside(&self) -> bool {
        self.mailbox.is_some() || !self.words.is_empty()
    }
}

/// Goes through the bin.
struct Walk<'a> {
    store: &'a Store,
    matcher: Matcher,
    owners: Vec<Owner>,
    /// The next entry of each owner.
    heads: Vec<Option<Entry>>,
    /// In the first entry, after this message.
    within: Option<ItemId>,
    keep: i64,
    clock: i64,
    looked: usize,
}

type Take<'a> = dyn FnMut(Item, Position) -> ControlFlow<()> + 'a;

impl<'a> Walk<'a> {
    fn new(store: &'a Store, filter: &Filter, after: Option<Position>) -> Result<Self, Failure> {
        let rows = store.snapshot()?;
        let matcher = Matcher::new(filter);
        let name = filter.account.as_deref().filter(|_| matcher.named);
        let owners = find::owners(&rows, name)?;
        let mut heads = Vec::with_capacity(owners.len());
        for owner in &owners {
            heads.push(bin::newest(&rows, owner.id, after.map(|after| bound(owner.id, after)))?);
        }
        Ok(Walk {
            store,
            matcher,
            owners,
            heads,
            within: after.map(|after| after.at),
            keep: i64::try_from(bin::keep_days(&rows)?).unwrap_or(i64::MAX),
            clock: bin::clock(&rows)?,
            looked: 0,
        })
    }

    /// Gives what fits to `take` until it breaks or enough was looked at; where to go on, if there is more.
    fn run(&mut self, take: &mut Take<'_>) -> Result<Option<Position>, Failure> {
        while let Some(n) = self.newest() {
            let rows = self.store.snapshot()?;
            let (owner, Some(entry)) = (self.owners[n].clone(), self.heads[n].take()) else { break };
            let within = self.within.take().filter(|within| within.entry == entry.id);
            if let Some(at) = self.entry(rows, &owner, &entry, within, take)? {
                return Ok(Some(Position { account: owner.id, at }));
            }
            self.heads[n] = bin::newest(&self.store.snapshot()?, owner.id, Some(entry.id))?;
        }
        Ok(None)
    }

    /// Whose next entry was deleted last.
    fn newest(&self) -> Option<usize> {
        let heads = self.heads.iter().enumerate();
        let some = heads.filter_map(|(n, head)| Some((head.as_ref()?.id.modseq, n)));
        // Of one modseq, which one account has only, the first.
        some.max_by_key(|(modseq, n)| (*modseq, Reverse(*n))).map(|(_, n)| n)
    }

    /// The items of an entry; where it broke off, if it did.
    fn entry(
        &mut self,
        rows: Snapshot,
        owner: &Owner,
        entry: &Entry,
        within: Option<ItemId>,
        take: &mut Take<'_>,
    ) -> Result<Option<ItemId>, Failure> {
        self.looked += 1;
        let mailbox = find::mailbox_name(&rows, owner, entry)?;
        let is_account = matches!(entry.kept, Kept::Account { .. });
        // Of a removed account only itself is listed, unless it is looked into.
        let hidden = owner.removed && !is_account && !self.matcher.named && !self.matcher.looks_inside();
        if hidden
            || !self.matcher.is_day(entry.at)
            || !self.matcher.is_mailbox([&mailbox, entry.name.as_str()])
        {
            return Ok(self.broke_off(ItemId { entry: entry.id, uid: None }));
        }
        let about = About { owner, entry, mailbox: &mailbox, days_left: self.days_left(entry) };
        let whole = ItemId { entry: entry.id, uid: None };
        if within.is_none()
            && let Some(item) = about.whole(&rows)?
            && self.matcher.has_words(&format!("{} {}", item.mailbox, item.account))
            && (!is_account || self.matcher.mailbox.is_none())
            && take(item, about.at(whole)).is_break()
        {
            return Ok(Some(whole));
        }
        let uid = within.and_then(|within| within.uid);
        match &entry.kept {
            Kept::Messages { records, keywords } => {
                let rest = records.iter().rev().filter(|record| uid.is_none_or(|uid| record.uid < uid));
                let rest: Vec<Record> = rest.copied().collect();
                self.messages(&rows, &about, &rest, keywords, take)
            }
            Kept::Mailbox { .. } if self.matcher.looks_inside() => {
                drop(rows);
                self.inside(&about, uid.map_or(1, |uid| uid.get().saturating_add(1)), take)
            }
            _ => Ok(None),
        }
    }

    /// The messages of a deleted mailbox, in the order in which they came.
    fn inside(
        &mut self,
        about: &About<'_>,
        from: u32,
        take: &mut Take<'_>,
    ) -> Result<Option<ItemId>, Failure> {
        let mut next = Some(from);
        while let Some(from) = next {
            let rows = self.store.snapshot()?;
            // It may have been put back meanwhile: then it is no deleted one.
            if mailboxes::get(&rows, about.owner.id, about.entry.mailbox)?.is_some() {
                return Ok(None);
            }
            let mut records: Vec<Record> = Vec::new();
            messages::scan(&rows, about.entry.mailbox, from..=u32::MAX, &mut |record| {
                records.push(*record);
                Ok(if records.len() < AT_A_TIME { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            let table = messages::keywords(&rows, about.entry.mailbox)?;
            if let Some(at) = self.messages(&rows, about, &records, &table, take)? {
                return Ok(Some(at));
            }
            let full = records.len() == AT_A_TIME;
            next = records.last().filter(|_| full).and_then(|last| last.uid.get().checked_add(1));
        }
        Ok(None)
    }

    fn messages(
        &mut self,
        rows: &Snapshot,
        about: &About<'_>,
        records: &[Record],
        table: &KeywordTable,
        take: &mut Take<'_>,
    ) -> Result<Option<ItemId>, Failure> {
        for record in records {
            self.looked += 1;
            let (item, text) = about.message(rows, record, table)?;
            let fits = self.matcher.has_words(&text);
            let at = ItemId { entry: about.entry.id, uid: Some(record.uid) };
            if fits && take(item, about.at(at)).is_break() {
                return Ok(Some(at));
            }
            if let Some(at) = self.broke_off(at) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn broke_off(&self, at: ItemId) -> Option<ItemId> {
        (self.looked >= LOOKED).then_some(at)
    }

    fn days_left(&self, entry: &Entry) -> u64 {
        let gone = self.clock.saturating_sub(entry.clock).max(0) / DAY;
        self.keep.saturating_sub(gone).max(0).cast_unsigned()
    }
}

/// Before which entry an account goes on after a place in the list: with the very entry of the place, which may
/// have more, or with what is older.
fn bound(account: AccountId, after: Position) -> EntryId {
    let EntryId { modseq, number } = after.at.entry;
    if account == after.account {
        return EntryId { modseq, number: number.saturating_add(1) };
    }
    EntryId { modseq, number: 0 }
}

/// What all items of an entry have in common.
pub(super) struct About<'a> {
    pub(super) owner: &'a Owner,
    pub(super) entry: &'a Entry,
    pub(super) mailbox: &'a str,
    pub(super) days_left: u64,
}

impl About<'_> {
    fn at(&self, at: ItemId) -> Position {
        Position { account: self.owner.id, at }
    }

    fn item(&self, uid: Option<Uid>, what: What) -> Item {
        Item {
            id: ItemId { entry: self.entry.id, uid }.to_string(),
            account: self.owner.name.clone(),
            account_removed: self.owner.removed,
            mailbox: self.mailbox.to_owned(),
            deleted: self.entry.at,
            days_left: self.days_left,
            what,
        }
    }

    /// The entry as one item, if it is one.
    fn whole(&self, rows: &dyn Rows) -> Result<Option<Item>, Error> {
        Ok(match &self.entry.kept {
            Kept::Messages { .. } => None,
            Kept::Mailbox { messages, size, .. } => {
                Some(self.item(None, What::Mailbox { messages: u64::from(*messages), size: *size }))
            }
            Kept::Account { name, .. } => {
                let all = undelete::of_removal(rows, self.owner.id, self.entry.id.modseq)?;
                let what = What::Account {
                    mailboxes: all.len() as u64,
                    messages: all.iter().map(Entry::messages).sum(),
                    size: all.iter().map(Entry::size).sum(),
                };
                Some(Item { account: name.clone(), ..self.item(None, what) })
            }
        })
    }

    /// A message as an item; and its whole subject and senders, to search in.
    pub(super) fn message(
        &self,
        rows: &Snapshot,
        record: &Record,
        table: &KeywordTable,
    ) -> Result<(Item, String), Error> {
        let digest = match rows.digest(record.email) {
            Ok(digest) => digest,
            // It is listed all the same: its mailbox would list it, too.
            Err(Error::NotFound(_) | Error::Damaged(_) | Error::DamagedEmail(_)) => Digest::default(),
            Err(error) => return Err(error),
        };
        let from = addresses(&digest.envelope.from);
        let subject = decoded(digest.envelope.subject.as_deref().unwrap_or_default());
        let system = record.flags.names().map(str::to_owned);
        let keywords = table.names(record.keywords).map(|keyword| keyword.as_str().to_owned());
        let what = What::Message {
            subject: cut(&subject, SUBJECT),
            from: cut(&from, ADDRESSES),
            date: record.internal_date.unix,
            size: record.size,
            flags: system.chain(keywords).collect(),
        };
        Ok((self.item(Some(record.uid), what), format!("{subject}\n{from}")))
    }
}

/// A field's value as it is shown.
pub(super) fn decoded(value: &[u8]) -> String {
    human::harmless(&encoded_word::decode(value))
}

/// The first letters of a text: what others write may be as long as they like.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Addresses as they are shown: `Anna Example <anna@example.org>, ben@example.org`.
pub(super) fn addresses(list: &[Address]) -> String {
    let shown = list.iter().filter_map(|address| match address {
        Address::Mailbox { name, mailbox, host, .. } => {
            let (mailbox, host) = (decoded(mailbox), decoded(host));
            let address = if host.is_empty() { mailbox } else { format!("{mailbox}@{host}") };
            Some(match name.as_deref().map(decoded).filter(|name| !name.is_empty()) {
                Some(name) => format!("{name} <{address}>"),
                None => address,
            })
        }
        Address::GroupStart(_) | Address::GroupEnd => None,
    });
    shown.collect::<Vec<_>>().join(", ")
}
