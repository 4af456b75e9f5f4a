//! The one-time link: sets the administrator's password, the first one or a new one.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::field::{self, Field, Wrong};
use super::page::{self, Page};
use super::serve::Peer;
use super::{Shared, guide, login};
use crate::actions::setup::{self, Step};
use crate::actions::{account, administrator, health};

/// Under this name the throttle counts wrong codes.
const THROTTLED: &str = "\0setup";

#[derive(Template)]
#[template(path = "setup.html")]
struct Setup {
    code: Field,
    password: Field,
    again: Field,
    /// Whether the code is right: only then a password can be set.
    open: bool,
    /// The steps of the set-up; none where the password is set anew.
    steps: Vec<guide::Shown>,
}

impl Page for Setup {
    fn wrong(&self) -> Vec<Wrong> {
        field::wrong([("code", &self.code), ("password", &self.password), ("again", &self.again)])
    }
}

impl Setup {
    async fn new(shared: &Arc<Shared>, code: String, open: bool) -> Self {
        let progress = shared.act(setup::progress).await.ok();
        let first = progress.filter(|progress| progress.next() == Step::Password);
        Setup {
            code: Field::new(code),
            password: Field::default(),
            again: Field::default(),
            open,
            steps: first.map(|first| guide::steps(&first, Step::Password)).unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    code: String,
}

#[derive(Deserialize)]
pub(super) struct Typed {
    code: String,
    password: String,
    again: String,
}

/// The page behind the link; without a code it says where the link is found.
pub(super) async fn show(State(shared): State<Arc<Shared>>, Query(link): Query<Link>) -> Response {
    let code = link.code.clone();
    let open = match shared.act(move |context| administrator::is_code_right(context, &code)).await {
        Ok(open) => open,
        Err(failure) => return page::failed(&failure),
    };
    let mut page = Setup::new(&shared, link.code, open).await;
    if !open && !page.code.value.is_empty() {
        page.code = page.code.wrong("This code is not right: it was mistyped, used already, or is too old.");
    }
    page::show_as(StatusCode::OK, &page)
}

/// Sets the password, and logs in.
pub(super) async fn set(
    State(shared): State<Arc<Shared>>,
    Extension(Peer(peer)): Extension<Peer>,
    Form(typed): Form<Typed>,
) -> Response {
    let mut form = Setup::new(&shared, typed.code.clone(), true).await;
    if let Err(failure) = account::check_password(&typed.password) {
        form.password = form.password.wrong(failure);
        return page::show(&form);
    }
    if typed.password != typed.again {
        form.again = form.again.wrong("The two passwords are not the same.");
        return page::show(&form);
    }
    // From here on it is a code that is tried.
    let address = peer.ip();
    match shared.throttle.begin(shared.started.elapsed(), address, THROTTLED) {
        Ok(attempt) => drop(smol::Timer::after(attempt.wait).await),
        Err(many) => {
            form.code = form.code.wrong(format!("For now no code is tried: {many}."));
            return page::show_as(StatusCode::TOO_MANY_REQUESTS, &form);
        }
    }
    match shared.act(move |context| administrator::set_up(context, &typed.code, &typed.password)).await {
        Ok(()) => {
            shared.throttle.withdrawn(shared.started.elapsed(), address, THROTTLED);
            tracing::info!(peer = %address, "the administrator's password was set");
            // Whoever knew the old one is out.
            shared.sessions.end_all();
            // A lost password was set anew, or this is a new server.
            match shared.act(setup::progress).await.map(|progress| progress.next()) {
                Ok(Step::Ready) | Err(_) => login::begin(&shared, "/"),
                Ok(_) => login::begin(&shared, health::SETUP),
            }
        }
        Err(failure) => {
            form.code = form.code.wrong(failure);
            form.open = false;
            page::show(&form)
        }
    }
}
