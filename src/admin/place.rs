//! Addresses of this site: where somebody may be sent, and which page stands behind an address that has none.

use std::fmt;

use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

/// An address is no longer where we send somebody to it.
const LONGEST: usize = 2_048;

/// An address on this site. A browser takes `//host` and `/\host` for another host's, so that these are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place(String);

impl Place {
    /// Home.
    pub(super) fn home() -> Self {
        Place("/".to_owned())
    }

    /// The address that was asked for, if it is one of this site.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('/')?;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        (is_plain && !rest.starts_with('/') && text.len() <= LONGEST).then(|| Place(text.to_owned()))
    }

    /// Of a request that shows a page: the page; else the one that its form stands on.
    pub(super) fn of(method: &Method, uri: &Uri) -> Self {
        let place = match *method {
            Method::GET | Method::HEAD => uri.path_and_query().and_then(|all| Place::parse(all.as_str())),
            _ => Some(Place::above(uri.path())),
        };
        place.unwrap_or_else(Place::home)
    }

    /// The page that a form stands on which is sent to this path.
    fn above(path: &str) -> Self {
        match path {
            "/setup/import" | "/setup/upload" => return Place("/setup/mail".to_owned()),
            path if path.starts_with("/setup/") => return Place("/setup/next".to_owned()),
            _ => {}
        }
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        Place::parse(above).unwrap_or_else(Place::home)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The address that a form is sent to shows the page it stands on, for it gets into histories and bookmarks; and an
/// address with a slash too many is the one without.
pub(super) async fn pages(request: Request, next: Next) -> Response {
    let shows = matches!(*request.method(), Method::GET | Method::HEAD);
    let uri = request.uri().clone();
    let path = uri.path();
    if shows && path.len() > 1 && path.ends_with('/') {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        if let Some(place) = Place::parse(&format!("{}{query}", path.trim_end_matches('/'))) {
            return Redirect::permanent(place.as_str()).into_response();
        }
    }
    let response = next.run(request).await;
    if shows && response.status() == StatusCode::METHOD_NOT_ALLOWED {
        return Redirect::to(Place::above(path).as_str()).into_response();
    }
    response
}

/// The page of an account.
pub(super) fn account(name: &str) -> String {
    format!("/accounts/{}", encoded(name))
}

/// The page of a device.
pub(super) fn device(account_name: &str, id: u32) -> String {
    format!("{}/devices/{id}", account(account_name))
}

/// A name as a part of an address.
pub(super) fn encoded(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for text in ["/", "/accounts/anna?x=1", "/deleted?words=a%20b"] {
            assert_eq!(Place::parse(text).unwrap().as_str(), text);
        }
        for text in
            ["", "x", "//evil.example", "/\\evil.example", "https://evil.example", "/a\\b", "/a\nb", "/ä"]
        {
            assert_eq!(Place::parse(text), None, "{text}");
        }
        assert_eq!(Place::parse(&format!("/{}", "x".repeat(LONGEST))), None);
    }

    #[test]
    fn names_in_paths() {
        assert_eq!(encoded("anna@x.org/ü"), "anna%40x.org%2F%C3%BC");
    }

    #[test]
    fn a_form_stands_on_a_page() {
        for (path, page) in [
            ("/accounts/anna/password", "/accounts/anna"),
            ("/accounts/anna/devices/7/typed", "/accounts/anna/devices/7"),
            ("/setup/upload", "/setup/mail"),
            ("/setup/skip/mail", "/setup/next"),
            ("/logout", "/"),
            ("//evil.example/x", "/"),
        ] {
            assert_eq!(Place::above(path).as_str(), page, "{path}");
        }
    }
}
