//! `postern downgrade`

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::move_data::{make_for_owner, refuse_running};
use super::service::Service;
use super::{Failure, Global, perform, secret};
use crate::actions::downgrade::{Written, lines, lines_in, write_since};
use crate::actions::move_data::check_target;
use crate::config::Config;
use crate::server;
use crate::store::Store;
use crate::store::going_back::{self, Before, Way};

/// Folders that are tried beside the data folder.
const FOLDERS: u32 = 1_000;

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
    /// What brings it in again; none if an earlier call has written it out, and it is not known where to.
    lines: Option<String>,
}

/// Does it.
pub(super) fn run(global: &Global, arguments: Arguments) -> Result<(), Failure> {
    let config = global.config()?;
    let way = way(&config)?;
    if arguments.needed_below {
        return needed_below(global, &config, way);
    }
    let done = match way {
        Way::None => {
            return Err(Failure::new(
                "there is nothing to go back to: the store's format was not changed in the last 14 days",
            ));
        }
        Way::Kept => {
            let into = match arguments.folder {
                Some(folder) => std::path::absolute(folder)?,
                None => beside(&config.data)?
                    .find(|folder| check_target(&config.data, folder).is_ok())
                    .ok_or_else(|| Failure::new("name an empty folder for what came since"))?,
            };
            check_target(&config.data, &into)?;
            ask(arguments.yes)?;
            go(&config, &into)?
        }
        Way::Begun => {
            let lines = match arguments.folder {
                Some(folder) => lines_in(&folder),
                None => beside(&config.data)?.rev().find_map(|folder| lines_in(&folder)),
            };
            ask(arguments.yes)?;
            go_on(&config, lines)?
        }
    };
    global.output().value(&done, describe)
}

/// A data folder that is not there is told of by what opens it.
fn way(config: &Config) -> Result<Way, Failure> {
    if !config.data.try_exists().unwrap_or(true) {
        perform::prepare(config, false)?;
    }
    going_back::way(&server::store_options(&config.data)).map_err(Failure::new)
}

fn ask(yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    secret::agree(
        "Your mail goes back to how it was before the last upgrade of its format. What came since is written into a \
         folder, to be brought in again; flags, names and passwords that you changed since are as they were.",
    )
}

/// Writes out what came since, and goes back.
fn go(config: &Config, into: &Path) -> Result<Done, Failure> {
    let service = Service::of(config);
    let ran = service.as_ref().map_or(Ok(false), Service::stop)?;
    let is_new = !into.exists();
    let done = refuse_running(config)
        .and_then(|()| make_for_owner(&config.data, into))
        .and_then(|()| in_owners_thread(config, into, write_and_go));
    if is_new {
        // Where nothing was written into it.
        let _ = std::fs::remove_dir(into);
    }
    // Whatever went wrong, mail goes on, with this version.
    if done.is_err()
        && ran
        && let Some(service) = &service
    {
        service.start()?;
    }
    done
}

/// Ends what was cut short after everything had been written.
fn go_on(config: &Config, lines: Option<String>) -> Result<Done, Failure> {
    if let Some(service) = Service::of(config) {
        service.stop()?;
    }
    refuse_running(config)?;
    let (format, kept_as) = in_owners_thread(config, &config.data, |config, _| {
        perform::prepare(config, false)?;
        going_back::go_back(&server::store_options(&config.data)).map_err(Failure::new)
    })?;
    Ok(Done { format, kept_as, written: Vec::new(), lines })
}

/// In a thread of its own, which becomes the owner: what root does besides needs root again.
fn in_owners_thread<T: Send + 'static>(
    config: &Config,
    folder: &Path,
    work: impl FnOnce(&Config, &Path) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (config, folder) = (config.clone(), folder.to_owned());
    let thread = std::thread::spawn(move || work(&config, &folder));
    thread.join().unwrap_or_else(|_| Err(Failure::new("going back failed")))
}

/// The store, and what there is to go back to.
fn before(config: &Config) -> Result<(Store, Option<Before>), Failure> {
    let remembered = perform::prepare(config, false)?;
    let store = server::open_store(&config.data, remembered)?;
    let before = store.before_migration()?;
    Ok((store, before))
}

fn write_and_go(config: &Config, into: &Path) -> Result<Done, Failure> {
    let (store, before) = before(config)?;
    let before = before.ok_or_else(|| Failure::new("there is no index of an older format to go back to"))?;
    let written = write_since(&store, &before, into);
    store.close()?;
    let written = written?;
    let (format, kept_as) =
        going_back::go_back(&server::store_options(&config.data)).map_err(Failure::new)?;
    let lines = Some(lines(&written));
    Ok(Done { format, kept_as, written, lines })
}

fn needed_below(global: &Global, config: &Config, way: Way) -> Result<(), Failure> {
    let found = match way {
        Way::None => None,
        // No version opens it as it is.
        Way::Begun => Some(env!("CARGO_PKG_VERSION").to_owned()),
        Way::Kept => in_owners_thread(config, &config.data, |config, _| {
            let (store, before) = before(config)?;
            store.close()?;
            Ok(before.and_then(|before| before.migrated_by))
        })?,
    };
    global
        .output()
        .value(&found, |found| found.as_ref().map_or(String::new(), |version| format!("{version}\n")))
}

/// Folders beside the data folder, so that nothing of the store lies in them.
fn beside(data: &Path) -> Result<impl DoubleEndedIterator<Item = PathBuf>, Failure> {
    let data = std::path::absolute(data)?;
    Ok((1..=FOLDERS).map(move |n| {
        let mut name = data.as_os_str().to_owned();
        name.push(".since-upgrade");
        if n > 1 {
            name.push(format!("-{n}"));
        }
        PathBuf::from(name)
    }))
}

fn describe(done: &Done) -> String {
    let mut text = format!(
        "The store is as the older version left it (format {}). The index of this version is kept for 14 days as {}.\n",
        done.format, done.kept_as
    );
    text.push_str(&match done.lines.as_deref() {
        None => "What came since, if anything did, was written out by the earlier call; bring-in.txt in that folder says how \
                 it comes in again. Install the older version now.\n"
            .to_owned(),
        Some("") => "No mail had come since. Install the older version now.\n".to_owned(),
        Some(lines) => format!("Install the older version, start it, and bring in what came since:\n{lines}"),
    });
    text
}
