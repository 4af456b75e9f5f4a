//! `postern backup`

use std::io::IsTerminal;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::service::Service;
use super::{Failure, Global, output, perform, secret};
use crate::actions::backup::{Info, Kept, Order, Report};
use crate::actions::backup_job::{Ended, State};
use crate::actions::human;
use crate::control::message::{Answer, Request};

/// How often somebody who waits is told.
const INTERVAL: Duration = Duration::from_millis(200);

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder, on another disk: it is made if it is not there; none: the one that is set up
    folder: Option<PathBuf>,
    /// Encrypt a new backup with a passphrase; it is needed to restore, and nobody can do without it
    #[arg(long)]
    encrypt: bool,
    /// From now on, make one every day at this hour (UTC), as long as the server runs
    #[arg(long, value_name = "HOUR", value_parser = clap::value_parser!(u8).range(0..24))]
    daily: Option<u8>,
    /// How many days, weeks and months stay [default: 7,4,12]
    #[arg(long, value_name = "DAYS,WEEKS,MONTHS")]
    keep: Option<KeepArgument>,
    /// Allow the disk that the mail lies on, with which the backup would be lost
    #[arg(long)]
    same_disk: bool,
    /// Begin a new backup in a folder where one was, and is no more
    #[arg(long)]
    anew: bool,
    /// Read the passphrase from stdin, a line
    #[arg(long)]
    passphrase_stdin: bool,
    /// Show what is set up, and how the last one went
    #[arg(long, conflicts_with_all = ["folder", "encrypt", "daily", "keep", "off"])]
    show: bool,
    /// Make none every day any more; what was made stays
    #[arg(long, conflicts_with_all = ["folder", "encrypt", "daily", "keep"])]
    off: bool,
}

/// `7,4,12`
#[derive(Clone, Copy, Debug)]
struct KeepArgument(Kept);

impl FromStr for KeepArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<u32>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some([daily, weekly, monthly]) => {
                Ok(KeepArgument(Kept { daily: *daily, weekly: *weekly, monthly: *monthly }))
            }
            _ => Err("it must be three numbers as 7,4,12".to_owned()),
        }
    }
}

/// Does it.
pub(super) fn run(global: &Global, arguments: Arguments) -> Result<(), Failure> {
    if arguments.off {
        perform::perform(global, Request::BackupOff)?;
        return global.output().done("no backup is made every day any more");
    }
    if arguments.show {
        return match perform::perform(global, Request::BackupInfo)? {
            Answer::Backups(standing) => global.output().value(&standing.info, describe),
            other => Err(perform::unexpected(&other)),
        };
    }
    let folder = arguments.folder.map(std::path::absolute).transpose()?;
    let passphrase = match (arguments.encrypt, arguments.passphrase_stdin) {
        (true, from_stdin) => Some(secret::new_password(from_stdin)?),
        (false, true) => Some(secret::password("Passphrase: ", true)?),
        (false, false) => None,
    };
    if arguments.encrypt && passphrase.as_deref().is_none_or(str::is_empty) {
        return Err(Failure::Usage("the passphrase is empty".to_owned()));
    }
    let service = Service::of(&global.config()?);
    if let (Some(service), Some(folder)) = (&service, &folder) {
        service.open_backup(folder)?;
    }
    let order = Order {
        folder,
        passphrase,
        hour: arguments.daily,
        keep: arguments.keep.map(|keep| keep.0),
        same_disk: arguments.same_disk,
        anew: arguments.anew,
    };
    let ended = match perform::perform(global, Request::Backup(order))? {
        Answer::BackupBegun => wait(global)?,
        Answer::BackupEnded(ended) => *ended,
        other => return Err(perform::unexpected(&other)),
    };
    match ended {
        Ended::Made(report) => told(global, &report),
        Ended::Failed(why) => Err(Failure::new(why)),
        Ended::Merged(_) => Err(Failure::new("the server did something else")),
    }
}

fn told(global: &Global, report: &Report) -> Result<(), Failure> {
    global.output().value(report, |report| {
        let lines = report.skipped.iter().map(|line| format!("skipped: {line}\n"));
        let packs = report.damaged_packs.iter().map(|line| format!("damaged: {line}\n"));
        let index = report.damaged_index.iter().map(|line| format!("damaged: {line}\n"));
        let mut text: String = index.chain(lines).chain(packs).collect();
        text.push_str(&format!(
            "generation {}: {}, {} of them new ({}); {} there now\n",
            report.generation,
            human::count(report.contents, "content", "contents"),
            report.copied,
            output::bytes(report.bytes),
            human::count(report.generations, "generation is", "generations are"),
        ));
        text
    })?;
    if !report.damaged_index.is_empty() {
        let why = "the index is damaged: with this backup made, run `postern check --repair`";
        return Err(Failure::new(why));
    }
    match (report.skipped_count, report.damaged_packs.len()) {
        (0, 0) => Ok(()),
        (0, n) => Err(Failure::new(format!(
            "{} of the backup damaged",
            human::count(n as u64, "file is", "files are")
        ))),
        (n, _) => Err(Failure::new(format!("{n} messages could not be read; run `postern check`"))),
    }
}

/// Waits for what the server does, and shows how far it is.
pub(super) fn wait(global: &Global) -> Result<Ended, Failure> {
    let terminal = std::io::stderr().is_terminal() && !global.json;
    loop {
        let state = match perform::perform(global, Request::BackupInfo)? {
            Answer::Backups(standing) => standing.state,
            other => return Err(perform::unexpected(&other)),
        };
        let Some(state) = state else { return Err(Failure::new("the server was restarted meanwhile")) };
        if terminal {
            draw(&state);
        }
        if let Some(ended) = state.ended {
            return Ok(ended);
        }
        std::thread::sleep(INTERVAL);
    }
}

fn draw(state: &State) {
    let line = match state.ended {
        Some(_) => String::new(),
        None => format!("{} of {}  {}", state.done, state.all, output::bytes(state.bytes)),
    };
    output::draw(&line);
}

fn describe(info: &Info) -> String {
    let mut text = match &info.daily {
        Some(daily) => format!("every day at {}:00 UTC to {}\n", daily.hour, daily.folder.display()),
        None => "none is made every day\n".to_owned(),
    };
    let keep = info.keep;
    text.push_str(&format!("kept: {} days, {} weeks, {} months\n", keep.daily, keep.weekly, keep.monthly));
    if let Some(last) = &info.last {
        text.push_str(&format!("the last: {} to {}", output::when(Some(last.ended)), last.folder.display()));
        match &last.failed {
            Some(why) => text.push_str(&format!(": {why}\n")),
            None => text.push('\n'),
        }
        if last.failed.is_some() && last.worked.is_some() {
            text.push_str(&format!("the last that worked: {}\n", output::when(last.worked)));
        }
    }
    text
}
