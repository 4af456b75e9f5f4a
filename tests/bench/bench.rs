//! Dovecot and Postern side by side: `tests/run bench`, or as root
//! `cargo bench --bench bench [-- --runs N]`. The two are started in turn, each alone, and do the same work over
//! IMAPS; each figure is the median of the runs. A row fails if the answers differ, never for being slow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod answers;
#[path = "../server/anyone.rs"]
mod anyone;
#[allow(dead_code)]
#[path = "../server/harness.rs"]
mod harness;
mod languages;
mod messages;
mod meter;
mod rows;
mod servers;
mod table;
mod wire;

use std::fs;
use std::process::ExitCode;

use servers::{DOVECOT_SETTINGS, POSTERN_SETTINGS, Product};
use table::Runs;

const SEED: u64 = 4;
/// In INBOX, and the further ones that eight clients bring.
const MESSAGES: usize = 5_000;
const MORE: usize = 1_000;
/// Enough for a median.
const RUNS: usize = 3;

fn main() -> ExitCode {
    let runs = argument("--runs").map_or(RUNS, |text| text.parse().expect("--runs N"));
    let mail = messages::generate(SEED, MESSAGES);
    let more = messages::generate(SEED + 1, MORE);
    let bytes: usize = mail.iter().map(|message| message.content.len()).sum();
    let mut found: [Runs; 2] = [Vec::new(), Vec::new()];
    let products = [Product::Dovecot, Product::Postern];
    for run in 1..=runs {
        for (product, found) in products.into_iter().zip(&mut found) {
            eprintln!("run {run} of {runs}: {}", product.name());
            found.push(rows::run(product, &mail, &more));
        }
    }
    let (names, found) = (products.map(Product::name), [&found[0], &found[1]]);
    println!("tests/run bench: two servers in turn, each alone, the same work over IMAPS on loopback.");
    println!("CPU of all of a server's processes, by their control group; bytes that reached the device.");
    println!(
        "{MESSAGES} messages of seed {SEED}, {:.1} MB; median of {runs} runs; of bytes written the \
         least, for they are the device's, and whatever else runs adds to them.",
        bytes as f64 / 1e6
    );
    println!("{}", machine());
    println!("Dovecot {}: {DOVECOT_SETTINGS}.", output("dovecot", "--version"));
    println!("Postern {}: {POSTERN_SETTINGS}.\n", env!("CARGO_PKG_VERSION"));
    println!("{}", table::table(names, found));
    let differences = table::differences(names, found);
    differences.iter().for_each(|difference| println!("FAILED {difference}"));
    println!("rows: {} measured, {} failed", found[0][0].len() - differences.len(), differences.len());
    ExitCode::from(u8::from(!differences.is_empty()))
}

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap();
    let model = info.lines().find(|line| line.starts_with("model name") || line.starts_with("Model"));
    let model = model.and_then(|line| line.split(": ").nth(1)).unwrap_or("a CPU without a name");
    let cores = std::thread::available_parallelism().unwrap();
    let (_, system) = meter::mount(&std::env::temp_dir());
    format!("{model}, {cores} cores, Linux {}, {system}.", output("uname", "-r"))
}

fn output(program: &str, argument: &str) -> String {
    let output = std::process::Command::new(program).arg(argument).output().unwrap();
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().trim().to_owned()
}
