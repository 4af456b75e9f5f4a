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
use crate::actions::{Context, Failure, Running, account, certificate, device, mailbox, words};
use crate::model::{AccountName, DeviceName};

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
    roles: Vec<&'static str>,
    mailbox: Field,
    role: Field,
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

/// A device that was added: its password, shown this once.
pub(super) struct Added {
    pub(super) device: String,
    pub(super) password: String,
    pub(super) needs: Needs,
}

/// What a mail program asks for.
pub(super) struct Needs {
    pub(super) user: String,
    /// Names and addresses of this server, the best first.
    pub(super) servers: Vec<String>,
    pub(super) imaps: String,
}

impl Needs {
    pub(super) fn new(shared: &Shared, user: String) -> Self {
        let listener = shared.context.running.as_ref().and_then(imaps);
        let (host, port) = listener.as_deref().and_then(|name| name.rsplit_once(':')).unwrap_or(("", "993"));
        Needs { user, servers: servers(certificate::names(&shared.context), host), imaps: port.to_owned() }
    }
}

/// Where mail programs reach it: `[::]:993`.
fn imaps(running: &Running) -> Option<String> {
    running.listeners.iter().find_map(|name| name.strip_prefix("imaps=").map(str::to_owned))
}

/// The names by which another machine reaches it, where it can: a phone is not helped by `localhost`.
fn servers(names: Vec<String>, host: &str) -> Vec<String> {
    let is_local = |name: &str| {
        let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        name == "localhost" || address.is_ok_and(|address| address.is_loopback())
    };
    if is_local(host) {
        return vec!["localhost".to_owned()];
    }
    let (here, elsewhere): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| is_local(name));
    if elsewhere.is_empty() { here } else { elsewhere }
}

impl Account {
    /// The mailboxes that a role can be given to.
    fn names(&self) -> Vec<&str> {
        self.mailboxes.iter().map(|mailbox| mailbox.name.as_str()).filter(|name| *name != "INBOX").collect()
    }

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
        let mailboxes = mailbox::list(context, Some(name))?.into_iter().map(|mailbox| MailboxRow {
            role: mailbox.role.unwrap_or_default(),
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
            roles: mailbox::roles().chain(["none"]).collect(),
            mailbox: Field::default(),
            role: Field::default(),
            device: Field::default(),
            password: Field::default(),
            typed_name: Field::default(),
            added: None,
        })
    }
}

/// The list, and the form for one more.
pub(super) async fn list(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    shown(&shared, &session, StatusCode::OK, NewForm::default()).await
}

async fn shown(shared: &Arc<Shared>, session: &LoggedIn, status: StatusCode, form: NewForm) -> Response {
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
    page::show_as(status, &Accounts { frame, accounts: accounts.collect(), form })
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
            page::done(&shared, &session, text, &at(&name))
        }
        Err(form) => shown(&shared, &session, StatusCode::UNPROCESSABLE_ENTITY, form).await,
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
    match make_device(&shared, &name, form.device).await {
        Ok(added) => one(&shared, &session, name, StatusCode::OK, |page| page.added = Some(added)).await,
        Err(wrong) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            one(&shared, &session, name, status, |page| page.device = wrong).await
        }
    }
}

/// Adds a device; or gives the field with what is wrong.
pub(super) async fn make_device(shared: &Arc<Shared>, account: &str, typed: String) -> Result<Added, Field> {
    let called = match DeviceName::new(&typed) {
        Ok(name) => name,
        Err(error) => return Err(Field::new(typed).wrong(words::sentence(&error.to_string()))),
    };
    let (owner, device) = (account.to_owned(), called.clone());
    match shared.act(move |context| device::add(context, Some(&owner), &device)).await {
        Ok(added) => Ok(Added {
            device: called.to_string(),
            password: added.password,
            needs: Needs::new(shared, added.account),
        }),
        Err(failure) => Err(Field::new(called.to_string()).wrong(words::sentence(&failure.to_string()))),
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
        Ok(set) => page::done(&shared, &session, set.describe(), &at(&name)),
        Err(failure) => {
            let (mailbox, role) = (Field::new(form.mailbox), Field::new(form.role));
            let (mailbox, role) = match failure {
                Failure::Unknown { .. } => (mailbox.wrong(failure), role),
                _ => (mailbox, role.wrong(failure)),
            };
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            one(&shared, &session, name, status, |page| (page.mailbox, page.role) = (mailbox, role)).await
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

fn at(name: &str) -> String {
    format!("/accounts/{}", encoded(name))
}

/// A name as a part of an address.
pub(super) fn encoded(name: &str) -> String {
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
    fn a_phone_is_told_what_it_can_reach() {
        let names = ["pi.local", "192.0.2.5", "localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        assert_eq!(super::servers(names.clone(), "[::]"), ["pi.local", "192.0.2.5"]);
        assert_eq!(super::servers(names, "127.0.0.1"), ["localhost"]);
        assert_eq!(super::servers(vec!["localhost".to_owned()], "0.0.0.0"), ["localhost"]);
    }

    #[test]
    fn names_in_paths() {
        assert_eq!(super::encoded("anna@x.org/ü"), "anna%40x.org%2F%C3%BC");
    }
}
