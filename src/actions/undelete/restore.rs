//! Puts deleted mail back: what is named, or all that fits a filter. Accounts come first, then mailboxes, then
//! messages, so that each finds its place.

use super::choose::{Chosen, choose, ids_of, pages, portions};
use super::find::{ItemId, Owner};
use super::{AccountBack, Filter, Left, MailboxBack, Order, Place, Restored, What};
use crate::actions::{Context, Failure, human};
use crate::model::{AccountId, MailboxName};
use crate::store::bin::Entry;
use crate::store::mailboxes::Mailbox;
use crate::store::undelete::{self, Pick, Present, SLICE};
use crate::store::{Error, mailboxes};

/// Messages of a mailbox that are looked up at a time, whether they are there already.
const LOOK: usize = 4_096;

/// Puts back what is asked for. What it cannot put back is left where it is, and named with the reason.
///
/// # Errors
/// If the order makes no sense, or the store cannot be written.
pub fn restore(context: &Context, order: &Order) -> Result<Restored, Failure> {
    let mut work = Work::new(context, order)?;
    if let Some(filter) = &order.all {
        work.all(filter)?;
    }
    let chosen = work.choose(&order.ids)?;
    work.put_back(chosen)?;
    let done = work.done;
    let (messages, mailboxes, accounts) = (done.messages, done.mailboxes.len(), done.accounts.len());
    tracing::info!(messages, mailboxes, accounts, "deleted mail was put back");
    Ok(done)
}

struct Work<'a> {
    context: &'a Context,
    place: undelete::Place,
    name: Option<&'a str>,
    done: Restored,
}

impl<'a> Work<'a> {
    fn new(context: &'a Context, order: &'a Order) -> Result<Self, Failure> {
        let place = match order.to.as_deref() {
            None => undelete::Place::Own,
            Some(to) => undelete::Place::Named(
                MailboxName::new(to).map_err(|error| Failure::Invalid(error.to_string()))?,
            ),
        };
        if order.name.is_some() && (order.ids.len() != 1 || order.all.is_some()) {
            let why = "another name can be given to one mailbox or account at a time";
            return Err(Failure::Invalid(why.to_owned()));
        }
        Ok(Work { context, place, name: order.name.as_deref(), done: Restored::default() })
    }

    /// All that fits, page by page: first the mailboxes, those above before those below, then messages.
    fn all(&mut self, filter: &Filter) -> Result<(), Failure> {
        let mut mailboxes = Vec::new();
        pages(self.context, filter, &mut |items| {
            let chosen = self.choose(&ids_of(items, |what| !matches!(what, What::Message { .. })))?;
            mailboxes.extend(chosen.mailboxes);
            for (id, owner) in chosen.accounts {
                let why = format!("{} was removed: an account is put back only if it is named", owner.name);
                self.leave(id, why);
            }
            Ok(())
        })?;
        self.put_back(Chosen { mailboxes, ..Chosen::default() })?;
        pages(self.context, filter, &mut |items| {
            let messages = self.choose(&ids_of(items, |what| matches!(what, What::Message { .. })))?.messages;
            self.put_back(Chosen { messages, ..Chosen::default() })
        })
    }

    fn leave(&mut self, id: ItemId, why: String) {
        self.done.left.push(Left { id: id.to_string(), why });
    }

    fn choose(&mut self, ids: &[String]) -> Result<Chosen, Failure> {
        choose(self.context, ids, &mut self.done.missing)
    }

    fn put_back(&mut self, mut chosen: Chosen) -> Result<(), Failure> {
        for (id, owner) in chosen.accounts {
            let put = self.account(&owner);
            self.note(id, put)?;
        }
        chosen.mailboxes.sort_by(|(_, _, a), (_, _, b)| a.name.cmp(&b.name));
        for (id, owner, entry) in chosen.mailboxes {
            let put = self.mailbox(&owner, &entry);
            self.note(id, put)?;
        }
        for (owner, picks) in chosen.messages.into_values() {
            let id = picks.first().map(|pick| ItemId { entry: pick.entry, uid: None });
            let put = self.messages(&owner, picks);
            if let Some(id) = id {
                self.note(id, put)?;
            }
        }
        Ok(())
    }

    /// What is wrong with one item is no reason to leave the others.
    fn note(&mut self, id: ItemId, put: Result<(), Error>) -> Result<(), Failure> {
        match put {
            Ok(()) => Ok(()),
            Err(Error::NotFound("account")) => {
                let why = "its account was removed: put that back first".to_owned();
                self.leave(id, why);
                Ok(())
            }
            Err(Error::NotFound(_)) => {
                self.done.missing.push(id.to_string());
                Ok(())
            }
            Err(error @ (Error::Exists(_) | Error::Refused(_) | Error::Limit(_))) => {
                self.leave(id, error.to_string());
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn account(&mut self, owner: &Owner) -> Result<(), Error> {
        let (store, id) = (&self.context.store, owner.id);
        let name = self.name.map(str::to_owned);
        let returning = loop {
            let name = name.clone();
            if let Some(begun) = store.write(move |tx| undelete::account(tx, id, name.as_deref()))? {
                break begun;
            }
        };
        for entry in returning.mailboxes {
            self.give_mailbox(id, entry, None)?;
        }
        store.write(move |tx| undelete::account_is_back(tx, id))?;
        let all = mailboxes::list(&store.snapshot()?, id)?;
        self.done.accounts.push(AccountBack {
            name: returning.name,
            mailboxes: all.len() as u64,
            messages: all.iter().map(|mailbox| u64::from(mailbox.messages)).sum(),
        });
        Ok(())
    }

    fn mailbox(&mut self, owner: &Owner, entry: &Entry) -> Result<(), Error> {
        let name = self.name.map(MailboxName::new).transpose();
        let name = name.map_err(|_| Error::Refused("that cannot be the name of a mailbox"))?;
        let mailbox = self.give_mailbox(owner.id, entry.id, name)?;
        self.done.mailboxes.push(MailboxBack {
            account: owner.name.clone(),
            was: entry.name.to_string(),
            name: mailbox.name.to_string(),
            messages: u64::from(mailbox.messages),
        });
        Ok(())
    }

    fn give_mailbox(
        &self,
        account: AccountId,
        entry: crate::store::bin::EntryId,
        name: Option<MailboxName>,
    ) -> Result<Mailbox, Error> {
        loop {
            let name = name.clone();
            let job = move |tx: &mut dyn crate::store::Transaction| {
                undelete::mailbox(tx, account, entry, name.as_ref())
            };
            if let Some(mailbox) = self.context.store.write(job)? {
                return Ok(mailbox);
            }
        }
    }

    /// Messages that were in one mailbox: looked up in larger portions, put back in small ones.
    fn messages(&mut self, owner: &Owner, picks: Vec<Pick>) -> Result<(), Error> {
        let (store, account) = (&self.context.store, owner.id);
        for portion in portions(picks, LOOK) {
            let present = Present::look(&store.snapshot()?, account, &portion, &self.place)?;
            let present = std::sync::Arc::new(present);
            for slice in portions(portion, SLICE) {
                let (place, present) = (self.place.clone(), std::sync::Arc::clone(&present));
                let put = store.write(move |tx| undelete::messages(tx, account, &slice, &place, &present))?;
                self.done.messages += put.restored;
                self.done.present += put.present;
                for mailbox in put.into {
                    let place = Place { account: owner.name.clone(), mailbox: mailbox.to_string() };
                    if !self.done.into.contains(&place) {
                        self.done.into.push(place);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Restored {
    /// What was done, in sentences.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for back in &self.accounts {
            let held = human::count(back.messages, "message", "messages");
            let mailboxes = human::count(back.mailboxes, "mailbox", "mailboxes");
            lines.push(format!(
                "The account {} is back, with {mailboxes} and {held}. Its passwords, devices and sources are \
                 not: give it new ones.",
                back.name
            ));
        }
        for back in &self.mailboxes {
            let held = human::count(back.messages, "message", "messages");
            lines.push(match back.was == back.name {
                true => format!("{} is back, with {held}.", back.name),
                false => format!("{} is back as {}, with {held}.", back.was, back.name),
            });
        }
        if self.messages > 0 {
            let mut into: Vec<&str> = self.into.iter().map(|place| place.mailbox.as_str()).collect();
            into.sort_unstable();
            into.dedup();
            let (more, shown) = (into.len().saturating_sub(5), &into[..into.len().min(5)]);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let (held, shown) = (human::count(self.messages, "message", "messages"), shown.join(", "));
            let verb = if self.messages == 1 { "is" } else { "are" };
            lines.push(format!("{held} {verb} back in {shown}{more}."));
        }
        if self.present > 0 {
            let held = human::count(self.present, "message was", "messages were");
            lines.push(format!("{held} in the mailbox already: nothing to do."));
        }
        lines.extend(self.left.iter().map(|left| format!("{}: {}.", left.id, left.why)));
        if !self.missing.is_empty() {
            let ids = self.missing.join(", ");
            lines.push(format!("{ids}: not among the deleted mail, or not any more."));
        }
        if lines.is_empty() {
            lines.push("Nothing fits: nothing was put back.".to_owned());
        }
        lines
    }

    /// Whether all that was asked for is back.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.left.is_empty() && self.missing.is_empty()
    }
}
