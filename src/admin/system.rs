//! The server itself: since when it runs, where it listens, its certificate and its log.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::Shared;
use super::frame::Frame;
use super::guard::LoggedIn;
use super::page::{self, Page};
use crate::actions::{human, machine, status};

#[derive(Template)]
#[template(path = "system.html")]
struct System {
    frame: Frame,
    uptime: String,
    sessions: u32,
    memory: Option<String>,
    celsius: Option<i64>,
    written: String,
    certificate_until: String,
    listeners: Vec<String>,
}

impl Page for System {}

/// The page.
pub(super) async fn show(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    let info = match shared.act(status::read).await {
        Ok(info) => info,
        Err(failure) => return page::failed(&failure),
    };
    let machine = machine::read();
    let server = info.server;
    page::show(&System {
        frame: Frame::new("system", &session),
        uptime: human::duration(server.as_ref().map_or(0, |server| server.uptime)),
        sessions: server.as_ref().map_or(0, |server| server.sessions),
        memory: machine.resident.map(human::bytes),
        celsius: machine.celsius,
        written: human::bytes(info.storage.written),
        certificate_until: human::day(info.certificate.not_after),
        listeners: server.map(|server| server.listeners).unwrap_or_default(),
    })
}
