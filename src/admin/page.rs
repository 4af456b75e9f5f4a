//! What pages have in common: the frame, and answers that are no page of their own.

use std::sync::Arc;

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::Shared;
use super::guard::LoggedIn;
use super::sessions::Notice;
use crate::actions::{Failure, human};

/// What stands around a page of somebody who is logged in.
pub(super) struct Frame {
    /// Which entry of the navigation is this one.
    pub(super) here: &'static str,
    /// For its forms.
    pub(super) csrf: String,
    /// What was done just now.
    pub(super) notice: Option<Notice>,
    pub(super) version: &'static str,
}

impl Frame {
    /// The navigation: its name for [`Frame::here`], where it leads, and how it is called.
    pub(super) const PAGES: [(&'static str, &'static str, &'static str); 9] = [
        ("overview", "/", "Overview"),
        ("accounts", "/accounts", "Accounts"),
        ("sources", "/sources", "Sources"),
        ("import", "/import", "Import"),
        ("deleted", "/deleted", "Deleted mail"),
        ("certificate", "/certificate", "Certificate"),
        ("storage", "/storage", "Storage"),
        ("backups", "/backups", "Backups"),
        ("log", "/log", "Log"),
    ];

    pub(super) fn new(here: &'static str, session: &LoggedIn) -> Self {
        Frame {
            here,
            csrf: session.known.csrf.clone(),
            notice: session.notice.clone(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// Shows a page.
pub(super) fn show(page: &impl Template) -> Response {
    show_as(StatusCode::OK, page)
}

/// Shows a page with a status of its own: 422 for a form with mistakes.
pub(super) fn show_as(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => {
            let kind = HeaderValue::from_static("text/html; charset=utf-8");
            (status, [(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page of the admin site cannot be shown");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// After a form was done: the page that follows, with a word of what was done.
pub(super) fn done(
    shared: &Arc<Shared>,
    session: &LoggedIn,
    text: impl Into<String>,
    next: &str,
) -> Response {
    shared.sessions.tell(&session.known, Notice { text: text.into(), good: true });
    Redirect::to(next).into_response()
}

/// After a form without fields failed: the page that follows, with the reason.
pub(super) fn refused(shared: &Arc<Shared>, session: &LoggedIn, failure: &Failure, next: &str) -> Response {
    shared.sessions.tell(&session.known, Notice { text: human::sentence(&failure.to_string()), good: false });
    Redirect::to(next).into_response()
}

#[derive(Template)]
#[template(path = "plain.html")]
struct Plain<'a> {
    title: &'a str,
    text: &'a str,
}

/// A page of one sentence.
pub(super) fn plain(status: StatusCode, title: &str, text: &str) -> Response {
    show_as(status, &Plain { title, text })
}

/// A page that could not be made.
pub(super) fn failed(failure: &Failure) -> Response {
    let status = match failure {
        Failure::Unknown { .. } => StatusCode::NOT_FOUND,
        Failure::Invalid(_) | Failure::Access(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Failure::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    plain(status, "That did not work", &failure.to_string())
}

/// There is no such page.
pub(super) async fn not_found() -> Response {
    plain(
        StatusCode::NOT_FOUND,
        "There is no such page",
        "The address is wrong, or what it showed was removed.",
    )
}
