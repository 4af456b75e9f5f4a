//! The guided set-up, after the administrator's password: first account, where mail comes from, first device,
//! what the device needs. Each step has the form of the page that it belongs to, and does the same.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::account::{New, NewForm};
use super::field::{self, Field, Wrong};
use super::form::{Empty, Submitted};
use super::frame;
use super::guard::LoggedIn;
use super::needs::Needs;
use super::page::{self, Page};
use super::secrets::Secret;
use super::sessions::Notice;
use super::{Shared, account, device, import, source};
use crate::actions::setup::{self, Progress, Step};
use crate::actions::{self, Failure};

/// What stands around a step.
struct Guide {
    csrf: String,
    notice: Option<Notice>,
    number: u8,
    steps: Vec<Shown>,
    /// How the old mail comes along that was chosen a step before.
    import: Option<String>,
}

/// A step in the row of them.
pub(super) struct Shown {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
}

/// The row of steps.
pub(super) fn steps(progress: &Progress, here: Step) -> Vec<Shown> {
    let steps = Step::ALL.into_iter().map(|step| Shown {
        name: name(step),
        class: match progress.of(step) {
            _ if step == here => "here",
            setup::State::Done => "done",
            setup::State::Skipped => "skipped",
            setup::State::Open => "",
        },
    });
    steps.collect()
}

#[derive(Template)]
#[template(path = "guide_account.html")]
struct Account {
    guide: Guide,
    form: NewForm,
}

impl Page for Account {
    fn wrong(&self) -> Vec<Wrong> {
        self.form.wrong()
    }
}

#[derive(Template)]
#[template(path = "guide_mail.html")]
struct Mail {
    guide: Guide,
    accounts: Vec<String>,
    form: source::Form,
    old: import::Form,
    /// Which of the three ways is open.
    open: Way,
}

impl Page for Mail {
    fn wrong(&self) -> Vec<Wrong> {
        self.form.wrong().into_iter().chain(self.old.wrong()).collect()
    }
}

/// Where mail comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Source,
    Path,
    Upload,
}

#[derive(Template)]
#[template(path = "guide_device.html")]
struct Device {
    guide: Guide,
    accounts: Vec<String>,
    account: Field,
    device: Field,
}

impl Page for Device {
    fn wrong(&self) -> Vec<Wrong> {
        field::wrong([("account", &self.account), ("device", &self.device)])
    }
}

#[derive(Template)]
#[template(path = "guide_ready.html")]
struct Ready {
    guide: Guide,
    /// The device that was added just now.
    fresh: Option<Secret>,
    needs: Needs,
}

impl Page for Ready {}

impl Guide {
    fn new(
        shared: &Shared,
        session: &LoggedIn,
        (progress, accounts): (&Progress, &[String]),
        here: Step,
    ) -> Self {
        Guide {
            csrf: session.known.csrf.clone(),
            notice: session.notice.clone(),
            number: here.number(),
            steps: steps(progress, here),
            import: import::line(shared, accounts),
        }
    }
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Password => "Password",
        Step::Account => "Account",
        Step::Mail => "Mail",
        Step::Device => "Device",
        Step::Ready => "Ready",
    }
}

fn path(step: Step) -> &'static str {
    match step {
        Step::Password => "/setup",
        Step::Account => "/setup/account",
        Step::Mail => "/setup/mail",
        Step::Device => "/setup/device",
        Step::Ready => "/setup/ready",
    }
}

/// Goes to the step that is to do.
pub(super) async fn next(State(shared): State<Arc<Shared>>, _: LoggedIn) -> Response {
    match shared.act(setup::progress).await {
        Ok(progress) => Redirect::to(path(progress.next())).into_response(),
        Err(failure) => page::failed(&failure),
    }
}

/// Leaves a word for the next step, and goes there.
fn on(shared: &Arc<Shared>, session: &LoggedIn, text: impl Into<String>, step: Step) -> Response {
    frame::done(shared, session, text, path(step))
}

/// How far it is, and the names of the accounts, the oldest first.
async fn read(shared: &Arc<Shared>) -> Result<(Progress, Vec<String>), Failure> {
    let read = |context: &actions::Context| Ok((setup::progress(context)?, actions::account::list(context)?));
    let (progress, mut accounts) = shared.act(read).await?;
    accounts.sort_by_key(|account| account.created);
    Ok((progress, accounts.into_iter().map(|account| account.name).collect()))
}

/// The form of the first account; where there is one already, the step after it.
pub(super) async fn account(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    account_step(&shared, &session, NewForm::default()).await
}

async fn account_step(shared: &Arc<Shared>, session: &LoggedIn, form: NewForm) -> Response {
    match read(shared).await {
        Ok((_, accounts)) if !accounts.is_empty() => Redirect::to(path(Step::Mail)).into_response(),
        Ok((progress, _)) => {
            let guide = Guide::new(shared, session, (&progress, &[]), Step::Account);
            page::show(&Account { guide, form })
        }
        Err(failure) => page::failed(&failure),
    }
}

/// Adds the first account.
pub(super) async fn add_account(
    State(shared): State<Arc<Shared>>,
    Submitted { session, form }: Submitted<New>,
) -> Response {
    match account::create(&shared, form).await {
        Ok(name) => on(&shared, &session, format!("The account {name} was added."), Step::Mail),
        Err(form) => account_step(&shared, &session, form).await,
    }
}

/// The three ways in which mail gets here.
pub(super) async fn mail(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    let forms = (source::Form::default(), import::Form::default());
    mail_step(&shared, &session, forms, Way::Source).await
}

async fn mail_step(
    shared: &Arc<Shared>,
    session: &LoggedIn,
    (form, old): (source::Form, import::Form),
    open: Way,
) -> Response {
    match read(shared).await {
        Ok((_, accounts)) if accounts.is_empty() => Redirect::to(path(Step::Account)).into_response(),
        Ok((progress, accounts)) => {
            let guide = Guide::new(shared, session, (&progress, &accounts), Step::Mail);
            page::show(&Mail { guide, accounts, form, old, open })
        }
        Err(failure) => page::failed(&failure),
    }
}

/// Adds the first source.
pub(super) async fn add_source(
    State(shared): State<Arc<Shared>>,
    Submitted { session, form }: Submitted<source::Typed>,
) -> Response {
    match source::watch(&shared, form).await {
        Ok(text) => on(&shared, &session, text, Step::Device),
        Err(form) => {
            let forms = (form, import::Form::default());
            mail_step(&shared, &session, forms, Way::Source).await
        }
    }
}

/// Said once an import runs.
const COMES: &str = "The mail is being brought in. There is no need to wait for it.";

/// Brings old mail in from this machine.
pub(super) async fn import(
    State(shared): State<Arc<Shared>>,
    Submitted { session, form }: Submitted<import::Typed>,
) -> Response {
    match import::begin(&shared, form).await {
        Ok(()) => on(&shared, &session, COMES, Step::Device),
        Err(form) => {
            let forms = (source::Form::default(), form);
            mail_step(&shared, &session, forms, Way::Path).await
        }
    }
}

/// Brings uploaded mail in.
pub(super) async fn upload(
    State(shared): State<Arc<Shared>>,
    session: LoggedIn,
    request: Request,
) -> Response {
    match import::receive(&shared, &session, request).await {
        Ok(()) => on(&shared, &session, COMES, Step::Device),
        Err(form) => {
            let forms = (source::Form::default(), form);
            mail_step(&shared, &session, forms, Way::Upload).await
        }
    }
}

/// The form of the first device.
pub(super) async fn first_device(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    device_step(&shared, &session, (Field::default(), Field::default())).await
}

async fn device_step(
    shared: &Arc<Shared>,
    session: &LoggedIn,
    (account, device): (Field, Field),
) -> Response {
    match read(shared).await {
        Ok((_, accounts)) if accounts.is_empty() => Redirect::to(path(Step::Account)).into_response(),
        Ok((progress, accounts)) => {
            let guide = Guide::new(shared, session, (&progress, &accounts), Step::Device);
            page::show(&Device { guide, accounts, account, device })
        }
        Err(failure) => page::failed(&failure),
    }
}

#[derive(Deserialize)]
pub(super) struct NewDevice {
    account: String,
    device: String,
}

/// Adds the first device; the last step shows its password.
pub(super) async fn add_device(
    State(shared): State<Arc<Shared>>,
    Submitted { session, form }: Submitted<NewDevice>,
) -> Response {
    match device::make(&shared, &session, &form.account, form.device).await {
        Ok(_) => page::next(path(Step::Ready)),
        Err(wrong) => device_step(&shared, &session, (Field::new(form.account), wrong)).await,
    }
}

/// The last step: what a device needs.
pub(super) async fn ready(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    let (progress, accounts) = match read(&shared).await {
        Ok(read) => read,
        Err(failure) => return page::failed(&failure),
    };
    let fresh = shared.sessions.last_secret(&session.known).filter(|fresh| accounts.contains(&fresh.account));
    let user = fresh.as_ref().map(|fresh| fresh.account.clone());
    match user.or_else(|| accounts.first().cloned()) {
        None => Redirect::to(path(Step::Account)).into_response(),
        Some(user) => {
            let guide = Guide::new(&shared, &session, (&progress, &accounts), Step::Ready);
            let password = fresh.as_ref().map(|fresh| fresh.password.clone());
            page::show(&Ready { guide, fresh, needs: Needs::new(&shared, user, password) })
        }
    }
}

/// Puts a step off: `mail` or `device`.
pub(super) async fn skip(
    State(shared): State<Arc<Shared>>,
    Path(step): Path<String>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    let (step, after) = match step.as_str() {
        "mail" => (Step::Mail, Step::Device),
        "device" => (Step::Device, Step::Ready),
        _ => return page::not_found().await,
    };
    match shared.act(move |context| setup::skip(context, step)).await {
        Ok(()) => page::next(path(after)),
        Err(failure) => frame::refused(&shared, &session, &failure, path(step)),
    }
}
