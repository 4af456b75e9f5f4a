//! What pages have in common, and answers that are no page of their own.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::field::Wrong;
use super::shown;
use crate::actions::{Failure, human};

/// A page, with the mistakes in its forms: they stand under its heading, each with a link to its field, and its title
/// begins with "Error: ".
pub(super) trait Page: Template {
    /// What is wrong; a page that names its fields here says all of it at its top.
    fn wrong(&self) -> Vec<Wrong> {
        Vec::new()
    }
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
    plain(status, "That did not work", &human::sentence(&failure.to_string()))
}

/// There is no such page.
pub(super) async fn not_found() -> Response {
    plain(
        StatusCode::NOT_FOUND,
        "There is no such page",
        "The address is wrong, or what it showed was removed.",
    )
}
