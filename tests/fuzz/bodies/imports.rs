//! A file of old mail, whatever it is, on its way in: told the same each time, each message whole, and no more of it than
//! there was.

use std::fs;
use std::path::PathBuf;

use postern::import::destination::sink::{Filing, Outcome, Refused, Sink, Stop};
use postern::import::disk::coding::{self, Start};
use postern::import::old::old_mail::{self, Report, Wishes};

use super::{archives, first, mbox, texts};

/// What the file is called.
const NAMES: &[&str] = &[
    "old.mbox",
    "one.eml",
    "Inbox",
    "mail.zip",
    "mail.tar.gz",
    "Takeout.tgz",
    "Sent.mbox.gz",
    "mail.tar",
    "7",
    "9.emlx",
    "a.msg",
];
/// Bytes that are taken; an archive may hold more than any disk.
const MOST: u64 = 4 << 20;
/// For each byte of a file that is no archive so many are taken at most, and some for each message.
const TAKEN: u64 = 2;

pub fn seeds() -> Vec<Vec<u8>> {
    let named = |name: u8, seeds: Vec<Vec<u8>>| {
        seeds.into_iter().map(move |seed| [&[name], seed.get(1..).unwrap_or_default()].concat())
    };
    let heads: &[&[u8]] = &[b"\x00", b"\x01", b"\x02"];
    let files = texts(
        heads,
        &[
            "From: a@b\r\nSubject: x\r\nX-Gmail-Labels: Inbox,Work/2024\r\nStatus: RO\r\n\r\nbody\r\n",
            "\u{feff}From: a@b\rSubject: only CR\r\rbody\r",
            "BEGIN:VCARD\r\nFN:Anna\r\nEND:VCARD\r\n",
            "{\"Subject\": \"no mail\"}\n",
            "From anna@example.org\nSubject: no date\n\nx\n\nFrom b\nSubject: 2\n\ny\n",
        ],
    );
    let apple = "14\nSubject: x\n\nx\n<plist><dict><key>flags</key><integer>17</integer></dict></plist>";
    let others: [Vec<u8>; 3] = [
        [b"\x09", apple.as_bytes()].concat(),
        b"\x08Subject: a number\r\n\r\nx\r\n".to_vec(),
        b"\x0a\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec(),
    ];
    let utf16 = "Subject: wide\r\n\r\nx\r\n".encode_utf16().flat_map(u16::to_le_bytes);
    let utf16: Vec<u8> = [1, 0xff, 0xfe].into_iter().chain(utf16).collect();
    let archives = archives::seeds()
        .into_iter()
        .zip([3, 7, 4, 6, 6, 7, 4, 6, 4, 6, 4, 6])
        .flat_map(|(seed, n)| named(n, vec![seed]));
    named(0, mbox::seeds()).chain(archives).chain(files).chain([utf16]).chain(others).collect()
}

/// What was taken: where each message goes, and how long it is.
#[derive(Debug, Default, PartialEq)]
struct Taken {
    present: u64,
    bytes: u64,
    all: Vec<(Filing, u64)>,
}

impl Sink for Taken {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.present += bytes.len() as u64;
        self.bytes += bytes.len() as u64;
        if self.bytes > MOST { Err(Stop::Server("enough".to_owned())) } else { Ok(()) }
    }

    fn file(&mut self, filing: Filing) -> Result<(), Stop> {
        // Names of flags that are none would be lost.
        let flags = filing.flag_set();
        assert_eq!(filing.clone().with_flags(&flags).flags.len(), filing.flags.len(), "{:?}", filing.flags);
        assert!(filing.places.iter().flatten().all(|level| !level.is_empty()), "{:?}", filing.places);
        self.all.push((filing, std::mem::take(&mut self.present)));
        Ok(())
    }

    fn discard(&mut self) -> Result<(), Stop> {
        self.present = 0;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Stop> {
        Ok(())
    }

    fn outcome(&self) -> Outcome {
        Outcome { stored: self.all.len() as u64, ..Outcome::default() }
    }

    fn take_refused(&mut self) -> Vec<Refused> {
        Vec::new()
    }
}

fn read(path: &PathBuf, seen: bool) -> (Option<Report>, Taken) {
    let mut taken = Taken::default();
    let report = old_mail::read(
        std::slice::from_ref(path),
        Wishes { seen, ..Wishes::default() },
        &mut taken,
        &mut |_| {},
    );
    (report.ok(), taken)
}

pub fn run(data: &[u8]) {
    let (name, bytes) = first(data);
    let root = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = root.join(format!("fuzz-imports-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(NAMES[usize::from(name) % NAMES.len()]);
    fs::write(&path, bytes).unwrap();
    let (report, taken) = read(&path, name >= 128);
    let (again, same) = read(&path, name >= 128);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(taken, same);
    assert_eq!(format!("{report:?}"), format!("{again:?}"));
    let Some(report) = report else { return assert!(taken.bytes > MOST) };
    assert_eq!(taken.present, 0, "a message is neither filed nor discarded");
    assert!(report.found >= taken.all.len() as u64 && report.looked.len() <= 2);
    let packed = matches!(coding::start(bytes), Start::Packed(_));
    let packed = packed || bytes.starts_with(b"PK") || bytes.len() >= 512;
    let most = TAKEN * bytes.len() as u64 + 256 * (1 + report.found);
    assert!(packed || taken.bytes <= most, "{} of {}", taken.bytes, bytes.len());
}
