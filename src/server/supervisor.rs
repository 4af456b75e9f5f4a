//! What systemd wants to know of a service of `Type=notify`: sd_notify(3) and sd_watchdog_enabled(3), which are
//! one datagram a message to the socket that `$NOTIFY_SOCKET` names. Elsewhere nobody is told anything.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// While something takes long, systemd is asked for so much more time,
const EXTENSION: Duration = Duration::from_secs(30);
/// so often,
const EXTEND_EVERY: Duration = Duration::from_secs(10);
/// and no longer than this: migrating a full SD card takes an hour, what takes more hangs.
const LONGEST: Duration = Duration::from_secs(4 * 3600);

/// The system's supervisor of this process, if it has one.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    told: Option<Arc<Told>>,
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Told {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Supervisor {
    /// The one that the environment names.
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var_os(name);
        let of_this_process = |pid: &OsStr| pid.to_str() == Some(&std::process::id().to_string());
        let watched = variable("WATCHDOG_PID").is_none_or(|pid| of_this_process(&pid));
        let watchdog = variable("WATCHDOG_USEC").filter(|_| watched);
        let Some(name) = variable("NOTIFY_SOCKET") else { return Supervisor::default() };
        match Self::at(&name, watchdog.as_deref().and_then(OsStr::to_str)) {
            Ok(supervisor) => supervisor,
            Err(error) => {
                tracing::warn!(%error, "$NOTIFY_SOCKET names no socket that can be told anything");
                Supervisor::default()
            }
        }
    }

    fn at(name: &OsStr, watchdog: Option<&str>) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            // vsock: is for virtual machines as a whole.
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let watchdog = watchdog.and_then(|usec| usec.parse().ok()).filter(|usec| *usec > 0);
        Ok(Supervisor {
            told: Some(Arc::new(Told { socket, address })),
            watchdog: watchdog.map(Duration::from_micros),
        })
    }

    /// The server takes clients.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// What `systemctl status` shows beside it, in a line.
    pub fn status(&self, line: &str) {
        self.tell(&format!("STATUS={}", line.replace('\n', " ")));
    }

    /// The server ends.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// The server lives.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// How often [`alive`](Self::alive) is to be called: twice in the time after which the supervisor gives the
    /// process up, as sd_watchdog_enabled(3) recommends.
    #[must_use]
    pub fn sign_of_life(&self) -> Option<Duration> {
        self.watchdog.map(|after| after / 2)
    }

    /// Asks for more time, again and again, until the answer is dropped: a store that is migrated or replayed
    /// must not be killed half way.
    #[must_use]
    pub fn patience(&self) -> Patience {
        self.patience_every(EXTEND_EVERY)
    }

    fn patience_every(&self, pause: Duration) -> Patience {
        if self.told.is_none() {
            return Patience { asking: None };
        }
        let (done, is_done) = mpsc::channel::<()>();
        let (supervisor, since) = (self.clone(), Instant::now());
        let ask = move || loop {
            supervisor.tell(&format!("EXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros()));
            match is_done.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) if since.elapsed() < LONGEST => {}
                _ => return,
            }
        };
        match std::thread::Builder::new().name("patience".to_owned()).spawn(ask) {
            Ok(thread) => Patience { asking: Some((done, thread)) },
            Err(error) => {
                tracing::warn!(%error, "no thread can ask systemd for more time");
                Patience { asking: None }
            }
        }
    }

    fn tell(&self, what: &str) {
        let Some(told) = &self.told else { return };
        if let Err(error) = told.socket.send_to_addr(what.as_bytes(), &told.address) {
            tracing::debug!(%error, what, "systemd could not be told");
        }
    }
}

/// As long as this lives, the supervisor is asked to wait.
#[derive(Debug)]
pub struct Patience {
    asking: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Drop for Patience {
    fn drop(&mut self) {
        if let Some((done, thread)) = self.asking.take() {
            drop(done);
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    fn listening(address: &SocketAddr) -> UnixDatagram {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    #[test]
    fn speaks_to_a_socket_with_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = listening(&SocketAddr::from_pathname(&path).unwrap());
        let supervisor = Supervisor::at(path.as_os_str(), Some("60000000")).unwrap();
        supervisor.ready();
        supervisor.alive();
        supervisor.stopping();
        assert_eq!(
            [heard(&systemd), heard(&systemd), heard(&systemd)],
            ["READY=1", "WATCHDOG=1", "STOPPING=1"]
        );
        assert_eq!(supervisor.sign_of_life(), Some(Duration::from_secs(30)));
    }

    #[test]
    fn speaks_to_an_abstract_socket() {
        let name = format!("postern-test-{}", std::process::id());
        let systemd = listening(&SocketAddr::from_abstract_name(&name).unwrap());
        let supervisor = Supervisor::at(OsStr::new(&format!("@{name}")), None).unwrap();
        supervisor.ready();
        assert_eq!(heard(&systemd), "READY=1");
        assert_eq!(supervisor.sign_of_life(), None);
    }

    #[test]
    fn asks_for_time_until_it_is_done_and_not_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = listening(&SocketAddr::from_pathname(&path).unwrap());
        let supervisor = Supervisor::at(path.as_os_str(), None).unwrap();
        let patience = supervisor.patience_every(Duration::from_millis(5));
        for _ in 0..3 {
            assert_eq!(heard(&systemd), "EXTEND_TIMEOUT_USEC=30000000");
        }
        drop(patience);
        supervisor.ready();
        while heard(&systemd) != "READY=1" {}
        systemd.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(systemd.recv(&mut [0; 100]).is_err());
    }

    #[test]
    fn without_a_supervisor_nothing_happens() {
        let nobody = Supervisor::default();
        nobody.ready();
        drop(nobody.patience());
        assert!(Supervisor::at(OsStr::new("vsock:2:1234"), None).is_err());
        assert!(Supervisor::at(OsStr::new(""), None).is_err());
        for odd in ["0", "-1", "soon"] {
            let told = Supervisor::at(OsStr::new("/nowhere"), Some(odd)).unwrap();
            told.ready();
            assert_eq!(told.sign_of_life(), None, "{odd}");
        }
    }
}
