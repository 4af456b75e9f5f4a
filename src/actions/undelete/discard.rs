//! Drops deleted mail for good before its time: what is named, or all that fits a filter. Only its owner may ask for
//! that; by itself the store keeps everything for two days at least.

use super::choose::{Chosen, choose, ids_of, pages, portions};
use super::find::Owner;
use super::{Discard, Discarded, Left, What};
use crate::actions::{Context, Failure, human};
use crate::store::Error;
use crate::store::bin::{self, Entry};
use crate::store::undelete::{self, Pick, SLICE};

/// What would go: nothing is done.
///
/// # Errors
/// If the order makes no sense; of reading.
pub fn weigh(context: &Context, order: &Discard) -> Result<Discarded, Failure> {
    let rows = context.store.snapshot()?;
    go(context, order, &mut |chosen, done| {
        for (_, owner) in &chosen.accounts {
            bin::list(&rows, owner.id, &mut |entry| {
                done.count(&entry);
                Ok(std::ops::ControlFlow::Continue(()))
            })?;
            done.accounts.push(owner.name.clone());
        }
        for (_, _, entry) in &chosen.mailboxes {
            done.count(entry);
        }
        for (owner, picks) in chosen.messages.values() {
            for pick in picks {
                let Some(entry) = bin::get(&rows, owner.id, pick.entry)? else { continue };
                undelete::records(&rows, &entry, &pick.uids, &mut |record| {
                    done.messages += 1;
                    done.size = done.size.saturating_add(record.size);
                })?;
            }
        }
        Ok(())
    })
}

/// Drops what is asked for, and the contents that nothing names any more. It cannot be put back but out of a backup.
///
/// # Errors
/// If the order makes no sense, or the store cannot be written.
pub fn discard(context: &Context, order: &Discard) -> Result<Discarded, Failure> {
    let mut gone = weigh(context, order)?;
    let (messages, mailboxes, accounts) = (gone.messages, gone.mailboxes, gone.accounts.len());
    tracing::warn!(messages, mailboxes, accounts, "deleted mail is dropped for good, as was asked for");
    let store = &context.store;
    let done = go(context, order, &mut |chosen, done| {
        for (id, owner) in &chosen.accounts {
            let account = owner.id;
            let dropped = loop {
                match store.write(move |tx| undelete::discard_account(tx, account)) {
                    Ok(true) => {}
                    other => break other,
                }
            };
            match dropped {
                Err(Error::Refused(why)) => {
                    done.left.push(Left { id: id.to_string(), why: why.to_owned() });
                }
                other => drop(other?),
            }
        }
        for (_, owner, entry) in &chosen.mailboxes {
            let (account, entry) = (owner.id, entry.id);
            while store.write(move |tx| bin::remove(tx, account, entry))? {}
        }
        for (owner, picks) in chosen.messages.values() {
            drop_messages(context, owner, picks)?;
        }
        Ok(())
    })?;
    (gone.missing, gone.left) = (done.missing, done.left);
    // An older index would bring it back.
    store.give_up_way_back()?;
    store.sweep()?;
    Ok(gone)
}

fn drop_messages(context: &Context, owner: &Owner, picks: &[Pick]) -> Result<(), Error> {
    let account = owner.id;
    for slice in portions(picks.to_vec(), SLICE) {
        context.store.write(move |tx| undelete::discard(tx, account, &slice))?;
    }
    Ok(())
}

/// What is done with what was chosen.
type Each<'e> = dyn FnMut(&Chosen, &mut Discarded) -> Result<(), Error> + 'e;

fn go(context: &Context, order: &Discard, each: &mut Each<'_>) -> Result<Discarded, Failure> {
    let mut done = Discarded::default();
    if let Some(filter) = &order.all {
        all(context, filter, &mut done, each)?;
    }
    let chosen = without_twice(choose(context, &order.ids, &mut done.missing)?);
    each(&chosen, &mut done)?;
    Ok(done)
}

/// Page by page: first the mailboxes with what is in them, then messages by themselves.
fn all(
    context: &Context,
    filter: &super::Filter,
    done: &mut Discarded,
    each: &mut Each<'_>,
) -> Result<(), Failure> {
    let mut mailboxes = Vec::new();
    pages(context, filter, &mut |items| {
        let ids = ids_of(items, |what| !matches!(what, What::Message { .. }));
        let chosen = choose(context, &ids, &mut done.missing)?;
        mailboxes.extend(chosen.mailboxes);
        for (id, owner) in chosen.accounts {
            let why = format!("{} was removed: an account goes for good only if it is named", owner.name);
            done.left.push(Left { id: id.to_string(), why });
        }
        Ok(())
    })?;
    let whole: Vec<_> = mailboxes.iter().map(|(_, _, entry)| entry.id).collect();
    each(&Chosen { mailboxes, ..Chosen::default() }, done)?;
    pages(context, filter, &mut |items| {
        let ids = ids_of(items, |what| matches!(what, What::Message { .. }));
        // What lies in a mailbox that went as a whole went with it.
        let mut messages = choose(context, &ids, &mut Vec::new())?.messages;
        for (_, picks) in messages.values_mut() {
            picks.retain(|pick| !whole.contains(&pick.entry));
        }
        Ok(each(&Chosen { messages, ..Chosen::default() }, done)?)
    })
}

/// A message is counted once, though its mailbox or account is named as well.
fn without_twice(mut chosen: Chosen) -> Chosen {
    let accounts: Vec<_> = chosen.accounts.iter().map(|(_, owner)| owner.id).collect();
    chosen.mailboxes.retain(|(_, owner, _)| !accounts.contains(&owner.id));
    let whole: Vec<_> = chosen.mailboxes.iter().map(|(_, _, entry)| entry.id).collect();
    chosen.messages.retain(|(account, _), _| !accounts.contains(account));
    for (_, picks) in chosen.messages.values_mut() {
        picks.retain(|pick| !whole.contains(&pick.entry));
    }
    chosen
}

impl Discarded {
    fn count(&mut self, entry: &Entry) {
        self.messages = self.messages.saturating_add(entry.messages());
        self.size = self.size.saturating_add(entry.size());
        self.mailboxes += u64::from(matches!(entry.kept, bin::Kept::Mailbox { .. }));
    }

    /// What it is, as part of a sentence: `3 messages (1.2 MB), 1 mailbox, the account anna`. Empty if it is nothing.
    #[must_use]
    pub fn what(&self) -> String {
        let mut parts = Vec::new();
        if self.messages > 0 {
            let held = human::count(self.messages, "message", "messages");
            parts.push(format!("{held} ({})", human::bytes(self.size)));
        }
        if self.mailboxes > 0 {
            parts.push(human::count(self.mailboxes, "mailbox", "mailboxes"));
        }
        parts.extend(self.accounts.iter().map(|name| format!("the account {name}")));
        parts.join(", ")
    }

    /// What was done, in sentences.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let mut lines = match self.what() {
            what if what.is_empty() => vec!["Nothing fits: nothing was deleted.".to_owned()],
            what => vec![format!("Deleted for good: {what}.")],
        };
        lines.extend(self.left.iter().map(|left| format!("{}: {}.", left.id, left.why)));
        if !self.missing.is_empty() {
            let ids = self.missing.join(", ");
            lines.push(format!("{ids}: not among the deleted mail, or not any more."));
        }
        lines
    }

    /// Whether all that was asked for is gone.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.left.is_empty() && self.missing.is_empty()
    }
}
