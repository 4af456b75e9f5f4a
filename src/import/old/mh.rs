//! Folders of MH: a directory whose messages are files called by their numbers; nmh, Claws, Sylpheed. What was read and
//! flagged stands in a file beside them. Pure.

use std::collections::BTreeMap;

use crate::model::{Flag, FlagSet, Keyword, SystemFlags};

/// The files that tell, the likeliest first.
pub const FILES: [&str; 3] = [".mh_sequences", ".claws_mark", ".sylpheed_mark"];
/// Bytes of such a file that are read.
pub(super) const MAX_FILE: u64 = 8 << 20;

const NEW: u32 = 1;
const UNREAD: u32 = 1 << 1;
const MARKED: u32 = 1 << 2;
const REPLIED: u32 = 1 << 4;
const FORWARDED: u32 = 1 << 5;

/// What is known of the messages of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Bits by numbers, in the order of the numbers.
    bits: BTreeMap<u32, u32>,
    /// The same for ranges of numbers, which are short to write however long they are: a bit, and its ranges in their order,
    /// none of which touches another.
    ranges: Vec<(u32, Vec<(u32, u32)>)>,
}

impl Marks {
    /// Reads a file of this name. What is not of its form counts as nothing.
    #[must_use]
    pub fn parse(name: &str, bytes: &[u8]) -> Self {
        if name == FILES[0] {
            Marks::of_sequences(&String::from_utf8_lossy(bytes))
        } else {
            Marks::of_mark(bytes)
        }
    }

    /// Lines of a name and numbers: `unseen: 3 7-9`.
    fn of_sequences(text: &str) -> Self {
        let mut found: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
        for line in text.lines() {
            let Some((name, numbers)) = line.split_once(':') else { continue };
            let bit = match name.trim() {
                "unseen" => UNREAD,
                "flagged" => MARKED,
                "replied" | "answered" => REPLIED,
                "forwarded" => FORWARDED,
                _ => continue,
            };
            for part in numbers.split_whitespace() {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else { continue };
                if first <= last {
                    found.entry(bit).or_default().push((first, last));
                }
            }
        }
        let ranges = found.into_iter().map(|(bit, ranges)| (bit, merged(ranges))).collect();
        Marks { ranges, ..Marks::default() }
    }

    /// A version, and then a number and its bits, as the machine has them, which was a little-endian one.
    fn of_mark(bytes: &[u8]) -> Self {
        let mut words =
            bytes.chunks_exact(4).filter_map(|four| Some(u32::from_le_bytes(four.try_into().ok()?)));
        if words.next() != Some(2) {
            return Marks::default();
        }
        let mut marks = Marks::default();
        while let (Some(number), Some(bits)) = (words.next(), words.next()) {
            marks.bits.insert(number, bits);
        }
        marks
    }

    /// The flags of a message. Without a mark it was read.
    #[must_use]
    pub fn flags(&self, number: u32) -> FlagSet {
        let told = self.ranges.iter().filter(|(_, ranges)| holds(ranges, number)).map(|(bit, _)| bit);
        let bits = told.fold(self.bits.get(&number).copied().unwrap_or(0), |bits, bit| bits | bit);
        let known = [(MARKED, SystemFlags::FLAGGED), (REPLIED, SystemFlags::ANSWERED)];
        let mut flags: FlagSet =
            known.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, flag)| Flag::System(*flag)).collect();
        if bits & (UNREAD | NEW) == 0 {
            flags.insert(Flag::System(SystemFlags::SEEN));
        }
        if bits & FORWARDED != 0 {
            flags.keywords.extend(Keyword::new("$Forwarded"));
        }
        flags
    }
}

fn merged(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let touches = next.0 <= before.1.saturating_add(1);
        if touches {
            before.1 = before.1.max(next.1);
        }
        touches
    });
    ranges
}

fn holds(ranges: &[(u32, u32)], number: u32) -> bool {
    let behind = ranges.partition_point(|(first, _)| *first <= number);
    behind.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| number <= *last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(marks: &Marks, number: u32) -> String {
        let flags = marks.flags(number);
        let words = flags.keywords.iter().map(|word| word.as_str().to_owned());
        flags.system.names().map(str::to_owned).chain(words).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sequences_and_marks() {
        let text = b"cur: 5\nunseen: 3 7-9\nflagged: 8\nodd\nreplied: x 2-1 4\n";
        let marks = Marks::parse(".mh_sequences", text);
        let shown_by: Vec<_> = [1, 3, 4, 8].iter().map(|number| shown(&marks, *number)).collect();
        assert_eq!(shown_by, ["\\Seen", "", "\\Answered \\Seen", "\\Flagged"]);
        let words: Vec<u8> =
            [2, 1, 2, 5, 4, 6, 0x30_u32].iter().flat_map(|word| word.to_le_bytes()).collect();
        let marks = Marks::parse(".claws_mark", &words);
        assert_eq!(
            [1, 5, 6].map(|n| shown(&marks, n)),
            ["", "\\Flagged \\Seen", "\\Answered \\Seen $Forwarded"]
        );
        assert_eq!(Marks::parse(".claws_mark", b"\x07\0\0\0\x01\0\0\0\x01\0\0\0"), Marks::default());
        // However often it is said, and however long the range.
        let again = "unseen: 1-4294967295 7-4294967295\n".repeat(20_000);
        let marks = Marks::parse(".mh_sequences", again.as_bytes());
        assert_eq!(marks.ranges, [(UNREAD, vec![(1, u32::MAX)])]);
        assert_eq!([0, 1, u32::MAX].map(|n| shown(&marks, n)), ["\\Seen", "", ""]);
    }
}
