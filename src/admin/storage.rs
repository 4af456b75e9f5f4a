//! Storage: who uses how much, what the disk has left, "reclaim now".

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::figure::figure;
use super::form::{Empty, Submitted};
use super::frame::{self, Frame};
use super::guard::LoggedIn;
use super::page::{self, Page};
use super::shown::prose;
use super::{Shared, ask};
use crate::actions::damage::Problem;
use crate::actions::{Context, Failure, account, forecast, human, mailbox, status, storage};

#[derive(Template)]
#[template(path = "storage.html")]
struct Storage {
    frame: Frame,
    accounts: Vec<Row>,
    mailboxes: Vec<MailboxRow>,
    /// Mailboxes that are not shown.
    more: usize,
    live: String,
    dead: String,
    volumes: u64,
    journal: String,
    free: String,
    full_in: String,
    written: String,
    syncs: u64,
    problems: Vec<Problem>,
}

impl Page for Storage {}

struct Row {
    name: String,
    mailboxes: u64,
    messages: String,
    size: String,
}

struct MailboxRow {
    account: String,
    name: String,
    messages: String,
    size: String,
}

/// Mailboxes that are shown, the largest first.
const MAILBOXES: usize = 20;

/// The mailboxes of all accounts that hold mail, the largest first.
fn largest(context: &Context) -> Result<Vec<(String, mailbox::Info)>, Failure> {
    let mut found = Vec::new();
    for account in account::list(context)? {
        let mailboxes = mailbox::list(context, Some(&account.name))?.into_iter();
        let filled = mailboxes.filter(|mailbox| mailbox.messages > 0);
        found.extend(filled.map(|mailbox| (account.name.clone(), mailbox)));
    }
    found.sort_by_key(|(_, mailbox)| std::cmp::Reverse(mailbox.bytes));
    Ok(found)
}

/// The page.
pub(super) async fn show(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    let read =
        |context: &Context| Ok((status::read(context)?, forecast::days_left(context)?, largest(context)?));
    let (info, days_left, largest) = match shared.act(read).await {
        Ok(read) => read,
        Err(failure) => return page::failed(&failure),
    };
    let accounts = info.accounts.into_iter().map(|account| Row {
        name: account.name,
        mailboxes: account.mailboxes,
        messages: figure(account.messages),
        size: human::bytes(account.bytes),
    });
    let more = largest.len().saturating_sub(MAILBOXES);
    let mailboxes = largest.into_iter().take(MAILBOXES).map(|(account, mailbox)| MailboxRow {
        account,
        name: mailbox.name,
        messages: figure(mailbox.messages),
        size: human::bytes(mailbox.bytes),
    });
    page::show(&Storage {
        frame: Frame::new("storage", &session),
        accounts: accounts.collect(),
        mailboxes: mailboxes.collect(),
        more,
        live: human::bytes(info.storage.content),
        dead: human::bytes(info.storage.dead),
        volumes: info.storage.volumes,
        journal: human::bytes(info.storage.journal),
        free: human::bytes(info.storage.free),
        full_in: match days_left {
            Some(days) if days < 60 => format!("in {days} days"),
            Some(days) => format!("in {} months", days / 30),
            None => "not in sight".to_owned(),
        },
        written: human::bytes(info.storage.written),
        syncs: info.storage.syncs,
        problems: info.problems,
    })
}

/// Gives space back.
pub(super) async fn reclaim(
    State(shared): State<Arc<Shared>>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    let done = shared.act(storage::reclaim).await;
    told(&shared, &session, done)
}

/// Asks whether all deleted mail is to be given up.
pub(super) async fn ask_empty(session: LoggedIn) -> Response {
    let question = ask::Ask {
        frame: Frame::new("storage", &session),
        title: "Empty the bin?".to_owned(),
        text: "All deleted mail of all accounts goes for good. Nothing brings it back but a backup."
            .to_owned(),
        action: "/storage/empty".to_owned(),
        button: "Empty the bin",
        back: "/storage".to_owned(),
    };
    question.show()
}

/// Gives up deleted mail, and its space.
pub(super) async fn empty_bin(
    State(shared): State<Arc<Shared>>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    let done = shared.act(storage::empty_bin).await;
    told(&shared, &session, done)
}

fn told(shared: &Arc<Shared>, session: &LoggedIn, done: Result<storage::Reclaimed, Failure>) -> Response {
    match done {
        Ok(done) => {
            let text = format!(
                "{} of deleted mail dropped ({}), {} emptied.",
                human::bytes(done.bytes),
                human::count(done.contents, "message", "messages"),
                human::count(done.volumes, "file of mail", "files of mail")
            );
            frame::done(shared, session, text, "/storage")
        }
        Err(failure) => frame::refused(shared, session, &failure, "/storage"),
    }
}
