//! `postern restore`

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::service::Service;
use super::{Failure, Global, backup, output, perform, secret, serve};
use crate::actions::backup::{Wanted, generation};
use crate::actions::backup_job::Ended;
use crate::actions::human;
use crate::backup::folder::Folder;
use crate::backup::manifest::{self, Generation};
use crate::backup::restore::{self, Restored};
use crate::backup::run::Progress;
use crate::backup::source::Source;
use crate::config::{Config, LogLevel};
use crate::control::message::{Answer, Request};
use crate::server;
use crate::store::env::RealDisk;
use crate::store::{self, Options};

/// How often the progress is drawn.
const INTERVAL: Duration = Duration::from_millis(200);

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The backup's folder
    folder: PathBuf,
    /// Add this account's mail to the store that is there, instead of making a store anew
    #[arg(long)]
    account: Option<String>,
    /// Only this mailbox and those below it
    #[arg(long, requires = "account")]
    mailbox: Option<String>,
    /// Only what arrived on this day or later
    #[arg(long, requires = "account", value_name = "YYYY-MM-DD", value_parser = human::parse_day)]
    since: Option<i64>,
    /// Which generation, by its number [default: the newest that is whole]
    #[arg(long, value_name = "NUMBER")]
    generation: Option<u64>,
    /// Read the passphrase from stdin, a line
    #[arg(long)]
    passphrase_stdin: bool,
    /// List the generations, and do nothing
    #[arg(long, conflicts_with_all = ["account", "verify"])]
    list: bool,
    /// Read all of the backup, say what is damaged, and do nothing
    #[arg(long, conflicts_with = "account")]
    verify: bool,
}

/// Does it.
pub(super) fn run(global: &Global, arguments: Arguments) -> Result<(), Failure> {
    let path = std::path::absolute(&arguments.folder)?;
    let folder = Folder::open(Arc::new(RealDisk), &path).map_err(Failure::new);
    if let (Some(account), true) = (&arguments.account, folder.is_err()) {
        // Whoever asks may not read it, and the server may.
        return add(global, &arguments, path, account.clone(), true);
    }
    let folder = folder?;
    if arguments.list {
        let generations = manifest::list(&folder).map_err(Failure::new)?;
        return global.output().value(&generations, |all| all.iter().map(describe).collect());
    }
    let is_encrypted = folder.marker.recipient.is_some();
    if let Some(account) = &arguments.account {
        return add(global, &arguments, path, account.clone(), is_encrypted);
    }
    let passphrase = passphrase(is_encrypted, arguments.passphrase_stdin)?;
    let source = Source::open(folder, passphrase.as_deref()).map_err(Failure::new)?;
    if arguments.verify {
        return verify(global, &source);
    }
    anew(global, source, arguments.generation)
}

pub(super) fn passphrase(is_encrypted: bool, from_stdin: bool) -> Result<Option<String>, Failure> {
    if !is_encrypted {
        return Ok(None);
    }
    secret::password("Passphrase of the backup: ", from_stdin).map(Some)
}

fn describe(generation: &Generation) -> String {
    format!("{:>6}  {}\n", generation.number, output::day(generation.time))
}

fn verify(global: &Global, source: &Source) -> Result<(), Failure> {
    let damaged = source.verify().map_err(Failure::new)?;
    global.output().value(&damaged, |damaged| match damaged.is_empty() {
        true => "the backup is whole\n".to_owned(),
        false => damaged.iter().map(|line| format!("{line}\n")).collect(),
    })?;
    match damaged.len() {
        0 => Ok(()),
        n => Err(Failure::new(format!(
            "the backup is damaged in {}",
            human::count(n as u64, "place", "places")
        ))),
    }
}

fn add(
    global: &Global,
    arguments: &Arguments,
    folder: PathBuf,
    account: String,
    is_encrypted: bool,
) -> Result<(), Failure> {
    let wanted = Wanted {
        folder,
        passphrase: passphrase(
            is_encrypted && (arguments.passphrase_stdin || std::io::stdin().is_terminal()),
            arguments.passphrase_stdin,
        )?,
        generation: arguments.generation,
        account,
        mailbox: arguments.mailbox.clone(),
        since: arguments.since,
    };
    let ended = match perform::perform(global, Request::BringBack(wanted))? {
        Answer::BackupBegun => backup::wait(global)?,
        Answer::BackupEnded(ended) => *ended,
        other => return Err(perform::unexpected(&other)),
    };
    let merged = match ended {
        Ended::Merged(merged) => merged,
        Ended::Failed(why) => return Err(Failure::new(why)),
        Ended::Made(_) => return Err(Failure::new("the server did something else")),
    };
    global.output().value(&merged, |merged| {
        let mut text: String = merged.missing.iter().map(|line| format!("missing: {line}\n")).collect();
        text.push_str(&format!(
            "{} added, {} there already (backup of {})\n",
            human::count(merged.added, "message", "messages"),
            merged.known,
            output::day(merged.time)
        ));
        text
    })?;
    missing(merged.missing_count)
}

fn missing(count: u64) -> Result<(), Failure> {
    match count {
        0 => Ok(()),
        n => Err(Failure::new(format!(
            "the content of {} is not in the backup",
            human::count(n, "message", "messages")
        ))),
    }
}

/// Makes the store anew. As root all of it is done as root, who alone may read every disk, and belongs to the data
/// folder's owner at the end.
fn anew(global: &Global, mut source: Source, number: Option<u64>) -> Result<(), Failure> {
    serve::start_log(LogLevel::Warn);
    let config = global.config()?;
    let manifest = generation(&source, number)?;
    let service = Service::of(&config).filter(Service::runs);
    if let Some(service) = &service {
        service.stop()?;
    }
    let restored = restore_to(&config, &mut source, &manifest, global.json);
    // Even where it did not work: what was there before is there still.
    let owned = give_to_owner(&config.data);
    if restored.is_ok()
        && let Some(service) = &service
    {
        service.start()?;
    }
    let restored = restored?;
    owned?;
    global.output().value(&restored, |restored| {
        let mut text: String = restored.missing.iter().map(|line| format!("missing: {line}\n")).collect();
        text.push_str(&format!(
            "{} of {} are back as of {}, in {}\n",
            human::count(restored.messages, "message", "messages"),
            human::count(restored.accounts, "account", "accounts"),
            output::day(restored.time),
            config.data.display()
        ));
        text
    })?;
    missing(restored.missing_count)
}

fn restore_to(
    config: &Config,
    source: &mut Source,
    manifest: &manifest::Manifest,
    quiet: bool,
) -> Result<Restored, Failure> {
    let mut remembered = server::remembered(config)?;
    if let Some(holder) = store::holder(&config.data) {
        return Err(Failure::new(format!(
            "{holder} uses the data folder: stop the server first (as a service: `systemctl stop postern`)"
        )));
    }
    let progress = Arc::new(Progress::default());
    let done = Arc::new(AtomicBool::new(false));
    let shown = show(&progress, &done, quiet);
    let restored = restore::restore(&Options::new(&config.data), source, manifest, &progress);
    done.store(true, Ordering::Relaxed);
    if let Some(thread) = shown {
        let _ = thread.join();
    }
    let restored = restored.map_err(Failure::new)?;
    if let (Some(remembered), Some(id)) = (&mut remembered, manifest.store())
        && let Err(error) = remembered.remember(id)
    {
        tracing::warn!(%error, "which store belongs here cannot be remembered");
    }
    Ok(restored)
}

fn show(
    progress: &Arc<Progress>,
    done: &Arc<AtomicBool>,
    quiet: bool,
) -> Option<std::thread::JoinHandle<()>> {
    if quiet || !std::io::stderr().is_terminal() {
        return None;
    }
    let (progress, done) = (Arc::clone(progress), Arc::clone(done));
    let draw = move || {
        while !done.load(Ordering::Relaxed) {
            let load = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
            let (at, all, bytes) = (load(&progress.done), load(&progress.all), load(&progress.bytes));
            output::draw(&format!("{at} of {all}  {}", output::bytes(bytes)));
            std::thread::sleep(INTERVAL);
        }
        output::draw("");
    };
    std::thread::Builder::new().name("progress".to_owned()).spawn(draw).ok()
}

/// Nothing in a data folder belongs to root unless the folder does.
fn give_to_owner(data: &Path) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let Ok(owner) = std::fs::metadata(data) else { return Ok(()) };
    let failed = |path: &Path, error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    for folder in [data.to_owned(), data.join("journal"), data.join("mail")] {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.map_while(Result::ok).map(|entry| entry.path()).chain([folder.clone()]) {
            let about = entry.symlink_metadata().map_err(|error| failed(&entry, error))?;
            if (about.uid(), about.gid()) != (owner.uid(), owner.gid()) {
                std::os::unix::fs::lchown(&entry, Some(owner.uid()), Some(owner.gid()))
                    .map_err(|error| failed(&entry, error))?;
            }
        }
    }
    Ok(())
}
