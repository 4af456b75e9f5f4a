//! The certificate, and the authority's for devices.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::frame::Frame;
use super::guard::LoggedIn;
use super::page::{self, Page};
use crate::actions::{certificate, human};

#[derive(Template)]
#[template(path = "certificate.html")]
struct Certificate {
    frame: Frame,
    names: Vec<String>,
    from: String,
    until: String,
    fingerprint: String,
}

impl Page for Certificate {}

/// The page.
pub(super) async fn show(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    let info = certificate::info(&shared.context);
    page::show(&Certificate {
        frame: Frame::new("certificate", &session),
        names: info.names,
        from: human::day(info.not_before),
        until: human::day(info.not_after),
        fingerprint: info.fingerprint,
    })
}

/// The authority's certificate: public, so that a phone can fetch it without the administrator's password.
pub(super) async fn authority(State(shared): State<Arc<Shared>>) -> Response {
    let kind = [
        (header::CONTENT_TYPE, "application/x-x509-ca-cert"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"postern-ca.crt\""),
    ];
    (kind, certificate::authority(&shared.context)).into_response()
}
