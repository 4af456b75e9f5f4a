//! Folders of MH: a directory whose messages are files called by their numbers; nmh, Claws, Sylpheed. What was read and
//! flagged stands in a file beside them. Pure.

use std::collections::BTreeMap;

use crate::model::{Flag, FlagSet, Keyword, SystemFlags};

/// The files that tell, the likeliest first.
pub(super) const FILES: [&str; 3] = [".mh_sequences", ".claws_mark", ".sylpheed_mark"];
/// Bytes of such a file that are read.
pub(super) const MAX_FILE: u64 = 8 << 20;

const NEW: u32 = 1;
const UNREAD: u32 = 1 << 1;
const MARKED: u32 = 1 << 2;
const REPLIED: u32 = 1 << 4;
const FORWARDED: u32 = 1 << 5;

/// What is known of the messages of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(BTreeMap<u32, u32>);

impl Marks {
    /// Reads a file of this name. What is not of its form counts as nothing.
    pub(super) fn parse(name: &str, bytes: &[u8]) -> Self {
        if name == FILES[0] {
            Marks::of_sequences(&String::from_utf8_lossy(bytes))
        } else {
            Marks::of_mark(bytes)
        }
    }

    /// Lines of a name and numbers: `unseen: 3 7-9`.
    fn of_sequences(text: &str) -> Self {
        let mut marks = BTreeMap::new();
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
                // As many as a folder can hold; more is no such file.
                for number in (first..=last).take(1_000_000) {
                    *marks.entry(number).or_default() |= bit;
                }
            }
        }
        Marks(marks)
    }

    /// A version, and then a number and its bits, as the machine has them, which was a little-endian one.
    fn of_mark(bytes: &[u8]) -> Self {
        let mut words =
            bytes.chunks_exact(4).filter_map(|four| Some(u32::from_le_bytes(four.try_into().ok()?)));
        if words.next() != Some(2) {
            return Marks::default();
        }
        let mut marks = BTreeMap::new();
        while let (Some(number), Some(bits)) = (words.next(), words.next()) {
            marks.insert(number, bits);
        }
        Marks(marks)
    }

    /// The flags of a message. Without a mark it was read.
    pub(super) fn flags(&self, number: u32) -> FlagSet {
        let bits = self.0.get(&number).copied().unwrap_or(0);
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
        assert_eq!(Marks::parse(".mh_sequences", b"unseen: 1-4294967295\n").0.len(), 1_000_000);
    }
}
