//! `postern import`: old mail, from wherever it lies.

use std::io::{IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Failure, Global, output, owner, transfer};
use crate::actions::import::Info;
use crate::control::message::Request;
use crate::control::transfer::Sender;
use crate::import::destination::sink::Sink;
use crate::import::old::old_mail::{self, Progress, Wishes};

/// How often the bar is drawn.
const BAR: Duration = Duration::from_millis(200);
/// How often a line is printed where there is no terminal.
const LINE: Duration = Duration::from_secs(10);
/// Cells of the bar.
const CELLS: usize = 24;

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Maildirs, mbox files, .eml files, folders of these, Google Takeouts, and zip, tar or tar.gz archives
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Whose mail it is; needed where there are several accounts
    #[arg(long)]
    account: Option<String>,
    /// Put everything into this mailbox and mailboxes below it
    #[arg(long)]
    mailbox: Option<String>,
    /// Mark all of it as read
    #[arg(long)]
    seen: bool,
}

/// Does it.
pub(super) fn run(global: &Global, arguments: Arguments) -> Result<(), Failure> {
    let Arguments { paths, account, mailbox, seen } = arguments;
    for path in &paths {
        std::fs::metadata(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    }
    let below = mailbox.is_some();
    let connection = transfer::open(global, &Request::Import { account, mailbox })?;
    let (input, ending) = connection.split();
    let mut sender = Sender::new(input)?;
    become_reader(&paths)?;
    let mut bar = Bar::new(global.json);
    let report =
        old_mail::read(&paths, Wishes { seen, below, ..Wishes::default() }, &mut sender, &mut |progress| {
            bar.show(progress)
        });
    bar.clear();
    let outcome = sender.outcome();
    drop(sender);
    let ended = ending.wait();
    let report = report.map_err(|stop| {
        Failure::new(format!(
            "{stop}; {} messages were stored until then: run the same again to go on",
            outcome.stored
        ))
    })?;
    ended?;
    let info = Info::new(report, &outcome);
    global.output().value(&info, describe)?;
    verdict(&info, &paths)
}

/// Root may read everything, and whoever owns a folder may have laid anything there: what its owner may not read is not
/// read for him. From here on this thread only reads; what is stored goes over the connection.
fn become_reader(paths: &[PathBuf]) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = |path: &PathBuf| std::fs::metadata(path).map(|metadata| metadata.uid());
    let owners: Result<std::collections::BTreeSet<u32>, _> = paths.iter().map(owner).collect();
    if owners?.len() > 1 {
        return Err(Failure::new(
            "as root, bring in what belongs to one user at a time: it is read with that user's rights",
        ));
    }
    paths.first().map_or(Ok(()), |path| owner::become_owner(path))
}

fn verdict(info: &Info, paths: &[PathBuf]) -> Result<(), Failure> {
    if info.found == 0 {
        let looked = if info.looked.is_empty() {
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        } else {
            info.looked.join("; ")
        };
        return Err(Failure::new(format!("found no mail. Looked at {looked}")));
    }
    match info.failed {
        0 => Ok(()),
        1 => Err(Failure::new("one thing could not be read or taken; it is listed above")),
        n => Err(Failure::new(format!("{n} things could not be read or taken; they are listed above"))),
    }
}

fn describe(info: &Info) -> String {
    let mut text = String::new();
    for skipped in &info.skipped {
        text.push_str(&format!("skipped: {}: {}\n", skipped.what, skipped.why));
    }
    if info.skipped_count > info.skipped.len() as u64 {
        text.push_str(&format!("and {} more\n", info.skipped_count - info.skipped.len() as u64));
    }
    text.push_str(&format!(
        "{} messages found: {} imported ({}), {} were there already, {} skipped\n",
        info.found,
        info.stored,
        output::bytes(info.bytes),
        info.present,
        info.skipped_count
    ));
    text
}

/// The progress: a bar that is drawn again and again on a terminal, a line now and then elsewhere.
struct Bar {
    terminal: bool,
    quiet: bool,
    started: Instant,
    shown: Option<Instant>,
}

impl Bar {
    fn new(quiet: bool) -> Bar {
        Bar { terminal: std::io::stderr().is_terminal(), quiet, started: Instant::now(), shown: None }
    }

    fn show(&mut self, progress: &Progress) {
        let interval = if self.terminal { BAR } else { LINE };
        let since = self.shown.unwrap_or(self.started);
        if self.quiet || since.elapsed() < interval {
            return;
        }
        self.shown = Some(Instant::now());
        let line = line(progress, self.started.elapsed());
        if self.terminal {
            output::draw(&line);
        } else {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }

    fn clear(&self) {
        if self.terminal && self.shown.is_some() {
            output::draw("");
        }
    }
}

fn line(progress: &Progress, elapsed: Duration) -> String {
    let of = progress.of.max(progress.bytes).max(1);
    let share = progress.bytes as f64 / of as f64;
    let seconds = elapsed.as_secs_f64().max(0.001);
    let left = seconds / share.max(0.000_1) - seconds;
    let filled = (share * CELLS as f64) as usize;
    let bar = "=".repeat(filled) + &" ".repeat(CELLS.saturating_sub(filled));
    format!(
        "[{bar}] {:3.0} %  {} messages  {} of {}  {}/s  {} left",
        share * 100.0,
        progress.found,
        output::bytes(progress.bytes),
        output::bytes(of),
        output::bytes((progress.bytes as f64 / seconds) as u64),
        duration(left)
    )
}

fn duration(seconds: f64) -> String {
    match seconds as u64 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar() {
        let progress = Progress { found: 12, bytes: 500_000_000, of: 2_000_000_000, ..Progress::default() };
        assert_eq!(
            line(&progress, Duration::from_secs(10)),
            "[======                  ]  25 %  12 messages  500.0 MB of 2.0 GB  50.0 MB/s  30 s left"
        );
        let nothing = line(&Progress::default(), Duration::ZERO);
        assert!(nothing.contains("  0 %"), "{nothing}");
        assert_eq!(duration(3_700.0), "1 h 1 min");
    }
}
