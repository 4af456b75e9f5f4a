//! What is the same for everybody: the style, the script and the icon, built into the binary.

use axum::http::header;
use axum::response::{IntoResponse, Response};

const STYLE: &str = include_str!("../../static/style.css");
const SCRIPT: &str = include_str!("../../static/app.js");
const MANIFEST: &str = include_str!("../../static/manifest.webmanifest");
const TOUCH: &[u8] = include_bytes!("../../static/touch.png");
const ICON: &str = include_str!("../../static/icon.svg");

/// `style.css`
pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", STYLE)
}

/// `app.js`
pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

/// `touch.png`, for the home screen of an iPhone.
pub(super) async fn touch_icon() -> Response {
    asset("image/png", TOUCH)
}

/// `manifest.webmanifest`: with it a phone puts the site on its home screen.
pub(super) async fn manifest() -> Response {
    asset("application/manifest+json", MANIFEST)
}

/// `icon.svg`
pub(super) async fn icon() -> Response {
    asset("image/svg+xml", ICON)
}

fn asset(kind: &'static str, content: impl IntoResponse) -> Response {
    // Five minutes: an upgrade must not leave an old style behind for long.
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "private, max-age=300")], content).into_response()
}
