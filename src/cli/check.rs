//! `postern check`: whether everything in the store agrees and can be read, and the cure where it does not.

use std::io::{IsTerminal, Read, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::perform::{self, PATIENCE, PAUSE};
use super::{Failure, Global, output, restore};
use crate::actions::check::{Going, Last, Scope, State};
use crate::backup;
use crate::backup::folder::Folder;
use crate::backup::source::Source;
use crate::config::remembered::Remembered;
use crate::control::client;
use crate::control::message::{Answer, Request};
use crate::model::ContentHash;
use crate::server;
use crate::store::Error;
use crate::store::check::{ContentSource, Progress, Repaired, Report, repair};
use crate::store::env::RealDisk;
use std::sync::Arc;

/// How often a running server is asked how far it is, and the progress is drawn.
const INTERVAL: Duration = Duration::from_millis(300);

/// What `check` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Look at the index and the files only, and read no message
    #[arg(long, conflicts_with = "repair")]
    quick: bool,
    /// Mend what can be mended; the server must be stopped. With a backup's folder, what is lost comes from there
    #[arg(long, value_name = "BACKUP", num_args = 0..=1)]
    #[allow(clippy::option_option)] // As clap tells an option without its value.
    repair: Option<Option<PathBuf>>,
    /// Read the backup's passphrase from stdin, a line
    #[arg(long, requires = "repair")]
    passphrase_stdin: bool,
}

/// Does it. Fails if something is wrong, or still is.
pub(super) fn run(global: &Global, arguments: Arguments) -> Result<(), Failure> {
    match arguments.repair {
        Some(backup) => mend(global, backup, arguments.passphrase_stdin),
        None => look(global, if arguments.quick { Scope::Quick } else { Scope::Full }),
    }
}

fn look(global: &Global, scope: Scope) -> Result<(), Failure> {
    let mut bar = Bar::new(global);
    let mut state = ask(global, Request::CheckStart(scope))?;
    while let Some(going) = &state.going {
        bar.draw(going);
        std::thread::sleep(INTERVAL);
        state = ask(global, Request::CheckState)?;
    }
    bar.clear();
    if let Some(why) = state.failed {
        return Err(Failure::new(format!("the check did not come to its end: {why}")));
    }
    let last = state.last.ok_or_else(|| Failure::new("the check did not come to its end"))?;
    global.output().value(&last, describe)?;
    verdict(&last.report)
}

fn ask(global: &Global, request: Request) -> Result<State, Failure> {
    match perform::perform(global, request)? {
        Answer::Checks(state) => Ok(*state),
        other => Err(perform::unexpected(&other)),
    }
}

fn describe(last: &Last) -> String {
    let looked = &last.report.looked;
    format!(
        "{}{} rows, {} mailboxes with {} messages, {} contents read ({}), {} volumes: {} s\n{}\n",
        last.report,
        looked.rows,
        looked.mailboxes,
        looked.messages,
        looked.contents,
        super::output::bytes(looked.bytes),
        looked.volumes,
        last.seconds,
        if last.report.is_clean() { "all is well" } else { "not all is well" },
    )
}

/// Whoever calls this from a script learns it from the exit code.
fn verdict(report: &Report) -> Result<(), Failure> {
    match report.faults().count() {
        0 => Ok(()),
        1 => Err(Failure::new("one thing is wrong")),
        n => Err(Failure::new(format!("{n} things are wrong"))),
    }
}

fn mend(global: &Global, backup: Option<PathBuf>, passphrase_stdin: bool) -> Result<(), Failure> {
    let config = global.config()?;
    match client::ask(&config.socket, &Request::CheckState) {
        // One that waits until its store can be opened answers with a refusal, and does not hold the store.
        Err(client::Error::NotRunning | client::Error::Refused(_)) => {}
        Ok(_) => {
            return Err(Failure::Reason {
                reason: "a server is running: stop it first, for a repair needs the store to itself"
                    .to_owned(),
                advice: vec!["systemctl stop postern".to_owned()],
            });
        }
        Err(error) => return Err(Failure::new(error)),
    }
    // As root, who may read a stick that the owner of the data folder may not.
    let mut source = backup.map(|folder| open_backup(&folder, passphrase_stdin)).transpose()?;
    let remembered = perform::prepare_repair(&config)?;
    let mut options = server::store_options(&config.data);
    options.expect = remembered.as_ref().and_then(Remembered::expected);
    let mut bar = Bar::new(global);
    let since = Instant::now();
    let done = loop {
        let from = source.as_mut().map(|source| source as &mut dyn ContentSource);
        let mut watch = |progress: Progress| {
            bar.draw(&progress.into());
            ControlFlow::Continue(())
        };
        match repair(options.clone(), from, &mut watch) {
            Err(Error::Locked(_)) if since.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            other => break other?,
        }
    };
    bar.clear();
    global.output().value(&done, tell)?;
    verdict(&done.left)
}

fn tell(done: &Repaired) -> String {
    let verdict = if done.left.is_clean() { "all is well" } else { "not all could be mended" };
    format!("{done}{verdict}\n")
}

/// A backup, of which what the store has lost is taken.
struct FromBackup(Source);

impl ContentSource for FromBackup {
    fn content(&mut self, hash: &ContentHash, size: u64, out: &mut dyn Write) -> Result<bool, Error> {
        let mut take = |bytes: &[u8]| {
            let written = out.write_all(bytes);
            written.map_err(|error| backup::Error::Store(Error::io("putting back a message", error)))
        };
        self.0.read(&hash.0, size, &mut take).map_err(reading)
    }

    fn catalogue(&mut self) -> Result<Option<Box<dyn Read>>, Error> {
        match self.0.newest() {
            Ok((_, manifest)) => Ok(Some(Box::new(manifest.catalogue(&self.0.secrets).map_err(reading)?))),
            Err(backup::Error::NoGeneration(_)) => Ok(None),
            Err(error) => Err(reading(error)),
        }
    }
}

fn reading(error: backup::Error) -> Error {
    match error {
        backup::Error::Store(error) => error,
        other => Error::io("reading the backup", std::io::Error::other(other.to_string())),
    }
}

fn open_backup(folder: &std::path::Path, from_stdin: bool) -> Result<FromBackup, Failure> {
    let folder = Folder::open(Arc::new(RealDisk), &std::path::absolute(folder)?).map_err(Failure::new)?;
    let passphrase = restore::passphrase(folder.marker.recipient.is_some(), from_stdin)?;
    Source::open(folder, passphrase.as_deref()).map(FromBackup).map_err(Failure::new)
}

/// How far it is, on a terminal.
struct Bar {
    terminal: bool,
    drawn: Option<Instant>,
}

impl Bar {
    fn new(global: &Global) -> Self {
        Bar { terminal: std::io::stderr().is_terminal() && !global.json, drawn: None }
    }

    fn draw(&mut self, going: &Going) {
        if !self.terminal || self.drawn.is_some_and(|drawn| drawn.elapsed() < INTERVAL) {
            return;
        }
        self.drawn = Some(Instant::now());
        output::draw(&match going.total {
            0 => format!("{} …", going.step),
            total => format!("{}: {} of {total}", going.step, going.done),
        });
    }

    fn clear(&self) {
        if self.drawn.is_some() {
            output::draw("");
        }
    }
}
