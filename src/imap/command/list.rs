//! LIST, LSUB and XLIST (RFC 9051 §6.3.9, RFC 3501 §6.3.9). An account's names are read page by page and told in steps:
//! all of them may take 10 MB. What is renamed between two steps may be told twice or not at all, as between two
//! commands.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::imap::client::LoggedIn;
use crate::imap::command::status;
use crate::imap::connection::CHUNK;
use crate::imap::fair_queue::Step;
use crate::imap::job::{self, Job};
use crate::imap::outcome::Done;
use crate::imap::pattern::Patterns;
use crate::imap::refusal::Stop;
use crate::imap::shared::Shared;
use crate::model::{AccountId, MailboxName};
use crate::protocol::command::list::{List, Lsub};
use crate::protocol::response::list::{self, Attributes};
use crate::protocol::response::{Dialect, Writer};
use crate::store::mailboxes::{self, Mailbox};
use crate::store::names::{self, Name};
use crate::store::{Error, Rows, Snapshot};

/// Names that are read at a time.
const PAGE: usize = 256;

/// What was asked for.
enum Asked {
    List(List),
    /// Subscriptions; with `%` in the pattern what lies above them too.
    Lsub {
        above: bool,
    },
}

/// An answer that is being written: INBOX first, then by name, each name behind those above it that have no row.
struct Names {
    shared: Arc<Shared>,
    account: AccountId,
    dialect: Dialect,
    asked: Asked,
    patterns: Patterns,
    begun: bool,
    /// Names up to here have been taken up.
    after: String,
    /// Those that come next.
    todo: VecDeque<Name>,
    /// How far the names below the first of them have been looked at.
    below: Below,
}

/// What is known of the names below one that fit the selection (RFC 9051 §6.3.9.6).
#[derive(Default)]
struct Below {
    after: Option<String>,
    /// There are some.
    any: bool,
    /// One of them is not told itself.
    hidden: bool,
}

impl Job for Names {
    fn step(&mut self, snapshot: &Snapshot, until: Instant, out: &mut Vec<u8>) -> Result<bool, Error> {
        let mut page = VecDeque::new();
        if !std::mem::replace(&mut self.begun, true) {
            self.todo.extend(names::get(snapshot, self.account, &MailboxName::inbox())?);
        }
        while out.len() < CHUNK {
            let Some(name) = self.todo.pop_front() else {
                if page.is_empty() {
                    page = names::page(snapshot, self.account, &self.after, PAGE)?.into();
                }
                let Some(name) = page.pop_front() else { return Ok(false) };
                if self.patterns.is_past(&name.name) {
                    return Ok(false);
                }
                self.take_up(snapshot, name)?;
                continue;
            };
            if self.tell(snapshot, &name, &page, until, out)? {
                self.below = Below::default();
            } else {
                self.todo.push_front(name);
            }
            if Instant::now() >= until {
                break;
            }
        }
        Ok(true)
    }
}

impl Names {
    fn new(session: &LoggedIn<'_>, patterns: Patterns, asked: Asked) -> Self {
        Names {
            shared: Arc::clone(&session.client.shared),
            account: session.user.account,
            dialect: session.client.enabled.dialect(),
            asked,
            begun: false,
            after: patterns.before_first().unwrap_or_default(),
            patterns,
            todo: VecDeque::new(),
            below: Below::default(),
        }
    }

    /// Puts a name behind those above it that have no row and have not been told.
    fn take_up(&mut self, rows: &dyn Rows, name: Name) -> Result<(), Error> {
        // What is below a name stands together, so that it is the first of them unless the last one was below it too.
        let told = |above: &MailboxName| {
            self.after
                .strip_prefix(above.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let untold: Vec<MailboxName> = name.name.ancestors().take_while(|above| !told(above)).collect();
        for above in untold.into_iter().rev() {
            if names::get(rows, self.account, &above)?.is_none() {
                self.todo.push_back(Name { name: above, mailbox: None, subscribed: false });
            }
        }
        name.name.as_str().clone_into(&mut self.after);
        // INBOX was the first.
        if !name.name.is_inbox() {
            self.todo.push_back(name);
        }
        Ok(())
    }

    /// Tells a name if it is asked for. False if that is not known by then.
    fn tell(
        &mut self,
        rows: &dyn Rows,
        name: &Name,
        page: &VecDeque<Name>,
        until: Instant,
        out: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        if !self.patterns.matches(&name.name) {
            return Ok(true);
        }
        if let Asked::Lsub { above } = self.asked {
            let told =
                name.subscribed || above && names::has_subscribed_below(rows, self.account, &name.name)?;
            if !told {
                return Ok(true);
            }
        }
        let mailbox = match name.mailbox {
            Some(id) => mailboxes::get(rows, self.account, id)?,
            None => None,
        };
        // Who asks in the old way may know no `\NonExistent`, and must not try to select what is not there.
        let extended = matches!(&self.asked, Asked::List(command) if command.extended);
        let attributes = Attributes {
            non_existent: mailbox.is_none(),
            no_select: mailbox.is_none() && !extended,
            has_children: Some(self.has_children(rows, &name.name, page)?),
            special_use: mailbox.as_ref().and_then(|mailbox| mailbox.special_use),
            ..Attributes::default()
        };
        if matches!(self.asked, Asked::List(_)) {
            return self.tell_listed(rows, name, mailbox.as_ref(), attributes, until, out);
        }
        let attributes = Attributes {
            no_select: attributes.no_select || !name.subscribed,
            non_existent: attributes.non_existent && name.subscribed,
            ..attributes
        };
        list::lsub(&mut Writer::new(out, self.dialect), &attributes, name.name.as_str());
        Ok(true)
    }

    fn tell_listed(
        &mut self,
        rows: &dyn Rows,
        name: &Name,
        mailbox: Option<&Mailbox>,
        mut attributes: Attributes,
        until: Instant,
        out: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        let Asked::List(command) = &self.asked else { return Ok(true) };
        let selection = command.selection;
        let mut selected = true;
        if selection.subscribed {
            selected = name.subscribed;
        } else if mailbox.is_none() && attributes.has_children != Some(true) {
            // Neither there nor above anything that is: only a subscription.
            return Ok(true);
        }
        if selection.special_use {
            selected &= attributes.special_use.is_some();
        }
        attributes.subscribed = name.subscribed && (selection.subscribed || command.ret.subscribed);
        let itself = selected;
        if selection.recursive_match {
            if !self.look_below(rows, &name.name, until)? {
                return Ok(false);
            }
            // A name that was not selected itself is told only for one below it that is not told (RFC 9051
            // §6.3.9.6).
            selected |= self.below.hidden;
            if selected && self.below.any {
                attributes.child_info = selection.child_info();
            }
        }
        let Asked::List(command) = &self.asked else { return Ok(true) };
        if selected {
            let mut writer = Writer::new(out, self.dialect);
            let write = if command.xlist { list::xlist } else { list::list };
            write(&mut writer, &attributes, name.name.as_str());
            // One that is told for what is below it has none (RFC 5819 §2, the example).
            if let Some(mailbox) = mailbox.filter(|_| itself && !command.ret.status.is_empty()) {
                status::learn_recent(rows, &self.shared, mailbox, &command.ret.status)?;
                status::write(&mut writer, &self.shared, mailbox, &command.ret.status);
            }
        }
        Ok(true)
    }

    /// Whether mailboxes lie below a name: in most cases what comes next and the page in hand tell.
    fn has_children(
        &self,
        rows: &dyn Rows,
        name: &MailboxName,
        page: &VecDeque<Name>,
    ) -> Result<bool, Error> {
        if let Some(next) = self.todo.front().filter(|next| next.name.is_below(name)) {
            return if next.mailbox.is_some() {
                Ok(true)
            } else {
                names::has_below(rows, self.account, name)
            };
        }
        let below = format!("{name}/");
        match page.get(page.partition_point(|other| other.name.as_str() < below.as_str())) {
            Some(next) if !next.name.is_below(name) => Ok(false),
            Some(next) if next.mailbox.is_some() => Ok(true),
            _ => names::has_below(rows, self.account, name),
        }
    }

    /// Looks at the names below one. False if there are more to look at than can be until then.
    fn look_below(&mut self, rows: &dyn Rows, name: &MailboxName, until: Instant) -> Result<bool, Error> {
        let Asked::List(command) = &self.asked else { return Ok(true) };
        let selection = command.selection;
        loop {
            let after = self.below.after.get_or_insert_with(|| format!("{name}/"));
            let page = names::page(rows, self.account, after, PAGE)?;
            if page.is_empty() {
                return Ok(true);
            }
            for other in page {
                if !other.name.is_below(name) {
                    return Ok(true);
                }
                let special = |id| mailboxes::get(rows, self.account, id).map(|row| row?.special_use);
                let fits = (!selection.subscribed || other.subscribed)
                    && (!selection.special_use
                        || other.mailbox.map(special).transpose()?.flatten().is_some());
                self.below.any |= fits;
                self.below.hidden |= fits && !self.patterns.matches(&other.name);
                self.below.after = Some(other.name.as_str().to_owned());
                if self.below.hidden {
                    return Ok(true);
                }
                if Instant::now() >= until {
                    return Ok(false);
                }
            }
        }
    }
}

/// LIST and XLIST.
///
/// # Errors
/// Those of the store and of the socket.
pub async fn run(session: &mut LoggedIn<'_>, command: List) -> Result<Done, Stop> {
    if !command.extended && matches!(command.patterns.as_slice(), [only] if only.is_empty()) {
        // It asks for the separator (RFC 9051 §6.3.9).
        let root = Attributes { no_select: true, ..Attributes::default() };
        let write = if command.xlist { list::xlist } else { list::list };
        write(&mut session.client.writer(), &root, "");
        return Ok(Done::ok("LIST completed"));
    }
    status::note_condstore(session.client, &command.ret.status);
    let patterns = Patterns::new(&command.reference, &command.patterns);
    let names = Names::new(session, patterns, Asked::List(command));
    write(session, names).await?;
    Ok(Done::ok("LIST completed"))
}

/// LSUB: subscriptions, and with `%` what lies above them (RFC 3501 §6.3.9).
///
/// # Errors
/// Those of the store and of the socket.
pub async fn lsub(session: &mut LoggedIn<'_>, command: Lsub) -> Result<Done, Stop> {
    let patterns = Patterns::new(&command.reference, std::slice::from_ref(&command.pattern));
    let names = Names::new(session, patterns, Asked::Lsub { above: command.pattern.contains('%') });
    write(session, names).await?;
    Ok(Done::ok("LSUB completed"))
}

async fn write(session: &mut LoggedIn<'_>, names: Names) -> Result<(), Stop> {
    let client = &mut *session.client;
    job::run(&client.shared.pool, &mut client.io, Step::First, names).await.1
}
