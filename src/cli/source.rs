//! `postern source …`

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::service::Service;
use super::{Failure, Global, output, owner, perform, serve};
use crate::actions::human;
use crate::actions::source::{After, Info};
use crate::config::LogLevel;
use crate::control::message::{Answer, Request};
use crate::import::watch::share::Share;
use crate::store::sources;

/// What can be done with sources.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Watch a Maildir and import what arrives there, with all its folders
    Add {
        /// The Maildir
        path: PathBuf,
        /// Whose mail it is; needed where there are several accounts
        #[arg(long)]
        account: Option<String>,
        /// Put everything into this mailbox and mailboxes below it
        #[arg(long)]
        mailbox: Option<String>,
        /// What happens to a file once its message is safely stored: keep, delete or move:DIR
        ///
        /// A file that was renamed in while the server watched, as mail programs do, goes at once. Of another nobody
        /// can say whether it is still being written: it is imported at once, and goes when it has lain unchanged
        /// for ten minutes.
        #[arg(long, value_name = "keep|delete|move:DIR")]
        after: AfterArgument,
    },
    /// List all sources and what they do
    List,
    /// Watch a Maildir no more; the mail that came from it stays
    ///
    /// Added again within 30 days, for the same account and mailbox, it brings only what is new.
    Remove {
        /// Its number or its path
        source: String,
        /// Forget what was imported from it: added again, it brings everything again
        #[arg(long)]
        forget: bool,
    },
    /// Let the server's user read what arrives in a Maildir, as the Maildir's owner, until it is stopped
    ///
    /// Programs that bring mail often make files that only their own user can read, whatever the folder's
    /// default access control list says. This gives each new file and folder the rights that the list names for
    /// the server's user; where it names none, it gives none. Whoever owns the Maildir may run it, or root. The
    /// package runs it as the service postern-share@ for each Maildir that was added by root and is another
    /// user's.
    Share {
        /// The Maildir
        path: PathBuf,
        /// The user that the server runs as
        #[arg(long, default_value = "postern")]
        user: String,
    },
}

/// `keep`, `delete` or `move:DIR`.
#[derive(Clone, Debug)]
pub(super) struct AfterArgument(After);

impl FromStr for AfterArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "keep" => Ok(AfterArgument(After::Keep)),
            None if text == "delete" => Ok(AfterArgument(After::Delete)),
            Some(("move", folder)) if !folder.is_empty() => Ok(AfterArgument(After::Move(folder.into()))),
            _ => Err("it must be keep, delete or move:DIR".to_owned()),
        }
    }
}

/// Does it.
pub(super) fn run(global: &Global, command: Command) -> Result<(), Failure> {
    let output = global.output();
    match command {
        Command::Add { path, account, mailbox, after } => {
            let after = match after.0 {
                After::Move(folder) => After::Move(std::path::absolute(folder)?),
                other => other,
            };
            let path = std::path::absolute(path)?;
            let stored = sources::After::from(after.clone());
            let request = Request::SourceAdd { path: path.clone(), account, mailbox, after };
            let service = Service::of(&global.config()?);
            match add(global, service, request, &path, &stored)? {
                Answer::SourceAdded(added) => output.value(&added, |added| {
                    let known = match added.known {
                        0 => String::new(),
                        known => format!(" ({known} known from before do not come again)"),
                    };
                    format!(
                        "watching {}: {} layout, folders: {}, messages: {}{known}\n",
                        path.display(),
                        added.layout,
                        added.folders,
                        added.messages
                    )
                }),
                other => Err(perform::unexpected(&other)),
            }
        }
        Command::List => {
            output.value(&list(global)?, |sources| sources.iter().map(describe).collect::<String>())
        }
        Command::Remove { source, forget } => {
            let number = source.parse::<u32>().is_ok();
            let named = if number { source } else { std::path::absolute(source)?.display().to_string() };
            let service = Service::of(&global.config()?);
            let before = if service.is_some() { list(global)? } else { Vec::new() };
            perform::perform(global, Request::SourceRemove { source: named.clone(), forget })?;
            if let Some(service) = service {
                let left = list(global)?;
                let gone = before.iter().map(|source| &source.path);
                let gone = gone.filter(|path| left.iter().all(|source| source.path != **path));
                gone.for_each(|path| service.close(path));
            }
            output.done(&format!("source {named} removed"))
        }
        Command::Share { path, user } => share(&std::path::absolute(path)?, &user),
    }
}

fn share(path: &Path, user: &str) -> Result<(), Failure> {
    serve::start_log(LogLevel::Info);
    let passwd = std::fs::read_to_string("/etc/passwd")?;
    let uid = owner::id_of(user, &passwd).ok_or_else(|| Failure::new(format!("there is no user {user}")))?;
    // Checked first: root may not be left where there is nobody to become.
    let away = |error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    path.metadata().map_err(away)?;
    owner::become_owner(path)?;
    match Share::new(path.to_owned(), uid).run().map_err(away)? {}
}

/// Adds it; where the service's sandbox is in the way and this is root, opens it for this Maildir.
fn add(
    global: &Global,
    service: Option<Service>,
    request: Request,
    path: &Path,
    after: &sources::After,
) -> Result<Answer, Failure> {
    let Some(service) = service else { return perform::perform(global, request) };
    let added = if service.runs() {
        match perform::perform(global, request.clone()) {
            Err(Failure::Reason { advice, .. }) if !advice.is_empty() && service.open(path, after)? => {
                perform::perform(global, request)
            }
            other => other,
        }
    } else {
        // Tested without the sandbox, then: the service must see it when it starts.
        service.open(path, after)?;
        perform::perform(global, request)
    }?;
    service.share(path)?;
    Ok(added)
}

fn list(global: &Global) -> Result<Vec<Info>, Failure> {
    match perform::perform(global, Request::SourceList)? {
        Answer::Sources(sources) => Ok(sources),
        other => Err(perform::unexpected(&other)),
    }
}

/// A source in a few lines.
pub(super) fn describe(source: &Info) -> String {
    let after = match &source.after {
        After::Keep => "files stay".to_owned(),
        After::Delete => "files are deleted once stored".to_owned(),
        After::Move(folder) => format!("files move to {} once stored", folder.display()),
    };
    let below = source.mailbox.as_ref().map(|name| format!(" into {name}")).unwrap_or_default();
    let mut text =
        format!("{}  {} for {}{below}; {after}\n", source.id, source.path.display(), source.account);
    let Some(watch) = &source.watch else {
        return text + "     not watched: the server is not running\n";
    };
    let layout = watch.layout.as_ref().map(|layout| format!(", {layout}")).unwrap_or_default();
    text.push_str(&format!(
        "     {}{layout}, {} folders; {} imported since the start, the last {}\n",
        watch.mode,
        watch.folders,
        watch.imported,
        output::when(source.last_mail)
    ));
    if watch.waiting > 0 {
        text.push_str(&format!(
            "     {} imported files were not moved in while watched: they go once unchanged for ten minutes\n",
            watch.waiting
        ));
    }
    if let Some(seconds) = source.silent.and_then(|seconds| u64::try_from(seconds).ok()) {
        text.push_str(&format!("     silent for {}, longer than usual\n", human::duration(seconds)));
    }
    if let Some(problem) = &watch.problem {
        text.push_str(&format!("     problem: {problem}\n"));
    }
    watch.advice.iter().for_each(|line| text.push_str(&format!("         {line}\n")));
    watch.left.iter().for_each(|line| text.push_str(&format!("     left alone: {line}\n")));
    if watch.left_count > watch.left.len() as u64 {
        text.push_str(&format!("     and {} more\n", watch.left_count - watch.left.len() as u64));
    }
    text
}
