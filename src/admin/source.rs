//! Sources: watched Maildirs.

use std::path::PathBuf;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;

use super::field::{self, Field, Wrong};
use super::form::{Empty, Submitted};
use super::frame::{self, Frame};
use super::guard::LoggedIn;
use super::heartbeat::Heartbeat;
use super::page::{self, Page};
use super::{Shared, ask};
use crate::actions::source::{self, After};
use crate::actions::{Context, Failure, account, human};

#[derive(Template)]
#[template(path = "sources.html")]
struct Sources {
    frame: Frame,
    sources: Vec<Row>,
    accounts: Vec<String>,
    form: Form,
}

/// A source, as it is shown.
pub(super) struct Row {
    pub(super) id: u32,
    pub(super) path: String,
    pub(super) account: String,
    /// How bad it is, and that in words.
    pub(super) class: &'static str,
    pub(super) says: &'static str,
    pub(super) heartbeat: Heartbeat,
    pub(super) mailbox: String,
    pub(super) after: String,
    pub(super) state: String,
    pub(super) last_mail: String,
    pub(super) imported: u64,
    pub(super) waiting: u64,
    pub(super) problem: Option<String>,
    pub(super) advice: Vec<String>,
    pub(super) left: Vec<String>,
    pub(super) left_more: u64,
}

impl Row {
    pub(super) fn new(source: &source::Info, now: i64) -> Self {
        let watch = source.watch.as_ref();
        let left = watch.map(|watch| watch.left.clone()).unwrap_or_default();
        let problem = watch.and_then(|watch| watch.problem.clone());
        let (class, says) = match (&problem, source.silent) {
            (Some(_), _) => ("error", "cannot be read"),
            (None, Some(_)) => ("warning", "quiet for longer than usual"),
            (None, None) => ("good", "as it should be"),
        };
        Row {
            class,
            says,
            heartbeat: Heartbeat::new(&source.arrivals, now),
            id: source.id,
            path: source.path.display().to_string(),
            account: source.account.clone(),
            mailbox: source.mailbox.clone().unwrap_or_default(),
            after: match &source.after {
                After::Keep => "kept".to_owned(),
                After::Delete => "deleted once stored".to_owned(),
                After::Move(folder) => format!("moved to {}", folder.display()),
            },
            state: watch.map_or("not running".to_owned(), |watch| {
                if watch.busy { "importing".to_owned() } else { watch.mode.clone() }
            }),
            last_mail: human::when(source.last_mail, now),
            imported: watch.map_or(0, |watch| watch.imported),
            waiting: watch.map_or(0, |watch| watch.waiting),
            problem,
            advice: watch.map(|watch| watch.advice.clone()).unwrap_or_default(),
            left_more: watch.map_or(0, |watch| watch.left_count.saturating_sub(left.len() as u64)),
            left,
        }
    }
}

/// The form of a new source: what was typed, and what is wrong with it.
pub(super) struct Form {
    pub(super) path: Field,
    pub(super) account: Field,
    pub(super) mailbox: Field,
    pub(super) after: Field,
    pub(super) folder: Field,
    pub(super) advice: Vec<String>,
}

impl Form {
    pub(super) fn wrong(&self) -> Vec<Wrong> {
        field::wrong([
            ("path", &self.path),
            ("account", &self.account),
            ("mailbox", &self.mailbox),
            ("folder", &self.folder),
        ])
    }
}

impl Page for Sources {
    fn wrong(&self) -> Vec<Wrong> {
        self.form.wrong()
    }
}

impl Default for Form {
    fn default() -> Self {
        Form {
            path: Field::default(),
            account: Field::default(),
            mailbox: Field::default(),
            after: Field::new("keep"),
            folder: Field::default(),
            advice: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Typed {
    path: String,
    account: String,
    mailbox: String,
    after: String,
    folder: String,
}

/// The list, and the form for one more.
pub(super) async fn list(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    shown(&shared, &session, Form::default()).await
}

async fn shown(shared: &Arc<Shared>, session: &LoggedIn, form: Form) -> Response {
    let read = shared.act(|context| Ok((source::list(context)?, account::list(context)?))).await;
    let (sources, accounts) = match read {
        Ok(read) => read,
        Err(failure) => return page::failed(&failure),
    };
    let now = human::now();
    page::show(&Sources {
        frame: Frame::new("incoming", session),
        sources: sources.iter().map(|source| Row::new(source, now)).collect(),
        accounts: accounts.into_iter().map(|account| account.name).collect(),
        form,
    })
}

/// Adds a source, if its folder can be used.
pub(super) async fn add(
    State(shared): State<Arc<Shared>>,
    Submitted { session, form }: Submitted<Typed>,
) -> Response {
    match watch(&shared, form).await {
        Ok(text) => frame::done(&shared, &session, text, "/incoming"),
        Err(form) => shown(&shared, &session, form).await,
    }
}

/// Adds a source, and says what comes of it; or gives the form with what is wrong.
pub(super) async fn watch(shared: &Arc<Shared>, typed: Typed) -> Result<String, Form> {
    let after = match parse_after(&typed) {
        Ok(after) => after,
        Err(why) => {
            let mut form = kept(typed);
            form.folder = form.folder.wrong(why);
            return Err(form);
        }
    };
    let path = PathBuf::from(typed.path.trim());
    let mailbox = Some(typed.mailbox.trim().to_owned()).filter(|mailbox| !mailbox.is_empty());
    let (account, target) = (typed.account.clone(), after.clone());
    let done = shared
        .act(move |context| source::add(context, &path, Some(&account), mailbox.as_deref(), after))
        .await;
    match done {
        Ok(added) if added.messages == 0 => {
            Ok("It is watched. No message lies in it yet; each that arrives is here at once.".to_owned())
        }
        Ok(added) => Ok(format!(
            "{} in {} are being brought in.",
            human::count(added.messages, "message", "messages"),
            human::count(added.folders, "folder", "folders")
        )),
        Err(failure) => Err(wrong(typed, &target, &failure)),
    }
}

/// What is to happen to the files; a folder belongs to "moved", and to nothing else.
fn parse_after(typed: &Typed) -> Result<After, &'static str> {
    let folder = typed.folder.trim();
    match (typed.after.as_str(), folder.is_empty()) {
        ("move", true) => Err("Say which folder: the whole path, such as /home/anna/Done."),
        ("move", false) => Ok(After::Move(PathBuf::from(folder))),
        (_, false) => Err("A folder is only for “moved to this folder”: choose that, or leave it empty."),
        ("delete", true) => Ok(After::Delete),
        (_, true) => Ok(After::Keep),
    }
}

fn kept(typed: Typed) -> Form {
    Form {
        path: Field::new(typed.path),
        account: Field::new(typed.account),
        mailbox: Field::new(typed.mailbox),
        after: Field::new(typed.after),
        folder: Field::new(typed.folder),
        advice: Vec::new(),
    }
}

/// Puts the reason at the field that it is about.
fn wrong(typed: Typed, after: &After, failure: &Failure) -> Form {
    let mut form = kept(typed);
    form.advice = failure.advice().to_vec();
    let field = match failure {
        Failure::Unknown { .. } => &mut form.account,
        Failure::Access(problem) if matches!(after, After::Move(target) if target.starts_with(&problem.path)) => {
            &mut form.folder
        }
        Failure::Invalid(_) => &mut form.mailbox,
        Failure::Access(_) | Failure::Store(_) => &mut form.path,
    };
    field.error = Some(human::sentence(&failure.to_string()));
    form
}

/// Asks whether a source is to be watched no more.
pub(super) async fn ask_remove(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<u32>,
    session: LoggedIn,
) -> Response {
    let find = move |context: &Context| {
        let known = source::list(context)?.into_iter().find(|known| known.id == id);
        known.ok_or_else(|| Failure::Unknown { what: "source", name: id.to_string() })
    };
    let known = match shared.act(find).await {
        Ok(known) => known,
        Err(failure) => return page::failed(&failure),
    };
    let question = ask::Ask {
        frame: Frame::new("incoming", &session),
        title: "Stop watching?".to_owned(),
        text: format!(
            "What arrives in {} is not brought in for {} any more. The mail that came from it stays here.",
            known.path.display(),
            known.account
        ),
        action: format!("/incoming/{id}/remove"),
        button: "Stop watching",
        back: "/incoming".to_owned(),
    };
    question.show()
}

/// Removes a source; the mail that came from it stays.
pub(super) async fn remove(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<u32>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    match shared.act(move |context| source::remove(context, &id.to_string(), false)).await {
        Ok(()) => frame::done(
            &shared,
            &session,
            "The source is not watched any more. Its mail stays here.",
            "/incoming",
        ),
        Err(failure) => frame::refused(&shared, &session, &failure, "/incoming"),
    }
}
