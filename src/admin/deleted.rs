//! Deleted mail: what there is of it, one message of it, putting it back, deleting it for good.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::Shared;
use super::field::Wrong;
use super::form::{Empty, Submitted};
use super::frame::{self, Frame};
use super::guard::LoggedIn;
use super::page::{self, Page};
use super::place::encoded;
use super::sessions::Notice;
use crate::actions::undelete::{self, Discard, Filter, Item, Keeping, Order, Restored, Search, Shown, What};
use crate::actions::{Context, Failure, account, human};

/// Items of a page.
const ITEMS: usize = 50;
/// Said where nothing is ticked.
const NONE_TICKED: &str = "Tick what is to be deleted for good.";
/// What stands before an id in the name of its tick box.
const TICK: &str = "pick:";

/// What is looked for, as it was typed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Typed {
    account: String,
    mailbox: String,
    words: String,
    since: String,
    until: String,
    after: String,
}

impl Typed {
    fn filter(&self) -> Result<Filter, Failure> {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let day = |text: &str| match text.trim() {
            "" => Ok(None),
            text => human::parse_day(text).map(Some).map_err(Failure::Invalid),
        };
        Ok(Filter {
            account: given(&self.account),
            mailbox: given(&self.mailbox),
            since: day(&self.since)?,
            before: day(&self.until)?.map(|last| last.saturating_add(1)),
            words: given(&self.words),
        })
    }

    fn is_empty(&self) -> bool {
        let fields = [&self.account, &self.mailbox, &self.words, &self.since, &self.until];
        fields.iter().all(|text| text.trim().is_empty())
    }

    /// The page of it.
    fn address(&self, after: &str) -> String {
        let fields = [
            ("account", self.account.as_str()),
            ("mailbox", &self.mailbox),
            ("words", &self.words),
            ("since", &self.since),
            ("until", &self.until),
            ("after", after),
        ];
        let given = fields.iter().filter(|(_, value)| !value.is_empty());
        let pairs: Vec<String> = given.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        if pairs.is_empty() { "/deleted".to_owned() } else { format!("/deleted?{}", pairs.join("&")) }
    }
}

#[derive(Template)]
#[template(path = "deleted.html")]
struct Deleted {
    frame: Frame,
    typed: Typed,
    accounts: Vec<String>,
    items: Vec<Row>,
    next: Option<String>,
    days: u64,
    early: Option<String>,
    wrong: Option<String>,
}

impl Page for Deleted {
    fn wrong(&self) -> Vec<Wrong> {
        let wrong = self.wrong.iter().map(|text| Wrong { id: "words".to_owned(), text: text.clone() });
        wrong.collect()
    }
}

struct Row {
    id: String,
    /// Where it can be read, if it is a message.
    page: Option<String>,
    title: String,
    about: String,
    deleted: String,
    left: String,
}

impl Row {
    fn new(item: Item) -> Row {
        let held = |messages: u64, size: u64| {
            format!("{}, {}", human::count(messages, "message", "messages"), human::bytes(size))
        };
        let place = format!("{} of {}", item.mailbox, item.account);
        let (title, about, is_message) = match item.what {
            What::Message { subject, from, size, .. } => {
                let title = if subject.is_empty() { "(no subject)".to_owned() } else { subject };
                (title, format!("{from} · {place} · {}", human::bytes(size)), true)
            }
            What::Mailbox { messages, size } => (
                format!("Mailbox {}", item.mailbox),
                format!("of {} · {}", item.account, held(messages, size)),
                false,
            ),
            What::Account { messages, size, mailboxes } => {
                let mailboxes = human::count(mailboxes, "mailbox", "mailboxes");
                (
                    format!("Account {}", item.account),
                    format!("{mailboxes} · {}", held(messages, size)),
                    false,
                )
            }
        };
        Row {
            page: is_message.then(|| format!("/deleted/{}", item.id)),
            id: item.id,
            title,
            about,
            deleted: human::day(item.deleted),
            left: human::count(item.days_left, "day", "days"),
        }
    }
}

/// The list.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Query(typed): Query<Typed>,
    session: LoggedIn,
) -> Response {
    let wanted = typed.clone();
    let read = move |context: &Context| -> Result<_, Failure> {
        let keeping = undelete::keeping(context)?;
        let accounts = account::list(context)?.into_iter().map(|account| account.name).collect::<Vec<_>>();
        let after = Some(wanted.after.clone()).filter(|after| !after.is_empty());
        let page = wanted
            .filter()
            .and_then(|filter| undelete::list(context, &Search { filter, after, limit: ITEMS }));
        Ok((keeping, accounts, page))
    };
    let (Keeping { days, early }, accounts, page) = match shared.act(read).await {
        Ok(read) => read,
        Err(failure) => return page::failed(&failure),
    };
    let (page, wrong) = match page {
        Ok(page) => (page, None),
        Err(failure @ (Failure::Invalid(_) | Failure::Unknown { .. })) => {
            (undelete::Page::default(), Some(failure.to_string()))
        }
        Err(failure) => return page::failed(&failure),
    };
    page::show_as(
        StatusCode::OK,
        &Deleted {
            frame: Frame::new("deleted", &session),
            next: page.next.map(|next| typed.address(&next)),
            typed,
            accounts,
            items: page.items.into_iter().map(Row::new).collect(),
            days,
            early: early.map(|early| early.describe()),
            wrong,
        },
    )
}

#[derive(Template)]
#[template(path = "deleted_message.html")]
struct Message {
    frame: Frame,
    id: String,
    subject: String,
    lines: Vec<(&'static str, String)>,
    text: String,
    cut: bool,
}

impl Page for Message {}

impl Message {
    fn new(frame: Frame, shown: Shown) -> Message {
        let Shown { item, to, cc, date, text, cut, attachments } = shown;
        let (subject, from, flags) = match item.what {
            What::Message { subject, from, flags, .. } => (subject, from, flags.join(" ")),
            _ => Default::default(),
        };
        let attached: Vec<String> = attachments
            .into_iter()
            .map(|one| {
                let name = if one.name.is_empty() { "without a name".to_owned() } else { one.name };
                format!("{name} ({}, {})", one.kind, human::bytes(one.size))
            })
            .collect();
        let (deleted, left) = (human::day(item.deleted), human::count(item.days_left, "day", "days"));
        let lines = [
            ("From", from),
            ("To", to),
            ("Cc", cc),
            ("Date", date),
            ("Flags", flags),
            ("Attached", attached.join(", ")),
            ("Was in", format!("{} of {}", item.mailbox, item.account)),
            ("Deleted", format!("{deleted}; kept for {left} more")),
        ];
        Message {
            frame,
            id: item.id,
            subject: if subject.is_empty() { "(no subject)".to_owned() } else { subject },
            lines: lines.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
            text,
            cut,
        }
    }
}

/// One message, to read.
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    session: LoggedIn,
) -> Response {
    let frame = Frame::new("deleted", &session);
    match shared.act(move |context| undelete::show(context, &id)).await {
        Ok(shown) => page::show(&Message::new(frame, shown)),
        Err(failure) => page::failed(&failure),
    }
}

/// One message as it is, as a file.
pub(super) async fn download(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    _session: LoggedIn,
) -> Response {
    let raw = match shared.act(move |context| undelete::raw(context, &id)).await {
        Ok(raw) => Arc::new(raw),
        Err(failure) => return page::failed(&failure),
    };
    let headers = [
        (header::CONTENT_TYPE, "message/rfc822".to_owned()),
        (header::CONTENT_LENGTH, raw.size().to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", raw.name)),
    ];
    // Chunk by chunk: no message is ever whole in memory.
    let chunks = futures_lite::stream::unfold(0, move |at| {
        let raw = Arc::clone(&raw);
        async move {
            if at >= raw.size() {
                return None;
            }
            match smol::unblock(move || raw.read(at)).await {
                Ok(bytes) => {
                    let next = at + bytes.len() as u64;
                    Some((Ok(bytes), next))
                }
                Err(error) => {
                    tracing::warn!(%error, "a deleted message could not be read to its end");
                    Some((Err(error), u64::MAX))
                }
            }
        }
    });
    (headers, Body::from_stream(chunks)).into_response()
}

/// A form of many tick boxes: whatever it has.
#[derive(Deserialize)]
pub(super) struct Ticked {
    #[serde(flatten)]
    fields: BTreeMap<String, String>,
}

impl Ticked {
    fn take(&mut self, name: &str) -> String {
        self.fields.remove(name).unwrap_or_default()
    }

    fn given(&mut self, name: &str) -> Option<String> {
        Some(self.take(name).trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn typed(&mut self) -> Typed {
        Typed {
            account: self.take("account"),
            mailbox: self.take("mailbox"),
            words: self.take("words"),
            since: self.take("since"),
            until: self.take("until"),
            after: self.take("after"),
        }
    }

    fn order(&mut self, typed: &Typed) -> Result<Order, Failure> {
        let (to, name) = (self.given("to"), self.given("name"));
        let (ids, all) = self.chosen(typed, "Tick what is to be put back.")?;
        Ok(Order { ids, all, to, name })
    }

    /// What is ticked, or all that fits.
    fn chosen(&mut self, typed: &Typed, none: &str) -> Result<(Vec<String>, Option<Filter>), Failure> {
        let all = match self.given("all") {
            Some(_) => Some(typed.filter()?),
            None => None,
        };
        let ids: Vec<String> = match all {
            Some(_) => Vec::new(),
            None => self.fields.keys().filter_map(|key| key.strip_prefix(TICK)).map(str::to_owned).collect(),
        };
        if all.is_none() && ids.is_empty() {
            return Err(Failure::Invalid(none.to_owned()));
        }
        Ok((ids, all))
    }
}

/// Puts back what is ticked, or all that fits.
pub(super) async fn restore(
    State(shared): State<Arc<Shared>>,
    Submitted { session, mut form }: Submitted<Ticked>,
) -> Response {
    let typed = form.typed();
    let next = typed.address(&typed.after);
    let order = match form.order(&typed) {
        Ok(order) => order,
        Err(failure) => return frame::refused(&shared, &session, &failure, &next),
    };
    match shared.act(move |context| undelete::restore(context, &order)).await {
        Ok(done) => said(&shared, &session, &done, &next),
        Err(failure) => frame::refused(&shared, &session, &failure, &next),
    }
}

/// Puts one message back, from its page.
pub(super) async fn restore_one(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    let order = Order { ids: vec![id], ..Order::default() };
    match shared.act(move |context| undelete::restore(context, &order)).await {
        Ok(done) => said(&shared, &session, &done, "/deleted"),
        Err(failure) => frame::refused(&shared, &session, &failure, "/deleted"),
    }
}

#[derive(Template)]
#[template(path = "deleted_discard.html")]
struct Discarding {
    frame: Frame,
    typed: Typed,
    ids: Vec<String>,
    all: bool,
    what: String,
    back: String,
}

impl Page for Discarding {}

/// Says what would be deleted for good, and asks.
pub(super) async fn ask_discard(
    State(shared): State<Arc<Shared>>,
    Query(mut asked): Query<Ticked>,
    session: LoggedIn,
) -> Response {
    let typed = asked.typed();
    let back = typed.address(&typed.after);
    let (ids, all) = match asked.chosen(&typed, NONE_TICKED) {
        Ok(chosen) => chosen,
        Err(failure) => return frame::refused(&shared, &session, &failure, &back),
    };
    let (order, is_all) = (Discard { ids: ids.clone(), all: all.clone() }, all.is_some());
    match shared.act(move |context| undelete::weigh(context, &order)).await {
        Ok(found) if found.what().is_empty() => {
            tell(&shared, &session, found.describe(), found.is_whole(), &back)
        }
        Ok(found) => {
            let (frame, what) = (Frame::new("deleted", &session), found.what());
            page::show(&Discarding { frame, typed, ids, all: is_all, what, back })
        }
        Err(failure) => frame::refused(&shared, &session, &failure, &back),
    }
}

/// Deletes for good what is ticked, or all that fits: first there is a page that asks.
pub(super) async fn discard(
    State(shared): State<Arc<Shared>>,
    Submitted { session, mut form }: Submitted<Ticked>,
) -> Response {
    let typed = form.typed();
    let back = typed.address(&typed.after);
    let is_sure = form.given("sure").is_some();
    let order = match form.chosen(&typed, NONE_TICKED) {
        Ok((ids, all)) => Discard { ids, all },
        Err(failure) => return frame::refused(&shared, &session, &failure, &back),
    };
    if !is_sure {
        return Redirect::to(&question(&typed, &order)).into_response();
    }
    match shared.act(move |context| undelete::discard(context, &order)).await {
        Ok(done) => tell(&shared, &session, done.describe(), done.is_whole(), &back),
        Err(failure) => frame::refused(&shared, &session, &failure, &back),
    }
}

/// The page that asks.
fn question(typed: &Typed, order: &Discard) -> String {
    let mut address = typed.address(&typed.after).replacen("/deleted", "/deleted/discard", 1);
    let ticked = order.ids.iter().take(ITEMS).map(|id| format!("{}=1", encoded(&format!("{TICK}{id}"))));
    for pair in ticked.chain(order.all.is_some().then(|| "all=1".to_owned())) {
        address.push(if address.contains('?') { '&' } else { '?' });
        address.push_str(&pair);
    }
    address
}

fn said(shared: &Arc<Shared>, session: &LoggedIn, done: &Restored, next: &str) -> Response {
    tell(shared, session, done.describe(), done.is_whole(), next)
}

fn tell(
    shared: &Arc<Shared>,
    session: &LoggedIn,
    mut lines: Vec<String>,
    good: bool,
    next: &str,
) -> Response {
    lines.truncate(10);
    shared.sessions.tell(&session.known, Notice { text: lines.join(" "), good });
    page::next(next)
}

#[derive(Deserialize)]
pub(super) struct Keep {
    days: String,
}

/// Sets for how many days deleted mail is kept.
pub(super) async fn keep(
    State(shared): State<Arc<Shared>>,
    Submitted { session, form }: Submitted<Keep>,
) -> Response {
    // What is no number is no number of days that can be set.
    let days = form.days.trim().parse().unwrap_or(0);
    match shared.act(move |context| undelete::keep(context, days)).await {
        Ok(keeping) => {
            let text = format!(
                "Deleted mail is kept for {} from now on.",
                human::count(keeping.days, "day", "days")
            );
            frame::done(&shared, &session, text, "/deleted")
        }
        Err(failure) => frame::refused(&shared, &session, &failure, "/deleted"),
    }
}
