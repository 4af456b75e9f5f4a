//! What MH, Claws and Sylpheed tell of the messages of a folder: the same flags as the plain reading of it gives, and
//! none that the file does not name.

use postern::import::old::mh::{FILES, Marks};
use postern::model::{FlagSet, SystemFlags};

use super::first;

pub fn seeds() -> Vec<Vec<u8>> {
    let marks = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let sequences = [
        "cur: 5\nunseen: 3 7-9\nflagged: 8\nreplied: 2-1 4\nanswered: 1\nforwarded: 12\n",
        "unseen: 1-1000000 1-4294967295 0 -1 1- 3-3 4294967296\nodd\n: 1\nunseen:2",
    ];
    let mut seeds: Vec<_> = sequences.iter().map(|text| [b"\x00", text.as_bytes()].concat()).collect();
    seeds.push([b"\x01".to_vec(), marks(&[2, 1, 1, 2, 2, 3, 4, 4, 16, 5, 32, 6, 0x3f])].concat());
    seeds.push([b"\x02".to_vec(), marks(&[2, 7, 0x30, 7, 1, 0xffff_ffff, 0xffff_ffff])].concat());
    seeds
}

pub fn run(data: &[u8]) {
    let (which, text) = first(data);
    let file = FILES[usize::from(which) % FILES.len()];
    let marks = Marks::parse(file, text);
    assert_eq!(marks, Marks::parse(file, text));
    let plain = if file == FILES[0] { sequences } else { words };
    for number in (0..40).chain([999_999, 1_000_001, u32::MAX]) {
        assert_eq!(shown(&marks.flags(number)), plain(text, number), "{number} of {file}");
    }
}

/// Seen, flagged, answered, forwarded.
type Shown = [bool; 4];

fn shown(flags: &FlagSet) -> Shown {
    let has = |flag| flags.system.contains(flag);
    assert!(!has(SystemFlags::DELETED) && !has(SystemFlags::DRAFT));
    assert!(flags.keywords.iter().all(|word| word.as_str() == "$Forwarded"));
    [
        has(SystemFlags::SEEN),
        has(SystemFlags::FLAGGED),
        has(SystemFlags::ANSWERED),
        !flags.keywords.is_empty(),
    ]
}

/// Each number looked for by itself.
fn sequences(text: &[u8], number: u32) -> Shown {
    let text = String::from_utf8_lossy(text);
    let mut shown = [true, false, false, false];
    for line in text.lines() {
        let Some((name, numbers)) = line.split_once(':') else { continue };
        let at = ["unseen", "flagged", "replied", "forwarded"]
            .iter()
            .position(|known| *known == name.trim() || *known == "replied" && name.trim() == "answered");
        let Some(at) = at else { continue };
        for part in numbers.split_whitespace() {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else { continue };
            if (first..=last).contains(&number) {
                shown[at] = at != 0;
            }
        }
    }
    shown
}

/// The last entry of a number counts.
fn words(bytes: &[u8], number: u32) -> Shown {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (mut bits, mut at) = (0, 4);
    while word(0) == Some(2)
        && let (Some(known), Some(found)) = (word(at), word(at + 4))
    {
        if known == number {
            bits = found;
        }
        at += 8;
    }
    [bits & 3 == 0, bits & 4 != 0, bits & 16 != 0, bits & 32 != 0]
}
