//! Someone who only wants to read his mail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::Server;

/// Between two rounds: a client, not a load.
const PAUSE: Duration = Duration::from_millis(20);

/// So long after an attack the server is looked at.
const GONE: Duration = Duration::from_millis(400);

/// What he saw.
pub struct Seen {
    /// The longest that each command took.
    pub worst: Vec<(&'static str, Duration)>,
    /// Rounds of all commands that were answered.
    pub rounds: usize,
    /// The server's memory in MiB, at its most and in the end.
    pub peak: f64,
    pub left: f64,
    /// How busy the server was when the attackers had gone, in percent of a core.
    pub busy: f64,
}

/// A session that works in a thread of its own.
pub struct Bystander {
    stop: Arc<AtomicBool>,
    worker: JoinHandle<Seen>,
    pid: u32,
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
                busy: 0.0,
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
            seen
        });
        Bystander { stop, worker, pid }
    }

    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen = self.worker.join().expect("the bystander was turned away");
        // Whoever has gone is noticed after a step; then nothing goes on for him.
        std::thread::sleep(GONE);
        let before = processor_time(self.pid);
        std::thread::sleep(GONE);
        seen.busy = (processor_time(self.pid) - before) / GONE.as_secs_f64() * 100.0;
        seen.left = resident(self.pid);
        seen
    }
}

/// VmRSS in MiB.
fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// Seconds that it has computed.
fn processor_time(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // What follows the name, which may have spaces: the twelfth and thirteenth are user's and system's, in 1/100 s.
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
