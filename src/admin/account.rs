//! Accounts, and what belongs to one: its devices, mailboxes, password.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::Shared;
use super::form::{Empty, Field, Submitted};
use super::guard::LoggedIn;
use super::page::{self, Frame};
use crate::actions::{Context, Failure, account, certificate, device, mailbox, words};

/// A device's name is no longer.
const LONGEST_NAME: usize = 100;

#[derive(Template)]
#[template(path = "accounts.html")]
struct Accounts {
    frame: Frame,
    accounts: Vec<Row>,
    name: Field,
    password: Field,
}

struct Row {
    name: String,
    devices: u64,
    messages: u64,
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
    device: Field,
    password: Field,
    typed_name: Field,
    added: Option<Added>,
}

struct DeviceRow {
    id: u32,
    name: String,
    added: String,
    seen: String,
    client: String,
    address: String,
}

struct MailboxRow {
    name: String,
    role: String,
    messages: u64,
    unseen: u64,
    size: String,
}

/// A device's password, shown this once.
struct Added {
    device: String,
    password: String,
    /// Names and addresses of this server, the best first.
    servers: Vec<String>,
    imaps: String,
}

impl Account {
    fn read(context: &Context, frame: Frame, name: &str) -> Result<Account, Failure> {
        let now = words::now();
        let known = account::list(context)?.into_iter().find(|known| known.name == name);
        let known = known.ok_or_else(|| Failure::Unknown { what: "account", name: name.to_owned() })?;
        let devices = device::list(context, Some(name))?.into_iter().map(|device| DeviceRow {
            id: device.id,
            name: device.name,
            added: words::day(device.created),
            seen: words::when(device.last_used, now),
            client: device.client,
            address: device.address,
        });
        let mailboxes = mailbox::list(context, name)?.into_iter().map(|mailbox| MailboxRow {
            // A name that says it already needs no second word.
            role: mailbox.role.filter(|role| *role != mailbox.name).unwrap_or_default(),
            name: mailbox.name,
            messages: mailbox.messages,
            unseen: mailbox.unseen,
            size: words::bytes(mailbox.bytes),
        });
        Ok(Account {
            frame,
            name: known.name,
            has_password: known.password,
            devices: devices.collect(),
            mailboxes: mailboxes.collect(),
            device: Field::default(),
            password: Field::default(),
            typed_name: Field::default(),
            added: None,
        })
    }
}

/// The list, and the form for one more.
pub(super) async fn list(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    shown(&shared, &session, StatusCode::OK, Field::default(), Field::default()).await
}

async fn shown(
    shared: &Arc<Shared>,
    session: &LoggedIn,
    status: StatusCode,
    name: Field,
    password: Field,
) -> Response {
    let accounts = match shared.act(account::list).await {
        Ok(accounts) => accounts,
        Err(failure) => return page::failed(&failure),
    };
    let accounts = accounts.into_iter().map(|account| Row {
        name: account.name,
        devices: account.devices,
        messages: account.messages,
        size: words::bytes(account.bytes),
    });
    let frame = Frame::new("accounts", session);
    page::show_as(status, &Accounts { frame, accounts: accounts.collect(), name, password })
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
    let New { name, password } = form;
    let password = Some(password).filter(|password| !password.is_empty());
    if let Some(Err(failure)) = password.as_deref().map(account::check_password) {
        let wrong = Field::default().wrong(failure);
        return shown(&shared, &session, StatusCode::UNPROCESSABLE_ENTITY, Field::new(name), wrong).await;
    }
    let wanted = name.clone();
    match shared.act(move |context| account::add(context, &wanted, password.as_deref())).await {
        Ok(()) => {
            let next = format!("/accounts/{}", encoded(&name));
            page::done(
                &shared,
                &session,
                format!("The account {name} was added. Now add its first device."),
                &next,
            )
        }
        Err(failure) => {
            let wrong = Field::new(name).wrong(failure);
            shown(&shared, &session, StatusCode::UNPROCESSABLE_ENTITY, wrong, Field::default()).await
        }
    }
}

/// One account.
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    session: LoggedIn,
) -> Response {
    one(&shared, &session, name, StatusCode::OK, |_| {}).await
}

/// The page of an account, with `change` made to what it shows.
async fn one(
    shared: &Arc<Shared>,
    session: &LoggedIn,
    name: String,
    status: StatusCode,
    change: impl FnOnce(&mut Account) + Send,
) -> Response {
    let frame = Frame::new("accounts", session);
    match shared.act(move |context| Account::read(context, frame, &name)).await {
        Ok(mut account) => {
            change(&mut account);
            page::show_as(status, &account)
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
        Ok(()) => page::done(&shared, &session, "The password was changed.", &at(&name)),
        Err(failure) => {
            let wrong = Field::default().wrong(failure);
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            one(&shared, &session, name, status, |page| page.password = wrong).await
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
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return one(&shared, &session, name, status, |page| page.typed_name = wrong).await;
    }
    let wanted = name.clone();
    match shared.act(move |context| account::remove(context, &wanted)).await {
        Ok(()) => page::done(&shared, &session, format!("The account {name} was removed."), "/accounts"),
        Err(failure) => page::failed(&failure),
    }
}

#[derive(Deserialize)]
pub(super) struct NewDevice {
    device: String,
}

/// Adds a device and shows its password, this once.
pub(super) async fn add_device(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Submitted { session, form }: Submitted<NewDevice>,
) -> Response {
    let called = form.device.trim().to_owned();
    if called.is_empty() || called.chars().count() > LONGEST_NAME {
        let wrong =
            Field::new(form.device).wrong("Give it a name of up to 100 letters, such as “Anna's phone”.");
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return one(&shared, &session, name, status, |page| page.device = wrong).await;
    }
    let (owner, device) = (name.clone(), called.clone());
    let added = shared.act(move |context| device::add(context, Some(&owner), &device)).await;
    match added {
        Ok(added) => {
            let added = Added {
                device: called,
                password: added.password,
                servers: certificate::names(&shared.context),
                imaps: imaps_port(&shared),
            };
            one(&shared, &session, name, StatusCode::OK, |page| page.added = Some(added)).await
        }
        Err(failure) => {
            let wrong = Field::new(called).wrong(failure);
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            one(&shared, &session, name, status, |page| page.device = wrong).await
        }
    }
}

/// Revokes a device's password.
pub(super) async fn revoke_device(
    State(shared): State<Arc<Shared>>,
    Path((name, id)): Path<(String, u32)>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    let owner = name.clone();
    match shared.act(move |context| device::revoke(context, Some(&owner), &id.to_string())).await {
        Ok(()) => {
            page::done(&shared, &session, "The device was revoked: it cannot log in any more.", &at(&name))
        }
        Err(failure) => page::refused(&shared, &session, &failure, &at(&name)),
    }
}

/// The port of IMAP over TLS, for mail programs.
fn imaps_port(shared: &Shared) -> String {
    let listeners =
        shared.context.running.as_ref().map(|running| running.listeners.as_slice()).unwrap_or_default();
    let port = listeners.iter().find_map(|name| name.strip_prefix("imaps=")?.rsplit(':').next());
    port.unwrap_or("993").to_owned()
}

fn at(name: &str) -> String {
    format!("/accounts/{}", encoded(name))
}

/// A name as a part of a path.
fn encoded(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_in_paths() {
        assert_eq!(super::encoded("anna@x.org/ü"), "anna%40x.org%2F%C3%BC");
    }
}
