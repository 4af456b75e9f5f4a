//! A device's own page: its password as long as it must be typed, another one, taking it away.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;

use super::field::Field;
use super::form::{Empty, Submitted};
use super::frame::{self, Frame};
use super::guard::LoggedIn;
use super::needs::Needs;
use super::page::{self, Page};
use super::secrets::Secret;
use super::{Shared, ask, place};
use crate::actions::{Context, Failure, device, human};
use crate::model::DeviceName;

#[derive(Template)]
#[template(path = "device.html")]
struct Device {
    frame: Frame,
    account: String,
    id: u32,
    name: String,
    added: String,
    seen: Option<String>,
    client: String,
    address: String,
    needs: Needs,
}

impl Page for Device {}

/// A device of an account.
fn find(context: &Context, account: &str, id: u32) -> Result<device::Info, Failure> {
    let known = device::list(context, Some(account))?.into_iter().find(|known| known.id == id);
    known.ok_or_else(|| Failure::Unknown { what: "device", name: id.to_string() })
}

/// The page.
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Path((name, id)): Path<(String, u32)>,
    session: LoggedIn,
) -> Response {
    let known = match shared.act(move |context| find(context, &name, id)).await {
        Ok(known) => known,
        Err(failure) => return page::failed(&failure),
    };
    let secret = shared.sessions.secret(&session.known, id);
    page::show(&Device {
        frame: Frame::new("accounts", &session),
        needs: Needs::new(&shared, known.account.clone(), secret.map(|secret| secret.password)),
        id,
        name: known.name,
        added: human::day(known.created),
        seen: known.last_used.map(|used| human::when(Some(used), human::now())),
        client: known.client,
        address: known.address,
        account: known.account,
    })
}

#[derive(Deserialize)]
pub(super) struct New {
    device: String,
}

/// Adds a device; its page shows its password.
pub(super) async fn add(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Submitted { session, form }: Submitted<New>,
) -> Response {
    match make(&shared, &session, &name, form.device).await {
        Ok(id) => page::next(&place::device(&name, id)),
        Err(wrong) => super::account::with_wrong_device(&shared, &session, name, wrong).await,
    }
}

/// Adds a device, and keeps its password for its page; or gives the field with what is wrong.
pub(super) async fn make(
    shared: &Arc<Shared>,
    session: &LoggedIn,
    account: &str,
    typed: String,
) -> Result<u32, Field> {
    let name = match DeviceName::new(&typed) {
        Ok(name) => name,
        Err(error) => return Err(Field::new(typed).wrong(error)),
    };
    let (owner, called) = (account.to_owned(), name.clone());
    let done = shared.act(move |context| {
        let same = |known: &device::Info| known.name == called.as_str();
        // It may be asked for twice, by a page that was reloaded: that is no second device.
        if let Some(known) = device::list(context, Some(&owner))?.into_iter().find(same) {
            return Ok(Err(known));
        }
        device::add(context, Some(&owner), &called).map(Ok)
    });
    match done.await {
        Ok(Ok(added)) => {
            let secret = Secret::new(added.id, &added.account, name.as_str(), added.password);
            shared.sessions.keep(&session.known, secret);
            Ok(added.id)
        }
        Ok(Err(known)) => {
            let wrong = Field::new(typed).wrong("There is a device of this name.");
            Err(wrong.offer(&place::device(&known.account, known.id), "Give it a new password"))
        }
        Err(failure) => Err(Field::new(typed).wrong(failure)),
    }
}

/// Gives it another password.
pub(super) async fn renew(
    State(shared): State<Arc<Shared>>,
    Path((name, id)): Path<(String, u32)>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    let next = place::device(&name, id);
    let renew = move |context: &Context| {
        let called = find(context, &name, id)?.name;
        device::renew(context, &name, id).map(|added| (called, added))
    };
    match shared.act(renew).await {
        Ok((called, added)) => {
            let secret = Secret::new(added.id, &added.account, &called, added.password);
            shared.sessions.keep(&session.known, secret);
            frame::done(&shared, &session, "Its old password is not taken any more.", &next)
        }
        Err(failure) => frame::refused(&shared, &session, &failure, &next),
    }
}

/// The password was typed: it is shown no more.
pub(super) async fn typed(
    State(shared): State<Arc<Shared>>,
    Path((name, id)): Path<(String, u32)>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    shared.sessions.forget(&session.known, id);
    page::next(&place::device(&name, id))
}

/// Asks whether it is to be taken away.
pub(super) async fn ask_revoke(
    State(shared): State<Arc<Shared>>,
    Path((name, id)): Path<(String, u32)>,
    session: LoggedIn,
) -> Response {
    let known = match shared.act(move |context| find(context, &name, id)).await {
        Ok(known) => known,
        Err(failure) => return page::failed(&failure),
    };
    let back = place::device(&known.account, id);
    let question = ask::Ask {
        frame: Frame::new("accounts", &session),
        title: format!("Revoke {}?", known.name),
        text: format!(
            "It is shut out at once, and cannot log in to {}'s mail any more. To let it in again, add it again.",
            known.account
        ),
        action: format!("{back}/revoke"),
        button: "Revoke it",
        back: place::account(&known.account),
    };
    question.show()
}

/// Revokes its password.
pub(super) async fn revoke(
    State(shared): State<Arc<Shared>>,
    Path((name, id)): Path<(String, u32)>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    let (owner, next) = (name.clone(), place::account(&name));
    match shared.act(move |context| device::revoke(context, Some(&owner), &id.to_string())).await {
        Ok(()) => {
            shared.sessions.forget(&session.known, id);
            frame::done(&shared, &session, "The device was revoked: it cannot log in any more.", &next)
        }
        Err(failure) => frame::refused(&shared, &session, &failure, &next),
    }
}
