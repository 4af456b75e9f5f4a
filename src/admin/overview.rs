//! The overview: one look tells that all is well, or what is not.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::frame::Frame;
use super::guard::LoggedIn;
use super::page::{self, Page};
use super::{Shared, source};
use crate::actions::health::{self, Concern, Severity};
use crate::actions::{device, human, status};

/// Devices that are shown, the last used first.
const DEVICES: usize = 8;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    concerns: Vec<Shown>,
    /// What is well, where all is.
    well: &'static str,
    messages: u64,
    bytes: String,
    accounts: usize,
    sessions: u32,
    uptime: String,
    disk_left: String,
    certificate_until: String,
    sources: Vec<source::Row>,
    devices: Vec<Device>,
}

impl Page for Overview {}

struct Shown {
    class: &'static str,
    concern: Concern,
}

struct Device {
    name: String,
    account: String,
    seen: String,
    client: String,
}

/// The page.
pub(super) async fn show(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    let read = shared.act(|context| Ok((status::read(context)?, device::list(context, None)?))).await;
    match read {
        Ok((info, devices)) => page::show(&overview(Frame::new("overview", &session), info, devices)),
        Err(failure) => page::failed(&failure),
    }
}

fn overview(frame: Frame, info: status::Info, mut devices: Vec<device::Info>) -> Overview {
    let now = human::now();
    let concerns = health::concerns(&info, now).into_iter().map(|concern| Shown {
        class: match concern.severity {
            Severity::Hint => "hint",
            Severity::Warning => "warning",
            Severity::Error => "error",
        },
        concern,
    });
    devices.sort_by_key(|device| std::cmp::Reverse(device.last_used));
    Overview {
        frame,
        concerns: concerns.collect(),
        well: if info.sources.is_empty() {
            "Devices can log in, and the disk has room. No Maildir is watched."
        } else {
            "Mail comes in, devices can log in, and the disk has room."
        },
        messages: info.accounts.iter().map(|account| account.messages).sum(),
        bytes: human::bytes(info.accounts.iter().map(|account| account.bytes).sum()),
        accounts: info.accounts.len(),
        sessions: info.server.as_ref().map_or(0, |server| server.sessions),
        uptime: human::duration(info.server.as_ref().map_or(0, |server| server.uptime)),
        disk_left: human::bytes(info.storage.free),
        certificate_until: human::day(info.certificate.not_after),
        sources: info.sources.iter().map(|source| source::Row::new(source, now)).collect(),
        devices: devices
            .into_iter()
            .take(DEVICES)
            .map(|device| Device {
                name: device.name,
                account: device.account,
                seen: human::when(device.last_used, now),
                client: device.client,
            })
            .collect(),
    }
}
