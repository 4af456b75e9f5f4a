//! What pages have in common: the frame, and answers that are no page of their own.

use std::sync::Arc;

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::form::Field;
use super::guard::LoggedIn;
use super::sessions::Notice;
use super::{Shared, shown};
use crate::actions::{Failure, words};

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

/// Something that is wrong in a form, and the id of the field.
pub(super) struct Wrong {
    pub(super) id: String,
    pub(super) text: String,
}

/// A page, with the mistakes in its forms: they stand under its heading, each with a link to its field, and its title
/// begins with "Error: ".
pub(super) trait Page: Template {
    /// What is wrong; a page that names its fields here says all of it at its top.
    fn wrong(&self) -> Vec<Wrong> {
        Vec::new()
    }
}

/// The mistakes in these fields.
pub(super) fn wrong<const N: usize>(fields: [(&str, &Field); N]) -> Vec<Wrong> {
    let wrong = fields.into_iter().filter_map(|(id, field)| {
        field.error.as_ref().map(|error| Wrong { id: id.to_owned(), text: error.clone() })
    });
    wrong.collect()
}

/// Shows a page. Where something is wrong in a form of it, it is a 422.
pub(super) fn show(page: &impl Page) -> Response {
    let right = page.wrong().is_empty();
    show_as(if right { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }, page)
}

/// Shows a page with a status of its own.
pub(super) fn show_as(status: StatusCode, page: &impl Page) -> Response {
    match page.render() {
        Ok(text) => {
            let kind = HeaderValue::from_static("text/html; charset=utf-8");
            (status, [(header::CONTENT_TYPE, kind)], shown::page(text)).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page of the admin site cannot be shown");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// After a form: the page that follows.
pub(super) fn next(next: &str) -> Response {
    Redirect::to(next).into_response()
}

/// After a form was done: the page that follows, with a word of what was done.
pub(super) fn done(
    shared: &Arc<Shared>,
    session: &LoggedIn,
    text: impl Into<String>,
    next: &str,
) -> Response {
    shared.sessions.tell(&session.known, Notice { text: text.into(), good: true });
    self::next(next)
}

/// After a form without fields failed: the page that follows, with the reason.
pub(super) fn refused(shared: &Arc<Shared>, session: &LoggedIn, failure: &Failure, next: &str) -> Response {
    shared.sessions.tell(&session.known, Notice { text: words::sentence(&failure.to_string()), good: false });
    self::next(next)
}

#[derive(Template)]
#[template(path = "plain.html")]
struct Plain<'a> {
    title: &'a str,
    text: &'a str,
}

impl Page for Plain<'_> {}

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
    plain(status, "That did not work", &words::sentence(&failure.to_string()))
}

/// There is no such page.
pub(super) async fn not_found() -> Response {
    plain(
        StatusCode::NOT_FOUND,
        "There is no such page",
        "The address is wrong, or what it showed was removed.",
    )
}
