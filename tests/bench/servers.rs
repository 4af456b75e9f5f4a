//! The two servers, each started as its users start it, on a folder of its own with one account, `anna`.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use crate::harness::Server as Harness;
use crate::meter::Meter;
use crate::wire::Wire;

/// Who it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Product {
    Dovecot,
    Postern,
}

/// A running server with its meter.
pub struct Running {
    address: SocketAddr,
    /// Postern lets a device have 40 sessions; Dovecot's account has one password.
    passwords: Vec<String>,
    mail: PathBuf,
    process: Process,
    /// Last, for a group can only be removed when its processes have ended.
    pub meter: Meter,
}

enum Process {
    Postern(Box<Harness>),
    Dovecot(Dovecot),
}

impl Product {
    /// As the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Product::Dovecot => "Dovecot",
            Product::Postern => "Postern",
        }
    }

    /// Starts it and waits until it answers.
    pub fn start(self) -> Running {
        match self {
            Product::Dovecot => dovecot(),
            Product::Postern => postern(),
        }
    }
}

impl Running {
    /// A session that has logged in.
    pub fn login(&self) -> Wire {
        self.login_as(0)
    }

    /// A session of one of several devices.
    pub fn login_as(&self, device: usize) -> Wire {
        let mut wire = Wire::open(self.address);
        wire.ok(&format!("LOGIN anna \"{}\"", self.passwords[device % self.passwords.len()]));
        wire
    }

    /// A session that has INBOX open.
    pub fn inbox(&self) -> Wire {
        let mut wire = self.login();
        wire.ok("SELECT INBOX");
        wire
    }

    /// Ends it in order; gives the folder of its mail.
    pub fn stop(&mut self) -> &Path {
        match &mut self.process {
            Process::Postern(server) => assert_eq!(server.stop(), Some(0)),
            Process::Dovecot(dovecot) => dovecot.stop(),
        }
        &self.mail
    }
}

/// Devices that share 100 sessions.
pub const DEVICES: usize = 5;

fn postern() -> Running {
    let server = Harness::start(&["anna"]);
    let meter = Meter::new("postern");
    meter.adopt(server.pid());
    let device = |number: usize| {
        let name = format!("phone {number}");
        let (done, said) = server.command(&["device", "add", &name, "--account", "anna"], "");
        assert!(done, "{said}");
        said.lines().find_map(|line| line.strip_prefix("password:")).unwrap().trim().to_owned()
    };
    let passwords = (0..DEVICES).map(device).collect();
    let (address, mail) = (server.imaps, server.data());
    Running { meter, address, passwords, mail, process: Process::Postern(Box::new(server)) }
}

struct Dovecot {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Dovecot {
    fn stop(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Debian's settings are kept but for where things lie, and for limits that 100 sessions of one account and one
/// address would meet. What a table depends on is said in [`DOVECOT_SETTINGS`].
const DOVECOT_CONFIG: &str = "
protocols = imap
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
mail_location = mdbox:{folder}/mail
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 1
first_valid_gid = 1
ssl = required
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
mail_max_userip_connections = 200
passdb {
  driver = passwd-file
  args = {folder}/users
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home={folder}/mail
}
namespace inbox {
  inbox = yes
}
service imap-login {
  process_limit = 250
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = {port}
    ssl = yes
  }
}
";
/// For the head of the table.
pub const DOVECOT_SETTINGS: &str = "mdbox, mail_fsync = optimized (its default: it syncs a saved message, not a \
changed flag), password in a passwd-file as `doveadm pw` makes it (bcrypt, cost 5)";
/// For the head of the table.
pub const POSTERN_SETTINGS: &str = "its defaults (every change is synced before it is answered, flags too), device \
passwords (random, therefore in a fast hash: BLAKE3)";
const PASSWORD: &str = "correct horse battery";
/// Dovecot is started and ended within this.
const PATIENCE: Duration = Duration::from_secs(20);

fn dovecot() -> Running {
    let folder = tempfile::Builder::new().prefix("postern-bench-").tempdir().unwrap();
    let path = folder.path();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    fs::create_dir(path.join("mail")).unwrap();
    let nobody = 65_534;
    std::os::unix::fs::chown(path.join("mail"), Some(nobody), Some(nobody)).unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(path.join("cert.pem"), certified.cert.pem()).unwrap();
    fs::write(path.join("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    fs::write(path.join("users"), format!("anna:{}\n", hashed())).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config =
        DOVECOT_CONFIG.replace("{folder}", path.to_str().unwrap()).replace("{port}", &port.to_string());
    fs::write(path.join("dovecot.conf"), config).unwrap();
    let meter = Meter::new("dovecot");
    let mut command = meter.command("dovecot");
    command.args(["-F", "-c"]).arg(path.join("dovecot.conf")).env("TZ", "UTC").stdin(Stdio::null());
    let child = command.spawn().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mail = path.join("mail");
    let log = path.join("log");
    let process = Process::Dovecot(Dovecot { child, _folder: folder });
    wait(address).unwrap_or_else(|_| {
        panic!("Dovecot did not start:\n{}", fs::read_to_string(log).unwrap_or_default())
    });
    Running { meter, address, passwords: vec![PASSWORD.to_owned()], mail, process }
}

/// The password in the scheme that `doveadm pw` chooses by itself.
fn hashed() -> String {
    let output = std::process::Command::new("doveadm").args(["pw", "-p", PASSWORD]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn wait(address: SocketAddr) -> io::Result<()> {
    let started = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(_) => return Ok(()),
            Err(error) if started.elapsed() > PATIENCE => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
