//! LIST, LSUB and XLIST (RFC 9051 §6.3.9, RFC 3501 §6.3.9).

use std::collections::{BTreeMap, BTreeSet};

use crate::imap::pattern::Patterns;
use crate::imap::refusal::Refusal;
use crate::imap::session::{Done, Session};
use crate::imap::status;
use crate::model::{AccountId, MailboxName};
use crate::protocol::command::list::{List, Lsub};
use crate::protocol::response::list::{self, Attributes};
use crate::store::mailboxes::{self, Mailbox};
use crate::store::{Error, Rows};

/// Names that are looked at in a row on a thread that serves others: each takes up to 50 µs.
const NAMES_IN_A_ROW: usize = 64;

/// An account's names: mailboxes, subscriptions, and what lies above them.
struct Tree {
    /// Each name, and the mailbox if there is one.
    names: BTreeMap<Order, (MailboxName, Option<Mailbox>)>,
    /// Names that have others below them that exist.
    parents: BTreeSet<MailboxName>,
    subscribed: BTreeSet<MailboxName>,
    /// Names that have subscribed ones below them.
    above_subscribed: BTreeSet<MailboxName>,
}

/// INBOX first, then by name, so that what is below a name stands together.
type Order = (bool, String);

/// Lets others have the thread after each `NAMES_IN_A_ROW` names.
async fn give_way(n: usize) {
    if n % NAMES_IN_A_ROW == NAMES_IN_A_ROW - 1 {
        futures_lite::future::yield_now().await;
    }
}

fn order(name: &MailboxName) -> Order {
    (!name.is_inbox(), name.as_str().to_owned())
}

impl Tree {
    fn read(rows: &dyn Rows, account: AccountId) -> Result<Self, Error> {
        let mut tree = Tree {
            names: BTreeMap::new(),
            parents: BTreeSet::new(),
            subscribed: mailboxes::subscriptions(rows, account)?.into_iter().collect(),
            above_subscribed: BTreeSet::new(),
        };
        for mailbox in mailboxes::list(rows, account)? {
            for above in mailbox.name.ancestors() {
                tree.names.entry(order(&above)).or_insert_with(|| (above.clone(), None));
                tree.parents.insert(above);
            }
            tree.names.insert(order(&mailbox.name), (mailbox.name.clone(), Some(mailbox)));
        }
        for name in &tree.subscribed {
            tree.names.entry(order(name)).or_insert_with(|| (name.clone(), None));
            for above in name.ancestors() {
                tree.names.entry(order(&above)).or_insert_with(|| (above.clone(), None));
                tree.above_subscribed.insert(above);
            }
        }
        Ok(tree)
    }

    /// The names that fit the patterns, each tried once.
    async fn matching(&self, patterns: &Patterns) -> BTreeSet<&MailboxName> {
        let mut matching = BTreeSet::new();
        for (n, (name, _)) in self.names.values().enumerate() {
            if patterns.matches(name) {
                matching.insert(name);
            }
            give_way(n).await;
        }
        matching
    }

    /// Who asks in the old way may know no `\NonExistent`, and must not try to select what is not there.
    fn attributes(&self, name: &MailboxName, mailbox: Option<&Mailbox>, extended: bool) -> Attributes {
        Attributes {
            non_existent: mailbox.is_none(),
            no_select: mailbox.is_none() && !extended,
            has_children: Some(self.parents.contains(name)),
            special_use: mailbox.and_then(|mailbox| mailbox.special_use),
            ..Attributes::default()
        }
    }

    /// What LIST tells of a name, and whether it is told for its own sake; `None` if it is not among what was asked
    /// for.
    fn select(
        &self,
        command: &List,
        matching: &BTreeSet<&MailboxName>,
        name: &MailboxName,
        mailbox: Option<&Mailbox>,
    ) -> Option<(Attributes, bool)> {
        if !matching.contains(name) {
            return None;
        }
        let mut attributes = self.attributes(name, mailbox, command.extended);
        let selection = &command.selection;
        let is_subscribed = self.subscribed.contains(name);
        let mut selected = true;
        if selection.subscribed {
            selected = is_subscribed;
        } else if mailbox.is_none() && !self.parents.contains(name) {
            // Neither there nor above anything that is: only a subscription.
            return None;
        }
        if selection.special_use {
            selected &= attributes.special_use.is_some();
        }
        attributes.subscribed = is_subscribed && (selection.subscribed || command.ret.subscribed);
        let itself = selected;
        if selection.recursive_match {
            let below: Vec<&MailboxName> =
                self.below(name, selection.subscribed, selection.special_use).collect();
            // A name that was not selected itself is told only for one below it that is not told (RFC 9051
            // §6.3.9.6).
            let hidden = below.iter().any(|name| !matching.contains(name));
            selected |= hidden;
            if selected && !below.is_empty() {
                attributes.child_info = selection.child_info();
            }
        }
        selected.then_some((attributes, itself))
    }

    fn below<'a>(
        &'a self,
        name: &'a MailboxName,
        subscribed: bool,
        special_use: bool,
    ) -> impl Iterator<Item = &'a MailboxName> {
        // What is below a name stands together, from `name/` to the character after the separator: with
        // thousands of mailboxes the whole list would be read for each.
        let edge = |end: char| (true, format!("{}{end}", name.as_str()));
        self.names.range(edge('/')..edge('0')).map(|(_, known)| known).filter_map(move |(other, mailbox)| {
            let fits = (!subscribed || self.subscribed.contains(other))
                && (!special_use || mailbox.as_ref().is_some_and(|mailbox| mailbox.special_use.is_some()));
            (fits && other.is_below(name)).then_some(other)
        })
    }
}

/// LIST and XLIST.
///
/// # Errors
/// Those of the store.
pub async fn run(session: &mut Session, command: List) -> Result<Done, Refusal> {
    if !command.extended && matches!(command.patterns.as_slice(), [only] if only.is_empty()) {
        // It asks for the separator (RFC 9051 §6.3.9).
        let root = Attributes { no_select: true, ..Attributes::default() };
        let write = if command.xlist { list::xlist } else { list::list };
        write(&mut session.writer(), &root, "");
        return Ok(Done::ok("LIST completed"));
    }
    let account = session.account()?;
    let tree = session.shared.pool.read(move |snapshot| Tree::read(snapshot, account)).await?;
    let patterns = Patterns::new(&command.reference, &command.patterns);
    let matching = tree.matching(&patterns).await;
    for (n, (name, mailbox)) in tree.names.values().enumerate() {
        give_way(n).await;
        let Some((attributes, itself)) = tree.select(&command, &matching, name, mailbox.as_ref()) else {
            continue;
        };
        let write = if command.xlist { list::xlist } else { list::list };
        write(&mut session.writer(), &attributes, name.as_str());
        // One that is told for what is below it has none (RFC 5819 §2, the example).
        if let Some(mailbox) = mailbox.as_ref().filter(|_| itself && !command.ret.status.is_empty()) {
            status::learn_recent(session, mailbox, &command.ret.status).await?;
            status::write(session, mailbox, &command.ret.status);
        }
        session.io.flush_if_large().await?;
    }
    Ok(Done::ok("LIST completed"))
}

/// LSUB: subscriptions, and with `%` what lies above them (RFC 3501 §6.3.9).
///
/// # Errors
/// Those of the store.
pub async fn lsub(session: &mut Session, command: Lsub) -> Result<Done, Refusal> {
    let account = session.account()?;
    let tree = session.shared.pool.read(move |snapshot| Tree::read(snapshot, account)).await?;
    let patterns = Patterns::new(&command.reference, std::slice::from_ref(&command.pattern));
    for (n, (name, mailbox)) in tree.names.values().enumerate() {
        give_way(n).await;
        if !patterns.matches(name) {
            continue;
        }
        let subscribed = tree.subscribed.contains(name);
        let above = command.pattern.contains('%') && tree.above_subscribed.contains(name);
        if subscribed || above {
            let mut attributes = tree.attributes(name, mailbox.as_ref(), false);
            attributes.no_select |= !subscribed;
            attributes.non_existent &= subscribed;
            list::lsub(&mut session.writer(), &attributes, name.as_str());
        }
        session.io.flush_if_large().await?;
    }
    Ok(Done::ok("LSUB completed"))
}
