//! Old mail: from a folder or file on this machine, or uploaded.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::multipart::{Field as Part, Multipart};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use futures_lite::{AsyncWriteExt, FutureExt};
use serde::Deserialize;
use smol::Timer;

use super::allowance::Allowance;
use super::field::{self, Field, Wrong};
use super::form::{Empty, Submitted};
use super::frame::{self, Frame};
use super::guard::LoggedIn;
use super::page::{self, Page};
use super::{Shared, ask};
use crate::actions::import_job::{self, Order};
use crate::actions::{Failure, account, human};
use crate::model::MailboxName;

/// The largest upload; larger mail is better brought in from a disk, with `postern import`.
const LARGEST_UPLOAD: u64 = 4 << 30;
/// Space that an upload leaves free beside itself and what is stored of it.
const LEFT_FREE: u64 = 1 << 30;
/// A browser that sends nothing for so long is gone.
const STALL: Duration = Duration::from_secs(60);
/// A field of the form that is no file.
const LONGEST_FIELD: usize = 4_096;
/// A file's name is cut after so many bytes.
const LONGEST_NAME: usize = 200;
/// The folders of uploads are named so.
const SPOOLED: &str = "upload-";
/// Names of what was skipped that the page shows.
const SKIPPED: usize = 50;

#[derive(Template)]
#[template(path = "import.html")]
struct Import {
    frame: Frame,
    accounts: Vec<String>,
    old: Form,
    running: Option<Running>,
    ended: Option<Ended>,
}

/// The two forms: what was typed into one of them, and what is wrong with it.
#[derive(Default)]
pub(super) struct Form {
    pub(super) path: Field,
    pub(super) here: Fields,
    pub(super) file: Field,
    pub(super) upload: Fields,
}

/// What both forms have.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) account: Field,
    pub(super) mailbox: Field,
    pub(super) seen: bool,
}

impl Form {
    pub(super) fn wrong(&self) -> Vec<Wrong> {
        field::wrong([
            ("old-path", &self.path),
            ("old-account", &self.here.account),
            ("old-mailbox", &self.here.mailbox),
            ("file", &self.file),
            ("upload-account", &self.upload.account),
            ("upload-mailbox", &self.upload.mailbox),
        ])
    }
}

impl Page for Import {
    /// While an import runs there are no forms: what is wrong is about the one that runs.
    fn wrong(&self) -> Vec<Wrong> {
        let mut wrong = self.old.wrong();
        if self.running.is_some() {
            wrong.iter_mut().for_each(|wrong| wrong.id = "running".to_owned());
        }
        wrong
    }
}

/// An import under way.
struct Running {
    name: String,
    account: String,
    percent: u64,
    found: u64,
    stored: u64,
    bytes: String,
    of: String,
    rate: String,
    left: String,
}

/// An import that has ended.
struct Ended {
    name: String,
    account: String,
    good: bool,
    text: String,
    skipped: Vec<String>,
    skipped_more: u64,
}

#[derive(Deserialize)]
pub(super) struct Typed {
    path: String,
    account: String,
    mailbox: String,
    #[serde(default)]
    seen: String,
}

/// The form, and how the last import stands.
pub(super) async fn show(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    shown(&shared, &session, Form::default()).await
}

async fn shown(shared: &Arc<Shared>, session: &LoggedIn, form: Form) -> Response {
    let accounts = match shared.act(account::list).await {
        Ok(accounts) => accounts.into_iter().map(|account| account.name).collect(),
        Err(failure) => return page::failed(&failure),
    };
    let state = shared.imports.state();
    let (mut running, mut ended) = (None, None);
    match state {
        Some(state) if state.ended.is_none() => running = Some(Running::new(&state)),
        Some(state) => ended = Ended::new(state),
        None => {}
    }
    page::show(&Import { frame: Frame::new("import", session), accounts, old: form, running, ended })
}

/// How an import stands that runs.
pub(super) fn running_line(shared: &Shared, accounts: &[String]) -> Option<String> {
    if shared.imports.is_running() { line(shared, accounts) } else { None }
}

/// How the last import stands, in a line, for pages beside.
pub(super) fn line(shared: &Shared, accounts: &[String]) -> Option<String> {
    // One for an account that is gone tells nothing any more.
    let state = shared.imports.state().filter(|state| accounts.contains(&state.account))?;
    if state.ended.is_none() {
        let running = Running::new(&state);
        return Some(format!("{}: {} brought in, {} %.", running.name, running.stored, running.percent));
    }
    let ended = Ended::new(state)?;
    Some(format!("{}: {}", ended.name, ended.text))
}

impl Running {
    fn new(state: &import_job::State) -> Self {
        let progress = &state.progress;
        let (seconds, of) = (state.seconds.max(1), progress.of.max(progress.bytes).max(1));
        let rate = progress.bytes / seconds;
        Running {
            name: state.name.clone(),
            account: state.account.clone(),
            percent: u64::try_from(u128::from(progress.bytes) * 100 / u128::from(of)).unwrap_or(100),
            found: progress.found,
            stored: progress.outcome.stored,
            bytes: human::bytes(progress.bytes),
            of: human::bytes(of),
            rate: human::bytes(rate),
            left: match (of - progress.bytes.min(of)).checked_div(rate) {
                None => "not known yet".to_owned(),
                Some(..60) => "less than a minute".to_owned(),
                Some(left) => human::duration(left),
            },
        }
    }
}

impl Ended {
    fn new(state: import_job::State) -> Option<Self> {
        let (name, account) = (state.name, state.account);
        Some(match state.ended? {
            Ok(info) => {
                let skipped = info.skipped.iter().take(SKIPPED);
                let skipped: Vec<_> = skipped.map(|one| format!("{}: {}", one.what, one.why)).collect();
                let text = if info.found == 0 && info.looked.is_empty() {
                    "No mail was found: it is no mbox, no message, no archive and no folder of these."
                        .to_owned()
                } else if info.found == 0 {
                    format!("No mail was found. Looked at: {}", info.looked.join("; "))
                } else {
                    format!(
                        "{} found: {} brought in ({}), {} there already, {} skipped.",
                        human::count(info.found, "message", "messages"),
                        info.stored,
                        human::bytes(info.bytes),
                        info.present,
                        info.skipped_count
                    )
                };
                Ended {
                    name,
                    account,
                    good: info.failed == 0 && info.found > 0,
                    text,
                    skipped_more: info.skipped_count.saturating_sub(skipped.len() as u64),
                    skipped,
                }
            }
            Err(text) => Ended { name, account, good: false, text, skipped: Vec::new(), skipped_more: 0 },
        })
    }
}

/// Brings in what lies at a path of this machine.
pub(super) async fn start(
    State(shared): State<Arc<Shared>>,
    Submitted { session, form }: Submitted<Typed>,
) -> Response {
    match begin(&shared, form).await {
        Ok(()) => page::next("/import"),
        Err(form) => shown(&shared, &session, form).await,
    }
}

/// Begins to bring in what lies at a path; or gives the form with what is wrong.
pub(super) async fn begin(shared: &Arc<Shared>, typed: Typed) -> Result<(), Form> {
    let path = PathBuf::from(typed.path.trim());
    let order = Order {
        name: path.display().to_string(),
        path,
        account: typed.account.clone(),
        mailbox: wanted(&typed.mailbox),
        seen: !typed.seen.is_empty(),
        temporary: None,
    };
    let (account, mailbox) = (Field::new(typed.account), Field::new(typed.mailbox));
    let here = Fields { account, mailbox, seen: order.seen };
    let mut form = Form { path: Field::new(typed.path), here, ..Form::default() };
    if !order.path.is_absolute() {
        form.path = form.path.wrong("Give the whole path, from / on, such as /media/usb/Mail.");
        return Err(form);
    }
    let imports = shared.imports.clone();
    match shared.act(move |context| imports.start(context, order)).await {
        Ok(()) => Ok(()),
        Err(failure) => {
            place(&failure, &mut form.path, &mut form.here);
            Err(form)
        }
    }
}

/// Puts the reason at the field that it is about.
fn place(failure: &Failure, what: &mut Field, fields: &mut Fields) {
    let field = match failure {
        Failure::Unknown { .. } => &mut fields.account,
        // The mailbox is looked at before the file: see `Imports::start`.
        Failure::Invalid(_) if !is_mailbox(&fields.mailbox.value) => &mut fields.mailbox,
        _ => what,
    };
    field.error = Some(human::sentence(&failure.to_string()));
}

/// Whether mail can go below a mailbox of this name.
fn is_mailbox(typed: &str) -> bool {
    wanted(typed).is_none_or(|name| MailboxName::new(&name).is_ok())
}

/// Asks whether the import is to be broken off.
pub(super) async fn ask_stop(State(shared): State<Arc<Shared>>, session: LoggedIn) -> Response {
    let Some(state) = shared.imports.state().filter(|state| state.ended.is_none()) else {
        return Redirect::to("/import").into_response();
    };
    let question = ask::Ask {
        frame: Frame::new("import", &session),
        title: "Break the import off?".to_owned(),
        text: format!(
            "What was brought in of {} stays. The same import again goes on where this one ends.",
            state.name
        ),
        action: "/import/stop".to_owned(),
        button: "Break it off",
        back: "/import".to_owned(),
    };
    question.show()
}

/// Breaks the import off.
pub(super) async fn stop(
    State(shared): State<Arc<Shared>>,
    Submitted { session, .. }: Submitted<Empty>,
) -> Response {
    shared.imports.stop();
    frame::done(
        &shared,
        &session,
        "The import ends after the present message. What was stored stays.",
        "/import",
    )
}

fn wanted(mailbox: &str) -> Option<String> {
    Some(mailbox.trim().to_owned()).filter(|mailbox| !mailbox.is_empty())
}

/// Takes a file from the browser, then brings in what is in it.
pub(super) async fn upload(
    State(shared): State<Arc<Shared>>,
    session: LoggedIn,
    request: Request,
) -> Response {
    match receive(&shared, &session, request).await {
        Ok(()) => page::next("/import"),
        Err(form) => shown(&shared, &session, form).await,
    }
}

/// Takes an upload and begins to bring it in; or gives the form with what is wrong. The file is streamed to the
/// disk: an archive is read from its end.
pub(super) async fn receive(shared: &Arc<Shared>, session: &LoggedIn, request: Request) -> Result<(), Form> {
    if let Some(why) = refusal(shared, request.headers()) {
        return Err(Form { file: Field::default().wrong(why), ..Form::default() });
    }
    let mut upload = Upload {
        folder: Temporary(shared.spool.join(format!("{SPOOLED}{}", unique()))),
        ..Upload::default()
    };
    let request = upload.allowance.of(request);
    let taken = match Multipart::from_request(request, shared).await {
        Ok(parts) => upload.take(parts, &session.known.csrf).await,
        Err(error) => Err(error.body_text()),
    };
    let (account, mailbox) = (Field::new(&upload.account), Field::new(&upload.mailbox));
    let mut form = Form { upload: Fields { account, mailbox, seen: upload.seen }, ..Form::default() };
    if let Err(why) = taken {
        form.file = form.file.wrong(why);
        return Err(form);
    }
    let (imports, order) = (shared.imports.clone(), upload.order());
    match shared.act(move |context| imports.start(context, order)).await {
        Ok(()) => {
            // The import removes it.
            upload.folder.0 = PathBuf::new();
            Ok(())
        }
        Err(failure) => {
            place(&failure, &mut form.file, &mut form.upload);
            Err(form)
        }
    }
}

/// Why an upload is not taken at all.
fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<String> {
    let length: Option<u64> =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let free = shared.context.store.statistics().free;
    match length {
        None => Some("The browser did not say how large the file is.".to_owned()),
        Some(length) if length > LARGEST_UPLOAD => Some(format!(
            "The file is larger than {}. Copy it to this machine and give its path instead.",
            human::bytes(LARGEST_UPLOAD)
        )),
        // Once as it comes, once as it is stored.
        Some(length) if length.saturating_mul(2).saturating_add(LEFT_FREE) > free => {
            Some(format!("There is not enough room for it: {} are free.", human::bytes(free)))
        }
        Some(_) if shared.imports.is_running() => Some(
            "An import runs already, and one is brought in at a time: wait for it, or break it off."
                .to_owned(),
        ),
        Some(_) => None,
    }
}

/// Removes what uploads left behind that were cut off with the server.
pub(super) fn clear(spool: &Path) {
    let left = std::fs::read_dir(spool).into_iter().flatten().flatten();
    for entry in left.filter(|entry| entry.file_name().to_string_lossy().starts_with(SPOOLED)) {
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(folder = %entry.path().display(), %error, "an unfinished upload cannot be removed");
        }
    }
}

/// A folder that goes when this does.
#[derive(Default)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // It may never have been made.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// What an upload's form said.
#[derive(Default)]
struct Upload {
    folder: Temporary,
    allowance: Allowance,
    name: String,
    account: String,
    mailbox: String,
    seen: bool,
}

impl Upload {
    /// Takes the form's fields; the file is the last of them, and nothing is taken of it before the token was
    /// right.
    async fn take(&mut self, mut parts: Multipart, csrf: &str) -> Result<(), String> {
        let mut signed = false;
        loop {
            self.allowance.between();
            let next = async { parts.next_field().await.map_err(|error| error.body_text()) };
            let Some(mut part) = next.or(stalled()).await? else {
                return Err("No file was chosen.".to_owned());
            };
            self.allowance.inside();
            match part.name().unwrap_or_default() {
                "csrf" => signed = text(&mut part).await? == csrf,
                "account" => self.account = text(&mut part).await?,
                "mailbox" => self.mailbox = text(&mut part).await?,
                "seen" => self.seen = true,
                "file" if !signed => return Err("Go back, reload the page and try again.".to_owned()),
                "file" => {
                    self.name = part.file_name().unwrap_or_default().to_owned();
                    if self.name.is_empty() {
                        return Err("No file was chosen.".to_owned());
                    }
                    return self.receive(part).await;
                }
                _ => {}
            }
        }
    }

    async fn receive(&self, mut part: Part<'_>) -> Result<(), String> {
        let path = self.path();
        let made = smol::unblock(move || create(&path)).await.map_err(|error| reason(&error))?;
        let mut file = smol::Unblock::new(made);
        loop {
            let next = async { part.chunk().await.map_err(|error| error.body_text()) };
            let Some(chunk) = next.or(stalled()).await? else { break };
            file.write_all(&chunk).await.map_err(|error| reason(&error))?;
        }
        file.flush().await.map_err(|error| reason(&error))
    }

    /// Under its own name: what is in it goes to the mailbox of that name.
    fn path(&self) -> PathBuf {
        let name = self.name.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = &name[..name.floor_char_boundary(LONGEST_NAME)];
        self.folder.0.join(if matches!(name, "" | "." | "..") { "mail" } else { name })
    }

    fn order(&self) -> Order {
        Order {
            path: self.path(),
            name: self.name.clone(),
            account: self.account.clone(),
            mailbox: wanted(&self.mailbox),
            seen: self.seen,
            temporary: Some(self.folder.0.clone()),
        }
    }
}

/// The file, in a folder of its own.
fn create(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().mode(0o700).create(folder)?;
    }
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Why the file could not be put on the disk.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "The disk of this machine is full.".to_owned()
        }
        _ => {
            tracing::warn!(%error, "an upload could not be written");
            "The file could not be written on this machine: the log says why.".to_owned()
        }
    }
}

async fn text(part: &mut Part<'_>) -> Result<String, String> {
    let mut bytes = Vec::new();
    loop {
        let next = async { part.chunk().await.map_err(|error| error.body_text()) };
        let Some(chunk) = next.or(stalled()).await? else { break };
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST_FIELD {
            return Err("A field of the form is too long.".to_owned());
        }
    }
    String::from_utf8(bytes).map_err(|_| "A field of the form is no text.".to_owned())
}

async fn stalled<T>() -> Result<T, String> {
    Timer::after(STALL).await;
    Err("The upload stopped.".to_owned())
}

/// A name that nothing has.
fn unique() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{}-{:x}", std::process::id(), now.map_or(0, |since| since.as_nanos()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::{Body, Bytes};
    use axum::extract::DefaultBodyLimit;

    use super::*;

    /// A body of these pieces, and how many of them were asked for.
    fn form(pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) -> (Request, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let pieces = pieces.map(move |piece| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from(piece))
        });
        let body = Body::from_stream(futures_lite::stream::iter(pieces));
        let kind = "multipart/form-data; boundary=b";
        (Request::post("/").header(header::CONTENT_TYPE, kind).body(body).unwrap(), asked)
    }

    fn take(request: Request) -> (Result<(), String>, Upload) {
        let folder = Temporary(std::env::temp_dir().join(format!("postern-upload-test-{}", unique())));
        let mut upload = Upload { folder, ..Upload::default() };
        let mut request = upload.allowance.of(request);
        DefaultBodyLimit::disable().apply(&mut request);
        let taken = smol::block_on(async {
            let parts = Multipart::from_request(request, &()).await.map_err(|error| error.body_text())?;
            upload.take(parts, "token").await
        });
        (taken, upload)
    }

    fn field(name: &str, value: &str) -> Vec<u8> {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes()
    }

    fn file() -> Vec<u8> {
        b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mbox\"\r\n\r\n".to_vec()
    }

    #[test]
    fn a_file_of_any_length_is_taken() {
        let before = [field("csrf", "token"), field("account", "anna"), file()];
        let pieces =
            before.into_iter().chain((0..100).map(|_| vec![b'x'; 100_000])).chain([b"\r\n--b--".to_vec()]);
        let (taken, upload) = take(form(pieces).0);
        taken.unwrap();
        assert_eq!(std::fs::metadata(upload.path()).unwrap().len(), 10_000_000);
        assert_eq!(upload.account, "anna");
    }

    #[test]
    fn what_stands_before_a_field_is_bounded() {
        let endless = || (0..10_000).map(|_| vec![b'x'; 100_000]);
        let header = b"--b\r\nContent-Disposition: form-data; name=\"a".to_vec();
        let preamble: Box<dyn Iterator<Item = Vec<u8>> + Send> = Box::new(endless());
        let first = Box::new([header.clone()].into_iter().chain(endless()));
        let second = Box::new([field("csrf", "token"), header].into_iter().chain(endless()));
        for pieces in [preamble, first, second] {
            let (request, asked) = form(pieces);
            assert!(take(request).0.is_err());
            assert!(asked.load(Ordering::Relaxed) < 8, "{asked:?} pieces of 100,000 bytes");
        }
    }
}
