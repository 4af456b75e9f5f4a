//! A small disk of ext4, filled to the refusal, emptied, filled again, ten times; killed with nothing free. What was
//! acknowledged is there, new mail is taken again, and what was deleted is given back to the disk.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::{Client, Server};

const ROUNDS: usize = 10;
/// Bytes of a message.
const MESSAGE: usize = 400_000;

/// An image in a file with ext4, mounted until it is dropped.
struct Disk {
    at: PathBuf,
}

impl Disk {
    fn mount(folder: &Path, megabytes: u64) -> Option<Disk> {
        let image = folder.join(format!("disk{megabytes}.img"));
        let at = folder.join(format!("disk{megabytes}"));
        std::fs::create_dir_all(&at).unwrap();
        std::fs::File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
        let ran = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        // Without blocks for root alone: the server here may be root.
        let made = ran(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image))
            && ran(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at));
        made.then_some(Disk { at })
    }

    /// Others take all but `left` bytes.
    fn fill_but(&self, left: u64) {
        let file = std::fs::File::create(self.at.join("others")).unwrap();
        let mut taken = 0;
        let mut step = 64 << 20;
        while step >= 4096 {
            let free = self.free();
            if free.saturating_sub(left) >= step
                && rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), taken, step).is_ok()
            {
                taken += step;
            } else {
                step /= 2;
            }
        }
    }

    fn others_go(&self) {
        std::fs::remove_file(self.at.join("others")).unwrap();
    }

    fn free(&self) -> u64 {
        let space = rustix::fs::statvfs(&self.at).unwrap();
        space.f_bavail * space.f_frsize
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
    }
}

/// A message that hardly compresses, and tells its number.
fn message(n: usize) -> Vec<u8> {
    let mut text = format!("Subject: n{n:06}\r\n\r\n").into_bytes();
    let mut dice = n as u64 + 88_172_645_463_325_252;
    while text.len() < MESSAGE {
        for _ in 0..9 {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            text.extend(dice.to_le_bytes().map(|byte| b'0' + (byte & 63)));
        }
        text.extend_from_slice(b"\r\n");
    }
    text
}

/// Sends until one is refused; how many were taken.
fn fill(client: &mut Client, next: &mut usize) -> usize {
    let before = *next;
    loop {
        let text = message(*next);
        client.send(format!("a APPEND INBOX () {{{}}}\r\n", text.len()).as_bytes());
        let line = client.line();
        if line.starts_with('+') {
            client.send(&text);
            client.send(b"\r\n");
            let (_, status) = client.finish("a");
            if status.starts_with("OK") {
                *next += 1;
                continue;
            }
            assert!(status.starts_with("NO [OVERQUOTA]"), "{status}");
        } else {
            assert!(line.starts_with("a NO [OVERQUOTA]"), "{line}");
        }
        return *next - before;
    }
}

fn numbers(client: &mut Client) -> Vec<usize> {
    client.ok("SELECT INBOX");
    let lines = client.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    let number = |line: &String| line.split_once("Subject: n")?.1.get(..6)?.parse().ok();
    lines.iter().filter_map(number).collect()
}

fn rounds(megabytes: u64) {
    let mut server = Server::start(&["anna"]);
    let Some(disk) = Disk::mount(server.folder(), megabytes) else {
        println!("skipped: to mount a disk of {megabytes} MB takes root, mkfs.ext4 and loop devices");
        return;
    };
    server.stop();
    let data = disk.at.join("data");
    let data = data.to_str().unwrap();
    let copied = Command::new("cp").arg("-a").arg(server.data()).arg(data).status().unwrap();
    assert!(copied.success());
    server.restart_with(&["--data", data]);
    let (mut next, mut kept): (usize, Vec<usize>) = (0, Vec::new());
    let (mut first, mut least) = (0, usize::MAX);
    for round in 0..ROUNDS {
        let mut client = server.login("anna");
        let began = next;
        let taken = fill(&mut client, &mut next);
        if round == 0 {
            first = taken;
        }
        least = least.min(taken * 100 / first.max(1));
        kept.extend(began..next);
        // Others take all that is left: flags, deleting, and a start after a kill go on.
        disk.fill_but(0);
        client.ok("SELECT INBOX");
        client.ok("UID STORE 1:* +FLAGS (\\Seen)");
        server.kill();
        server.restart_with(&["--data", data]);
        let mut client = server.login("anna");
        assert_eq!(numbers(&mut client), kept, "round {round}: all that was acknowledged, once");
        let gone = kept.len() * 86 / 100;
        client.ok(&format!("STORE 1:{gone} +FLAGS (\\Deleted)"));
        client.ok("EXPUNGE");
        kept.drain(..gone);
        let full = disk.free();
        let (done, text) = server.command(&["status", "--reclaim", "--empty-bin", "--data", data], "");
        assert!(done, "{text}");
        assert!(
            disk.free() > full + (gone * MESSAGE) as u64 / 8,
            "what was deleted is given back: {}",
            disk.free()
        );
        disk.others_go();
        assert_eq!(numbers(&mut client), kept);
    }
    let taken = fill(&mut server.login("anna"), &mut next);
    kept.extend(next - taken..next);
    // Every content can be read.
    let mut client = server.login("anna");
    client.ok("SELECT INBOX");
    for n in 1..=kept.len() {
        let lines = client.ok(&format!("FETCH {n} BODY.PEEK[]"));
        assert!(lines[0].contains(&format!("n{:06}", kept[n - 1])) && lines[0].len() > MESSAGE, "{n}");
    }
    println!(
        "figure a disk of {megabytes} MB filled {ROUNDS} times, killed with nothing free each time: {next} messages \
         taken, 0 lost, first {first}, each later time at least {least} % of 86 % of that"
    );
    assert!(first >= 10, "{first}");
    assert!(least >= 60, "later rounds take {least} % of the first");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_disk_of_300_megabytes_is_filled_and_emptied_ten_times() {
    rounds(300);
}

#[test]
fn a_disk_of_150_megabytes_is_filled_and_emptied_ten_times() {
    rounds(150);
}

#[test]
fn a_disk_of_1000_megabytes_is_filled_and_emptied_ten_times() {
    if std::env::var_os("POSTERN_TEST_LONG").is_some() {
        rounds(1000);
    }
}
