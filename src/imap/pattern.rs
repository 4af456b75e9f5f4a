//! Mailbox patterns: `*` is anything, `%` is anything without a separator (RFC 9051 §6.3.9).

use unicode_normalization::UnicodeNormalization;

use crate::model::MailboxName;

/// No name is that long.
const LONGEST: usize = 2_000;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<char>);

impl Pattern {
    /// Patterns below a reference. One that is too long matches nothing.
    #[must_use]
    pub fn all(reference: &str, patterns: &[String]) -> Vec<Pattern> {
        let below = |pattern: &String| {
            // A pattern that begins with a separator is not below the reference.
            let text =
                if pattern.starts_with('/') { pattern.clone() } else { format!("{reference}{pattern}") };
            (text.len() <= LONGEST).then(|| Pattern::new(&text))
        };
        patterns.iter().filter_map(below).collect()
    }

    fn new(text: &str) -> Self {
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
        Pattern(pattern)
    }

    /// Whether a name fits. In time of the two lengths multiplied, whatever the wildcards.
    #[must_use]
    pub fn matches(&self, name: &MailboxName) -> bool {
        // `fits[n]`: the pattern so far fits the first n characters.
        let name: Vec<char> = name.as_str().chars().collect();
        let mut fits = vec![false; name.len() + 1];
        fits[0] = true;
        for wanted in &self.0 {
            let wild = matches!(wanted, '*' | '%');
            let mut before = fits[0];
            fits[0] = wild && before;
            for (n, c) in name.iter().enumerate() {
                let here = fits[n + 1];
                fits[n + 1] = match wanted {
                    '*' => here || fits[n],
                    '%' => here || fits[n] && *c != '/',
                    wanted => before && c == wanted,
                };
                before = here;
            }
        }
        fits.last().copied().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).matches(&MailboxName::new(name).unwrap())
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
        let patterns = Pattern::all("a/", &["%".into(), "/b".into(), "x".repeat(3_000)]);
        assert_eq!(patterns.len(), 2);
        assert!(patterns[0].matches(&MailboxName::new("a/c").unwrap()));
    }
}
