//! Forms that were sent by a page of ours, and what is wrong with their fields.

use std::sync::Arc;

use axum::Form;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::guard::LoggedIn;
use super::{Shared, page};
use crate::actions::words;

/// A field as it is shown: what was typed, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Field {
    pub(super) value: String,
    pub(super) error: Option<String>,
    /// A page that helps, and what its link says.
    pub(super) offer: Option<(String, &'static str)>,
}

impl Field {
    /// With what was typed.
    pub(super) fn new(value: impl Into<String>) -> Self {
        Field { value: value.into(), ..Field::default() }
    }

    /// With what is wrong.
    pub(super) fn wrong(mut self, error: impl ToString) -> Self {
        self.error = Some(words::sentence(&error.to_string()));
        self
    }

    /// With a page that helps.
    pub(super) fn offer(mut self, page: &str, text: &'static str) -> Self {
        self.offer = Some((page.to_owned(), text));
        self
    }
}

/// A form of the logged-in administrator, sent by a page that was made for this session.
pub(super) struct Submitted<T> {
    pub(super) session: LoggedIn,
    pub(super) form: T,
}

#[derive(Deserialize)]
struct Signed<T> {
    csrf: String,
    #[serde(flatten)]
    form: T,
}

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for Submitted<T> {
    type Rejection = Response;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let session = LoggedIn::from_request_parts(&mut parts, shared).await?;
        let read = Form::<Signed<T>>::from_request(Request::from_parts(parts, body), shared).await;
        let Form(signed) = read.map_err(|error| {
            tracing::debug!(%error, "a form of the admin site");
            let text = "A field of the form is missing. Go back, reload the page and try again.";
            page::plain(StatusCode::BAD_REQUEST, "Not understood", text)
        })?;
        if signed.csrf != session.known.csrf {
            let text = "This page was made before you last logged in. Go back, reload it and try again.";
            return Err(page::plain(StatusCode::FORBIDDEN, "Reload the page", text).into_response());
        }
        Ok(Submitted { session, form: signed.form })
    }
}

/// A form with no fields but its button.
#[derive(Deserialize)]
pub(super) struct Empty {}
