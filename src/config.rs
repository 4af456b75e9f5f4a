//! Configuration: what must be known before the store opens.
//!
//! All else is in the store, and is changed on the command line or in the browser.

pub mod moved;
pub mod remembered;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Where the package puts the file. It is read when neither `--config` nor `--data` is given.
pub const PACKAGED: &str = "/etc/postern/postern.toml";
/// The largest message that APPEND takes unless the file says otherwise, in bytes.
pub const MESSAGE_LIMIT: u64 = 50 * 1024 * 1024;
/// Below this no message fits.
const LOWEST_MESSAGE_LIMIT: u64 = 1024;
/// Nobody needs larger ones, and clients time out on them.
const HIGHEST_MESSAGE_LIMIT: u64 = 1024 * 1024 * 1024;

/// What the file and the command line say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// Where IMAP with TLS from the start listens.
    pub imaps: Vec<SocketAddr>,
    /// Where IMAP with STARTTLS listens.
    pub imap: Vec<SocketAddr>,
    /// Where the admin site listens, with HTTPS.
    pub admin: Vec<SocketAddr>,
    /// The control socket.
    pub socket: PathBuf,
    /// How much is logged.
    pub log_level: LogLevel,
    /// The largest message that APPEND takes, in bytes.
    pub message_limit: u64,
    /// The file that this came from, if there is one.
    pub file: Option<PathBuf>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What needs somebody.
    Error,
    /// And what may.
    Warn,
    /// And what happens.
    #[default]
    Info,
    /// And what clients do.
    Debug,
    /// Everything.
    Trace,
}

/// The file (`postern.toml`). Every line may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data: Option<PathBuf>,
    imaps: Option<Vec<SocketAddr>>,
    imap: Option<Vec<SocketAddr>>,
    admin: Option<Vec<SocketAddr>>,
    socket: Option<PathBuf>,
    log_level: Option<LogLevel>,
    message_limit: Option<toml::Spanned<u64>>,
}

/// What the command line says; it goes before the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`
    pub file: Option<PathBuf>,
    /// `--data`
    pub data: Option<PathBuf>,
    /// `--socket`
    pub socket: Option<PathBuf>,
    /// `--imaps`
    pub imaps: Vec<SocketAddr>,
    /// `--imap`
    pub imap: Vec<SocketAddr>,
    /// `--admin`
    pub admin: Vec<SocketAddr>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file says something that is not understood.
    #[error("{}:{line}: {message}", path.display())]
    Invalid {
        /// Which.
        path: PathBuf,
        /// In which line, from 1.
        line: usize,
        /// What.
        message: String,
    },
}

impl Config {
    /// The socket that takes deliveries and nothing else: beside the control socket.
    #[must_use]
    pub fn delivery_socket(&self) -> PathBuf {
        self.socket.with_file_name("deliver.sock")
    }

    /// Reads the file, if there is one, and puts what the command line says before it.
    ///
    /// # Errors
    /// If a file that was named, or the packaged one, cannot be read or understood.
    pub fn load(overrides: Overrides) -> Result<Config, Error> {
        let packaged = || Path::new(PACKAGED).exists().then(|| PathBuf::from(PACKAGED));
        let path =
            overrides.file.clone().or_else(|| if overrides.data.is_none() { packaged() } else { None });
        let file = match &path {
            Some(path) => read(path)?,
            None => File::default(),
        };
        Ok(Config { file: path, ..file.with(overrides) })
    }
}

fn read(path: &Path) -> Result<File, Error> {
    let text =
        std::fs::read_to_string(path).map_err(|error| Error::Unreadable { path: path.to_owned(), error })?;
    let invalid = |at: usize, message: String| Error::Invalid {
        path: path.to_owned(),
        line: text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1,
        message,
    };
    let mut file: File = toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        // Some of the parser's messages have several lines; a reason has one.
        invalid(at, error.message().split_whitespace().collect::<Vec<_>>().join(" "))
    })?;
    if let Some(limit) = &file.message_limit
        && !(LOWEST_MESSAGE_LIMIT..=HIGHEST_MESSAGE_LIMIT).contains(limit.get_ref())
    {
        let message =
            format!("message_limit must be between {LOWEST_MESSAGE_LIMIT} and {HIGHEST_MESSAGE_LIMIT} bytes");
        return Err(invalid(limit.span().start, message));
    }
    // A path in the file is meant from where the file lies, not from where somebody happens to stand.
    if let Some(folder) = path.parent() {
        file.data = file.data.map(|data| folder.join(data));
        file.socket = file.socket.map(|socket| folder.join(socket));
    }
    Ok(file)
}

impl File {
    fn with(self, overrides: Overrides) -> Config {
        let data = overrides.data.or(self.data).unwrap_or_else(|| PathBuf::from("postern-data"));
        let socket = overrides.socket.or(self.socket).unwrap_or_else(|| data.join("postern.sock"));
        let or = |given: Vec<SocketAddr>, file: Option<Vec<SocketAddr>>, port: u16| {
            if given.is_empty() { file.unwrap_or_else(|| vec![everywhere(port)]) } else { given }
        };
        Config {
            imaps: or(overrides.imaps, self.imaps, 1993),
            imap: or(overrides.imap, self.imap, 1143),
            admin: or(overrides.admin, self.admin, 1980),
            socket,
            data,
            file: None,
            log_level: self.log_level.unwrap_or_default(),
            message_limit: self.message_limit.map_or(MESSAGE_LIMIT, toml::Spanned::into_inner),
        }
    }
}

/// `[::]`, which takes IPv4 as well.
fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<File, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postern.toml");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn without_a_file_high_ports_everywhere() {
        let config = File::default().with(Overrides::default());
        assert_eq!(config.imaps, ["[::]:1993".parse().unwrap()]);
        assert_eq!(config.imap, ["[::]:1143".parse().unwrap()]);
        assert_eq!(config.admin, ["[::]:1980".parse().unwrap()]);
        assert_eq!(config.data, Path::new("postern-data"));
        assert_eq!(config.socket, Path::new("postern-data/postern.sock"));
        assert_eq!(config.message_limit, 50 * 1024 * 1024);
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let file = file("data = '/a'\nimaps = ['0.0.0.0:993']\nimap = []\nlog_level = 'debug'").unwrap();
        let config = file.with(Overrides { data: Some("/b".into()), ..Overrides::default() });
        assert_eq!(config.data, Path::new("/b"));
        assert_eq!(config.imaps, ["0.0.0.0:993".parse().unwrap()]);
        assert!(config.imap.is_empty(), "an empty list turns it off");
        assert_eq!(config.message_limit, MESSAGE_LIMIT);
        assert_eq!(config.log_level, LogLevel::Debug);
    }

    #[test]
    fn paths_are_meant_from_where_the_file_lies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postern.toml");
        std::fs::write(&path, "data = 'mail'\nsocket = '/run/p.sock'").unwrap();
        let config = Config::load(Overrides { file: Some(path.clone()), ..Overrides::default() }).unwrap();
        assert_eq!((config.data, config.file), (folder.path().join("mail"), Some(path)));
        assert_eq!(config.socket, Path::new("/run/p.sock"));
    }

    #[test]
    fn the_example_of_the_page_is_understood() {
        let page = include_str!("../packaging/doc/configuration.md");
        let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let config = file(example).unwrap().with(Overrides::default());
        assert_eq!(config.imaps, ["[::]:993".parse().unwrap()]);
        assert_eq!(config.message_limit, MESSAGE_LIMIT);
    }

    #[test]
    fn the_packaged_file_is_understood_and_names_every_setting() {
        let packaged = include_str!("../packaging/postern.toml");
        let config = file(packaged).unwrap().with(Overrides::default());
        assert_eq!(config.data, Path::new("/var/lib/postern"));
        assert_eq!(config.admin, ["[::]:8443".parse().unwrap()]);
        assert_eq!((config.message_limit, config.log_level), (MESSAGE_LIMIT, LogLevel::Info));
        let settings = |text: &str| {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let mut names: Vec<_> =
                lines.filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).collect();
            names.sort_unstable();
            names
        };
        let page = include_str!("../packaging/doc/configuration.md");
        let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        assert_eq!(settings(packaged), settings(example));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, line, wanted) in [
            ("dta = '/a'", 1, "dta"),
            ("# hello\n\nimaps = ['nowhere']", 3, "socket address"),
            ("data = '/a'\nmessage_limit = 5\n", 2, "message_limit"),
            ("data = '/a'\n\n\nlog_level = 'loud'", 4, "loud"),
            ("data = '/a'\nimap = [", 2, ""),
        ] {
            let error = file(text).unwrap_err().to_string();
            assert!(error.contains(wanted) && error.contains(&format!("postern.toml:{line}: ")), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
        assert!(matches!(read(Path::new("/nowhere")), Err(Error::Unreadable { .. })));
    }
}
