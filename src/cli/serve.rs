//! `postern serve`

use std::net::SocketAddr;

use tracing_subscriber::filter::LevelFilter;

use async_signal::Signal;

use super::{Failure, Global, output, owner};
use crate::config::{Config, LogLevel};
use crate::server::{self, Ends, Listeners};

/// What `serve` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where IMAP over TLS listens; may be given several times [default: [::]:1993]
    #[arg(long, value_name = "ADDR")]
    imaps: Vec<SocketAddr>,
    /// Where IMAP with STARTTLS listens; may be given several times [default: [::]:1143]
    #[arg(long, value_name = "ADDR")]
    imap: Vec<SocketAddr>,
}

/// Runs the server.
pub(super) fn run(global: &Global, arguments: Arguments) -> Result<(), Failure> {
    let config = global.config_with(arguments.imaps, arguments.imap)?;
    start_log(config.log_level);
    let listeners = Listeners::bind(&config)?;
    let remembered = server::remembered(&config)?;
    owner::become_owner(&config.data)?;
    let ends = Ends::on(&[Signal::Term, Signal::Int])?;
    server::run(&config, remembered, listeners, ends, |names| announce(&config, names))?;
    Ok(())
}

/// One line that says where it listens, for whoever started it.
fn announce(config: &Config, names: &[String]) {
    // Nobody may be reading: then nobody misses it.
    let _ = output::print(&format!("ready {} data={}\n", names.join(" "), config.data.display()));
}

/// Logs go to stderr, a line an event; under systemd the journal has the time already.
pub(super) fn start_log(level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let format = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    let coloured = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let format = format.with_ansi(coloured).with_target(false);
    // A second call in the same process changes nothing.
    let _ = if std::env::var_os("JOURNAL_STREAM").is_some() {
        tracing::subscriber::set_global_default(format.without_time().finish())
    } else {
        tracing::subscriber::set_global_default(format.finish())
    };
}
