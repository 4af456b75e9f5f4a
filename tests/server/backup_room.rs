//! A restore onto a disk that is too small, or becomes full on the way: what to do is said, nothing half is used, and the
//! same command goes on.

use crate::damage::message;
use crate::harness::Server;
use crate::lifecycle::Small;
use crate::old_mail::everything;

const LETTERS: usize = 60;

#[test]
fn a_restore_that_does_not_fit_goes_on_when_there_is_room() {
    let mut server = Server::start(&["anna"]);
    let mut anna = server.login("anna");
    for n in 0..LETTERS {
        anna.append("INBOX", "\\Seen", &message(n, 400_000));
    }
    drop(anna);
    let before = everything(&server, "anna");
    let stick = server.folder().join("stick");
    let stick = stick.to_str().unwrap().to_owned();
    assert!(server.command(&["backup", &stick, "--same-disk"], "").0);
    assert_eq!(server.stop(), Some(0));
    let disk = server.scratch("small");
    // It does not fit: nothing is begun.
    {
        let Some(_mounted) = Small::mount(&disk, 80) else {
            println!("skipped: to mount a small disk takes root");
            return;
        };
        let data = disk.join("data");
        let (done, output) = server.command(&["restore", &stick, "--data", data.to_str().unwrap()], "");
        assert!(
            !done && output.contains("not enough room") && output.contains("nothing was changed"),
            "{output}"
        );
        assert!(!data.exists());
    }
    // It was begun, and what was free is not any more: in the journal, in the rows, in the contents.
    for (megabytes, others) in [(6, "journal"), (30, "room"), (103, "room")] {
        let mounted = Small::mount(&disk, megabytes).unwrap();
        let data = disk.join("data");
        let at = data.to_str().unwrap();
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("postern.restoring"), b"").unwrap();
        for _ in 0..2 {
            let (done, output) = server.command(&["restore", &stick, "--data", at], "");
            assert!(!done && output.contains("became full"), "{megabytes}: {output}");
            assert!(
                output.contains("run the same command again") && output.contains("Make room"),
                "{output}"
            );
            assert!(others == "room" || output.contains(others), "{output}");
            // Nobody takes the half for the whole.
            let (done, output) = server.command(&["account", "list", "--data", at], "");
            assert!(!done && output.contains("run `postern restore` again"), "{output}");
        }
        let volumes = std::fs::read_dir(data.join("mail")).unwrap().count();
        assert_eq!(volumes > 0, megabytes > 100, "the last was stopped among the contents");
        mounted.resize(300);
        let (done, output) = server.command(&["restore", &stick, "--data", at], "");
        assert!(done && output.contains("60 messages of 1 account are back"), "{output}");
        assert!(!data.join("postern.restoring").exists());
        let (done, output) = server.command(&["check", "--data", at], "");
        assert!(done && output.contains("all is well"), "{output}");
        server.restart_with(&["--data", at]);
        assert_eq!(everything(&server, "anna"), before);
        assert_eq!(server.stop(), Some(0));
    }
}
