//! A page that asks before something is done that cannot be taken back by the next tap.

use askama::Template;
use axum::response::Response;

use super::frame::Frame;
use super::page::{self, Page};

/// The question.
#[derive(Template)]
#[template(path = "ask.html")]
pub(super) struct Ask {
    pub(super) frame: Frame,
    pub(super) title: String,
    pub(super) text: String,
    /// Where the form is sent.
    pub(super) action: String,
    /// What its button says.
    pub(super) button: &'static str,
    /// Where one goes who would rather not.
    pub(super) back: String,
}

impl Page for Ask {}

impl Ask {
    pub(super) fn show(&self) -> Response {
        page::show(self)
    }
}
