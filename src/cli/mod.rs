//! The command line: one file a command. Exit codes: 0 done, 1 failed with a one-line reason, 2 wrong usage.

mod account;
mod backup;
mod cert;
mod check;
mod deliver;
mod demo;
mod demo_mail;
mod device;
mod downgrade;
mod export;
mod import;
mod mailbox;
mod move_data;
mod new_generation;
mod output;
mod owner;
mod perform;
mod restore;
mod secret;
mod serve;
mod service;
mod setup_link;
mod source;
mod status;
mod transfer;
mod undelete;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{self, Config, Overrides};
use output::Output;

/// A personal mail server: your mail on your own machine, on all your phones and computers.
#[derive(Debug, Parser)]
#[command(name = "postern", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, clap::Args)]
struct Global {
    /// The data folder [default: ./postern-data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration file [default: /etc/postern/postern.toml, if it is there and --data is not given]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The control socket [default: postern.sock in the data folder]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print JSON, for scripts
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Arguments),
    /// Try it: a server with sample mail in a temporary folder, on this machine only
    Demo(demo::Arguments),
    /// Accounts: who has mail here
    #[command(subcommand)]
    Account(account::Command),
    /// Devices: a password of its own for each phone and computer
    #[command(subcommand)]
    Device(device::Command),
    /// Mailboxes of an account, and what each is for
    #[command(subcommand)]
    Mailbox(mailbox::Command),
    /// Watched Maildirs, from which mail is imported
    #[command(subcommand)]
    Source(source::Command),
    /// Bring old mail in: Maildirs, mbox files, messages, Google Takeouts, archives of these
    Import(import::Arguments),
    /// Write mail as a Maildir++, mbox files or single messages
    Export(export::Arguments),
    /// Deleted mail: list it, read it, put it back
    #[command(subcommand)]
    Undelete(undelete::Command),
    /// Copy everything to a folder on another disk, now or every day; what is there already is not copied again
    Backup(backup::Arguments),
    /// Make the store anew out of a backup, or add mail out of one
    Restore(restore::Arguments),
    /// Deliver one message from stdin: for getmail, fetchmail, Postfix, maildrop; exit codes of sysexits.h
    Deliver(deliver::Arguments),
    /// Check that everything is whole and can be read, and mend it
    Check(check::Arguments),
    /// The certificate that devices see
    #[command(subcommand)]
    Cert(cert::Command),
    /// Everything at a glance
    Status(status::Arguments),
    /// Print a link that sets the admin site's password, the first one or a new one
    SetupLink,
    /// Move the data folder, to another disk for instance: copied, compared, and only then used
    ///
    /// As root it stops the packaged service, opens it for the new folder, has it wait for that disk at each start, and
    /// starts it again. The old folder stays as it is.
    MoveData(move_data::Arguments),
    /// Go back to the version before the last one, if the store's format was changed in the last 14 days
    ///
    /// As root it stops the packaged service. What came since is written into a folder, as a Maildir++ for each account,
    /// and the lines that bring it in again are printed. Debian's package manager runs it by itself when an older package is
    /// installed over this one.
    Downgrade(downgrade::Arguments),
    /// Say that an image of the whole machine was put back, so that devices are not told wrong things
    ///
    /// Devices that saw later mail than the image holds compare what they have with the server, and no message gets a
    /// number that they know as another. They fetch nothing twice. Where only the data folder was put back, the
    /// server notices by itself.
    NewGeneration,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// In a line, with lines that help.
    #[error("{reason}")]
    Reason {
        /// The line.
        reason: String,
        /// Lines for a root shell.
        advice: Vec<String>,
    },
    /// Wrong usage.
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    fn new(reason: impl ToString) -> Self {
        Failure::Reason { reason: reason.to_string(), advice: Vec::new() }
    }
}

impl From<crate::server::Error> for Failure {
    fn from(error: crate::server::Error) -> Self {
        Failure::new(error)
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        Failure::new(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::new(error)
    }
}

impl From<crate::store::Error> for Failure {
    fn from(error: crate::store::Error) -> Self {
        Failure::new(error)
    }
}

impl From<crate::actions::Failure> for Failure {
    fn from(failure: crate::actions::Failure) -> Self {
        Failure::Reason { reason: failure.to_string(), advice: failure.advice().to_vec() }
    }
}

impl Global {
    fn config(&self) -> Result<Config, Failure> {
        self.config_with(Vec::new(), Vec::new(), Vec::new())
    }

    fn config_with(
        &self,
        imaps: Vec<std::net::SocketAddr>,
        imap: Vec<std::net::SocketAddr>,
        admin: Vec<std::net::SocketAddr>,
    ) -> Result<Config, Failure> {
        Ok(Config::load(Overrides {
            file: self.config.clone(),
            data: self.data.clone(),
            socket: self.socket.clone(),
            imaps,
            imap,
            admin,
        })?)
    }

    fn output(&self) -> Output {
        Output { json: self.json }
    }
}

/// The command line as it is defined, for what is made from it: the manual and the shells' completions.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the command that the arguments name.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    let global = &arguments.global;
    let done = match arguments.command {
        Command::Serve(command) => serve::run(global, command),
        Command::Demo(command) => demo::run(command),
        Command::Account(command) => account::run(global, command),
        Command::Device(command) => device::run(global, command),
        Command::Mailbox(command) => mailbox::run(global, command),
        Command::Source(command) => source::run(global, command),
        Command::Import(command) => import::run(global, command),
        Command::Export(command) => export::run(global, command),
        Command::Undelete(command) => undelete::run(global, command),
        Command::Backup(command) => backup::run(global, command),
        Command::Restore(command) => restore::run(global, command),
        Command::Deliver(command) => return deliver::run(global, command),
        Command::Check(command) => check::run(global, command),
        Command::Cert(command) => cert::run(global, command),
        Command::Status(command) => status::run(global, &command),
        Command::MoveData(command) => move_data::run(global, &command),
        Command::Downgrade(command) => downgrade::run(global, command),
        Command::NewGeneration => new_generation::run(global),
        Command::SetupLink => setup_link::run(global),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
        }
    }
}

/// Says what is wrong with the arguments, or what was asked about them. Who calls `deliver` expects a code of
/// sysexits.h even then: one that bounces no message for a slip in the caller's configuration.
fn explain(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    let delivers = std::env::args_os().any(|argument| argument == "deliver");
    match (error.use_stderr(), delivers) {
        (false, _) => ExitCode::SUCCESS,
        (true, true) => ExitCode::from(deliver::LATER),
        (true, false) => ExitCode::from(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words as a shell has them, as far as the pages need it.
    fn words(line: &str) -> Vec<String> {
        let quoted = line.split('"').enumerate();
        quoted
            .flat_map(|(n, part)| match n % 2 {
                1 => vec![part.to_owned()],
                _ => part.split_whitespace().map(str::to_owned).collect(),
            })
            .collect()
    }

    #[test]
    fn commands_in_the_pages_are_commands() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let pages = std::fs::read_dir(root.join("packaging/doc")).unwrap().map(|entry| entry.unwrap().path());
        let mut count = 0;
        for page in pages.chain([root.join("README.md"), root.join("SECURITY.md")]) {
            let text = std::fs::read_to_string(&page).unwrap_or_default();
            let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
            let lines = blocks.flat_map(str::lines);
            let inline = text.split('`').skip(1).step_by(2);
            for line in lines.chain(inline) {
                let line = line
                    .trim_start()
                    .trim_start_matches("sudo ")
                    .split(['#', '>'])
                    .next()
                    .unwrap_or_default();
                if !line.starts_with("postern ") || line.contains('…') {
                    continue;
                }
                if let Err(error) = Arguments::try_parse_from(words(line))
                    && error.kind() != clap::error::ErrorKind::MissingRequiredArgument
                {
                    panic!("{}: {line}: {error}", page.display());
                }
                count += 1;
            }
        }
        assert!(count > 50, "{count}");
    }

    /// The first word of each `postern …` in a text: of a string that is broken over lines as well.
    fn advised(text: &str) -> impl Iterator<Item = &str> {
        let spans = text.split("`postern").skip(1).filter_map(|rest| rest.split('`').next());
        spans.filter_map(|span| span.split_whitespace().find(|word| *word != "\\" && !word.starts_with('-')))
    }

    #[test]
    fn commands_that_are_advised_are_commands() {
        let command = Arguments::command();
        let known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        let mut count = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let shown = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                    let text = shown.collect::<Vec<_>>().join("\n");
                    for word in advised(&text) {
                        let is_name = word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
                        assert!(!is_name || known.contains(&word), "{}: `postern {word}`", path.display());
                        count += 1;
                    }
                }
            }
        }
        assert!(count > 10, "{count}");
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
