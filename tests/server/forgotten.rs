//! More was expunged than is kept (100,000 UIDs of a mailbox): what is gone is told all the same, and nothing else.

use crate::harness::Server;

/// RFC 7162 §3.2.6, the note: all of the set that is not in the mailbox. What came meanwhile is in the mailbox though
/// the session has not been told of it.
#[test]
fn what_came_since_does_not_vanish() {
    let server = Server::start(&["alice"]);
    let (mut reader, mut writer) = (server.login("alice"), server.login("alice"));
    writer.ok("CREATE many");
    writer.append("many", "", b"Subject: x\r\n\r\nx\r\n");
    writer.ok("SELECT many");
    for _ in 0..14 {
        writer.ok("COPY 1:* many");
    }
    writer.append("INBOX", "", b"Subject: stays\r\n\r\nx\r\n");
    for _ in 0..7 {
        writer.ok("COPY 1:* INBOX");
        writer.ok("SELECT INBOX");
        writer.ok("UID STORE 2:* +FLAGS.SILENT (\\Deleted)");
        writer.ok("UNSELECT");
        writer.ok("SELECT INBOX");
        writer.ok("CLOSE");
        writer.ok("SELECT many");
    }
    let last = 1 + 7 * 16_384;
    reader.ok("ENABLE QRESYNC");
    reader.ok("SELECT INBOX");
    writer.append("INBOX", "", b"Subject: new\r\n\r\nx\r\n");
    let told = reader.ok("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)");
    let vanished: Vec<&String> = told.iter().filter(|line| line.contains("VANISHED")).collect();
    assert_eq!(vanished, [&format!("* VANISHED (EARLIER) 2:{last}")], "{told:?}");
    let known = writer.ok("STATUS INBOX (UIDVALIDITY)");
    let validity = known[0].rsplit(' ').next().unwrap().trim_end_matches(')').to_owned();
    let told = reader.ok(&format!("SELECT INBOX (QRESYNC ({validity} 1))"));
    assert!(told.contains(&format!("* VANISHED (EARLIER) 2:{last}")), "{told:?}");
}
