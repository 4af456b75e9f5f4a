//! Forms that were sent by a page of ours.

use std::sync::Arc;

use axum::Form;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::guard::LoggedIn;
use super::{Shared, page};

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
