//! Requests of the admin site: forms, uploads and queries. Each is answered, none with a server's error; what was typed is
//! never markup in the answer, and nobody is sent elsewhere.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::response::Parts;
use axum::http::{Error, Request, StatusCode, header};
use postern::actions::administrator;
use postern::admin::{Admin, Options, log::Recent};

use super::world::{self, World};
use super::{first, texts};

/// Where forms are sent, and whether one that is signed may go there: those that act on more than this store may not.
const ROUTES: &[(&str, bool)] = &[
    ("/accounts/anna/role", true),
    ("/deleted/keep", true),
    ("/deleted/restore", true),
    ("/deleted/discard", true),
    ("/deleted/1-1-1/restore", true),
    ("/accounts/anna/devices/77/revoke", true),
    ("/accounts/nobody/remove", true),
    ("/incoming/9/remove", true),
    ("/import/upload", true),
    ("/setup/upload", true),
    ("/accounts", false),
    ("/accounts/anna/password", false),
    ("/incoming", false),
    ("/import", false),
    ("/backups", false),
    ("/storage/check", false),
    ("/setup/skip/device", false),
    ("/nowhere", false),
    ("/accounts/anna/devices/77/typed", true),
    ("/accounts/anna/devices/77/password", true),
    ("/accounts/nobody/devices", true),
    ("/storage/nothing/", true),
];
/// In a form this stands for the token that signs it.
const TOKEN: &[u8] = b"CSRF";
/// What was typed so must not be a tag in the answer.
const MARKUP: &[u8] = b"<x9";
/// No page of a server with two mailboxes is longer than this, whatever was typed into its forms of 64 KB.
const PAGE: usize = 1 << 20;

pub fn seeds() -> Vec<Vec<u8>> {
    let forms = [
        "csrf=CSRF&mailbox=INBOX&role=sent",
        "csrf=CSRF&days=30",
        "csrf=CSRF&m1-2=on&all=1&account=anna&mailbox=%3Cx9%3E&words=a+b",
        "csrf=CSRF&typed_name=nobody%00&x=%zz%",
        "csrf=nobody%27s&name=%3Cx9%3E&password=&path=/nowhere&after=keep&folder=",
        "csrf=CSRF&account=anna&mailbox=%c3%28&since=2024-02-30&until=&after=",
    ];
    let mut seeds = Vec::new();
    for route in 0..ROUTES.len() as u8 {
        let form = forms[usize::from(route) % forms.len()];
        seeds.extend(texts(&[&[route, 0]], &[form]));
    }
    let upload = "--b\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\nCSRF\r\n--b\r\nContent-Disposition: form-data; \
        name=\"mailbox\"\r\n\r\n<x9>\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../a.eml\"\r\n\
        Content-Type: message/rfc822\r\n\r\nSubject: a\r\n\r\nb\r\n--b--\r\n";
    seeds.extend(texts(&[&[8, 1], &[9, 1]], &[upload, &upload.replace("CSRF", "no")]));
    let queries = [
        "/deleted?account=anna&mailbox=INBOX&words=%3Cx9%3E&since=2024-01-01&until=&after=1-2",
        "/setup?code=%3Cx9%3E",
        "/log?lines=9",
        "/login?to=//evil.example/",
        "/login?to=/%5cevil.example/",
        "//evil.example/",
        "/deleted/discard?pick:1-1-1=1&account=%3Cx9%3E",
        "/accounts/anna/devices/",
        "/accounts/anna/devices/77/typed",
        "/accounts/%2e%2e?x=<x9>",
        "/deleted/1-1-1/message.eml",
    ];
    seeds.extend(texts(&[&[0, 2]], &queries));
    seeds
}

struct Site {
    admin: Admin,
    cookie: String,
    token: String,
}

fn peer() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 4_000).into()
}

fn site() -> &'static Site {
    static SITE: OnceLock<Site> = OnceLock::new();
    SITE.get_or_init(|| {
        let World { context, executor, .. } = World::new(world::executor());
        let code = administrator::setup_link(&context).unwrap().code;
        let certificates = context.certificates.clone();
        let tls = std::sync::Arc::new(move || certificates.http_acceptor());
        let spool = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, Into::into);
        let admin = Admin::new(Options { context, tls, executor, log: Recent::default(), spool });
        let typed = format!("code={code}&password=correct+horse+battery&again=correct+horse+battery");
        let request = post("/setup").header(header::CONTENT_TYPE, FORM).body(typed.into()).unwrap();
        let answer = smol::block_on(admin.answer(request, peer()));
        let cookie = answer.headers().get(header::SET_COOKIE).unwrap().to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let request = Request::get("/import").header(header::HOST, HOST).header(header::COOKIE, &cookie);
        let page = smol::block_on(async {
            let answer = admin.answer(request.body(Body::empty()).unwrap(), peer()).await;
            to_bytes(answer.into_body(), PAGE).await.unwrap()
        });
        let page = String::from_utf8(page.to_vec()).unwrap();
        let token =
            page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let site = Site { admin, cookie, token };
        let (answer, page) =
            site.answer(form("/deleted/keep", FORM, &site.token, b"csrf=CSRF&days=30").unwrap());
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", String::from_utf8_lossy(&page));
        site
    })
}

impl Site {
    /// As the administrator's browser.
    fn answer(&self, mut request: Request<Body>) -> (Parts, Bytes) {
        request.headers_mut().insert(header::COOKIE, self.cookie.parse().unwrap());
        smol::block_on(async {
            let (answer, body) = self.admin.answer(request, peer()).await.into_parts();
            (answer, to_bytes(body, PAGE).await.unwrap())
        })
    }
}

const HOST: &str = "127.0.0.1:1980";
const FORM: &str = "application/x-www-form-urlencoded";
const UPLOAD: &str = "multipart/form-data; boundary=b";

fn post(path: &str) -> axum::http::request::Builder {
    Request::post(path).header(header::HOST, HOST).header("Sec-Fetch-Site", "same-origin")
}

fn form(path: &str, kind: &str, token: &str, typed: &[u8]) -> Result<Request<Body>, Error> {
    let form = replaced(typed, TOKEN, token.as_bytes());
    let request = post(path).header(header::CONTENT_TYPE, kind).header(header::CONTENT_LENGTH, form.len());
    request.body(Body::from(form))
}

pub fn run(data: &[u8]) {
    let (route, rest) = first(data);
    let (kind, typed) = first(rest);
    let site = site();
    let (path, signed) = ROUTES[usize::from(route) % ROUTES.len()];
    let token = if signed { &site.token } else { "no" };
    let request = match kind % 3 {
        0 => form(path, FORM, token, typed),
        1 => form(path, UPLOAD, token, typed),
        _ => match std::str::from_utf8(typed).ok().filter(|path| path.starts_with('/')) {
            Some(path) => Request::get(path).header(header::HOST, HOST).body(Body::empty()),
            None => return,
        },
    };
    // What is no address of a page is no request.
    let Ok(request) = request else { return };
    let (answer, page) = site.answer(request);
    let status = answer.status;
    assert!(!status.is_server_error(), "{status}: {}", String::from_utf8_lossy(&page));
    assert_ne!(status, StatusCode::SWITCHING_PROTOCOLS);
    assert!(!page.windows(MARKUP.len()).any(|bytes| bytes == MARKUP), "{}", String::from_utf8_lossy(&page));
    if let Some(to) = answer.headers.get(header::LOCATION) {
        let to = to.to_str().unwrap();
        assert!(to.starts_with('/') && !to.starts_with("//") && !to.starts_with("/\\"), "sent to {to}");
    }
}

fn replaced(bytes: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(what.len()).position(|bytes| bytes == what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(with);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}
