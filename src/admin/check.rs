//! Check: whether all mail can be read; run now, how far it is, and what the last one found.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::Shared;
use super::form::{Empty, Submitted};
use super::frame::{self, Frame};
use super::guard::LoggedIn;
use super::page::{self, Page};
use crate::actions::check::{self, Last, Scope};
use crate::actions::human;
use crate::store::check::{Finding, Severity};
use crate::store::unix_now;

/// Messages that are shown under a finding; the command line and JSON have all.
const MESSAGES: usize = 50;

#[derive(Template)]
#[template(path = "check.html")]
struct Check {
    frame: Frame,
    /// The step, and how much of it is done, if a check is going on.
    going: Option<(String, String)>,
    failed: Option<String>,
    last: Option<Outcome>,
}

impl Page for Check {}

/// The last result, as it is shown.
struct Outcome {
    ago: String,
    looked: String,
    clean: bool,
    findings: Vec<Row>,
    more: u64,
}

struct Row {
    class: &'static str,
    what: String,
    advice: String,
    messages: Vec<String>,
    more: u64,
}

impl From<Finding> for Row {
    fn from(finding: Finding) -> Self {
        let more = finding.messages.len().saturating_sub(MESSAGES) as u64 + finding.more_messages;
        Row {
            class: match finding.severity {
                Severity::Note => "hint",
                Severity::Wrong => "warning",
                Severity::Lost => "error",
            },
            what: human::sentence(&finding.what),
            advice: human::sentence(&finding.advice),
            messages: finding.messages.iter().take(MESSAGES).map(ToString::to_string).collect(),
            more,
        }
    }
}

impl From<Last> for Outcome {
    fn from(last: Last) -> Self {
        let looked = &last.report.looked;
        let ago = u64::try_from(unix_now().saturating_sub(last.at)).unwrap_or(0);
        Outcome {
            ago: if ago < 60 { "just now".to_owned() } else { format!("{} ago", human::duration(ago)) },
            looked: format!(
                "{} in {}, {} read to the end ({})",
                human::count(looked.messages, "message", "messages"),
                human::count(looked.mailboxes, "mailbox", "mailboxes"),
                human::count(looked.contents, "content", "contents"),
                human::bytes(looked.bytes)
            ),
            clean: last.report.is_clean(),
            more: last.report.more_findings,
            findings: last.report.findings.into_iter().map(Row::from).collect(),
        }
    }
}

/// The page.
pub(super) async fn show(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    let state = match shared.act(check::state).await {
        Ok(state) => state,
        Err(failure) => return page::failed(&failure),
    };
    let going = state.going.map(|going| {
        let part = match going.total {
            0 => String::new(),
            total => format!("{} of {total}", going.done),
        };
        (going.step, part)
    });
    page::show(&Check {
        frame: Frame::new("check", &session),
        going,
        failed: state.failed,
        last: state.last.map(Outcome::from),
    })
}

/// Begins one.
pub(super) async fn start(
    State(shared): State<Arc<Shared>>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    match shared.act(|context| check::start(context, Scope::Full)).await {
        Ok(_) => frame::done(&shared, &session, "The check has begun.", "/storage/check"),
        Err(failure) => frame::refused(&shared, &session, &failure, "/storage/check"),
    }
}
