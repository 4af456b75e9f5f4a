//! Home: one look tells that all is well, or what is not and what to do.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::figure::figure;
use super::frame::Frame;
use super::guard::LoggedIn;
use super::lately::{self, Event};
use super::page::{self, Page};
use super::shown::prose;
use super::{Shared, import, place, source};
use crate::actions::health::{self, Concern, Severity};
use crate::actions::machine::{self, Machine};
use crate::actions::{Context, device, forecast, human, status};

/// Devices that are shown, the last used first.
const DEVICES: usize = 8;
/// A device that was used within this, in seconds, is one that is used.
const LATELY: i64 = 7 * 86_400;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    frame: Frame,
    hero: Hero,
    /// What else is not as it should be.
    more: Vec<Shown>,
    tiles: [Tile; 4],
    sources: Vec<source::Row>,
    /// How an import stands that runs.
    import: Option<String>,
    devices: Vec<Device>,
    lately: Vec<Event>,
}

impl Page for Home {}

/// The first thing that is seen.
struct Hero {
    class: &'static str,
    headline: String,
    evidence: String,
    advice: Vec<String>,
    /// Where it is mended, and what the button says.
    cure: Option<(&'static str, &'static str)>,
}

struct Shown {
    class: &'static str,
    concern: Concern,
}

struct Tile {
    page: &'static str,
    label: &'static str,
    figure: String,
    line: String,
}

struct Device {
    page: String,
    name: String,
    about: String,
    seen: Option<String>,
}

/// The page.
pub(super) async fn show(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    let read = |context: &Context| {
        let (info, devices) = (status::read(context)?, device::list(context, None)?);
        let lately = lately::read(context, &info, &devices, human::now())?;
        Ok((info, devices, lately, forecast::days_left(context)?))
    };
    let (info, mut devices, lately, days_left) = match shared.act(read).await {
        Ok(read) => read,
        Err(failure) => return page::failed(&failure),
    };
    let now = human::now();
    let mut concerns = health::concerns(&info, now).into_iter();
    let here = devices.iter().filter(|device| is_used(device, now)).count();
    let evidence = evidence(&info, (here, devices.len()), now);
    let accounts: Vec<String> = info.accounts.iter().map(|account| account.name.clone()).collect();
    devices.sort_by_key(|device| std::cmp::Reverse(device.last_used));
    page::show(&Home {
        frame: Frame::new("home", &session),
        hero: concerns.next().map_or_else(|| well(evidence), worst),
        more: concerns.map(|concern| Shown { class: class(concern.severity), concern }).collect(),
        tiles: tiles(&info, (here, devices.len()), days_left, now),
        sources: info.sources.iter().map(|source| source::Row::new(source, now)).collect(),
        import: import::running_line(&shared, &accounts),
        devices: devices.into_iter().take(DEVICES).map(|device| Device::new(device, now)).collect(),
        lately,
    })
}

fn is_used(device: &device::Info, now: i64) -> bool {
    device.last_used.is_some_and(|used| now.saturating_sub(used) < LATELY)
}

fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Hint => "hint",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn well(evidence: String) -> Hero {
    Hero { class: "good", headline: "All is well".to_owned(), evidence, advice: Vec::new(), cure: None }
}

fn worst(concern: Concern) -> Hero {
    Hero {
        class: class(concern.severity),
        headline: human::sentence(&concern.what),
        evidence: concern.help,
        advice: concern.advice,
        cure: concern.page.map(|page| (page, cure(page))),
    }
}

/// What the button to a page says.
fn cure(page: &str) -> &'static str {
    match page {
        health::SETUP => "Go on with the set-up",
        "/incoming" => "Look at this source",
        "/storage" => "Look at the storage",
        "/backups" => "Look at the backups",
        "/deleted" => "Look at deleted mail",
        "/certificate" => "Look at the certificate",
        "/accounts" => "Look at the accounts",
        _ => "Look at it",
    }
}

/// What is known of those things of which a person would ask whether they are well. Nothing is claimed that was not seen.
fn evidence(info: &status::Info, (here, devices): (usize, usize), now: i64) -> String {
    let mut parts = Vec::new();
    match info.sources.iter().filter_map(|source| source.last_mail).max() {
        Some(newest) => parts.push(format!("Newest mail {}", human::when(Some(newest), now))),
        None if info.sources.is_empty() => parts.push("No Maildir is watched".to_owned()),
        None => parts.push("No mail has come in yet".to_owned()),
    }
    match devices {
        0 => parts.push("no device has a password of its own".to_owned()),
        all => {
            parts.push(format!("{here} of {} here this week", human::count(all as u64, "device", "devices")))
        }
    }
    match info.backup.last.as_ref().and_then(|last| last.worked) {
        Some(worked) => parts.push(format!("backup {}", human::when(Some(worked), now))),
        None => parts.push("no backup yet".to_owned()),
    }
    parts.join(" · ")
}

fn tiles(
    info: &status::Info,
    (here, devices): (usize, usize),
    days_left: Option<u64>,
    now: i64,
) -> [Tile; 4] {
    let newest = info.sources.iter().filter_map(|source| source.last_mail).max();
    let brought: u64 =
        info.sources.iter().filter_map(|source| source.watch.as_ref()).map(|watch| watch.imported).sum();
    let sessions = info.server.as_ref().map_or(0, |server| server.sessions);
    let messages: u64 = info.accounts.iter().map(|account| account.messages).sum();
    let bytes = info.accounts.iter().map(|account| account.bytes).sum();
    let Machine { resident, celsius } = machine::read();
    let memory =
        resident.map_or("running".to_owned(), |bytes| format!("Postern uses {}", human::bytes(bytes)));
    let written = format!("{} written since the start", human::bytes(info.storage.written));
    [
        Tile {
            page: "/incoming",
            label: "Newest mail",
            figure: newest.map_or("none yet".to_owned(), |newest| human::when(Some(newest), now)),
            line: format!("{} brought in since the start", figure(brought)),
        },
        Tile {
            page: "/accounts",
            label: "Connected now",
            figure: figure(u64::from(sessions)),
            line: match devices {
                0 => "no device has a password yet".to_owned(),
                all => format!("{here} of {} here this week", human::count(all as u64, "device", "devices")),
            },
        },
        Tile {
            page: "/storage",
            label: "Mail stored",
            figure: figure(messages),
            line: format!("{}, {}", human::bytes(bytes), room(days_left, info.storage.free)),
        },
        Tile {
            page: "/system",
            label: "This machine",
            figure: match (celsius, info.server.as_ref().map_or(0, |server| server.uptime)) {
                (Some(celsius), _) => format!("{celsius} °C"),
                (None, ..60) => "just started".to_owned(),
                (None, seconds) => format!("up {}", human::duration(seconds)),
            },
            line: format!("{memory} · {written}"),
        },
    ]
}

fn room(days_left: Option<u64>, free: u64) -> String {
    match days_left {
        Some(days) if days < 60 => format!("room for {}", human::count(days, "day", "days")),
        Some(days) if days < 730 => format!("room for {} months", days / 30),
        Some(days) => format!("room for about {} years", days / 365),
        None => format!("{} free", human::bytes(free)),
    }
}

impl Device {
    fn new(device: device::Info, now: i64) -> Self {
        let parts = [device.account.clone(), device.client, device.address];
        let about: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Device {
            page: place::device(&device.account, device.id),
            name: device.name,
            about: about.join(" · "),
            seen: device.last_used.map(|used| human::when(Some(used), now)),
        }
    }
}
