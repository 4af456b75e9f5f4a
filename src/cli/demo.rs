//! `postern demo`: a server in a temporary folder on loopback, with a demo account and sample mail.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use async_signal::Signal;

use super::{Failure, demo_mail, output, serve};
use crate::actions::administrator::SetupLink;
use crate::actions::{Context, account};
use crate::config::{Config, LogLevel, MESSAGE_LIMIT};
use crate::credential::Hasher;
use crate::model::{AccountName, DateTime, FlagSet, MailboxName};
use crate::server::supervisor::Supervisor;
use crate::server::{self, Ends, Given, Listeners, Progress};
use crate::store::filing::{self, Arrival};
use crate::store::{Error, Store, mailboxes, unix_now};
use crate::tls::Certificates;

/// The account's name.
const NAME: &str = "demo";
/// Its password; nobody but this machine can reach it.
const PASSWORD: &str = "postern-demo";

/// What `demo` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The port for IMAP over TLS; 0 for any that is free
    #[arg(long, default_value_t = 1993)]
    imaps_port: u16,
    /// The port for IMAP with STARTTLS; 0 for any that is free
    #[arg(long, default_value_t = 1143)]
    imap_port: u16,
    /// The port of the admin site; 0 for any that is free
    #[arg(long, default_value_t = 1980)]
    admin_port: u16,
}

/// A folder that goes when this does.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the demo until it is interrupted.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let log = serve::start_log(LogLevel::Warn);
    let folder = Temporary(std::env::temp_dir().join(format!("postern-demo-{}", std::process::id())));
    // Before there is anything to remove: Ctrl-C, or a terminal that is closed, must not leave it behind.
    let ends = Ends::on(&[Signal::Term, Signal::Int, Signal::Hup])?;
    std::fs::DirBuilder::new().mode(0o700).create(&folder.0)?;
    let config = Config {
        data: folder.0.join("data"),
        imaps: vec![free_or_any(arguments.imaps_port)],
        imap: vec![free_or_any(arguments.imap_port)],
        admin: vec![free_or_any(arguments.admin_port)],
        socket: folder.0.join("data/postern.sock"),
        log_level: LogLevel::Warn,
        message_limit: MESSAGE_LIMIT,
        file: None,
    };
    prepare(&config)?;
    let listeners = Listeners::bind(&config)?;
    let supervisor = Supervisor::default();
    let given = Given { remembered: None, listeners, ends, log, supervisor };
    server::run(&config, given, |names, progress| {
        if let Progress::Ready(link) = progress {
            let _ = output::print(&greeting(&config, names, link));
        }
    })?;
    Ok(())
}

/// The port, or any if somebody has it.
fn free_or_any(port: u16) -> SocketAddr {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpListener::bind(address) {
        Ok(_) => address,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}

fn greeting(config: &Config, names: &[String], link: Option<&SetupLink>) -> String {
    let link = link.and_then(|link| link.links.first()).map_or("", String::as_str);
    let port = |kind: &str| {
        let found = names.iter().find_map(|name| name.strip_prefix(kind)?.rsplit_once(':'));
        found.map(|(_, port)| port.to_owned()).unwrap_or_default()
    };
    format!(
        "Postern's demo is running; Ctrl-C ends it and removes everything.\n\n\
         In a mail program, add an account by hand:\n\
         \x20   server     localhost\n\
         \x20   port       {} (SSL/TLS), or {} (STARTTLS)\n\
         \x20   user name  {NAME}\n\
         \x20   password   {PASSWORD}\n\
         The program will ask about the certificate: it is this demo's own.\n\n\
         The admin site; this link sets its password:\n\
         \x20   {link}\n\n\
         Or look from a shell:\n\
         \x20   curl -k --user {NAME}:{PASSWORD} 'imaps://localhost:{}/INBOX?ALL'\n\
         \x20   postern status --data {}\n\n\
         ready {} data={}\n",
        port("imaps="),
        port("imap="),
        port("imaps="),
        config.data.display(),
        names.join(" "),
        config.data.display(),
    )
}

/// Makes the account and fills it.
fn prepare(config: &Config) -> Result<(), Failure> {
    let store = server::open_store(&config.data, None)?;
    {
        let certificates = std::sync::Arc::new(Certificates::open(&store).map_err(Failure::new)?);
        let hasher = std::sync::Arc::new(Hasher::new());
        let context = Context { store: store.clone(), hasher, certificates, running: None };
        let name = AccountName::new(NAME).map_err(Failure::new)?;
        account::add(&context, &name, Some(PASSWORD))?;
        let id = account::find(&context, NAME)?.id;
        for sample in demo_mail::all(unix_now()) {
            file(&store, id, sample)?;
        }
    }
    Ok(store.close()?)
}

fn file(store: &Store, account: crate::model::AccountId, sample: demo_mail::Sample) -> Result<(), Failure> {
    let mut incoming = store.incoming(MESSAGE_LIMIT);
    incoming.write(&sample.message)?;
    let prepared = incoming.finish()?;
    let name = MailboxName::new(sample.mailbox).map_err(Failure::new)?;
    store.write(move |tx| {
        let mailbox = mailboxes::by_name(tx, account, &name)?.ok_or(Error::NotFound("mailbox"))?;
        let (internal_date, flags) = (DateTime::utc(sample.received), FlagSet::from(sample.flags));
        let arrival = Arrival { prepared: &prepared, internal_date, flags };
        filing::file(tx, account, mailbox.id, &[arrival]).map(drop)
    })?;
    Ok(())
}
