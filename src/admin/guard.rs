//! What stands before every page: the host's name, limits, security headers, the session.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use futures_lite::FutureExt;
use smol::Timer;

use super::Shared;
use super::page;
use super::place::{Place, encoded};
use super::sessions::{Known, Notice};
use crate::actions::administrator;

/// The session's cookie. The prefix makes browsers insist on `Secure`, this host and the path `/`.
pub(super) const COOKIE: &str = "__Host-postern";
/// A form is no longer.
pub(super) const BODY: usize = 64 * 1024;
/// And takes no longer to come: hyper has no limit for that.
const PATIENCE: Duration = Duration::from_secs(20);

/// Headers of every answer: no scripts but ours, no frames, nothing from elsewhere, nothing kept.
const HEADERS: [(header::HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; manifest-src 'self'; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=0"),
];

/// Adds the headers, and refuses requests for another host: a page elsewhere whose name was made to point
/// here (DNS rebinding).
pub(super) async fn headers(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let response = if names_two_hosts(request.headers(), request.uri()) {
        let text = "The request names its host twice, or two of them. Load the page again.";
        page::plain(StatusCode::BAD_REQUEST, "That was not understood", text)
    } else if is_our_host(&shared, request.headers(), request.uri()) {
        as_page(next.run(request).await)
    } else {
        let names = shared.context.certificates.describe().names.join(", ");
        let text = format!("Open this site by one of its own names or addresses: {names}.");
        page::plain(StatusCode::MISDIRECTED_REQUEST, "Another name is wanted", &text)
    };
    with_headers(response).await
}

/// Adds the headers of every answer.
pub(super) async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// A request that no page here sends is refused by axum with a line for its author, or with nothing: whoever
/// sees it in a browser gets a page that says what to do.
fn as_page(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_page = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if is_page || !response.status().is_client_error() {
        return response;
    }
    let text =
        "No page of this site sends such a request. Go back, load the page again, and repeat what you did.";
    page::plain(response.status(), "That was not understood", text)
}

/// Bounds what a request sends, in size and time.
pub(super) async fn limits(request: Request, next: Next) -> Response {
    if asks_only(request.method()) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let read = async { Some(to_bytes(body, BODY).await) };
    let late = async {
        Timer::after(PATIENCE).await;
        None
    };
    match read.or(late).await {
        Some(Ok(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Some(Err(_)) => {
            page::plain(StatusCode::PAYLOAD_TOO_LARGE, "Too much", "The form holds more than 64 KB.")
        }
        None => page::plain(StatusCode::REQUEST_TIMEOUT, "Too slow", "The form did not arrive in time."),
    }
}

fn asks_only(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Refuses forms that another site sends.
pub(super) async fn origin(request: Request, next: Next) -> Response {
    if asks_only(request.method()) || is_same_origin(request.headers()) {
        return next.run(request).await;
    }
    page::plain(StatusCode::FORBIDDEN, "Refused", "This form was sent from another site.")
}

/// Two hosts, or one that the request line contradicts: whoever is in front of us may have gone by the other (RFC 9112
/// §3.2).
fn names_two_hosts(headers: &HeaderMap, uri: &Uri) -> bool {
    let mut hosts = headers.get_all(header::HOST).into_iter();
    let first = hosts.next();
    let differs = |host: &HeaderValue| {
        uri.authority().is_some_and(|uri| !host.as_bytes().eq_ignore_ascii_case(uri.as_str().as_bytes()))
    };
    hosts.next().is_some() || first.is_some_and(differs)
}

fn is_our_host(shared: &Shared, headers: &HeaderMap, uri: &Uri) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).or_else(|| uri.host());
    let Some(host) = host else { return false };
    let name = without_port(host);
    // An address cannot be made to point elsewhere; a name can.
    name.parse::<std::net::IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || shared.context.certificates.describe().names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// `pi.local` of `pi.local:1980`, `::1` of `[::1]:1980`.
fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.split(':').next().unwrap_or_default()
}

/// Browsers say where a form comes from; programs that say nothing have no cookie that could be misused.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site")
        && !matches!(site, "same-origin" | "none")
    {
        return false;
    }
    match (text("origin"), text("host")) {
        (Some(origin), Some(host)) => origin.strip_prefix("https://") == Some(host),
        (Some(_), None) => false,
        (None, _) => true,
    }
}

/// Whether somebody asks, and not a script that looks for what is new.
fn is_somebodys(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-mode").is_none_or(|mode| mode == "navigate")
}

/// The session that a request's cookie names.
pub(super) fn session(shared: &Shared, headers: &HeaderMap) -> Option<Known> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let token = pairs.find_map(|(name, value)| (name == COOKIE).then_some(value))?;
    shared.sessions.find(token, is_somebodys(headers))
}

/// Whether a browser comes with the cookie of a session that has ended.
pub(super) fn has_ended(headers: &HeaderMap) -> bool {
    let mut cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    cookies.any(|line| line.split(';').any(|pair| pair.trim().starts_with(COOKIE)))
}

/// To the log-in, and from there on to where one wanted to go.
fn login_for(place: &Place) -> Response {
    match place.as_str() {
        "/" => Redirect::to("/login").into_response(),
        place => Redirect::to(&format!("/login?to={}", encoded(place))).into_response(),
    }
}

/// The administrator is logged in. A page that takes this is not shown to anyone else.
#[derive(Clone, Debug)]
pub(super) struct LoggedIn {
    pub(super) known: Known,
    pub(super) notice: Option<Notice>,
    /// How this server is called.
    pub(super) host: String,
}

impl FromRequestParts<Arc<Shared>> for LoggedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        if let Some(known) = session(shared, &parts.headers) {
            let shown = parts.method == Method::GET && is_somebodys(&parts.headers);
            let notice = if shown { shared.sessions.take_notice(&known) } else { None };
            let host = shared.context.certificates.describe().names.into_iter().next().unwrap_or_default();
            return Ok(LoggedIn { known, notice, host });
        }
        match shared.act(administrator::is_set_up).await {
            Ok(true) => Err(login_for(&Place::of(&parts.method, &parts.uri))),
            Ok(false) => Err(Redirect::to("/setup").into_response()),
            Err(failure) => Err(page::failed(&failure)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_without_ports() {
        for (host, name) in
            [("pi.local:1980", "pi.local"), ("[::1]:1980", "::1"), ("[::1]", "::1"), ("a", "a")]
        {
            assert_eq!(without_port(host), name);
        }
    }

    #[test]
    fn one_host_and_no_other() {
        let two = |hosts: &[&'static str], uri: &'static str| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_static(host));
            }
            names_two_hosts(&headers, &Uri::from_static(uri))
        };
        assert!(!two(&["pi.local:1980"], "/login") && !two(&[], "/") && !two(&[], "https://pi.local/"));
        assert!(!two(&["PI.local"], "https://pi.local/"));
        assert!(two(&["pi.local", "pi.local"], "/") && two(&["pi.local", "evil.example"], "/"));
        assert!(two(&["pi.local"], "https://evil.example/"));
    }

    #[test]
    fn who_sees_a_refusal_is_told_what_to_do() {
        let kind = |response: &Response| response.headers().get(header::CONTENT_TYPE).cloned();
        for refused in [
            (StatusCode::UNPROCESSABLE_ENTITY, "missing field `password`").into_response(),
            StatusCode::METHOD_NOT_ALLOWED.into_response(),
        ] {
            let status = refused.status();
            let page = as_page(refused);
            assert_eq!(page.status(), status);
            assert!(kind(&page).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")));
        }
        let style = as_page(([(header::CONTENT_TYPE, "text/css")], "a {}").into_response());
        assert_eq!(kind(&style).unwrap(), "text/css");
        let own = page::plain(StatusCode::NOT_FOUND, "a", "b");
        let length = own.headers().get(header::CONTENT_LENGTH).cloned();
        assert_eq!(as_page(own).headers().get(header::CONTENT_LENGTH), length.as_ref());
    }

    #[test]
    fn forms_from_elsewhere() {
        let same = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            is_same_origin(&headers)
        };
        assert!(same(&[("host", "pi:1980")]));
        assert!(same(&[
            ("host", "pi:1980"),
            ("origin", "https://pi:1980"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(!same(&[("host", "pi:1980"), ("origin", "https://evil.example")]));
        assert!(!same(&[("host", "pi:1980"), ("origin", "null")]));
        assert!(!same(&[("host", "pi:1980"), ("sec-fetch-site", "cross-site")]));
    }
}
