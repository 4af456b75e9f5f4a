//! Someone who only wants to read his mail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::Server;

/// Between two rounds: a client, not a load.
const PAUSE: Duration = Duration::from_millis(20);

/// What he saw.
pub struct Seen {
    /// The longest that each command took.
    pub worst: Vec<(&'static str, Duration)>,
    /// Rounds of all commands that were answered.
    pub rounds: usize,
    /// The server's memory in MiB, at its most and in the end.
    pub peak: f64,
    pub left: f64,
}

/// A session that works in a thread of its own.
pub struct Bystander {
    stop: Arc<AtomicBool>,
    worker: JoinHandle<Seen>,
}

impl Bystander {
    pub fn start(server: &Server) -> Bystander {
        let mut client = server.login("anna");
        let pid = server.pid();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let worker = std::thread::spawn(move || {
            let mut seen = Seen {
                worst: ["NOOP", "STATUS", "APPEND"].map(|what| (what, Duration::ZERO)).into(),
                rounds: 0,
                peak: 0.0,
                left: 0.0,
            };
            while !stopped.load(Ordering::Relaxed) {
                for (what, worst) in &mut seen.worst {
                    let begun = Instant::now();
                    match *what {
                        "NOOP" => drop(client.ok("NOOP")),
                        "STATUS" => drop(client.ok("STATUS INBOX (MESSAGES UIDNEXT)")),
                        _ => drop(client.append("INBOX", "", b"Subject: x\r\n\r\nx\r\n")),
                    }
                    *worst = (*worst).max(begun.elapsed());
                }
                seen.rounds += 1;
                seen.peak = seen.peak.max(resident(pid));
                std::thread::sleep(PAUSE);
            }
            seen.left = resident(pid);
            seen
        });
        Bystander { stop, worker }
    }

    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.worker.join().expect("the bystander was turned away")
    }
}

/// VmRSS in MiB.
fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
