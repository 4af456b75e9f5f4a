//! Mailbox patterns: `*` is anything, `%` is anything without a separator (RFC 9051 §6.3.9).
//!
//! All patterns of a command with wildcards are one automaton whose states are bits, so that a name costs a step for each of its
//! characters, whatever the wildcards (the Shift-And method: a state stands before each element of a pattern, and
//! one behind its last).

use std::collections::{HashMap, HashSet};

use unicode_normalization::UnicodeNormalization;

use crate::model::MailboxName;

/// No name is that long.
const LONGEST: usize = 2_000;
/// States in a word.
const WORD: usize = u64::BITS as usize;

/// The patterns of a command: a name fits when it fits one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    /// Those without a wildcard: names.
    exact: HashSet<String>,
    /// The state before the first element of each.
    first: Vec<u64>,
    /// The state behind the last element of each.
    last: Vec<u64>,
    /// States before `*`, and before either wildcard.
    star: Vec<u64>,
    wild: Vec<u64>,
    /// For each character the states before it, word by word.
    literal: HashMap<char, Vec<(usize, u64)>>,
    states: usize,
    /// What every name that fits begins with; none where nothing can fit.
    prefix: Option<String>,
}

impl Patterns {
    /// Patterns below a reference. One that is too long matches nothing.
    #[must_use]
    pub fn new(reference: &str, patterns: &[String]) -> Self {
        let mut all = Patterns::default();
        for pattern in patterns {
            // A pattern that begins with a separator is not below the reference.
            let text =
                if pattern.starts_with('/') { pattern.clone() } else { format!("{reference}{pattern}") };
            if text.len() > LONGEST {
                continue;
            }
            let elements = elements(&text);
            all.begins_with(&elements);
            match elements.iter().any(|element| matches!(element, '*' | '%')) {
                true => all.add(&elements),
                false => _ = all.exact.insert(elements.into_iter().collect()),
            }
        }
        all
    }

    fn begins_with(&mut self, elements: &[char]) {
        let literal: String = elements.iter().take_while(|element| !matches!(element, '*' | '%')).collect();
        self.prefix = Some(match self.prefix.take() {
            None => literal,
            Some(known) => {
                let same = known.chars().zip(literal.chars()).take_while(|(one, other)| one == other);
                same.map(|(c, _)| c).collect()
            }
        });
    }

    /// A name behind which all that fit lie, but for INBOX, and no others that need not be looked at; none where nothing fits.
    #[must_use]
    pub fn before_first(&self) -> Option<String> {
        let mut before = self.prefix.clone()?;
        if let Some(last) = before.pop() {
            // There is no name between this and the prefix.
            before.push(char::from_u32(u32::from(last).saturating_sub(1)).unwrap_or('\u{d7ff}'));
            before.push(char::MAX);
        }
        Some(before)
    }

    /// Whether no name behind this one fits, by their bytes.
    #[must_use]
    pub fn is_past(&self, name: &MailboxName) -> bool {
        self.prefix.as_ref().is_none_or(|prefix| {
            name.as_str() > prefix.as_str() && !name.as_str().starts_with(prefix.as_str())
        })
    }

    fn add(&mut self, elements: &[char]) {
        self.states += elements.len() + 1;
        let words = self.states.div_ceil(WORD);
        for set in [&mut self.first, &mut self.last, &mut self.star, &mut self.wild] {
            set.resize(words, 0);
        }
        let begin = self.states - elements.len() - 1;
        set_bit(&mut self.first, begin);
        set_bit(&mut self.last, self.states - 1);
        for (state, element) in (begin..).zip(elements) {
            let (word, bit) = (state / WORD, 1 << (state % WORD));
            match element {
                '*' => {
                    set_bit(&mut self.star, state);
                    set_bit(&mut self.wild, state);
                }
                '%' => set_bit(&mut self.wild, state),
                c => match self.literal.entry(*c).or_default() {
                    words if words.last().is_some_and(|(last, _)| *last == word) => {
                        words.iter_mut().last().into_iter().for_each(|(_, bits)| *bits |= bit);
                    }
                    words => words.push((word, bit)),
                },
            }
        }
    }

    /// Whether a name fits one of them.
    #[must_use]
    pub fn matches(&self, name: &MailboxName) -> bool {
        if self.exact.contains(name.as_str()) {
            return true;
        }
        let mut now = self.first.clone();
        let mut next = vec![0; now.len()];
        self.pass_wildcards(&mut now);
        for c in name.as_str().chars() {
            let stays = if c == '/' { &self.star } else { &self.wild };
            for ((next, now), stays) in next.iter_mut().zip(&now).zip(stays) {
                *next = now & stays;
            }
            for (word, before) in self.literal.get(&c).into_iter().flatten() {
                shift_into(&mut next, *word, now[*word] & before);
            }
            self.pass_wildcards(&mut next);
            std::mem::swap(&mut now, &mut next);
            if now.iter().all(|word| *word == 0) {
                return false;
            }
        }
        now.iter().zip(&self.last).any(|(now, last)| now & last != 0)
    }

    /// A wildcard may stand for nothing. There are never two in a row.
    fn pass_wildcards(&self, states: &mut [u64]) {
        // From the end, so that no state that was just reached is passed again.
        for word in (0..states.len()).rev() {
            shift_into(states, word, states[word] & self.wild[word]);
        }
    }
}

fn set_bit(words: &mut [u64], state: usize) {
    words[state / WORD] |= 1 << (state % WORD);
}

/// Adds the states behind those of a word. A pattern's last state is behind an element, so that there is a word.
fn shift_into(states: &mut [u64], word: usize, bits: u64) {
    states[word] |= bits << 1;
    if bits >> (WORD - 1) != 0 {
        states[word + 1] |= 1;
    }
}

/// A pattern's characters, as names are kept.
fn elements(text: &str) -> Vec<char> {
    let mut pattern: Vec<char> = Vec::new();
    // Names are kept composed.
    for c in text.nfc() {
        // Wildcards in a row are one.
        match (pattern.last(), c) {
            (Some('*'), '*' | '%') | (Some('%'), '%') => {}
            (Some('%'), '*') => {
                pattern.pop();
                pattern.push('*');
            }
            _ => pattern.push(c),
        }
    }
    // INBOX is INBOX in any case (RFC 9051 §5.1).
    let inbox: String = pattern.iter().take(5).collect();
    if inbox.eq_ignore_ascii_case("INBOX") && matches!(pattern.get(5), None | Some('/' | '*' | '%')) {
        pattern.splice(..5, "INBOX".chars());
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of names in their order only those between are looked at, and none that fits is left out.
    #[test]
    fn the_names_that_are_looked_at() {
        let names = [
            "A",
            "INBOX",
            "INBOX/x",
            "Wor",
            "Work",
            "Work-x",
            "Work.",
            "Work/a",
            "Work/b/c",
            "Work0",
            "Wörk",
            "X",
            "\u{10ffff}",
            "😀",
            "😀/a",
        ];
        let mut names: Vec<_> = names.iter().map(|name| MailboxName::new(name).unwrap()).collect();
        names.sort();
        for (patterns, most) in [
            (&["Work"][..], 6),
            (&["Work/%"], 2),
            (&["Work/b/c"], 1),
            (&["inbox/*"], 1),
            (&["W%", "Work/*"], 8),
            (&["😀"], 2),
            (&["\u{10ffff}"], 1),
            (&["\u{e000}"], 0),
            (&["A", "X"], 15),
            (&["*"], 15),
            (&["%"], 15),
            (&[], 0),
        ] {
            let patterns: Vec<_> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
            let compiled = Patterns::new("", &patterns);
            let before = compiled.before_first();
            let looked: Vec<_> = names
                .iter()
                .filter(|name| before.as_ref().is_some_and(|before| name.as_str() > before.as_str()))
                .take_while(|name| !compiled.is_past(name))
                .collect();
            assert!(looked.len() <= most, "{patterns:?}: {looked:?}");
            for name in names.iter().filter(|name| compiled.matches(name) && !name.is_inbox()) {
                assert!(looked.contains(&name), "{patterns:?} leaves out {name}");
            }
        }
    }

    fn all(patterns: &[&str]) -> Patterns {
        Patterns::new("", &patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>())
    }

    fn fits(pattern: &str, name: &str) -> bool {
        all(&[pattern]).matches(&MailboxName::new(name).unwrap())
    }

    #[test]
    fn wildcards() {
        assert!(fits("*", "a/b/c") && fits("%", "a") && !fits("%", "a/b"));
        assert!(fits("a/%", "a/b") && !fits("a/%", "a/b/c") && !fits("a/%", "a"));
        assert!(fits("%/b", "a/b") && fits("*b", "a/b") && !fits("%b", "a/b"));
        assert!(fits("a*", "a") && fits("a%", "a") && fits("*a*", "bab"));
        assert!(fits("inbox", "INBOX") && fits("iNbOx/x", "INBOX/x") && !fits("inb%", "INBOX"));
        assert!(fits("%*%", "a/b") && !fits("", "a") && !fits("a", "ab"));
        assert!(fits("日%", "日本"));
        assert!(fits("Entwu\u{308}rfe", "Entwürfe"));
    }

    #[test]
    fn many_wildcards_take_no_time() {
        assert!(!fits(&"%a*".repeat(600), &"b".repeat(200)));
    }

    #[test]
    fn references() {
        let patterns = Patterns::new("a/", &["%".into(), "/b".into(), "x".repeat(3_000)]);
        assert!(patterns.matches(&MailboxName::new("a/c").unwrap()));
        assert!(!patterns.matches(&MailboxName::new("c").unwrap()));
        assert_eq!(Patterns::new("", &["x".repeat(3_000)]), Patterns::default());
        assert!(!Patterns::default().matches(&MailboxName::new("c").unwrap()));
    }

    /// What the automaton says is what the definition says, over word borders and beside other patterns.
    #[test]
    fn as_the_definition_has_it() {
        fn defined(pattern: &[char], name: &[char]) -> bool {
            match (pattern, name) {
                ([], []) => true,
                (['*', rest @ ..], _) if defined(rest, name) => true,
                (['%', rest @ ..], _) if defined(rest, name) => true,
                (['*', ..], [_, after @ ..]) => defined(pattern, after),
                (['%', ..], [c, after @ ..]) if *c != '/' => defined(pattern, after),
                ([a, rest @ ..], [b, after @ ..]) if a == b && !"*%".contains(*a) => defined(rest, after),
                _ => false,
            }
        }
        let mut seed = 7_u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let mut fitted = 0;
        for _ in 0..3_000 {
            let mut text = |letters: &[char], longest| -> String {
                (0..1 + random(longest)).map(|_| letters[random(letters.len() as u64) as usize]).collect()
            };
            let patterns: Vec<String> = (0..40).map(|_| text(&['a', 'b', '/', '*', '%'], 7)).collect();
            let Ok(name) = MailboxName::new(&text(&['a', 'b', 'a', '/'], 9)) else { continue };
            let chars: Vec<char> = name.as_str().chars().collect();
            let one = patterns.iter().map(|pattern| defined(&pattern.chars().collect::<Vec<_>>(), &chars));
            let wanted = one.clone().any(|fits| fits);
            assert_eq!(Patterns::new("", &patterns).matches(&name), wanted, "{patterns:?} {name:?}");
            for (pattern, wanted) in patterns.iter().zip(one) {
                assert_eq!(fits(pattern, name.as_str()), wanted, "{pattern} {name:?}");
                fitted += usize::from(wanted);
            }
        }
        assert!(fitted > 10_000, "{fitted}");
    }
}
