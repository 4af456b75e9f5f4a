//! Logging in and out.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::field::{self, Field, Wrong};
use super::form::{Empty, Submitted};
use super::page::{self, Page};
use super::place::Place;
use super::serve::Peer;
use super::{Shared, guard};
use crate::actions::{Failure, administrator};
use crate::credential::TooMany;

/// Under this name the throttle counts the administrator; no account can have it.
const THROTTLED: &str = "\0administrator";

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    password: Field,
    /// Where one wanted to go.
    to: String,
    /// Why it asks, if it is not the first page.
    why: Option<&'static str>,
}

impl Login {
    fn new(to: String, password: Field) -> Self {
        Login { password, to, why: None }
    }
}

impl Page for Login {
    fn wrong(&self) -> Vec<Wrong> {
        field::wrong([("password", &self.password)])
    }
}

#[derive(Deserialize)]
pub(super) struct Typed {
    password: String,
    #[serde(default)]
    to: String,
}

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    to: String,
}

/// The page; whoever is logged in already goes on.
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let to = Place::parse(&asked.to).unwrap_or_else(Place::home);
    if guard::session(&shared, &headers).is_some() {
        return Redirect::to(to.as_str()).into_response();
    }
    let why = match guard::has_ended(&headers) {
        true => Some("Your session is over: Postern was started anew, or nothing was done for 12 hours."),
        false if !asked.to.is_empty() => Some("After that you are where you wanted to go."),
        false => None,
    };
    match shared.act(administrator::is_set_up).await {
        Ok(true) => page::show(&Login { why, ..Login::new(to.to_string(), Field::default()) }),
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
    let to = Place::parse(&typed.to).unwrap_or_else(Place::home);
    match shared.throttle.begin(shared.started.elapsed(), address, THROTTLED) {
        Ok(attempt) => drop(smol::Timer::after(attempt.wait).await),
        Err(many) => return too_many(to, many),
    }
    let right = shared.act(move |context| administrator::verify(context, &typed.password)).await;
    let now = shared.started.elapsed();
    match right {
        Ok(true) => {
            shared.throttle.succeeded(now, address, THROTTLED);
            tracing::info!(peer = %address, "the administrator logged in");
            begin(&shared, to.as_str())
        }
        Ok(false) => {
            tracing::warn!(peer = %address, "a wrong password for the admin site");
            let password = Field::default().wrong("That is not the password.");
            page::show(&Login::new(to.to_string(), password))
        }
        Err(failure) => {
            shared.throttle.withdrawn(now, address, THROTTLED);
            page::failed(&failure)
        }
    }
}

fn too_many(to: Place, many: TooMany) -> Response {
    let password = Field::default().wrong(format!("For now no password is tried: {many}."));
    page::show_as(StatusCode::TOO_MANY_REQUESTS, &Login::new(to.to_string(), password))
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
