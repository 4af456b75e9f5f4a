//! Storage: who uses how much, what the disk has left, "reclaim now".

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::Shared;
use super::form::{Empty, Submitted};
use super::guard::LoggedIn;
use super::page::{self, Frame};
use crate::actions::{forecast, status, storage, words};

#[derive(Template)]
#[template(path = "storage.html")]
struct Storage {
    frame: Frame,
    accounts: Vec<Row>,
    live: String,
    dead: String,
    volumes: u64,
    journal: String,
    free: String,
    full_in: String,
    written: String,
    syncs: u64,
    read_only: Option<String>,
}

struct Row {
    name: String,
    mailboxes: u64,
    messages: u64,
    size: String,
}

/// The page.
pub(super) async fn show(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    let read = shared.act(|context| Ok((status::read(context)?, forecast::days_left(context)?))).await;
    let (info, days_left) = match read {
        Ok(read) => read,
        Err(failure) => return page::failed(&failure),
    };
    let accounts = info.accounts.into_iter().map(|account| Row {
        name: account.name,
        mailboxes: account.mailboxes,
        messages: account.messages,
        size: words::bytes(account.bytes),
    });
    page::show(&Storage {
        frame: Frame::new("storage", &session),
        accounts: accounts.collect(),
        live: words::bytes(info.storage.content),
        dead: words::bytes(info.storage.dead),
        volumes: info.storage.volumes,
        journal: words::bytes(info.storage.journal),
        free: words::bytes(info.storage.free),
        full_in: match days_left {
            Some(days) if days < 60 => format!("in {days} days"),
            Some(days) => format!("in {} months", days / 30),
            None => "not in sight".to_owned(),
        },
        written: words::bytes(info.storage.written),
        syncs: info.storage.syncs,
        read_only: info.storage.read_only,
    })
}

/// Gives space back.
pub(super) async fn reclaim(
    State(shared): State<Arc<Shared>>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    match shared.act(storage::reclaim).await {
        Ok(done) => {
            let text = format!(
                "{} contents that nothing names any more were dropped ({}), {} volumes emptied.",
                done.contents,
                words::bytes(done.bytes),
                done.volumes
            );
            page::done(&shared, &session, text, "/storage")
        }
        Err(failure) => page::refused(&shared, &session, &failure, "/storage"),
    }
}
