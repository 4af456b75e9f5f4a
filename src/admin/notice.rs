//! The one page that stands in for the site while the store cannot be opened: it says why, and what to do. It knows
//! nothing of the store, so that it has no secrets and no log-in.

use std::sync::Arc;

use askama::Template;
use async_channel::Receiver;
use async_rustls::TlsAcceptor;
use axum::Router;
use axum::extract::State;
use axum::http::header::HeaderValue;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::get;
use smol::net::TcpListener;

use super::page::Page;
use super::serve::Site;
use super::shown::prose;
use super::{assets, guard, page};
use crate::actions::trouble::Trouble;

/// Browsers and monitors are told to come back so soon, in seconds.
const AGAIN: &str = "20";

/// Tells why there is no mail at the moment.
pub type Why = Arc<dyn Fn() -> Trouble + Send + Sync>;

/// The site of one page: shared by its listeners.
#[derive(Clone)]
pub struct Notice {
    site: Site,
}

#[derive(Template)]
#[template(path = "notice.html")]
struct Reason {
    trouble: Trouble,
    again: &'static str,
}

impl Page for Reason {}

impl Notice {
    /// A site that says `why` until it is dropped.
    #[must_use]
    pub fn new(
        why: Why,
        tls: Arc<dyn Fn() -> TlsAcceptor + Send + Sync>,
        executor: Arc<smol::Executor<'static>>,
    ) -> Self {
        let router = Router::new()
            .fallback(show)
            .route("/style.css", get(assets::style))
            .route("/app.js", get(assets::script))
            .route("/touch.png", get(assets::touch_icon))
            .route("/manifest.webmanifest", get(assets::manifest))
            .route("/icon.svg", get(assets::icon))
            .layer(middleware::map_response(guard::with_headers))
            .with_state(why);
        Notice { site: Site { router, tls, executor } }
    }

    /// Accepts connections until `stop` is closed.
    pub async fn serve(&self, listener: TcpListener, stop: Receiver<()>) {
        self.site.serve(listener, stop).await;
    }
}

async fn show(State(why): State<Why>) -> Response {
    let page = Reason { trouble: why(), again: AGAIN };
    let mut response = page::show_as(StatusCode::SERVICE_UNAVAILABLE, &page);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(AGAIN));
    response
}
