//! `postern serve`

use std::net::SocketAddr;

use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::layer::SubscriberExt as _;

use async_signal::Signal;

use super::{Failure, Global, output, owner};
use crate::actions::administrator::SetupLink;
use crate::admin::log::Recent;
use crate::config::{Config, LogLevel};
use crate::model::printable::one_line;
use crate::server::supervisor::Supervisor;
use crate::server::{self, Ends, Given, Listeners, Progress};

/// What `serve` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where IMAP over TLS listens; may be given several times [default: [::]:1993]
    #[arg(long, value_name = "ADDR")]
    imaps: Vec<SocketAddr>,
    /// Where IMAP with STARTTLS listens; may be given several times [default: [::]:1143]
    #[arg(long, value_name = "ADDR")]
    imap: Vec<SocketAddr>,
    /// Where the admin site listens, with HTTPS; may be given several times [default: [::]:1980]
    #[arg(long, value_name = "ADDR")]
    admin: Vec<SocketAddr>,
}

/// Runs the server.
pub(super) fn run(global: &Global, arguments: Arguments) -> Result<(), Failure> {
    let config = global.config_with(arguments.imaps, arguments.imap, arguments.admin)?;
    let log = start_log(config.log_level);
    let listeners = Listeners::bind(&config)?;
    let remembered = server::remembered(&config)?;
    owner::become_owner(&config.data)?;
    let ends = Ends::on(&[Signal::Term, Signal::Int])?;
    let supervisor = Supervisor::from_environment();
    let given = Given { remembered, listeners, ends, log, supervisor };
    server::run(&config, given, |names, progress| match progress {
        Progress::Ready(link) => announce(&config, names, link),
        Progress::Waiting(trouble) => {
            let _ = output::print(&format!("not ready {}: {}\n", names.join(" "), trouble.line()));
        }
    })?;
    Ok(())
}

/// One line that says where it listens, for whoever started it.
fn announce(config: &Config, names: &[String], link: Option<&SetupLink>) {
    // Nobody may be reading: then nobody misses it.
    let _ = output::print(&format!("ready {} data={}\n", names.join(" "), config.data.display()));
    if let Some(link) = link.and_then(|link| link.links.first()) {
        tracing::info!(%link, "set Postern up: open this link in a browser");
        let _ = output::print(&format!("set up: {link}\n"));
    }
}

/// How what an event says is written. Names of files, mailboxes and programs are made by others: here, and nowhere else,
/// they are kept from being a line of their own, or a command to the terminal.
fn fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    let each = format::debug_fn(|out: &mut Writer<'_>, field: &Field, value: &dyn std::fmt::Debug| {
        let text = format!("{value:?}");
        match field.name() {
            "message" => write!(out, "{}", one_line(&text)),
            name => write!(out, "{name}={}", one_line(&text)),
        }
    });
    each.delimited(" ")
}

/// Logs go to stderr, a line an event; under systemd the journal has the time already.
/// The last ones are kept for the admin site.
pub(super) fn start_log(level: LogLevel) -> Recent {
    let recent = Recent::default();
    let kept = recent.clone();
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let coloured = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let shown = fmt::layer().with_target(false).fmt_fields(fields()).with_writer(std::io::stderr);
    let shown = shown.with_ansi(coloured);
    let kept = fmt::layer().with_target(false).fmt_fields(fields()).with_writer(move || kept.clone());
    let kept = kept.with_ansi(false);
    let all = tracing_subscriber::registry().with(level).with(kept);
    // A second call in the same process changes nothing.
    let _ = if std::env::var_os("JOURNAL_STREAM").is_some() {
        tracing::subscriber::set_global_default(all.with(shown.without_time()))
    } else {
        tracing::subscriber::set_global_default(all.with(shown))
    };
    recent
}
