//! A message of Apple Mail: the bytes that its first line counts and no others, however they come; what stands behind
//! them is known at their end and not before; and the mailbox that a path means is a name.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use postern::import::old::emlx::{Emlx, levels};
use postern::model::{DateTime, FlagSet, SystemFlags};
use postern::store::sim::Dice;

use super::{first, texts};

const LIST: &str = "<plist><dict><key>date-received</key>\n\t<integer>1388534400</integer>\n\
    <key>flags</key>\n\t<integer>8590195717</integer></dict></plist>";

pub fn seeds() -> Vec<Vec<u8>> {
    let message = format!("Subject: x\n\nbody\n{LIST}");
    let odd = "x<key>flags</key><real>3.5</real><key>flags</key><integer>-1<key>date-received</key><integer>99999999999999999999";
    texts(
        &[b"\x00", b"\x11", b"\xff"],
        &[
            &message,
            odd,
            "",
            "V10/0A-1/Work.mbox/Old.mbox/9-2/Data/3/Messages/1.emlx",
            ".mbox/INBOX.mbox/1.emlx",
        ],
    )
}

/// Gives a few bytes at a time.
struct Drip<'a>(&'a [u8], Dice);

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = (1 + self.1.below(9) as usize).min(out.len()).min(self.0.len());
        out[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

type Seen = (Vec<u8>, bool, Option<(Option<DateTime>, FlagSet)>);

fn seen(source: impl Read, length: u64) -> Seen {
    let mut emlx = Emlx::new(source, length);
    let late = emlx.late();
    let mut out = Vec::new();
    let whole = emlx.read_to_end(&mut out).is_ok();
    (out, whole, late.take())
}

pub fn run(data: &[u8]) {
    let (length, bytes) = first(data);
    let length = usize::from(length);
    let whole = seen(bytes, length as u64);
    assert_eq!(
        whole,
        seen(Drip(bytes, Dice::new(length as u64)), length as u64),
        "by what was read at a time"
    );
    assert_eq!(whole.0, bytes[..length.min(bytes.len())]);
    // One that is cut off is no message, and tells nothing.
    assert_eq!((whole.1, whole.2.is_some()), (bytes.len() >= length, bytes.len() >= length));
    let known = b"Subject: x\n\n";
    let told = seen(&[&known[..], LIST.as_bytes(), bytes].concat()[..], known.len() as u64).2.unwrap();
    assert_eq!(told.0, Some(DateTime::utc(1_388_534_400)), "the first that it says counts");
    assert!(told.1.system.contains(SystemFlags::SEEN));
    let path = Path::new(std::ffi::OsStr::from_bytes(bytes));
    let found = levels(path);
    assert!(found.len() <= path.iter().count());
    assert!(found.iter().map(String::len).sum::<usize>() <= 3 * bytes.len());
}
