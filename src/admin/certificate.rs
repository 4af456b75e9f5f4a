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
    installed: Option<Installed>,
}

/// One that somebody else keeps.
struct Installed {
    names: String,
    from: String,
    until: String,
    fingerprint: String,
    problem: Option<String>,
}

impl Page for Certificate {}

/// The page.
pub(super) async fn show(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    let info = match certificate::info(&shared.context) {
        Ok(info) => info,
        Err(failure) => return page::failed(&failure),
    };
    page::show(&Certificate {
        frame: Frame::new("certificate", &session),
        names: info.names,
        from: human::day(info.not_before),
        until: human::day(info.not_after),
        fingerprint: info.fingerprint,
        installed: info.installed.map(|installed| Installed {
            names: installed.names.join(", "),
            from: human::day(installed.not_before),
            until: human::day(installed.not_after),
            fingerprint: installed.fingerprint,
            problem: installed.problem,
        }),
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
