//! Old mail brought in, through the running server and on the store itself.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::harness::{Server, binary};

/// `From ` lines have this date: 5 January 2004, 10:00 UTC.
const LINE: &str = "From anna@example.org Mon Jan  5 10:00:00 2004\n";

/// One message as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub mailbox: String,
    pub subject: String,
    pub flags: String,
    pub date: String,
    pub body: String,
}

/// Everything that an account has, mailbox by mailbox, by UID.
pub fn everything(server: &Server, account: &str) -> Vec<Seen> {
    let mut client = server.login(account);
    let names: Vec<String> = client
        .ok("LIST \"\" \"*\"")
        .iter()
        .map(|line| line.rsplit_once("\"/\" ").unwrap().1.trim_matches('"').to_owned())
        .collect();
    let mut seen = Vec::new();
    for name in names {
        client.ok(&format!("EXAMINE \"{name}\""));
        for line in client.ok("UID FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])") {
            let Some((head, body)) = line.split_once("}\r\n") else { continue };
            let part = |start: &str, end: &str| -> String {
                let at = head.find(start).unwrap() + start.len();
                head[at..at + head[at..].find(end).unwrap()].to_owned()
            };
            let mut flags: Vec<_> = part("FLAGS (", ")").split(' ').map(str::to_owned).collect();
            flags.retain(|flag| flag != "\\Recent" && !flag.is_empty());
            flags.sort();
            let subject = body.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or("");
            seen.push(Seen {
                mailbox: name.clone(),
                subject: subject.to_owned(),
                flags: flags.join(" "),
                date: part("INTERNALDATE \"", "\""),
                body: body.strip_suffix(')').unwrap().to_owned(),
            });
        }
    }
    seen
}

fn subjects(server: &Server) -> Vec<String> {
    let all = everything(server, "anna");
    all.iter().map(|seen| format!("{}: {} [{}]", seen.mailbox, seen.subject, seen.flags)).collect()
}

fn import(server: &Server, arguments: &[&str]) -> (bool, serde_json::Value, String) {
    let all: Vec<&str> = ["import", "--json"].iter().chain(arguments).copied().collect();
    let (done, output) = server.command(&all, "");
    let json = output.rfind('}').map_or("null", |end| &output[..=end]);
    (done, serde_json::from_str(json).unwrap_or_default(), output)
}

fn numbers(report: &serde_json::Value) -> (u64, u64, u64, u64) {
    let number = |name: &str| report[name].as_u64().unwrap_or(u64::MAX);
    (number("found"), number("stored"), number("present"), number("skipped_count"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_mbox_with_its_flags_and_dates() {
    let server = Server::start(&["anna"]);
    let folder = server.scratch("mail");
    let file = folder.join("Gesendete Objekte.mbox");
    let mbox = format!(
        "{LINE}Status: RO\nX-Status: AF\nX-Keywords: $Label1\nSubject: one\n\n>From here\n\n\
         From -\nSubject: two\nReceived: by x; Tue, 6 Jan 2004 12:00:00 +0100\nDate: x\n\nbody\n\n\
         From -\nSubject: three\nDate: Wed, 7 Jan 2004 10:00:00 -0500\nX-Mozilla-Status: 0001\n\nbody\n\n\
         {LINE}Subject: gone\nX-Mozilla-Status: 0009\n\nbody\n"
    );
    fs::write(&file, &mbox).unwrap();
    for round in 0..2 {
        let (done, report, output) = import(&server, &[text(&file)]);
        assert!(done, "{output}");
        let wanted = if round == 0 { (4, 3, 0, 1) } else { (4, 0, 3, 1) };
        assert_eq!(numbers(&report), wanted, "{output}");
        assert!(output.contains("deleted in Thunderbird"), "{output}");
    }
    let all = everything(&server, "anna");
    let shown: Vec<_> =
        all.iter().map(|seen| format!("{} {} {}", seen.mailbox, seen.flags, seen.date)).collect();
    assert_eq!(
        shown,
        [
            "Sent $Label1 \\Answered \\Flagged \\Seen  5-Jan-2004 10:00:00 +0000",
            "Sent   6-Jan-2004 12:00:00 +0100",
            "Sent \\Seen  7-Jan-2004 10:00:00 -0500",
        ]
    );
    assert_eq!(all[0].body, "Subject: one\r\n\r\nFrom here\r\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), mbox, "the source is never changed");
}

/// A Maildir++ with flags, keywords and folders.
fn maildir(root: &Path) {
    let put = |name: &str, subject: &str| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("Subject: {subject}\n\nx\n")).unwrap();
    };
    put("cur/1700000002.b:2,RSab", "second");
    put("new/1700000001.a", "first");
    put(".Entw&APw-rfe/cur/1700000003.c:2,DS", "draft");
    put(".Work.2024/cur/1700000004.d,S=23:2,FT", "deep");
    put("tmp/1700000005.e", "half");
    fs::write(root.join("dovecot-keywords"), "0 $Label1\n1 Later\n").unwrap();
    fs::write(root.join("dovecot.index"), "no mail").unwrap();
}

const MAILDIR: [&str; 4] = [
    "Drafts: draft [\\Draft \\Seen]",
    "INBOX: first []",
    "INBOX: second [$Label1 Later \\Answered \\Seen]",
    "Work/2024: deep [\\Deleted \\Flagged]",
];

#[test]
fn a_maildir_with_and_without_the_server_and_in_archives() {
    let mut server = Server::start(&["anna"]);
    let root = server.scratch("old/Maildir");
    maildir(&root);
    let (done, report, output) = import(&server, &[text(&root)]);
    assert!(done && numbers(&report) == (4, 4, 0, 0), "{output}");
    let mut shown = subjects(&server);
    shown.sort();
    assert_eq!(shown, MAILDIR);
    assert!(everything(&server, "anna").iter().any(|seen| seen.date == "14-Nov-2023 22:13:22 +0000"));

    let (tar, zip) = (root.with_extension("tar.gz"), root.with_extension("zip"));
    pack_tar(&root, &tar);
    pack_zip(&root, &zip);
    server.stop();
    for path in [&root, &tar, &zip] {
        let (done, report, output) = import(&server, &[text(path)]);
        assert!(done && numbers(&report) == (4, 0, 4, 0), "{}: {output}", path.display());
    }
    let (done, report, output) = import(&server, &[text(&tar), "--mailbox", "Old", "--seen"]);
    assert!(done && numbers(&report) == (4, 4, 0, 0), "{output}");
    server.restart();
    let mut shown: Vec<_> = subjects(&server).into_iter().filter(|line| line.starts_with("Old")).collect();
    shown.sort();
    assert_eq!(
        shown,
        [
            "Old/Entw&APw-rfe: draft [\\Draft \\Seen]",
            "Old/Work/2024: deep [\\Deleted \\Flagged \\Seen]",
            "Old: first [\\Seen]",
            "Old: second [$Label1 Later \\Answered \\Seen]",
        ]
    );
}

fn files(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn pack_tar(root: &Path, to: &Path) {
    let gz = flate2::write::GzEncoder::new(File::create(to).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gz);
    tar.append_dir_all("home/anna/Maildir", root).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
}

fn pack_zip(root: &Path, to: &Path) {
    let mut zip = zip::ZipWriter::new(File::create(to).unwrap());
    for path in files(root) {
        let name = Path::new("Maildir").join(path.strip_prefix(root).unwrap());
        zip.start_file(text(&name), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&fs::read(path).unwrap()).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn a_takeout_with_labels_of_its_language() {
    let server = Server::start(&["anna"]);
    let file = server.scratch("mail").join("takeout-1.zip");
    let mut zip = zip::ZipWriter::new(File::create(&file).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("Takeout/archive_browser.html", options).unwrap();
    zip.write_all(b"<html>").unwrap();
    zip.start_file("Takeout/E-Mail/Alle Nachrichten einschließlich Spam und Papierkorb.mbox", options)
        .unwrap();
    let line = "From 1828754568043628583@xxx Mon Apr 07 14:31:02 +0000 2025\r\n";
    for (subject, labels) in [
        ("one", "X-Gmail-Labels: =?UTF-8?Q?Posteingang,Wichtig,Ge=C3=B6ffnet?=\r\n"),
        ("two", "X-Gmail-Labels: =?UTF-8?Q?Archiviert,Ungelesen,Arbeit/B=C3=BCro?=\r\n"),
        ("three", "X-Gmail-Labels: Gesendet\r\n"),
        ("four", ""),
    ] {
        let header = format!("X-GM-THRID: 1\r\n{labels}Subject: {subject}\r\n\r\n");
        zip.write_all(format!("{line}{header}body\r\n\r\n").as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    let (done, report, output) = import(&server, &[text(&file)]);
    assert!(done && numbers(&report) == (4, 4, 0, 0), "{output}");
    let mut shown = subjects(&server);
    shown.sort();
    assert_eq!(
        shown,
        [
            "Arbeit/B&APw-ro: two []",
            "Archive: four [\\Seen]",
            "INBOX: one [$Important \\Seen]",
            "Sent: three [\\Seen]",
        ]
    );
    let bodies = everything(&server, "anna").into_iter().map(|seen| seen.body).collect::<String>();
    assert!(!bodies.contains("X-G"), "what Gmail noted is not part of the message: {bodies}");
}

#[test]
fn folders_of_everything() {
    let server = Server::start(&["anna"]);
    let root = server.scratch("Old stuff");
    let put = |name: &str, content: &[u8]| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    put("one.eml", b"Subject: one\n\nx\n");
    put("a/b/two.EML", b"From - Mon Jan 05 10:00:00 2004\nSubject: two\nDate: 1 Jan 2001 10:00 GMT\n\nx\n");
    put("Work", format!("{LINE}Subject: three\n\nx\n").as_bytes());
    put("Work.sbd/Projects", format!("{LINE}Subject: four\n\nx\n").as_bytes());
    put("Work.msf", b"// <!-- <mdb:mork:z v=\"1.4\"/> -->");
    put("picture.jpg", b"\xff\xd8\xff");
    put("empty.eml", b"");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(format!("{LINE}Subject: five\n\nx\n").as_bytes()).unwrap();
    put("lists.mbox.gz", &gz.finish().unwrap());
    let (done, report, output) = import(&server, &[text(&root)]);
    assert!(done && numbers(&report) == (5, 5, 0, 1), "{output}");
    assert!(output.contains("empty.eml"), "{output}");
    let mut shown = subjects(&server);
    shown.sort();
    assert_eq!(
        shown,
        ["Old stuff: one []", "Work/Projects: four []", "Work: three []", "a/b: two []", "lists: five []",]
    );
}

#[test]
fn what_is_not_there_and_what_is_no_mail() {
    let server = Server::start(&["anna", "bert"]);
    let folder = server.scratch("empty");
    let (done, output) = server.command(&["import", text(&folder), "--account", "anna"], "");
    assert!(!done && output.contains("found no mail. Looked at") && output.contains("empty"), "{output}");
    fs::write(folder.join("notes.txt"), "no mail").unwrap();
    let notes = folder.join("notes.txt");
    let (done, output) = server.command(&["import", text(&notes), "--account", "anna"], "");
    assert!(!done && output.contains("neither an mbox"), "{output}");
    let (done, output) = server.command(&["import", "/nowhere", "--account", "anna"], "");
    assert!(!done && output.contains("/nowhere"), "{output}");
    let (done, output) = server.command(&["import", text(&folder)], "");
    assert!(!done && output.contains("--account"), "{output}");
    let (done, output) = server.command(&["import", text(&folder), "--account", "nobody"], "");
    assert!(!done && output.contains("nobody"), "{output}");
    let (done, output) =
        server.command(&["import", text(&folder), "--account", "anna", "--mailbox", "a//b"], "");
    assert!(!done && output.contains("empty level"), "{output}");
    // A torn archive: what came before the tear is kept, and it is said.
    let torn = server.scratch("torn").join("a.mbox.gz");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for n in 0..3000 {
        write!(gz, "{LINE}Subject: {n}\n\n{}\n\n", blake3::hash(&[n as u8; 99])).unwrap();
    }
    let bytes = gz.finish().unwrap();
    fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    let (done, output) = server.command(&["import", text(&torn), "--account", "anna"], "");
    assert!(!done && output.contains("a.mbox.gz: at message 1"), "{output}");
    assert!(everything(&server, "anna").len() > 1000);
}

/// Writes an mbox of at least so many bytes: messages of 4 to 60 KB that compress as mail does.
fn large_mbox(path: &Path, bytes: u64) -> u64 {
    let mut out = std::io::BufWriter::new(File::create(path).unwrap());
    let (mut written, mut count) = (0, 0_u64);
    while written < bytes {
        let mut message = format!("{LINE}Subject: {count}\nMessage-ID: <{count}@example.org>\n\n");
        for line in 0..count % 15 * 60 + 60 {
            let hash = blake3::hash(&(count * 10_000 + line).to_le_bytes()).to_hex();
            message.push_str(&format!("line {line} of the message: {}\n", &hash[..40]));
        }
        message.push('\n');
        out.write_all(message.as_bytes()).unwrap();
        written += message.len() as u64;
        count += 1;
    }
    out.flush().unwrap();
    count
}

fn start_import(server: &Server, file: &Path) -> Child {
    Command::new(binary())
        .args(["import", text(file), "--data"])
        .arg(server.data())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: 0");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn count_of(server: &Server, mailbox: &str) -> u64 {
    let (lines, _) = server.login("anna").command(&format!("STATUS {mailbox} (MESSAGES)"));
    let Some(line) = lines.first() else { return 0 };
    line.rsplit_once("MESSAGES ").unwrap().1.trim_end_matches(')').parse().unwrap()
}

#[test]
fn broken_off_at_any_moment_and_repeated() {
    let mut server = Server::start(&["anna"]);
    let file = server.scratch("mail").join("large.mbox");
    let count = large_mbox(&file, 12 << 20);
    for round in 0..4 {
        let mut child = start_import(&server, &file);
        let before = count_of(&server, "large");
        let deadline = Instant::now() + Duration::from_secs(30);
        while count_of(&server, "large") < before + 40 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        // The command, and then the server as well.
        if round % 2 == 0 {
            child.kill().unwrap();
        } else {
            server.kill_and_restart();
        }
        child.wait().unwrap();
    }
    let (done, report, output) = import(&server, &[text(&file)]);
    assert!(done, "{output}");
    let (found, stored, present, _) = numbers(&report);
    assert!(found == count && stored + present == count && present > 100, "{output}");
    assert_eq!(count_of(&server, "large"), count);
}

#[test]
fn a_large_mbox_takes_no_more_memory_than_a_small_one() {
    let megabytes: u64 = std::env::var("POSTERN_TEST_MBOX_MB").map_or(60, |text| text.parse().unwrap());
    let server = Server::start(&["anna"]);
    let folder = server.scratch("mail");
    let mut peaks = Vec::new();
    for (name, size) in [("small.mbox", 15 << 20), ("large.mbox", megabytes << 20)] {
        let file = folder.join(name);
        let count = large_mbox(&file, size);
        let start = Instant::now();
        let mut child = start_import(&server, &file);
        let mut client = 0;
        while child.try_wait().unwrap().is_none() {
            client = client.max(peak(child.id()));
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(count_of(&server, name.trim_end_matches(".mbox")), count);
        let seconds = start.elapsed().as_secs_f64();
        let rate = size as f64 / 1e6 / seconds;
        println!(
            "figure: import of {} MB: {seconds:.1} s, {rate:.0} MB/s; peak KiB: client {client}, server {}",
            size / 1_000_000,
            peak(server.pid())
        );
        peaks.push((client, peak(server.pid())));
    }
    assert!(peaks[1].0 < peaks[0].0 + 4_000, "the command: {peaks:?}");
    assert!(peaks[1].1 < peaks[0].1 + 20_000, "the server: {peaks:?}");
}

/// Root brings in what belongs to anybody, with that user's rights and no others; a FIFO holds up nobody.
#[test]
fn root_reads_only_what_the_owner_may_read() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    const NOBODY: u32 = 65534;
    let server = Server::start(&["anna"]);
    let maildir = server.folder().join("of nobody");
    for sub in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(maildir.join(sub)).unwrap();
    }
    for (name, mode) in [("own", 0o600), ("roots", 0o600), ("everybodys", 0o644)] {
        let path = maildir.join("cur").join(format!("1700000000.{name}:2,S"));
        std::fs::write(&path, format!("Subject: {name}\n\nx\n")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let chown = |path: &std::path::Path| std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    chown(&maildir);
    ["cur", "new", "tmp", "cur/1700000000.own:2,S"].iter().for_each(|path| chown(&maildir.join(path)));
    std::fs::set_permissions(server.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        maildir.join("dovecot-keywords"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    let (_, text) = server.command(&["import", maildir.to_str().unwrap()], "");
    let mut client = server.login("anna");
    let subjects: Vec<_> = everything(&server, "anna").into_iter().map(|seen| seen.subject).collect();
    assert_eq!(subjects.len(), 2, "{subjects:?}: {text}");
    assert!(subjects.iter().all(|subject| !subject.contains("roots")), "{subjects:?}");
    assert!(text.contains("roots") && text.contains("dovecot-keywords"), "{text}");
    client.ok("NOOP");
}
