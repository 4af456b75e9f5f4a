//! Sources whose disk gives errors: what cannot be read is named with the reason, the rest comes, and an error is never
//! taken for "nothing there".

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::destination::sink::{Filing, Outcome, Refused, Sink, Stop};
use super::maildir::keywords::Keywords;
use super::old::old_mail::{Wishes, read};
use super::watch::scan_test::bench;
use crate::store::messages;
use crate::store::sources::After;

/// A file whose every read fails with EIO: this process's memory, whose first page is none.
struct Failing(PathBuf);

impl Failing {
    fn over(path: PathBuf) -> Option<Failing> {
        let memory = format!("/proc/{}/mem", std::process::id());
        let done = Command::new("mount").args(["--bind", &memory]).arg(&path).output();
        done.is_ok_and(|output| output.status.success()).then_some(Failing(path))
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// What comes, and nothing else.
#[derive(Default)]
struct Came {
    text: Vec<u8>,
    all: Vec<String>,
}

impl Sink for Came {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    fn file(&mut self, _: Filing) -> Result<(), Stop> {
        self.all.push(String::from_utf8(std::mem::take(&mut self.text)).unwrap());
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

fn maildir(root: &Path) {
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(root.join(sub)).unwrap();
    }
    for n in 0..3 {
        fs::write(root.join(format!("new/170000000{n}.{n}")), format!("Subject: {n}\n\n")).unwrap();
    }
}

#[test]
fn old_mail_names_what_its_disk_does_not_give() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("Maildir");
    maildir(&root);
    let Some(_failing) = Failing::over(root.join("new/1700000001.1")) else {
        println!("skipped: to mount takes root");
        return;
    };
    fs::write(root.join(Keywords::FILE), "").unwrap();
    let Some(_keywords) = Failing::over(root.join(Keywords::FILE)) else { panic!("mounted before") };
    let mut sink = Came::default();
    let report = read(&[root], Wishes::default(), &mut sink, &mut |_| {}).unwrap();
    sink.all.sort();
    assert_eq!(sink.all, ["Subject: 0\n\n", "Subject: 2\n\n"]);
    assert_eq!(report.failed, 2, "{report:?}");
    for name in [Keywords::FILE, "new/1700000001.1"] {
        let told = report.skipped.iter().find(|skipped| skipped.what.ends_with(name));
        assert!(
            told.is_some_and(|told| told.why.contains("the disk, or the way to it, gives an error")),
            "{report:?}"
        );
    }
}

#[test]
fn a_folder_whose_keywords_cannot_be_read_waits_for_them() {
    let mut bench = bench(|_| After::Keep);
    bench.put(1);
    fs::rename(bench.path("cur/1700000001.1:2,S"), bench.path("cur/1700000001.1:2,Sa")).unwrap();
    // Something is there, and it is not what can be read: as on a disk that fails.
    fs::create_dir(bench.path(Keywords::FILE)).unwrap();
    bench.look(true);
    assert_eq!(bench.count(), 0);
    {
        let status = bench.scanner.status();
        assert_eq!(status.unreadable.count, 1, "{status:?}");
        assert!(status.unreadable.names[0].contains(Keywords::FILE), "{status:?}");
        assert!(status.problem.is_some());
    }
    fs::remove_dir(bench.path(Keywords::FILE)).unwrap();
    fs::write(bench.path(Keywords::FILE), "0 $Invoice\n").unwrap();
    bench.look(false);
    assert_eq!(bench.count(), 1);
    let (snapshot, inbox) = (bench.store.snapshot().unwrap(), bench.inbox());
    let table = messages::keywords(&snapshot, inbox).unwrap();
    let mut found = Vec::new();
    messages::scan(&snapshot, inbox, 1..=u32::MAX, &mut |record| {
        found.extend(table.names(record.keywords).map(|name| name.as_str().to_owned()));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    assert_eq!(found, ["$Invoice"]);
    assert!(bench.scanner.status().problem.is_none());
    assert!(bench.look(false).is_none_or(|again| again > Duration::ZERO));
}
