//! What a server's processes use, all of them together: they live in a control group of their own.
//!
//! CPU seconds are the group's `usage_usec` (user and system, of every process that ever was in it, also of those
//! that have ended). Memory is the sum of their proportional set sizes.
//!
//! Bytes written are those of the device that holds the mail, up to a sync: with the file system's own journal, and
//! with whatever others write meanwhile. `write_bytes` in `/proc/PID/io` will not do: where the page cache has large
//! folios it counts a whole one, up to 2 MB, for each few bytes that are changed in it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A server is at rest when it used less than `LITTLE` in `GLANCE`; nobody waits longer than `LONGEST` for that.
const GLANCE: Duration = Duration::from_millis(120);
const LITTLE: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_secs(5);

/// A control group, and the counters of the device.
pub struct Meter {
    group: PathBuf,
    device: Option<PathBuf>,
}

/// What was used so far.
#[derive(Clone, Copy)]
pub struct Reading {
    pub cpu: Duration,
    pub written: u64,
}

impl Meter {
    /// A group without processes. Only root may make one.
    pub fn new(name: &str) -> Meter {
        let group = hierarchy().join(format!("postern-bench-{}-{name}", std::process::id()));
        fs::create_dir(&group).expect("a control group for the server: run this as root");
        let (device, _) = mount(&std::env::temp_dir());
        let device = Path::new("/sys/class/block").join(Path::new(&device).file_name().unwrap()).join("stat");
        Meter { group, device: device.exists().then_some(device) }
    }

    /// A command that will run in the group, with all that it starts.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(self.group.join("cgroup.procs"))
            .arg(program);
        command
    }

    /// Takes a running process into the group.
    pub fn adopt(&self, pid: u32) {
        fs::write(self.group.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    /// What was used once the server is at rest and all is on disk: what it puts off until it has answered is counted
    /// too.
    pub fn at_rest(&self) -> Reading {
        let started = Instant::now();
        let mut cpu = self.cpu();
        loop {
            std::thread::sleep(GLANCE);
            let now = self.cpu();
            if now - cpu < LITTLE || started.elapsed() > LONGEST {
                rustix::fs::sync();
                return Reading { cpu: now, written: self.written() };
            }
            cpu = now;
        }
    }

    /// Bytes of memory.
    pub fn memory(&self) -> u64 {
        let of = |pid| number(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:");
        self.processes().into_iter().filter_map(of).sum::<u64>() << 10
    }

    fn cpu(&self) -> Duration {
        let text = fs::read_to_string(self.group.join("cpu.stat")).unwrap();
        Duration::from_micros(number(&text, "usage_usec").unwrap())
    }

    /// The seventh figure of a block device is sectors of 512 bytes written; 0 where there is no such device.
    fn written(&self) -> u64 {
        let text =
            self.device.as_ref().and_then(|device| fs::read_to_string(device).ok()).unwrap_or_default();
        text.split_whitespace().nth(6).and_then(|sectors| sectors.parse::<u64>().ok()).unwrap_or(0) * 512
    }

    fn processes(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.group.join("cgroup.procs")).unwrap();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        for _ in 0..50 {
            if fs::remove_dir(&self.group).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Bytes on disk of all files below a folder.
pub fn on_disk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap();
    let of = |path: PathBuf| match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_dir() => on_disk(&path),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(|entry| of(entry.unwrap().path())).sum()
}

/// The device that holds a path, and its kind of file system.
pub fn mount(path: &Path) -> (String, String) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let of = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        path.starts_with(words[1]).then(|| (words[1].len(), (words[0].to_owned(), words[2].to_owned())))
    };
    mounts.lines().filter_map(of).max().unwrap().1
}

fn hierarchy() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let found = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    found
        .filter(|words| words.get(2) == Some(&"cgroup2"))
        .map(|words| words[1].into())
        .next()
        .expect("cgroup2")
}

/// The number after a name at the start of a line.
fn number(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}
