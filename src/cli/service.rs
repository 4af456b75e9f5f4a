//! The packaged service, as root has it: its sandbox is opened for the Maildirs that are watched
//! (`import::access::sandbox`).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use super::Failure;
use crate::config::{self, Config};
use crate::import::access::sandbox::{self, DropIn};
use crate::store::sources::After;

/// Where packages put units.
const UNITS: [&str; 2] = ["/usr/lib/systemd/system/postern.service", "/lib/systemd/system/postern.service"];
/// The unit.
const UNIT: &str = "postern.service";

/// It is installed, this is root, and the configuration is the packaged one.
#[derive(Debug)]
pub(super) struct Service {
    data: PathBuf,
}

impl Service {
    /// The service that runs with this configuration.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let packaged = config.file.as_deref() == Some(Path::new(config::PACKAGED));
        let installed = UNITS.iter().any(|unit| Path::new(unit).exists());
        (packaged && installed && geteuid().is_root() && Path::new("/run/systemd/system").exists())
            .then(|| Service { data: config.data.clone() })
    }

    /// Whether it runs.
    pub(super) fn runs(&self) -> bool {
        systemctl(&["--quiet", "is-active", UNIT]).is_ok()
    }

    /// Opens it for a source and restarts it, if it runs. Says whether there was anything to do.
    pub(super) fn open(&self, path: &Path, after: &After) -> Result<bool, Failure> {
        let Some(DropIn { file, text }) = DropIn::for_source(path, after) else { return Ok(false) };
        if !path.is_dir() || fs::read_to_string(&file).is_ok_and(|there| there == text) {
            return Ok(false);
        }
        let writing = |error: io::Error| Failure::new(format!("{}: {error}", file.display()));
        fs::create_dir_all(sandbox::FOLDER).map_err(writing)?;
        fs::write(&file, text).map_err(writing)?;
        tell(&format!("{} opens {} to the service", file.display(), path.display()));
        systemctl(&["daemon-reload"])?;
        systemctl(&["try-restart", UNIT])?;
        Ok(true)
    }

    /// Makes a backup's folder the service's, and opens the service for it.
    pub(super) fn open_backup(&self, folder: &Path) -> Result<(), Failure> {
        let making = |error: io::Error| Failure::new(format!("{}: {error}", folder.display()));
        if !folder.exists() {
            fs::create_dir_all(folder).map_err(making)?;
            let owner = fs::metadata(&self.data).map_err(making)?;
            // FAT knows no owners: who may write there is said where it is mounted.
            let _ = std::os::unix::fs::chown(folder, Some(owner.uid()), Some(owner.gid()));
        }
        let Some(DropIn { file, text }) = DropIn::for_backup(folder) else { return Ok(()) };
        if fs::read_to_string(&file).is_ok_and(|there| there == text) {
            return Ok(());
        }
        let writing = |error: io::Error| Failure::new(format!("{}: {error}", file.display()));
        fs::create_dir_all(sandbox::FOLDER).map_err(writing)?;
        fs::write(&file, text).map_err(writing)?;
        tell(&format!("{} opens {} to the service", file.display(), folder.display()));
        systemctl(&["daemon-reload"])?;
        systemctl(&["try-restart", UNIT])
    }

    /// Stops it. Says whether it ran.
    pub(super) fn stop(&self) -> Result<bool, Failure> {
        let ran = self.runs();
        systemctl(&["stop", UNIT])?;
        Ok(ran)
    }

    /// Starts it.
    pub(super) fn start(&self) -> Result<(), Failure> {
        systemctl(&["start", UNIT])
    }

    /// Opens it for its data in another folder; takes effect when it starts.
    pub(super) fn open_data(&self, path: &Path) -> Result<(), Failure> {
        let DropIn { file, text } = DropIn::for_data(path, sandbox::mount_of(path).as_deref());
        let writing = |error: io::Error| Failure::new(format!("{}: {error}", file.display()));
        fs::create_dir_all(sandbox::FOLDER).map_err(writing)?;
        fs::write(&file, text).map_err(writing)?;
        tell(&format!("{} opens {} to the service", file.display(), path.display()));
        systemctl(&["daemon-reload"])
    }

    /// Has new files of a Maildir that is another user's made readable to it (`import::watch::share`).
    pub(super) fn share(&self, path: &Path) -> Result<(), Failure> {
        let owner = |path: &Path| fs::metadata(path).map(|metadata| metadata.uid()).ok();
        let unit = sandbox::share_unit(path);
        if owner(path) == owner(&self.data) || systemctl(&["--quiet", "is-enabled", &unit]).is_ok() {
            return Ok(());
        }
        systemctl(&["enable", "--now", &unit])?;
        tell(&format!("{unit} lets the service read what arrives in {}", path.display()));
        Ok(())
    }

    /// Takes back what [`open`](Self::open) and [`share`](Self::share) did. The service loses sight of the Maildir
    /// when it starts again.
    pub(super) fn close(&self, path: &Path) {
        let unit = sandbox::share_unit(path);
        if systemctl(&["--quiet", "is-enabled", &unit]).is_ok() {
            match systemctl(&["disable", "--now", &unit]) {
                Ok(()) => tell(&format!("{unit} was stopped")),
                Err(failure) => tell(&failure.to_string()),
            }
        }
        let file = sandbox::file(path);
        if fs::remove_file(&file).is_ok() {
            tell(&format!("{} was removed", file.display()));
            let _ = fs::remove_dir(sandbox::FOLDER);
            if let Err(failure) = systemctl(&["daemon-reload"]) {
                tell(&failure.to_string());
            }
        }
    }
}

/// On stderr: what scripts read is the answer alone.
fn tell(line: &str) {
    use std::io::Write;
    let _ = writeln!(io::stderr().lock(), "{line}");
}

fn systemctl(arguments: &[&str]) -> Result<(), Failure> {
    let done = Command::new("systemctl").args(arguments).stdin(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&done.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    Err(Failure::new(format!("systemctl {}: {why}", arguments.join(" "))))
}
