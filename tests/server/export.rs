//! Mail taken out as files, read by Dovecot, and brought back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::harness::Server;
use super::old_mail::{Seen, everything};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An account with folders, flags, keywords, dates, and bytes that are easily lost.
fn fill(server: &Server) {
    let mut client = server.login("anna");
    for name in ["Work", "Work/2024", "&ZeVnLIqe-"] {
        client.ok(&format!("CREATE {name}"));
    }
    let mut put = |mailbox: &str, flags: &str, date: &str, message: &str| {
        let length = message.len();
        client.send(format!("a APPEND {mailbox} ({flags}) \"{date}\" {{{length}+}}\r\n").as_bytes());
        client.send(message.as_bytes());
        client.send(b"\r\n");
        let (_, status) = client.finish("a");
        assert!(status.starts_with("OK"), "{status}");
    };
    let odd = "Subject: odd\r\n\r\nFrom here\r\n>From there\r\nlone\rcr\r\r\n.\r\n\r\n\r\n";
    put("INBOX", "\\Seen $Label1", " 1-Jan-2020 10:00:00 +0000", "Subject: one\r\n\r\nx\r\n");
    put("INBOX", "Later $label1", " 2-Jan-2020 10:00:00 +0200", odd);
    put("Sent", "\\Seen \\Answered \\Flagged", "31-Dec-2019 23:30:00 -0100", "Subject: sent\r\n\r\nx\r\n");
    put("Work/2024", "\\Deleted $Forwarded", " 3-Jan-2020 10:00:00 +0000", "Subject: deep\r\n\r\nno end");
    put("&ZeVnLIqe-", "\\Draft", " 4-Jan-2020 10:00:00 +0000", "Subject: kana\r\n\r\nx\r\n");
    for n in 0..150 {
        put(
            "Work",
            "",
            " 5-Jan-2020 10:00:00 +0000",
            &format!("Subject: {n}\r\n\r\n{}\r\n", "y".repeat(n * 97)),
        );
    }
}

/// What must come back: everything but the zone of the date and the order of flags.
fn essence(all: Vec<Seen>, with_flags: bool) -> Vec<(String, String, String, String)> {
    let mut all: Vec<_> = all
        .into_iter()
        .map(|seen| {
            let flags = if with_flags { seen.flags.to_lowercase() } else { String::new() };
            (seen.mailbox, flags, seen.subject, seen.body)
        })
        .collect();
    all.sort();
    all
}

fn export(server: &Server, arguments: &[&str]) -> (bool, String) {
    let all: Vec<&str> = ["export", "--account", "anna"].iter().chain(arguments).copied().collect();
    server.command(&all, "")
}

#[test]
fn what_goes_out_comes_back() {
    let mut server = Server::start(&["anna", "bert", "carl", "dora"]);
    fill(&server);
    let before = everything(&server, "anna");
    assert_eq!(before.len(), 155);
    for (format, account) in [("maildir", "bert"), ("mbox", "carl"), ("eml", "dora")] {
        let folder = server.scratch("out").join(format);
        // Through the server, and on the store itself.
        if format == "mbox" {
            server.stop();
        }
        let (done, output) = export(&server, &["--format", format, text(&folder)]);
        assert!(done && output.contains("155 messages"), "{output}");
        let (done, output) = server.command(&["import", "--account", account, text(&folder)], "");
        assert!(done && output.contains("155 messages found: 155 imported"), "{output}");
        if format == "mbox" {
            server.restart();
        }
        let after = everything(&server, account);
        let (wanted, found) =
            (essence(before.clone(), format != "eml"), essence(after.clone(), format != "eml"));
        assert_eq!(wanted.len(), found.len());
        for (wanted, found) in wanted.iter().zip(&found) {
            assert_eq!(wanted, found, "{format}");
        }
        if format == "maildir" {
            let moment = |all: &[Seen], subject: &str| {
                all.iter().find(|seen| seen.subject == subject).unwrap().date.clone()
            };
            assert_eq!(moment(&after, "odd"), " 2-Jan-2020 08:00:00 +0000");
            assert_eq!(moment(&after, "sent"), " 1-Jan-2020 00:30:00 +0000");
        }
        // Again into the account that it came from: everything is there.
        if format == "maildir" {
            let (done, output) = server.command(&["import", "--account", "anna", text(&folder)], "");
            assert!(done && output.contains("0 imported") && output.contains("155 were there"), "{output}");
        }
    }
}

#[test]
fn a_part_of_it() {
    let server = Server::start(&["anna"]);
    fill(&server);
    let out = server.scratch("out");
    for (arguments, count) in [
        (&["--mailbox", "Work"][..], 151),
        (&["--since", "2020-01-03"], 152),
        (&["--before", "2020-01-01"], 1),
        (&["--since", "2020-01-01", "--before", "2020-01-03"], 2),
        (&["--mailbox", "Work", "--since", "2021-01-01"], 0),
    ] {
        let folder = out.join(arguments.join("_"));
        let all: Vec<&str> = arguments.iter().copied().chain([text(&folder)]).collect();
        let (done, output) = export(&server, &all);
        assert!(done && output.contains(&format!("{count} messages")), "{arguments:?}: {output}");
    }
    let (done, output) = export(&server, &[text(&out)]);
    assert!(!done && output.contains("empty folder"), "{output}");
    let (done, output) = export(&server, &["--mailbox", "Nowhere", text(&out.join("x"))]);
    assert!(!done && output.contains("Nowhere"), "{output}");
    let (done, output) = export(&server, &["--since", "yesterday", text(&out.join("x"))]);
    assert!(!done && output.contains("2024-12-31"), "{output}");
}

/// Debian's Dovecot reads the Maildir, flags and keywords and all. Where it is not installed, this says so.
#[test]
fn dovecot_reads_the_maildir() {
    let found = Command::new("doveadm").arg("--version").stdout(Stdio::null()).status();
    if found.is_err() {
        println!("skipped: doveadm is not installed");
        return;
    }
    let server = Server::start(&["anna"]);
    fill(&server);
    let folder = server.scratch("out").join("Maildir");
    assert!(export(&server, &[text(&folder)]).0);
    let base = server.scratch("dovecot");
    // Dovecot reads no mail as root.
    let user = if rustix::process::geteuid().is_root() {
        fs::set_permissions(server.folder(), PermissionsExt::from_mode(0o755)).unwrap();
        let given = Command::new("chown").args(["-R", "65534:65534", text(&folder), text(&base)]).status();
        assert!(given.unwrap().success());
        (65_534, 65_534)
    } else {
        (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
    };
    let config = base.join("dovecot.conf");
    fs::write(
        &config,
        format!(
            "base_dir = {0}/run\nstate_dir = {0}/run\nlog_path = {0}/log\nmail_location = maildir:{1}\n\
             ssl = no\nfirst_valid_uid = 0\nfirst_valid_gid = 0\nmail_uid = {2}\nmail_gid = {3}\n\
             userdb {{\n  driver = static\n  args = uid={2} gid={3} home={0}\n}}\n",
            base.display(),
            folder.display(),
            user.0,
            user.1,
        ),
    )
    .unwrap();
    let doveadm = |arguments: &[&str]| {
        let output = Command::new("doveadm")
            .args(["-c", text(&config)])
            .args(arguments)
            .env("HOME", &base)
            .env("USER", "anna")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let mut names: Vec<_> = doveadm(&["mailbox", "list"]).lines().map(str::to_owned).collect();
    names.sort();
    for name in ["INBOX", "Sent", "Work", "Work.2024", "日本語"] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
    let fetched =
        doveadm(&["fetch", "hdr.subject flags date.received.unixtime size.virtual", "mailbox", "INBOX"]);
    for wanted in ["hdr.subject: one", "$Label1", "\\Seen", "Later", "date.received.unixtime: 1577872800"] {
        assert!(fetched.contains(wanted), "{wanted}: {fetched}");
    }
    let sent = doveadm(&["fetch", "flags", "mailbox", "Sent"]);
    assert!(["\\Seen", "\\Answered", "\\Flagged"].iter().all(|flag| sent.contains(flag)), "{sent}");
    assert!(doveadm(&["fetch", "flags", "mailbox", "Work.2024"]).contains("$Forwarded"));
    let status = doveadm(&["mailbox", "status", "messages", "Work"]);
    assert!(status.contains("messages=150"), "{status}");
    let body = doveadm(&["fetch", "text", "mailbox", "INBOX", "SUBJECT", "odd"]);
    assert!(body.contains(">From there"), "{body}");
}
