//! Accounts, and what belongs to one: its devices, mailboxes, password.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;

use super::field::{self, Field, Wrong};
use super::figure::figure;
use super::form::Submitted;
use super::frame::{self, Frame};
use super::guard::LoggedIn;
use super::page::{self, Page};
use super::{Shared, place};
use crate::actions::{Context, Failure, account, device, human, mailbox};
use crate::model::AccountName;

#[derive(Template)]
#[template(path = "accounts.html")]
struct Accounts {
    frame: Frame,
    accounts: Vec<Row>,
    form: NewForm,
}

/// The form of a new account: what was typed, and what is wrong with it.
#[derive(Default)]
pub(super) struct NewForm {
    pub(super) name: Field,
    pub(super) password: Field,
}

impl NewForm {
    pub(super) fn wrong(&self) -> Vec<Wrong> {
        field::wrong([("name", &self.name), ("password", &self.password)])
    }
}

impl Page for Accounts {
    fn wrong(&self) -> Vec<Wrong> {
        self.form.wrong()
    }
}

struct Row {
    letter: String,
    name: String,
    about: String,
    size: String,
}

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    frame: Frame,
    name: String,
    has_password: bool,
    devices: Vec<DeviceRow>,
    mailboxes: Vec<MailboxRow>,
    roles: Vec<&'static str>,
    mailbox: Field,
    role: Field,
    device: Field,
    password: Field,
    typed_name: Field,
}

impl Page for Account {
    fn wrong(&self) -> Vec<Wrong> {
        field::wrong([
            ("device", &self.device),
            ("mailbox", &self.mailbox),
            ("role", &self.role),
            ("password", &self.password),
            ("typed_name", &self.typed_name),
        ])
    }
}

struct DeviceRow {
    id: u32,
    name: String,
    seen: String,
    client: String,
    address: String,
}

struct MailboxRow {
    name: String,
    role: String,
    messages: String,
    unseen: u64,
    size: String,
}

impl Account {
    /// The mailboxes that a role can be given to.
    fn names(&self) -> Vec<&str> {
        self.mailboxes.iter().map(|mailbox| mailbox.name.as_str()).filter(|name| *name != "INBOX").collect()
    }

    fn read(context: &Context, frame: Frame, name: &str) -> Result<Account, Failure> {
        let now = human::now();
        let unknown = || Failure::Unknown { what: "account", name: name.to_owned() };
        let wanted = AccountName::new(name).map_err(|_| unknown())?;
        let known = account::list(context)?.into_iter().find(|known| known.name == wanted.as_str());
        let known = known.ok_or_else(unknown)?;
        let devices = device::list(context, Some(name))?.into_iter().map(|device| DeviceRow {
            id: device.id,
            name: device.name,
            seen: match device.last_used {
                Some(used) => format!("here {}", human::when(Some(used), now)),
                None => "never here: open it to set it up".to_owned(),
            },
            client: device.client,
            address: device.address,
        });
        let mailboxes = mailbox::list(context, Some(name))?.into_iter().map(|mailbox| MailboxRow {
            role: mailbox.role.unwrap_or_default(),
            name: mailbox.name,
            messages: figure(mailbox.messages),
            unseen: mailbox.unseen,
            size: human::bytes(mailbox.bytes),
        });
        Ok(Account {
            frame,
            name: known.name,
            has_password: known.password,
            devices: devices.collect(),
            mailboxes: mailboxes.collect(),
            roles: mailbox::roles().chain(["none"]).collect(),
            mailbox: Field::default(),
            role: Field::default(),
            device: Field::default(),
            password: Field::default(),
            typed_name: Field::default(),
        })
    }
}

/// The list, and the form for one more.
pub(super) async fn list(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    shown(&shared, &session, NewForm::default()).await
}

async fn shown(shared: &Arc<Shared>, session: &LoggedIn, form: NewForm) -> Response {
    let accounts = match shared.act(account::list).await {
        Ok(accounts) => accounts,
        Err(failure) => return page::failed(&failure),
    };
    let accounts = accounts.into_iter().map(|account| Row {
        letter: account.name.chars().take(1).flat_map(char::to_uppercase).collect(),
        about: format!(
            "{} · {} {}",
            human::count(account.devices, "device", "devices"),
            figure(account.messages),
            if account.messages == 1 { "message" } else { "messages" }
        ),
        name: account.name,
        size: human::bytes(account.bytes),
    });
    let frame = Frame::new("accounts", session);
    page::show(&Accounts { frame, accounts: accounts.collect(), form })
}

#[derive(Deserialize)]
pub(super) struct New {
    name: String,
    password: String,
}

/// Adds an account. Without a password only its devices can log in, which is the better way.
pub(super) async fn add(
    State(shared): State<Arc<Shared>>,
    Submitted { session, form }: Submitted<New>,
) -> Response {
    match create(&shared, form).await {
        Ok(name) => {
            let text = format!("The account {name} was added. Now add its first device.");
            frame::done(&shared, &session, text, &place::account(&name))
        }
        Err(form) => shown(&shared, &session, form).await,
    }
}

/// Adds an account, and gives its name; or the form with what is wrong.
pub(super) async fn create(shared: &Arc<Shared>, typed: New) -> Result<String, NewForm> {
    let New { name, password } = typed;
    let password = Some(password).filter(|password| !password.is_empty());
    if let Some(Err(failure)) = password.as_deref().map(account::check_password) {
        return Err(NewForm { name: Field::new(name), password: Field::default().wrong(failure) });
    }
    let add = |name: AccountName| {
        shared.act(move |context| {
            account::add(context, &name, password.as_deref())?;
            Ok(name.to_string())
        })
    };
    let added = match AccountName::new(name.trim()) {
        Ok(name) => add(name).await,
        Err(error) => Err(error.into()),
    };
    added.map_err(|failure| NewForm { name: Field::new(name).wrong(failure), password: Field::default() })
}

/// One account.
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    session: LoggedIn,
) -> Response {
    one(&shared, &session, name, |_| {}).await
}

/// The page of an account, with what is wrong with the name of a new device.
pub(super) async fn with_wrong_device(
    shared: &Arc<Shared>,
    session: &LoggedIn,
    name: String,
    wrong: Field,
) -> Response {
    one(shared, session, name, |page| page.device = wrong).await
}

/// The page of an account, with `change` made to what it shows.
async fn one(
    shared: &Arc<Shared>,
    session: &LoggedIn,
    name: String,
    change: impl FnOnce(&mut Account) + Send,
) -> Response {
    let frame = Frame::new("accounts", session);
    match shared.act(move |context| Account::read(context, frame, &name)).await {
        Ok(mut account) => {
            change(&mut account);
            page::show(&account)
        }
        Err(failure) => page::failed(&failure),
    }
}

#[derive(Deserialize)]
pub(super) struct Password {
    password: String,
}

/// Sets another password.
pub(super) async fn set_password(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Submitted { session, form }: Submitted<Password>,
) -> Response {
    let wanted = name.clone();
    match shared.act(move |context| account::set_password(context, &wanted, &form.password)).await {
        Ok(()) => frame::done(&shared, &session, "The password was changed.", &place::account(&name)),
        Err(failure) => {
            let wrong = Field::default().wrong(failure);
            one(&shared, &session, name, |page| page.password = wrong).await
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Remove {
    typed_name: String,
}

/// Removes an account, if its name was typed.
pub(super) async fn remove(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Submitted { session, form }: Submitted<Remove>,
) -> Response {
    if form.typed_name.trim() != name {
        let wrong =
            Field::new(form.typed_name).wrong("Type the account's name here to remove it with its mail.");
        return one(&shared, &session, name, |page| page.typed_name = wrong).await;
    }
    let wanted = name.clone();
    match shared.act(move |context| account::remove(context, &wanted)).await {
        Ok(()) => frame::done(&shared, &session, format!("The account {name} was removed."), "/accounts"),
        Err(failure) => page::failed(&failure),
    }
}

#[derive(Deserialize)]
pub(super) struct Role {
    mailbox: String,
    role: String,
}

/// Says what a mailbox is for.
pub(super) async fn set_role(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Submitted { session, form }: Submitted<Role>,
) -> Response {
    let (owner, mailbox, role) = (name.clone(), form.mailbox.clone(), form.role.clone());
    match shared.act(move |context| mailbox::set_role(context, Some(&owner), &mailbox, &role)).await {
        Ok(set) => frame::done(&shared, &session, set.describe(), &place::account(&name)),
        Err(failure) => {
            let (mailbox, role) = (Field::new(form.mailbox), Field::new(form.role));
            let (mailbox, role) = match failure {
                Failure::Unknown { .. } => (mailbox.wrong(failure), role),
                _ => (mailbox, role.wrong(failure)),
            };
            one(&shared, &session, name, |page| (page.mailbox, page.role) = (mailbox, role)).await
        }
    }
}
