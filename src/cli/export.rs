//! `postern export`: mail as files that other programs read.

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Failure, Global, output, perform, transfer};
use crate::actions::export::{Choice, Summary};
use crate::actions::human;
use crate::control::message::{Answer, Request};
use crate::control::transfer::receive;
use crate::export::{self, Format, Meta, Outlet};
use crate::store::RESERVE;
use crate::store::env::{Disk, RealDisk};

/// How often the progress is drawn.
const INTERVAL: Duration = Duration::from_millis(200);

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// An empty folder, or one that is made
    folder: PathBuf,
    /// Whose mail; needed where there are several accounts
    #[arg(long)]
    account: Option<String>,
    /// Only this mailbox and those below it
    #[arg(long)]
    mailbox: Option<String>,
    /// Only what arrived on this day or later
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = human::parse_day)]
    since: Option<i64>,
    /// Only what arrived before this day
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = human::parse_day)]
    before: Option<i64>,
    /// What to write
    #[arg(long, value_enum, default_value = "maildir")]
    format: FormatArgument,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FormatArgument {
    /// Maildir++ with flags and keywords, as Dovecot and others read it
    Maildir,
    /// A file a mailbox (mboxrd), with flags
    Mbox,
    /// A file a message; flags are lost
    Eml,
}

/// Does it.
pub(super) fn run(global: &Global, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { folder, account, mailbox, since, before, format } = arguments;
    let format = match format {
        FormatArgument::Maildir => Format::Maildir,
        FormatArgument::Mbox => Format::Mbox,
        FormatArgument::Eml => Format::Eml,
    };
    let chosen = (mailbox.is_none() && since.is_none() && before.is_none()).then(|| account.clone());
    let room = Room::beside_data(global, &folder)?;
    if let (Some(room), Some(account)) = (&room, chosen) {
        room.check_all(global, account.as_deref())?;
    }
    let request = Request::Export(Choice { account, mailbox, since, before });
    let connection = transfer::open(global, &request)?;
    let at = |error: std::io::Error| Failure::new(format!("{}: {error}", folder.display()));
    let (mut input, ending) = connection.split();
    let inner = export::open(format, &folder).map_err(at)?;
    let terminal = std::io::stderr().is_terminal() && !global.json;
    let mut outlet = Shown { inner, room, terminal, messages: 0, bytes: 0, shown: Instant::now() };
    let received = receive(&mut input, &mut outlet);
    outlet.clear();
    drop((outlet, input));
    let summary = received.map_err(|reason| Failure::new(format!("{}: {reason}", folder.display())))?;
    ending.wait()?;
    global.output().value(&summary, |summary| describe(summary, &folder))?;
    match summary.damaged_count {
        0 => Ok(()),
        n => Err(Failure::new(format!("{n} messages could not be read; run `postern check`"))),
    }
}

fn describe(summary: &Summary, folder: &std::path::Path) -> String {
    let mut text: String = summary.damaged.iter().map(|which| format!("damaged: {which}\n")).collect();
    text.push_str(&format!(
        "{} messages ({}) of {} mailboxes written to {}\n",
        summary.messages,
        output::bytes(summary.bytes),
        summary.mailboxes,
        folder.display()
    ));
    text
}

/// The disk that the data lies on, where the export goes to the same one: what new mail and deleting need there
/// must be left.
struct Room {
    /// A folder that is there.
    folder: PathBuf,
}

impl Room {
    fn beside_data(global: &Global, folder: &Path) -> Result<Option<Room>, Failure> {
        let data = global.config()?.data;
        let absolute = std::path::absolute(folder)?;
        let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
        let found = absolute.ancestors().find_map(|path| Some((path, device(path)?)));
        Ok(found
            .filter(|(_, on)| device(&data) == Some(*on))
            .map(|(path, _)| Room { folder: path.to_owned() }))
    }

    fn check(&self, bytes: u64) -> std::io::Result<()> {
        let free = RealDisk.free_space(&self.folder)?;
        if free >= RESERVE.saturating_add(bytes) {
            return Ok(());
        }
        let text = format!(
            "the disk has {} free, and the export needs {} more beside the {} that the store must keep there; \
             export to another disk",
            output::bytes(free),
            output::bytes(bytes),
            output::bytes(RESERVE)
        );
        Err(std::io::Error::new(std::io::ErrorKind::StorageFull, text))
    }

    /// Before anything is written, where it is known how much it will be.
    fn check_all(&self, global: &Global, account: Option<&str>) -> Result<(), Failure> {
        let Answer::Status(info) = perform::perform(global, Request::Status)? else { return Ok(()) };
        let wanted = info.accounts.iter().filter(|info| account.is_none_or(|name| info.name == name));
        self.check(wanted.map(|info| info.bytes).sum()).map_err(Failure::new)
    }
}

/// Counts what passes, on a terminal.
struct Shown {
    inner: Box<dyn Outlet>,
    room: Option<Room>,
    terminal: bool,
    messages: u64,
    bytes: u64,
    shown: Instant,
}

impl Shown {
    fn clear(&self) {
        if self.terminal {
            output::draw("");
        }
    }
}

impl Outlet for Shown {
    fn mailbox(&mut self, name: &str) -> std::io::Result<()> {
        self.inner.mailbox(name)
    }

    fn message(&mut self, meta: &Meta) -> std::io::Result<()> {
        if let Some(room) = &self.room {
            room.check(meta.size)?;
        }
        self.inner.message(meta)
    }

    fn data(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.inner.data(bytes)
    }

    fn end(&mut self) -> std::io::Result<()> {
        self.messages += 1;
        if self.terminal && self.shown.elapsed() >= INTERVAL {
            self.shown = Instant::now();
            output::draw(&format!("{} messages  {}", self.messages, output::bytes(self.bytes)));
        }
        self.inner.end()
    }

    fn broken(&mut self) -> std::io::Result<()> {
        self.inner.broken()
    }
}
