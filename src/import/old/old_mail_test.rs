//! A Maildir that another program works on while it is imported.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::old_mail::{Wishes, read};
use crate::import::destination::sink::{Filing, Outcome, Refused, Sink, Stop};

/// Reads what is new at the first message, as a mail program does when somebody opens the folder.
#[derive(Default)]
struct Busy {
    root: PathBuf,
    text: Vec<u8>,
    came: Vec<String>,
    /// Set in the middle of a message that is larger than this.
    stops: Option<(usize, Arc<AtomicBool>)>,
    finished: bool,
}

impl Sink for Busy {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.text.extend_from_slice(bytes);
        if let Some((_, stop)) = self.stops.as_ref().filter(|(most, _)| self.text.len() > *most) {
            stop.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn file(&mut self, _: Filing) -> Result<(), Stop> {
        self.came.push(String::from_utf8(std::mem::take(&mut self.text)).unwrap());
        if self.came.len() > 1 || self.stops.is_some() {
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
        self.finished = true;
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

/// In the middle of a message of 18 MB: what came before is kept.
#[test]
fn it_is_broken_off_in_the_middle_of_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let mbox = folder.path().join("mbox");
    let first = "From a@b Tue Jan  9 14:00:00 2024\nSubject: one\n\nx\n\n";
    let second = "From a@b Tue Jan  9 14:00:00 2024\nSubject: two\n\n";
    fs::write(&mbox, format!("{first}{second}{}", "and more\n".repeat(2_000_000))).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut sink = Busy { stops: Some((1 << 20, Arc::clone(&stop))), ..Busy::default() };
    let wishes = Wishes { stop, ..Wishes::default() };
    let ended = read(&[mbox], wishes, &mut sink, &mut |_| {});
    assert_eq!(ended.unwrap_err().to_string(), "broken off");
    assert_eq!(sink.came.len(), 1, "the first was whole");
    assert!(sink.finished && sink.text.is_empty(), "it is kept, the second is not");
}
