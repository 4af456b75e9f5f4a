//! What stands around a page of somebody who is logged in, and what follows a form of theirs.

use std::sync::Arc;

use axum::response::Response;

use super::guard::LoggedIn;
use super::sessions::Notice;
use super::{Shared, page};
use crate::actions::{Failure, human};

/// What stands around a page of somebody who is logged in.
pub(super) struct Frame {
    /// Which page of the navigation is this one.
    pub(super) here: &'static str,
    /// For its forms.
    pub(super) csrf: String,
    /// What was done just now.
    pub(super) notice: Option<Notice>,
    /// How this server is called.
    pub(super) host: String,
    pub(super) version: &'static str,
}

/// An entry of the navigation.
pub(super) struct Entry {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    /// Its icon: what is drawn in a square of 24.
    pub(super) icon: &'static str,
    /// Its pages, where it has several: the name for [`Frame::here`], where it leads, and how it is called.
    pub(super) pages: &'static [(&'static str, &'static str, &'static str)],
}

/// The five entries.
const ENTRIES: [Entry; 5] = [
    Entry {
        path: "/",
        name: "Home",
        icon: "M4 10.5 12 4l8 6.5V20H4zM10 20v-6h4v6",
        pages: &[("home", "/", "Home")],
    },
    Entry {
        path: "/accounts",
        name: "Accounts",
        icon: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20v-2a4 4 0 0 1 4-4h5a4 4 0 0 1 4 4v2M16 4.2a3.5 3.5 0 0 1 0 6.6M21.5 20v-2a4 4 0 0 0-3-3.8",
        pages: &[("accounts", "/accounts", "Accounts")],
    },
    Entry {
        path: "/incoming",
        name: "Incoming",
        icon: "M12 4v10M8 10.5l4 4 4-4M4 15v5h16v-5",
        pages: &[("incoming", "/incoming", "What comes in"), ("import", "/import", "Old mail")],
    },
    Entry {
        path: "/storage",
        name: "Storage",
        icon: "M6 4h12a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2zM4 14h16M8 17h.01",
        pages: &[
            ("storage", "/storage", "Space"),
            ("deleted", "/deleted", "Deleted mail"),
            ("backups", "/backups", "Backups"),
            ("check", "/storage/check", "Check"),
        ],
    },
    Entry {
        path: "/system",
        name: "System",
        icon: "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.2 2.2M16.2 16.2l2.2 2.2M5.6 18.4l2.2-2.2M16.2 7.8l2.2-2.2",
        pages: &[
            ("system", "/system", "This server"),
            ("certificate", "/certificate", "Certificate"),
            ("log", "/log", "Log"),
        ],
    },
];

impl Entry {
    pub(super) fn has(&self, here: &str) -> bool {
        self.pages.iter().any(|(name, _, _)| *name == here)
    }
}

impl Frame {
    pub(super) fn entries(&self) -> &'static [Entry; 5] {
        &ENTRIES
    }

    /// The pages beside this one.
    pub(super) fn tabs(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        let entry = ENTRIES.iter().find(|entry| entry.has(self.here));
        entry.map(|entry| entry.pages).filter(|pages| pages.len() > 1).unwrap_or_default()
    }

    pub(super) fn new(here: &'static str, session: &LoggedIn) -> Self {
        Frame {
            here,
            csrf: session.known.csrf.clone(),
            notice: session.notice.clone(),
            host: session.host.clone(),
            version: env!("CARGO_PKG_VERSION"),
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
    page::next(next)
}

/// After a form without fields failed: the page that follows, with the reason.
pub(super) fn refused(shared: &Arc<Shared>, session: &LoggedIn, failure: &Failure, next: &str) -> Response {
    shared.sessions.tell(&session.known, Notice { text: human::sentence(&failure.to_string()), good: false });
    page::next(next)
}
