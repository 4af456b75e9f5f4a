//! The data folder moved to another place, and images of a machine put back.

use super::harness::{Client, Server};
use super::old_mail::everything;

fn select(client: &mut Client, item: &str) -> u64 {
    let lines = client.ok("STATUS INBOX (UIDVALIDITY UIDNEXT HIGHESTMODSEQ)");
    let rest = lines[0].split_once(item).unwrap().1;
    rest.trim().split([' ', ')']).next().unwrap().parse().unwrap()
}

#[test]
fn mail_is_in_the_new_folder_and_the_configuration_names_it() {
    let mut server = Server::start(&["anna"]);
    let mut client = server.login("anna");
    for n in 0..30 {
        client.append("INBOX", "\\Seen", format!("Subject: {n}\r\n\r\n{n}\r\n").as_bytes());
    }
    client.ok("CREATE Work");
    client.append("Work", "", b"Subject: work\r\n\r\nx\r\n");
    let before = everything(&server, "anna");
    let to = server.folder().join("disk/mail");
    let to = to.to_str().unwrap();
    let (done, text) = server.command(&["move-data", to], "");
    assert!(!done && text.contains("runs: stop it first"), "{text}");
    server.kill();
    let file = server.folder().join("postern.toml");
    std::fs::write(&file, "# mine\ndata = \"data\"\nlog_level = \"info\"\n").unwrap();
    let file = file.to_str().unwrap();
    // The harness names --data itself unless it is named; here the file does.
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(super::harness::binary())
            .args(arguments)
            .current_dir(server.folder())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), text + &String::from_utf8_lossy(&output.stderr))
    };
    let (done, text) = run(&["move-data", to, "--config", file, "--json"]);
    assert!(done, "{text}");
    let moved: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(moved["files"].as_u64().unwrap() >= 5, "{text}");
    let config = std::fs::read_to_string(file).unwrap();
    assert!(config.starts_with("# mine\n") && config.contains(&format!("data = \"{to}\"")), "{config}");
    let (done, text) = run(&["move-data", to, "--config", file]);
    assert!(!done && text.contains("within each other"), "{text}");
    server.restart_with(&["--config", file]);
    let after: Vec<_> = everything(&server, "anna")
        .into_iter()
        .map(|seen| (seen.mailbox, seen.subject, seen.flags, seen.body))
        .collect();
    let before: Vec<_> =
        before.into_iter().map(|seen| (seen.mailbox, seen.subject, seen.flags, seen.body)).collect();
    assert_eq!(after, before);
}

#[test]
fn after_an_image_was_put_back_no_number_is_given_again() {
    let mut server = Server::start(&["anna"]);
    let mut client = server.login("anna");
    client.append("INBOX", "", b"Subject: one\r\n\r\nx\r\n");
    assert_eq!(server.stop(), Some(0));
    let (image, data) = (server.folder().join("image"), server.data());
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let status = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
        assert!(status.success());
    };
    copy(&data, &image);
    server.restart();
    let mut client = server.login("anna");
    client.append("INBOX", "", b"Subject: lost\r\n\r\nx\r\n");
    client.ok("SELECT INBOX");
    client.ok("STORE 1 +FLAGS.SILENT (\\Seen)");
    let [validity, next, modseq] =
        ["UIDVALIDITY ", "UIDNEXT ", "HIGHESTMODSEQ "].map(|item| select(&mut client, item));
    assert_eq!(server.stop(), Some(0));
    std::fs::remove_dir_all(&data).unwrap();
    copy(&image, &data);
    server.restart();
    let (done, text) = server.command(&["new-generation"], "");
    assert!(done, "{text}");
    let mut client = server.login("anna");
    client.ok("ENABLE QRESYNC");
    assert_eq!(select(&mut client, "UIDVALIDITY "), validity);
    assert!(select(&mut client, "UIDNEXT ") > next);
    let now = select(&mut client, "HIGHESTMODSEQ ");
    assert!(now > modseq);
    // A client that saw the lost future is told the flags of what is left, and that the rest is gone.
    let lines = client.ok(&format!("SELECT INBOX (QRESYNC ({validity} {modseq} 1:{}))", next - 1));
    assert!(lines.iter().any(|line| line.contains("VANISHED (EARLIER)") && line.contains('2')), "{lines:?}");
    let told =
        lines.iter().find(|line| line.contains("FETCH") && line.contains("UID 1 ")).expect("its flags");
    assert!(!told.contains("\\Seen"), "{told}");
    let appended = client.append("INBOX", "", b"Subject: two\r\n\r\nx\r\n");
    assert!(!appended.contains(&format!("APPENDUID {validity} {} ", next - 1)), "{appended}");
    // And all of it holds after a kill.
    server.kill_and_restart();
    assert!(select(&mut server.login("anna"), "HIGHESTMODSEQ ") > now);
}
