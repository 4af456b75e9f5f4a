//! Backups: where to, how the last one went, make one now.

use std::path::PathBuf;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::field::{self, Field, Wrong};
use super::form::{Empty, Submitted};
use super::frame::{self, Frame};
use super::guard::LoggedIn;
use super::page::{self, Page};
use super::{Shared, ask};
use crate::actions::backup::{self, Info, Order};
use crate::actions::backup_job::{Backups, Ended, State as Job};
use crate::actions::{Context, Failure, human};

/// Where the page is.
const HERE: &str = "/backups";

#[derive(Template)]
#[template(path = "backups.html")]
struct Backup {
    frame: Frame,
    /// Where to and when, if one is made every day.
    daily: Option<String>,
    keep: String,
    running: Option<Running>,
    last: Option<Last>,
    form: Form,
}

impl Page for Backup {
    fn wrong(&self) -> Vec<Wrong> {
        field::wrong([
            ("folder", &self.form.folder),
            ("hour", &self.form.hour),
            ("passphrase", &self.form.passphrase),
            ("again", &self.form.again),
        ])
    }
}

/// A job under way.
struct Running {
    title: String,
    percent: u64,
    done: u64,
    all: u64,
    bytes: String,
}

/// How the last one went.
struct Last {
    class: &'static str,
    title: String,
    text: String,
    /// Files of the backup that cannot be read.
    damaged: Vec<String>,
    skipped: Vec<String>,
    skipped_more: u64,
}

#[derive(Default)]
struct Form {
    folder: Field,
    passphrase: Field,
    /// Never shown again.
    again: Field,
    hour: Field,
}

#[derive(Deserialize)]
pub(super) struct Typed {
    folder: String,
    passphrase: String,
    again: String,
    hour: String,
}

/// The page.
pub(super) async fn show(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    shown(&shared, &session, None).await
}

async fn shown(shared: &Arc<Shared>, session: &LoggedIn, form: Option<Form>) -> Response {
    let read = |context: &Context| Ok((backup::info(context)?, backups(context)?.state()));
    let (info, job) = match shared.act(read).await {
        Ok(read) => read,
        Err(failure) => return page::failed(&failure),
    };
    let form = form.unwrap_or_else(|| Form {
        folder: Field::new(info.folders.first().map_or(String::new(), |folder| folder.display().to_string())),
        passphrase: Field::default(),
        again: Field::default(),
        hour: Field::new(info.daily.as_ref().map_or("3".to_owned(), |daily| daily.hour.to_string())),
    });
    let keep = info.keep;
    page::show(&Backup {
        frame: Frame::new("backups", session),
        daily: info
            .daily
            .as_ref()
            .map(|daily| format!("Every day at {:02}:00 UTC to {}", daily.hour, daily.folder.display())),
        keep: format!("{} days, {} weeks, {} months", keep.daily, keep.weekly, keep.monthly),
        running: job.as_ref().filter(|job| job.ended.is_none()).map(Running::new),
        last: last(&info, job.as_ref()),
        form,
    })
}

fn backups(context: &Context) -> Result<&Backups, Failure> {
    let running = context.running.as_ref();
    running.map(|running| &running.backups).ok_or_else(|| Failure::Invalid("no server runs".to_owned()))
}

impl Running {
    fn new(job: &Job) -> Self {
        let folder = job.folder.display();
        Running {
            title: match job.restores {
                true => format!("Mail is brought back from {folder}"),
                false => format!("A backup is made to {folder}"),
            },
            percent: job.done * 100 / job.all.max(1),
            done: job.done,
            all: job.all,
            bytes: human::bytes(job.bytes),
        }
    }
}

fn last(info: &Info, job: Option<&Job>) -> Option<Last> {
    if let Some(Ended::Merged(merged)) = job.and_then(|job| job.ended.as_ref()) {
        return Some(Last {
            class: if merged.missing_count == 0 { "good" } else { "warning" },
            title: format!("{} brought back", human::count(merged.added, "message", "messages")),
            text: format!("{} were there already.", merged.known),
            damaged: Vec::new(),
            skipped: merged.missing.iter().take(50).cloned().collect(),
            skipped_more: merged.missing_count.saturating_sub(50),
        });
    }
    let last = info.last.as_ref()?;
    let when = human::when(Some(last.ended), human::now());
    let folder = last.folder.display();
    let Some(report) = last.report.as_ref().filter(|_| last.failed.is_none()) else {
        return Some(Last {
            class: "error",
            title: format!("The last backup, {when}, did not work"),
            text: human::sentence(last.failed.as_deref().unwrap_or_default()),
            damaged: Vec::new(),
            skipped: Vec::new(),
            skipped_more: 0,
        });
    };
    Some(Last {
        class: if report.skipped_count == 0 && report.damaged_packs.is_empty() { "good" } else { "warning" },
        title: format!("The last backup: {when}, to {folder}"),
        text: format!(
            "{} in it, {} of them new ({}). {} there now.",
            human::count(report.contents, "message", "messages"),
            report.copied,
            human::bytes(report.bytes),
            human::count(report.generations, "generation is", "generations are"),
        ),
        damaged: report.damaged_packs.clone(),
        skipped: report.skipped.clone(),
        skipped_more: report.skipped_count.saturating_sub(report.skipped.len() as u64),
    })
}

/// Sets one up, and makes the first.
pub(super) async fn set_up(
    State(shared): State<Arc<Shared>>,
    Submitted { session, form }: Submitted<Typed>,
) -> Response {
    let mut shown_form = Form {
        folder: Field::new(form.folder.trim()),
        passphrase: Field::default(),
        again: Field::default(),
        hour: Field::new(form.hour.trim()),
    };
    if form.passphrase != form.again {
        shown_form.passphrase = shown_form.passphrase.wrong("The two are not the same.");
        return shown(&shared, &session, Some(shown_form)).await;
    }
    let Some(hour) = form.hour.trim().parse().ok().filter(|hour| *hour < 24) else {
        shown_form.hour = shown_form.hour.wrong("An hour is a number from 0 to 23.");
        return shown(&shared, &session, Some(shown_form)).await;
    };
    let order = Order {
        folder: Some(PathBuf::from(form.folder.trim())),
        passphrase: Some(form.passphrase).filter(|passphrase| !passphrase.is_empty()),
        hour: Some(hour),
        ..Order::default()
    };
    match shared.act(move |context| backups(context)?.start(context, &order)).await {
        Ok(()) => frame::done(&shared, &session, "The backup is set up; the first one is being made.", HERE),
        Err(failure) => {
            shown_form.folder = shown_form.folder.wrong(failure);
            shown(&shared, &session, Some(shown_form)).await
        }
    }
}

/// Makes one now.
pub(super) async fn run(
    State(shared): State<Arc<Shared>>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    let start = |context: &Context| {
        let started = backups(context)?.start(context, &Order::default());
        // The page says of the last one why it did not work, and need not say it twice.
        let known = backup::info(context)?.last.and_then(|last| last.failed);
        Ok(started.map_err(|failure| (known == Some(failure.to_string()), failure)))
    };
    match shared.act(start).await {
        Ok(Ok(())) => frame::done(&shared, &session, "A backup is being made.", HERE),
        Ok(Err((true, _))) => page::next(HERE),
        Ok(Err((false, failure))) | Err(failure) => frame::refused(&shared, &session, &failure, HERE),
    }
}

/// Asks whether what runs is to be broken off.
pub(super) async fn ask_stop(session: LoggedIn) -> Response {
    let question = ask::Ask {
        frame: Frame::new("backups", &session),
        title: "Break it off?".to_owned(),
        text: "What was copied stays where it is. The next one goes on where this one ends.".to_owned(),
        action: format!("{HERE}/stop"),
        button: "Break it off",
        back: HERE.to_owned(),
    };
    question.show()
}

/// Asks whether none is to be made every day any more.
pub(super) async fn ask_turn_off(session: LoggedIn) -> Response {
    let question = ask::Ask {
        frame: Frame::new("backups", &session),
        title: "Make no backup every day?".to_owned(),
        text: "The backups that there are stay. What comes from now on is in none of them.".to_owned(),
        action: format!("{HERE}/off"),
        button: "Make none every day",
        back: HERE.to_owned(),
    };
    question.show()
}

/// Breaks off what runs.
pub(super) async fn stop(
    State(shared): State<Arc<Shared>>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    let stop = |context: &Context| {
        backups(context)?.stop();
        Ok(())
    };
    match shared.act(stop).await {
        Ok(()) => {
            frame::done(&shared, &session, "It is broken off. The next one goes on where it was.", HERE)
        }
        Err(failure) => frame::refused(&shared, &session, &failure, HERE),
    }
}

/// Makes none every day any more.
pub(super) async fn turn_off(
    State(shared): State<Arc<Shared>>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    match shared.act(backup::turn_off).await {
        Ok(()) => frame::done(&shared, &session, "No backup is made every day any more.", HERE),
        Err(failure) => frame::refused(&shared, &session, &failure, HERE),
    }
}
