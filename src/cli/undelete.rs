//! `postern undelete …`

use super::{Failure, Global, output, perform, secret, transfer};
use crate::actions::human;
use crate::actions::undelete::{
    Discard, Discarded, Filter, Item, Keeping, Order, Restored, Search, Shown, What,
};
use crate::control::message::{Answer, Request};
use crate::control::transfer::receive_raw;

/// Items that are listed unless another number is asked for.
const LIMIT: usize = 50;
/// Items that are asked for at a time.
const PAGE: usize = 500;
/// Letters of a subject and of a sender in a list.
const SUBJECT: usize = 60;
const SENDER: usize = 32;

/// What can be done with deleted mail.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List deleted mail, deleted last first: messages, mailboxes, removed accounts
    ///
    /// The first column is the id by which `show` and `restore` know it. Messages of deleted mailboxes are listed
    /// by themselves when words or a mailbox are looked for.
    List {
        /// Only messages with each of these words in subject or sender
        words: Vec<String>,
        #[command(flatten)]
        filter: FilterArguments,
        /// The most that is listed
        #[arg(long, value_name = "N", default_value_t = LIMIT)]
        limit: usize,
    },
    /// Show a deleted message: its text, or all of it as a file
    Show {
        /// Its id, from the list
        id: String,
        /// Write the message as it is (`.eml`) to stdout
        #[arg(long)]
        eml: bool,
    },
    /// Put deleted mail back: what is named, or all that fits
    ///
    /// A message goes to its mailbox, which is made anew where it is gone; with its flags, keywords and date. What is
    /// there already is not put there twice. A mailbox gets its name back, or "Name (restored)" where that is taken.
    /// An account comes back with its mailboxes, but without passwords, devices and sources.
    Restore {
        /// Ids, from the list
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All messages and mailboxes that fit what follows
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// With --all: with each of these words in subject or sender
        #[arg(long, requires = "all")]
        words: Option<String>,
        #[command(flatten)]
        filter: FilterArguments,
        /// Put messages into this mailbox instead of their own; it is made if it is not there
        #[arg(long, value_name = "MAILBOX")]
        to: Option<String>,
        /// Put the one mailbox or account back under this name
        #[arg(long = "as", value_name = "NAME", conflicts_with = "all")]
        name: Option<String>,
    },
    /// Delete for good now what is named, or all that fits, however short a time ago it was deleted
    ///
    /// Nothing brings it back but a backup. A removed account goes with all that was ever deleted of it, and only if it
    /// is named.
    Purge {
        /// Ids, from the list
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All messages and mailboxes that fit what follows
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// With --all: with each of these words in subject or sender
        #[arg(long, requires = "all")]
        words: Option<String>,
        #[command(flatten)]
        filter: FilterArguments,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// For how many days deleted mail is kept; or set it
    Keep {
        /// 2 to 3650
        days: Option<u64>,
    },
}

/// What is looked for.
#[derive(Debug, clap::Args)]
pub(super) struct FilterArguments {
    /// Whose mail; the name of a removed account, too
    #[arg(long)]
    account: Option<String>,
    /// Only what was in this mailbox or below it
    #[arg(long)]
    mailbox: Option<String>,
    /// Only what was deleted on this day (UTC)
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = human::parse_day, conflicts_with_all = ["since", "before"])]
    on: Option<i64>,
    /// Only what was deleted on this day or later
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = human::parse_day)]
    since: Option<i64>,
    /// Only what was deleted before this day
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = human::parse_day)]
    before: Option<i64>,
}

impl FilterArguments {
    fn with(self, words: Option<String>) -> Filter {
        Filter {
            account: self.account,
            mailbox: self.mailbox,
            since: self.on.or(self.since),
            before: self.on.map(|day| day.saturating_add(1)).or(self.before),
            words: words.filter(|words| !words.is_empty()),
        }
    }

    /// What goes with --all.
    fn for_all(self, all: bool, words: Option<String>) -> Result<Option<Filter>, Failure> {
        if !all && !self.is_empty() {
            return Err(Failure::Usage("what is looked for goes with --all, ids without it".to_owned()));
        }
        Ok(all.then(|| self.with(words)))
    }

    fn is_empty(&self) -> bool {
        let texts = self.account.is_none() && self.mailbox.is_none();
        texts && self.on.is_none() && self.since.is_none() && self.before.is_none()
    }
}

/// Does it.
pub(super) fn run(global: &Global, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { words, filter, limit } => list(global, filter.with(Some(words.join(" "))), limit),
        Command::Show { id, eml: true } => raw(global, id),
        Command::Show { id, eml: false } => match perform::perform(global, Request::UndeleteShow { id })? {
            Answer::DeletedMessage(shown) => global.output().value(&*shown, text),
            other => Err(perform::unexpected(&other)),
        },
        Command::Restore { ids, all, words, filter, to, name } => {
            restore(global, Order { ids, all: filter.for_all(all, words)?, to, name })
        }
        Command::Purge { ids, all, words, filter, yes } => {
            purge(global, Discard { ids, all: filter.for_all(all, words)? }, yes)
        }
        Command::Keep { days } => match perform::perform(global, Request::UndeleteKeep { days })? {
            Answer::Keeping(keeping) => global.output().value(&keeping, keeping_text),
            other => Err(perform::unexpected(&other)),
        },
    }
}

fn list(global: &Global, filter: Filter, limit: usize) -> Result<(), Failure> {
    let mut search = Search { filter, after: None, limit: 0 };
    let mut items: Vec<Item> = Vec::new();
    // A page may end early, when much was looked at: then it goes on here.
    let more = loop {
        search.limit = (limit - items.len()).min(PAGE);
        let page = match perform::perform(global, Request::UndeleteList(search.clone()))? {
            Answer::Deleted(page) => page,
            other => return Err(perform::unexpected(&other)),
        };
        items.extend(page.items);
        match page.next {
            Some(next) if items.len() < limit => search.after = Some(next),
            next => break next.is_some(),
        }
    };
    global.output().value(&items, |items| listed(items, more))
}

fn listed(items: &[Item], more: bool) -> String {
    if items.is_empty() {
        return "Nothing deleted fits.\n".to_owned();
    }
    let several = items.iter().any(|item| item.account != items[0].account);
    let head = ["id", "deleted", "left", "account", "mailbox", "from", "subject"];
    let columns = |cells: [String; 7]| -> Vec<String> {
        let all = cells.into_iter().enumerate();
        all.filter(|(n, _)| several || *n != 3).map(|(_, cell)| cell).collect()
    };
    let rows: Vec<Vec<String>> = items.iter().map(|item| columns(row(item))).collect();
    let head = columns(head.map(str::to_owned));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut text = output::table(&head, &rows);
    if more {
        text.push_str(
            "There is more: ask for it with --limit, or for less with words, --mailbox or --since.\n",
        );
    }
    text
}

fn row(item: &Item) -> [String; 7] {
    let (from, subject) = match &item.what {
        What::Message { subject, from, .. } => (short(from, SENDER), short(subject, SUBJECT)),
        What::Mailbox { messages, size } => (String::new(), format!("mailbox: {}", held(*messages, *size))),
        What::Account { messages, size, .. } => {
            (String::new(), format!("account {}: {}", item.account, held(*messages, *size)))
        }
    };
    let left = human::count(item.days_left, "day", "days");
    let deleted = output::day(item.deleted);
    [item.id.clone(), deleted, left, item.account.clone(), item.mailbox.clone(), from, subject]
}

fn held(messages: u64, size: u64) -> String {
    format!("{}, {}", human::count(messages, "message", "messages"), human::bytes(size))
}

fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

/// A message as text.
fn text(shown: &Shown) -> String {
    let item = &shown.item;
    let mut lines = Vec::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{name}: {value}"));
        }
    };
    if let What::Message { subject, from, flags, .. } = &item.what {
        line("From", from);
        line("To", &shown.to);
        line("Cc", &shown.cc);
        line("Date", &shown.date);
        line("Subject", subject);
        line("Flags", &flags.join(" "));
    }
    let left = human::count(item.days_left, "day", "days");
    let deleted = output::day(item.deleted);
    line("Deleted", &format!("{deleted} from {} of {}; kept for {left} more", item.mailbox, item.account));
    for attached in &shown.attachments {
        let name = if attached.name.is_empty() { "without a name" } else { &attached.name };
        line("Attached", &format!("{name} ({}, {})", attached.kind, human::bytes(attached.size)));
    }
    let cut = if shown.cut { "\n\n[There is more: --eml gives all of it.]" } else { "" };
    format!("{}\n\n{}{cut}\n", lines.join("\n"), shown.text)
}

fn raw(global: &Global, id: String) -> Result<(), Failure> {
    let connection = transfer::open(global, &Request::UndeleteRaw { id })?;
    let (mut input, ending) = connection.split();
    let received = receive_raw(&mut input, &mut std::io::stdout().lock());
    drop(input);
    received.map_err(Failure::new)?;
    ending.wait()
}

fn restore(global: &Global, order: Order) -> Result<(), Failure> {
    match perform::perform(global, Request::UndeleteRestore(order))? {
        Answer::Restored(restored) => {
            global.output().value(&restored, |restored: &Restored| restored.describe().join("\n") + "\n")?;
            match restored.is_whole() {
                true => Ok(()),
                false => Err(Failure::new("not all of it could be put back")),
            }
        }
        other => Err(perform::unexpected(&other)),
    }
}

fn purge(global: &Global, order: Discard, yes: bool) -> Result<(), Failure> {
    if !yes {
        let what = discarded(perform::perform(global, Request::UndeleteWeigh(order.clone()))?)?.what();
        if !what.is_empty() {
            secret::agree(&format!("{what}: nothing brings this back but a backup."))?;
        }
    }
    let done = discarded(perform::perform(global, Request::UndeleteDiscard(order))?)?;
    global.output().value(&done, |done: &Discarded| done.describe().join("\n") + "\n")?;
    match done.is_whole() {
        true => Ok(()),
        false => Err(Failure::new("not all of it is deleted for good")),
    }
}

fn discarded(answer: Answer) -> Result<Discarded, Failure> {
    match answer {
        Answer::Discarded(done) => Ok(done),
        other => Err(perform::unexpected(&other)),
    }
}

fn keeping_text(keeping: &Keeping) -> String {
    let days = human::count(keeping.days, "day", "days");
    let mut text = format!("Deleted mail is kept for {days} in which the server runs.\n");
    if let Some(early) = &keeping.early {
        text.push_str(&format!("{}\n", early.describe()));
    }
    text
}
