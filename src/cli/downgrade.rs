//! `postern downgrade`

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::move_data::{make_for_owner, refuse_running};
use super::service::Service;
use super::{Failure, Global, perform, secret};
use crate::actions::downgrade::{Written, write_since};
use crate::actions::words;
use crate::config::Config;
use crate::server;
use crate::store::Store;
use crate::store::going_back::{self, Before};

/// How it is done.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// An empty folder for what came since, or one that is made [default: beside the data folder]
    folder: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only print the version below which one must go back; nothing if none must
    #[arg(long, conflicts_with_all = ["folder", "yes"])]
    needed_below: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Done {
    /// The store's format now.
    format: u32,
    /// How the index of this version is kept.
    kept_as: String,
    /// What came since, account by account.
    written: Vec<Written>,
}

/// Does it.
pub(super) fn run(global: &Global, arguments: Arguments) -> Result<(), Failure> {
    let config = global.config()?;
    if arguments.needed_below {
        return needed_below(global, &config);
    }
    let into = arguments.folder.unwrap_or_else(|| beside(&config.data));
    if !arguments.yes {
        secret::agree(
            "Your mail goes back to how it was before the last upgrade of its format. What came since is written into \
             a folder, to be brought in again; flags, names and passwords that you changed since are as they were.",
        )?;
    }
    let service = Service::of(&config);
    if let Some(service) = &service {
        service.stop()?;
    }
    refuse_running(&config)?;
    make_for_owner(&config.data, &into)?;
    let done = in_owners_thread(&config, move |config| go(config, &into))?;
    global.output().value(&done, describe)
}

/// In a thread of its own, which becomes the owner: what root does besides needs root again.
fn in_owners_thread<T: Send + 'static>(
    config: &Config,
    work: impl FnOnce(&Config) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let config = config.clone();
    let thread = std::thread::spawn(move || work(&config));
    thread.join().unwrap_or_else(|_| Err(Failure::new("going back failed")))
}

/// What there is to go back to, and the store, if it can be opened.
fn before(config: &Config) -> Result<(Store, Option<Before>), Failure> {
    let remembered = perform::prepare(config, false)?;
    let store = server::open_store(&config.data, remembered)?;
    let before = store.before_migration()?;
    Ok((store, before))
}

fn go(config: &Config, into: &Path) -> Result<Done, Failure> {
    let options = server::store_options(&config.data);
    let written = if going_back::is_between(&*options.disk, &config.data).map_err(Failure::new)? {
        perform::prepare(config, false)?;
        Vec::new()
    } else {
        let (store, before) = before(config)?;
        let Some(before) = before else {
            store.close()?;
            return Err(Failure::new(
                "there is nothing to go back to: the format was not changed in the last 14 days",
            ));
        };
        let written = write_since(&store, &before, into);
        store.close()?;
        let written = written?;
        let damaged: u64 = written.iter().map(|written| written.summary.damaged_count).sum();
        if damaged > 0 {
            return Err(Failure::new(format!(
                "{} that came since cannot be read, and would be lost; run `postern check --repair` first",
                words::count(damaged, "message", "messages")
            )));
        }
        written
    };
    let (format, kept_as) = going_back::go_back(&options)?;
    Ok(Done { format, kept_as, written })
}

fn needed_below(global: &Global, config: &Config) -> Result<(), Failure> {
    let found = in_owners_thread(config, |config| match before(config) {
        Ok((store, before)) => {
            store.close()?;
            Ok(before.and_then(|before| before.migrated_by))
        }
        Err(failure) => Err(failure),
    })?;
    global
        .output()
        .value(&found, |found| found.as_ref().map_or(String::new(), |version| format!("{version}\n")))
}

/// Beside the data folder, so that nothing of the store lies in it.
fn beside(data: &Path) -> PathBuf {
    let mut name = data.as_os_str().to_owned();
    name.push(".since-upgrade");
    PathBuf::from(name)
}

fn describe(done: &Done) -> String {
    let mut text = format!(
        "The store is as the older version left it (format {}). The index of this version is kept for 14 days as {}.\n",
        done.format, done.kept_as
    );
    let some: Vec<&Written> = done.written.iter().filter(|written| written.summary.messages > 0).collect();
    if some.is_empty() {
        text.push_str("No mail had come since. Install the older version now.\n");
        return text;
    }
    text.push_str("Install the older version, start it, and bring in what came since:\n");
    for written in some {
        let name = quoted(&written.account);
        if !written.is_known {
            text.push_str(&format!("  postern account add {name}\n"));
        }
        text.push_str(&format!(
            "  postern import --account {name} {}    # {}\n",
            quoted(&written.folder.display().to_string()),
            words::count(written.summary.messages, "message", "messages")
        ));
    }
    text
}

/// As a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+@".contains(letter);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
