//! The one-time link: sets the administrator's password, the first one or a new one.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::form::Field;
use super::serve::Peer;
use super::{Shared, login, page};
use crate::actions::{account, administrator};

/// Under this name the throttle counts wrong codes.
const THROTTLED: &str = "\0setup";

#[derive(Template)]
#[template(path = "setup.html")]
struct Setup {
    code: Field,
    password: Field,
    again: Field,
    /// Whether the code is right: only then a password can be set.
    open: bool,
}

#[derive(Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    code: String,
}

#[derive(Deserialize)]
pub(super) struct Typed {
    code: String,
    password: String,
    again: String,
}

/// The page behind the link; without a code it says where the link is found.
pub(super) async fn show(State(shared): State<Arc<Shared>>, Query(link): Query<Link>) -> Response {
    let code = link.code.clone();
    let open = match shared.act(move |context| administrator::is_code_right(context, &code)).await {
        Ok(open) => open,
        Err(failure) => return page::failed(&failure),
    };
    let mut code = Field::new(link.code);
    if !open && !code.value.is_empty() {
        code = code.wrong("This link was used already, or is too old.");
    }
    page::show(&Setup { code, password: Field::default(), again: Field::default(), open })
}

/// Sets the password, and logs in.
pub(super) async fn set(
    State(shared): State<Arc<Shared>>,
    Extension(Peer(peer)): Extension<Peer>,
    Form(typed): Form<Typed>,
) -> Response {
    smol::Timer::after(shared.throttle.delay(shared.started.elapsed(), peer.ip(), THROTTLED)).await;
    let mut form = Setup {
        code: Field::new(&typed.code),
        password: Field::default(),
        again: Field::default(),
        open: true,
    };
    if let Err(failure) = account::check_password(&typed.password) {
        form.password = form.password.wrong(failure);
        return page::show_as(StatusCode::UNPROCESSABLE_ENTITY, &form);
    }
    if typed.password != typed.again {
        form.again = form.again.wrong("The two passwords are not the same.");
        return page::show_as(StatusCode::UNPROCESSABLE_ENTITY, &form);
    }
    match shared.act(move |context| administrator::set_up(context, &typed.code, &typed.password)).await {
        Ok(()) => {
            tracing::info!(peer = %peer.ip(), "the administrator's password was set");
            // Whoever knew the old one is out.
            shared.sessions.end_all();
            login::begin(&shared, "/")
        }
        Err(failure) => {
            shared.throttle.failed(shared.started.elapsed(), peer.ip(), THROTTLED);
            form.code = form.code.wrong(failure);
            form.open = false;
            page::show_as(StatusCode::UNPROCESSABLE_ENTITY, &form)
        }
    }
}
