//! Many strings that are searched for at once, without case, in text that comes in pieces.

use std::collections::HashMap;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::text::casemap;

/// So few are looked for one by one, which is faster.
const FEW: usize = 4;
/// After so many finds of what was found before, those that were are looked for no more.
const WASTE: usize = 4096;

/// Which of the strings.
pub type NeedleId = usize;

/// Strings that are searched for.
#[derive(Clone, Debug, Default)]
pub struct Needles {
    words: Arc<Vec<String>>,
    automaton: Option<AhoCorasick>,
    /// The longest of them, in bytes.
    longest: usize,
}

/// Collects strings, each once.
#[derive(Debug, Default)]
pub struct Collector {
    ids: HashMap<String, NeedleId>,
    bytes: usize,
}

impl Collector {
    /// Adds a string, in any case.
    pub fn add(&mut self, text: &str) -> NeedleId {
        let mapped = casemap(text);
        let next = self.ids.len();
        *self.ids.entry(mapped).or_insert_with_key(|mapped| {
            self.bytes += mapped.len();
            next
        })
    }

    /// Bytes of all that were added, as they are compared.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What was collected, ready to be searched for.
    #[must_use]
    pub fn finish(self) -> Needles {
        let mut words: Vec<(NeedleId, String)> = self.ids.into_iter().map(|(word, id)| (id, word)).collect();
        words.sort_unstable_by_key(|(id, _)| *id);
        let words: Vec<String> = words.into_iter().map(|(_, word)| word).collect();
        let longest = words.iter().map(String::len).max().unwrap_or_default();
        let automaton = if words.len() > FEW { automaton(&words) } else { None };
        Needles { words: Arc::new(words), automaton, longest }
    }
}

/// One that finds them all. `None` where it would be too large, and then they are looked for one by one.
fn automaton<'a>(words: impl IntoIterator<Item = &'a String>) -> Option<AhoCorasick> {
    // Of the small kinds: the large one has a table of each state for each byte.
    let kind = Some(AhoCorasickKind::ContiguousNFA);
    AhoCorasick::builder().match_kind(MatchKind::Standard).kind(kind).build(words).ok()
}

impl Needles {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

/// What was found so far in some texts.
#[derive(Clone, Debug)]
pub struct Seeker {
    found: Vec<bool>,
    left: usize,
    /// The mapped end of what was searched, shorter than the longest string: one may go on in the next piece.
    tail: String,
    /// Finds only what was not found yet, with what its numbers stand for; the first one finds all.
    rest: Option<(AhoCorasick, Vec<NeedleId>)>,
    waste: usize,
}

impl Seeker {
    /// Nothing was searched yet; an empty string is in everything.
    #[must_use]
    pub fn new(needles: &Needles) -> Self {
        let found: Vec<bool> = needles.words.iter().map(String::is_empty).collect();
        let left = found.iter().filter(|found| !**found).count();
        Seeker { found, left, tail: String::new(), rest: None, waste: 0 }
    }

    /// Whether this one was found.
    #[must_use]
    pub fn has(&self, needle: NeedleId) -> bool {
        self.found.get(needle).copied().unwrap_or(false)
    }

    /// How many were not found yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left
    }

    /// Searches on in a text.
    pub fn push(&mut self, needles: &Needles, text: &str) {
        self.push_mapped(needles, &casemap(text));
    }

    /// Searches on in a text on which [`casemap`] was used.
    pub fn push_mapped(&mut self, needles: &Needles, mapped: &str) {
        if self.left == 0 {
            return;
        }
        let mut text = std::mem::take(&mut self.tail);
        text.push_str(mapped);
        match &needles.automaton {
            Some(all) => self.at_once(needles, all, &text),
            None => self.one_by_one(needles, &text),
        }
        let mut keep = text.len().saturating_sub(needles.longest.saturating_sub(1));
        while !text.is_char_boundary(keep) {
            keep -= 1;
        }
        text.drain(..keep);
        self.tail = text;
    }

    /// What comes next is another text.
    pub fn cut(&mut self) {
        self.tail.clear();
    }

    fn one_by_one(&mut self, needles: &Needles, text: &str) {
        for (found, word) in self.found.iter_mut().zip(needles.words.iter()) {
            if !*found && text.contains(word.as_str()) {
                *found = true;
                self.left -= 1;
            }
        }
    }

    fn at_once(&mut self, needles: &Needles, all: &AhoCorasick, text: &str) {
        let mut from = 0;
        loop {
            let (automaton, ids) =
                self.rest.as_ref().map_or((all, None), |(rest, ids)| (rest, Some(ids.as_slice())));
            let mut again = None;
            for hit in automaton.find_overlapping_iter(&text[from..]) {
                let id = ids.map_or(hit.pattern().as_usize(), |ids| ids[hit.pattern().as_usize()]);
                if !std::mem::replace(&mut self.found[id], true) {
                    self.left -= 1;
                    if self.left == 0 {
                        return;
                    }
                    continue;
                }
                self.waste += 1;
                if self.waste > WASTE {
                    again = Some(from + hit.start());
                    break;
                }
            }
            let Some(hit) = again else { return };
            // A string that is found at each place would cost as much as it is long, again and again.
            self.waste = 0;
            let ids: Vec<NeedleId> = (0..self.found.len()).filter(|id| !self.found[*id]).collect();
            let Some(rest) = automaton_of(needles, &ids) else { return self.one_by_one(needles, text) };
            self.rest = Some((rest, ids));
            from = floor_boundary(text, hit.saturating_sub(needles.longest));
        }
    }
}

fn automaton_of(needles: &Needles, ids: &[NeedleId]) -> Option<AhoCorasick> {
    automaton(ids.iter().filter_map(|id| needles.words.get(*id)))
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(words: &[String]) -> (Needles, Vec<NeedleId>) {
        let mut collector = Collector::default();
        let ids = words.iter().map(|word| collector.add(word)).collect();
        (collector.finish(), ids)
    }

    fn found(words: &[String], text: &str, piece: usize) -> Vec<bool> {
        let (needles, ids) = collect(words);
        let mut seeker = Seeker::new(&needles);
        let mut rest = text;
        while !rest.is_empty() {
            let mut end = piece.min(rest.len());
            while !rest.is_char_boundary(end) {
                end += 1;
            }
            seeker.push(&needles, &rest[..end]);
            rest = &rest[end..];
        }
        ids.into_iter().map(|id| seeker.has(id)).collect()
    }

    #[test]
    fn many_are_found_as_each_by_itself() {
        let mut seed = 11_u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let letters = ["a", "b", "ß", "é", "本", "A"];
        let mut both = [0, 0];
        for round in 0..400 {
            let mut word = |longest: usize| -> String {
                (0..1 + random(longest)).map(|_| letters[random(letters.len())]).collect()
            };
            let words: Vec<String> = (0..1 + round % 12).map(|_| word(6)).collect();
            let text: String = word(60);
            let mapped = casemap(&text);
            let wanted: Vec<bool> = words.iter().map(|word| mapped.contains(&casemap(word))).collect();
            wanted.iter().for_each(|found| both[usize::from(*found)] += 1);
            for piece in [1, 3, 1_000] {
                assert_eq!(found(&words, &text, piece), wanted, "{words:?} in {text:?}");
            }
        }
        assert!(both.iter().all(|count| *count > 300), "{both:?}");
    }

    #[test]
    fn what_is_found_everywhere_is_looked_for_no_more() {
        let mut words: Vec<String> = (1..400).map(|length| "a".repeat(length)).collect();
        words.push("aab".into());
        words.push("never".into());
        let text = "a".repeat(100_000) + "b";
        let (needles, _) = collect(&words);
        let mut seeker = Seeker::new(&needles);
        for piece in text.as_bytes().chunks(16 * 1024) {
            seeker.push(&needles, std::str::from_utf8(piece).unwrap());
        }
        assert!(seeker.rest.as_ref().is_some_and(|(_, ids)| ids.len() == 2), "two are left");
        assert_eq!((seeker.left(), seeker.has(399), seeker.has(400)), (1, true, false));
    }

    #[test]
    fn texts_are_apart() {
        let (needles, ids) = collect(&["ab".into(), String::new()]);
        let mut seeker = Seeker::new(&needles);
        seeker.push(&needles, "a");
        seeker.cut();
        seeker.push(&needles, "b");
        assert_eq!((seeker.has(ids[0]), seeker.has(ids[1]), seeker.left()), (false, true, 1));
        assert!(collect(&[]).0.is_empty());
    }
}
