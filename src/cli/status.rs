//! `postern status`

use super::{Failure, Global, output, perform, source};
use crate::actions::status::Info;
use crate::control::message::{Answer, Request};

/// What `status` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// First give back disk space that nothing uses any more
    #[arg(long)]
    reclaim: bool,
    /// And first of all give up all deleted mail, of all accounts, for good: it cannot be put back then
    #[arg(long, requires = "reclaim")]
    empty_bin: bool,
}

/// Prints everything at a glance.
pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.reclaim {
        let request = if arguments.empty_bin { Request::EmptyBin } else { Request::Reclaim };
        perform::perform(global, request)?;
    }
    match perform::perform(global, Request::Status)? {
        Answer::Status(info) => global.output().value(&*info, text),
        other => Err(perform::unexpected(&other)),
    }
}

fn text(info: &Info) -> String {
    let mut text = match &info.server {
        Some(server) => format!(
            "postern {} is running (process {}, for {} min), {} sessions\nlistening: {}\n",
            info.version,
            server.pid,
            server.uptime / 60,
            server.sessions,
            server.listeners.join(" ")
        ),
        None => format!("postern {} is not running\n", info.version),
    };
    for account in &info.accounts {
        text.push_str(&format!(
            "account {}: {} messages, {}, {} devices\n",
            account.name,
            account.messages,
            output::bytes(account.bytes),
            account.devices
        ));
    }
    for one in &info.sources {
        text.push_str(&format!("source {}", source::describe(one)));
    }
    text.push_str(&format!(
        "certificate: until {}, for {}\n",
        output::day(info.certificate.not_after),
        info.certificate.names.join(", ")
    ));
    text.push_str(&format!(
        "disk: {} of mail in {} volumes, {} free\n",
        output::bytes(info.storage.content),
        info.storage.volumes,
        output::bytes(info.storage.free)
    ));
    if let Some(daily) = &info.backup.daily {
        text.push_str(&format!("backup: every day to {}", daily.folder.display()));
        match &info.backup.last {
            Some(last) => text.push_str(&format!(", the last {}\n", output::when(last.worked))),
            None => text.push_str(", none yet\n"),
        }
        if let Some(why) = info.backup.last.as_ref().and_then(|last| last.failed.as_ref()) {
            text.push_str(&format!("PROBLEM: the backup did not work: {why}\n"));
        }
    }
    for problem in &info.problems {
        text.push_str(&format!("PROBLEM: {}. {}\n", problem.what.trim_end_matches('.'), problem.help));
    }
    text
}
