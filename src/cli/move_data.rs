//! `postern move-data`

use std::io::IsTerminal;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::service::Service;
use super::{Failure, Global, output, perform};
use crate::actions::move_data::{self, Moved};
use crate::config::{Config, moved, remembered::Remembered};
use crate::control::client;
use crate::control::message::Request;
use crate::server;

/// Where to.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The new folder: empty, or not there yet
    folder: PathBuf,
}

/// Moves the data folder.
pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let config = global.config()?;
    let to = &arguments.folder;
    move_data::check_target(&config.data, to)?;
    let service = Service::of(&config);
    let ran = match &service {
        Some(service) => service.stop()?,
        None => false,
    };
    refuse_running(&config)?;
    let moved = make_for_owner(&config.data, to).and_then(|()| copy(&config, to));
    let switched = moved.and_then(|moved| switch(&config, service.as_ref(), to).map(|()| moved));
    // Whatever went wrong, mail goes on: from the old folder until the new one is the one.
    if ran && let Some(service) = &service {
        service.start()?;
    }
    let moved = switched?;
    global.output().value(&moved, |moved| text(&config, moved))
}

pub(super) fn refuse_running(config: &Config) -> Result<(), Failure> {
    match client::ask(&config.socket, &Request::Status) {
        Err(client::Error::NotRunning) => Ok(()),
        _ => Err(Failure::Reason {
            reason: "the server runs: stop it first, for what it takes in meanwhile would be left behind"
                .to_owned(),
            advice: vec!["systemctl stop postern".to_owned()],
        }),
    }
}

/// The new folder belongs to whom the old one belongs to: what root makes nobody else could use.
pub(super) fn make_for_owner(from: &Path, to: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", to.display()));
    let about = std::fs::metadata(from).map_err(failed)?;
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(to).map_err(failed)?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(to, Some(about.uid()), Some(about.gid())).map_err(failed)?;
    }
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(to, private).map_err(failed)
}

/// In a thread of its own, which becomes the owner: what follows needs root again.
fn copy(config: &Config, to: &Path) -> Result<Moved, Failure> {
    let (config, to) = (config.clone(), to.to_owned());
    let copying = std::thread::spawn(move || -> Result<Moved, Failure> {
        let remembered = perform::prepare(&config, false)?;
        // Opened once more and closed in order: what a crash left in the journal is in its place then.
        server::open_store(&config.data, remembered)?.close()?;
        let _held = move_data::hold(&config.data)?;
        let copied = move_data::copy(&config.data, &to, &mut show);
        if copied.is_err() {
            move_data::clean(&config.data, &to);
        }
        Ok(copied?)
    });
    copying.join().unwrap_or_else(|_| Err(Failure::new("the copy failed")))
}

/// On a terminal only, on a line that is written over.
fn show(done: u64, all: u64) {
    if std::io::stderr().is_terminal() {
        let end = if done == all { "\n" } else { "" };
        output::draw(&format!("{} of {}{end}", output::bytes(done), output::bytes(all)));
    }
}

fn switch(config: &Config, service: Option<&Service>, to: &Path) -> Result<(), Failure> {
    let Some(file) = &config.file else { return Ok(()) };
    if let Some(service) = service {
        service.open_data(to)?;
    }
    remember(config, file, to);
    moved::name_data(file, to).map_err(Failure::new)
}

/// Where the new disk is not mounted one day, no new store is begun in its place.
fn remember(config: &Config, file: &Path, to: &Path) {
    let id = Remembered::load(file, &config.data).ok().and_then(|old| old.expected());
    if let (Some(id), Ok(mut new)) = (id, Remembered::load(file, to)) {
        let _ = new.remember(id);
    }
}

fn text(config: &Config, moved: &Moved) -> String {
    let (from, to) = (moved.from.display(), moved.to.display());
    let next = match &config.file {
        Some(file) => format!("{} names it now. ", file.display()),
        None => format!("Start the server with --data {to} from now on. "),
    };
    format!(
        "{} files, {}, were copied to {to} and compared. {next}The old folder is as it was: when all is well, delete \
         it with\n  rm -r {from}\n",
        moved.files,
        output::bytes(moved.bytes)
    )
}
