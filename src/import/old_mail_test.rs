//! A Maildir that another program works on while it is imported.

use std::fs;
use std::path::PathBuf;

use super::old_mail::{Wishes, read};
use super::sink::{Filing, Outcome, Refused, Sink, Stop};

/// Reads what is new at the first message, as a mail program does when somebody opens the folder.
#[derive(Default)]
struct Busy {
    root: PathBuf,
    text: Vec<u8>,
    came: Vec<String>,
}

impl Sink for Busy {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    fn file(&mut self, _: Filing) -> Result<(), Stop> {
        self.came.push(String::from_utf8(std::mem::take(&mut self.text)).unwrap());
        if self.came.len() > 1 {
            return Ok(());
        }
        for entry in fs::read_dir(self.root.join("new")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let read = self.root.join("cur").join(format!("{name}:2,S"));
            fs::rename(self.root.join("new").join(name), read).unwrap();
        }
        fs::remove_file(self.root.join("cur/1700000005.5:2,S")).unwrap();
        Ok(())
    }

    fn discard(&mut self) -> Result<(), Stop> {
        self.text.clear();
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Stop> {
        Ok(())
    }

    fn outcome(&self) -> Outcome {
        Outcome::default()
    }

    fn take_refused(&mut self) -> Vec<Refused> {
        Vec::new()
    }
}

#[test]
fn messages_that_are_renamed_meanwhile_come_and_are_no_failures() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("Maildir");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(root.join(sub)).unwrap();
    }
    for n in 0..10 {
        fs::write(root.join(format!("new/170000000{n}.{n}")), format!("Subject: {n}\n\n")).unwrap();
    }
    let mut sink = Busy { root: root.clone(), ..Busy::default() };
    let report = read(&[root], Wishes::default(), &mut sink, &mut |_| {}).unwrap();
    assert_eq!((report.failed, report.skipped_count), (0, 0), "{report:?}");
    sink.came.sort();
    // One was deleted before it was read.
    let wanted: Vec<_> = (0..10).filter(|n| *n != 5).map(|n| format!("Subject: {n}\n\n")).collect();
    assert_eq!(sink.came, wanted);
}
