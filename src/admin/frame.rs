//! What stands around a page of somebody who is logged in, and what follows a form of theirs.

use std::sync::Arc;

use axum::response::Response;

use super::guard::LoggedIn;
use super::sessions::Notice;
use super::{Shared, page};
use crate::actions::{Failure, human};

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
