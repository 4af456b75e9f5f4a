//! The admin site: plain HTML pages over HTTPS, for whoever has the administrator's password.
//!
//! A page is thin: it reads what an action gives into a template, and each form calls the action that the
//! command line calls. Everything works without JavaScript; what there is of it makes pages live.

mod account;
mod allowance;
mod ask;
mod assets;
mod backup;
mod certificate;
mod check;
mod deleted;
mod device;
mod field;
mod figure;
mod form;
mod frame;
mod guard;
mod guide;
mod heartbeat;
mod home;
mod import;
mod lately;
pub mod log;
mod login;
mod needs;
pub mod notice;
mod page;
mod patient;
mod place;
mod seats;
mod secrets;
mod serve;
mod sessions;
mod setup;
mod shown;
mod source;
mod storage;
mod system;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use async_rustls::TlsAcceptor;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use tower::ServiceExt;

use crate::actions::import_job::Imports;
use crate::actions::{Context, Failure};
use crate::credential::Throttle;

/// What the admin site needs to know.
pub struct Options {
    /// What actions work on.
    pub context: Context,
    /// Gives the acceptor with the certificate of the moment.
    pub tls: Arc<dyn Fn() -> TlsAcceptor + Send + Sync>,
    /// Where connections run.
    pub executor: Arc<smol::Executor<'static>>,
    /// The last lines of the log.
    pub log: log::Recent,
    /// The folder in which an upload lies until it was brought in.
    pub spool: PathBuf,
}

/// The admin site: shared by its listeners.
#[derive(Clone)]
pub struct Admin {
    site: serve::Site,
}

struct Shared {
    context: Context,
    log: log::Recent,
    spool: PathBuf,
    imports: Imports,
    sessions: sessions::Sessions,
    throttle: Throttle,
    started: Instant,
}

impl Shared {
    /// Runs an action, off the threads that serve connections.
    async fn act<T: Send + 'static>(
        self: &Arc<Self>,
        action: impl FnOnce(&Context) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let shared = Arc::clone(self);
        smol::unblock(move || action(&shared.context)).await
    }
}

impl Admin {
    /// For tests: answers a request as one that came from `peer` through a connection.
    #[doc(hidden)]
    pub async fn answer(&self, mut request: Request, peer: SocketAddr) -> Response {
        request.extensions_mut().insert(serve::Peer(peer));
        match self.site.router.clone().oneshot(request).await {
            Ok(response) => response,
        }
    }

    /// Accepts connections until `stop` is closed.
    pub async fn serve(&self, listener: smol::net::TcpListener, stop: async_channel::Receiver<()>) {
        self.site.serve(listener, stop).await;
    }

    /// A site over a running server. It listens to nothing before [`Admin::serve`].
    #[must_use]
    pub fn new(options: Options) -> Self {
        import::clear(&options.spool);
        let shared = Arc::new(Shared {
            context: options.context,
            log: options.log,
            spool: options.spool,
            imports: Imports::default(),
            sessions: sessions::Sessions::default(),
            throttle: Throttle::new(),
            started: Instant::now(),
        });
        let router = Router::new()
            .route("/", get(home::show))
            .route("/setup", get(setup::show).post(setup::set))
            .route("/setup/next", get(guide::next))
            .route("/setup/account", get(guide::account).post(guide::add_account))
            .route("/setup/mail", get(guide::mail).post(guide::add_source))
            .route("/setup/import", post(guide::import))
            .route("/setup/device", get(guide::first_device).post(guide::add_device))
            .route("/setup/ready", get(guide::ready))
            .route("/setup/skip/{step}", post(guide::skip))
            .route("/login", get(login::show).post(login::log_in))
            .route("/logout", post(login::log_out))
            .route("/accounts", get(account::list).post(account::add))
            .route("/accounts/{name}", get(account::show))
            .route("/accounts/{name}/password", post(account::set_password))
            .route("/accounts/{name}/remove", post(account::remove))
            .route("/accounts/{name}/role", post(account::set_role))
            .route("/accounts/{name}/devices", post(device::add))
            .route("/accounts/{name}/devices/{id}", get(device::show))
            .route("/accounts/{name}/devices/{id}/password", post(device::renew))
            .route("/accounts/{name}/devices/{id}/typed", post(device::typed))
            .route("/accounts/{name}/devices/{id}/revoke", get(device::ask_revoke).post(device::revoke))
            .route("/incoming", get(source::list).post(source::add))
            .route("/incoming/{id}/remove", get(source::ask_remove).post(source::remove))
            .route("/deleted", get(deleted::list))
            .route("/deleted/restore", post(deleted::restore))
            .route("/deleted/discard", get(deleted::ask_discard).post(deleted::discard))
            .route("/deleted/keep", post(deleted::keep))
            .route("/deleted/{id}", get(deleted::show))
            .route("/deleted/{id}/restore", post(deleted::restore_one))
            .route("/deleted/{id}/message.eml", get(deleted::download))
            .route("/import", get(import::show).post(import::start))
            .route("/import/stop", get(import::ask_stop).post(import::stop))
            .route("/certificate", get(certificate::show))
            .route("/storage", get(storage::show))
            .route("/storage/reclaim", post(storage::reclaim))
            .route("/storage/empty", get(storage::ask_empty).post(storage::empty_bin))
            .route("/backups", get(backup::show).post(backup::set_up))
            .route("/backups/run", post(backup::run))
            .route("/backups/stop", get(backup::ask_stop).post(backup::stop))
            .route("/backups/off", get(backup::ask_turn_off).post(backup::turn_off))
            .route("/storage/check", get(check::show).post(check::start))
            .route("/sources", get(async || axum::response::Redirect::permanent("/incoming")))
            .route("/system", get(system::show))
            .route("/log", get(log::show))
            .fallback(page::not_found)
            .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard::limits))
            // They have limits of their own.
            .route("/import/upload", post(import::upload).layer(DefaultBodyLimit::disable()))
            .route("/setup/upload", post(guide::upload).layer(DefaultBodyLimit::disable()))
            .layer(middleware::from_fn(guard::origin))
            .layer(middleware::from_fn(place::pages))
            // What devices fetch, and what any page needs, asks for no password.
            .route("/postern-ca.crt", get(certificate::authority))
            .route("/style.css", get(assets::style))
            .route("/app.js", get(assets::script))
            .route("/touch.png", get(assets::touch_icon))
            .route("/manifest.webmanifest", get(assets::manifest))
            .route("/icon.svg", get(assets::icon))
            .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard::headers))
            .with_state(Arc::clone(&shared));
        Admin { site: serve::Site { router, tls: options.tls, executor: options.executor } }
    }
}
