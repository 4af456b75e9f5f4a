//! Logging in and out.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::form::{Empty, Field, Submitted};
use super::serve::Peer;
use super::{Shared, guard, page};
use crate::actions::{Failure, administrator};
use crate::credential::TooMany;

/// Under this name the throttle counts the administrator; no account can have it.
const THROTTLED: &str = "\0administrator";

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    password: Field,
}

#[derive(Deserialize)]
pub(super) struct Typed {
    password: String,
}

/// The page; whoever is logged in already goes on to the overview.
pub(super) async fn show(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if guard::session(&shared, &headers).is_some() {
        return Redirect::to("/").into_response();
    }
    match shared.act(administrator::is_set_up).await {
        Ok(true) => page::show(&Login { password: Field::default() }),
        Ok(false) => Redirect::to("/setup").into_response(),
        Err(failure) => page::failed(&failure),
    }
}

/// Takes the password; wrong ones are slowed down as they are over IMAP.
pub(super) async fn log_in(
    State(shared): State<Arc<Shared>>,
    Extension(Peer(peer)): Extension<Peer>,
    Form(typed): Form<Typed>,
) -> Response {
    let address = peer.ip();
    match shared.throttle.begin(shared.started.elapsed(), address, THROTTLED) {
        Ok(attempt) => drop(smol::Timer::after(attempt.wait).await),
        Err(many) => return too_many(many),
    }
    let right = shared.act(move |context| administrator::verify(context, &typed.password)).await;
    let now = shared.started.elapsed();
    match right {
        Ok(true) => {
            shared.throttle.succeeded(now, address, THROTTLED);
            tracing::info!(peer = %address, "the administrator logged in");
            begin(&shared, "/")
        }
        Ok(false) => {
            tracing::warn!(peer = %address, "a wrong password for the admin site");
            let password = Field::default().wrong("That is not the password.");
            page::show_as(StatusCode::UNPROCESSABLE_ENTITY, &Login { password })
        }
        Err(failure) => {
            shared.throttle.withdrawn(now, address, THROTTLED);
            page::failed(&failure)
        }
    }
}

fn too_many(many: TooMany) -> Response {
    let password = Field::default().wrong(format!("For now no password is tried: {many}."));
    page::show_as(StatusCode::TOO_MANY_REQUESTS, &Login { password })
}

/// Begins a session and goes on to `next`.
pub(super) fn begin(shared: &Arc<Shared>, next: &str) -> Response {
    let Some((token, _)) = shared.sessions.begin() else {
        return page::failed(&Failure::Invalid("the system gives no random bytes".to_owned()));
    };
    with_cookie(next, &format!("{}={token}; Path=/; Secure; HttpOnly; SameSite=Strict", guard::COOKIE))
}

/// Ends the session.
pub(super) async fn log_out(
    State(shared): State<Arc<Shared>>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    shared.sessions.end(&session.known);
    with_cookie(
        "/login",
        &format!("{}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0", guard::COOKIE),
    )
}

fn with_cookie(next: &str, cookie: &str) -> Response {
    let mut response = Redirect::to(next).into_response();
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}
