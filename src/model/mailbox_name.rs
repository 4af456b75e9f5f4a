//! Names of mailboxes (RFC 9051 §5.1), always UTF-8 here; modified UTF-7 is the protocol's business.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

/// The hierarchy separator of every mailbox name.
pub const SEPARATOR: char = '/';

/// A mailbox name that can be stored: levels separated by `/`, none of them empty, no control
/// characters, in Unicode's composed form (RFC 9051 §5.1, Net-Unicode). The first level is `INBOX` in
/// capitals however it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(String);

/// Why a name cannot be one of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailboxNameError {
    /// Nothing is left of it.
    #[error("a mailbox name must not be empty")]
    Empty,
    /// Two separators in a row, or one at the start.
    #[error("a mailbox name must not have an empty level between its slashes")]
    EmptyLevel,
    /// A control character, or one that Net-Unicode excludes.
    #[error("a mailbox name must not contain control characters")]
    Control,
    /// `%` or `*`, which LIST could not name.
    #[error("a mailbox name must not contain % or *")]
    Wildcard,
    /// Longer than [`MailboxName::MAX_LEN`].
    #[error("the mailbox name is longer than 1000 bytes")]
    TooLong,
    /// More than [`MailboxName::MAX_DEPTH`] levels.
    #[error("the mailbox name has more than 64 levels")]
    TooDeep,
}

impl MailboxName {
    /// The longest name, in bytes of UTF-8.
    pub const MAX_LEN: usize = 1000;
    /// The most levels.
    pub const MAX_DEPTH: usize = 64;

    /// Checks and canonicalises a name. One trailing separator is dropped, as clients send it to say
    /// that children will follow (RFC 9051 §6.3.4).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(name: &str) -> Result<Self, MailboxNameError> {
        let name = name.strip_suffix(SEPARATOR).unwrap_or(name);
        if name.is_empty() {
            return Err(MailboxNameError::Empty);
        }
        if name.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')) {
            return Err(MailboxNameError::Control);
        }
        if name.contains(['%', '*']) {
            return Err(MailboxNameError::Wildcard);
        }
        let mut name: String = name.nfc().collect();
        if name.len() > Self::MAX_LEN {
            return Err(MailboxNameError::TooLong);
        }
        if name.split(SEPARATOR).any(str::is_empty) {
            return Err(MailboxNameError::EmptyLevel);
        }
        if name.split(SEPARATOR).count() > Self::MAX_DEPTH {
            return Err(MailboxNameError::TooDeep);
        }
        canonicalise_inbox(&mut name);
        Ok(MailboxName(name))
    }

    /// The mailbox that every account has.
    #[must_use]
    pub fn inbox() -> Self {
        MailboxName("INBOX".to_owned())
    }

    /// Whether it is INBOX itself.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its levels from the top.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split(SEPARATOR)
    }

    /// The name of its last level.
    #[must_use]
    pub fn leaf(&self) -> &str {
        self.0.rsplit(SEPARATOR).next().unwrap_or(&self.0)
    }

    /// The mailbox above, if it is not at the top.
    #[must_use]
    pub fn parent(&self) -> Option<MailboxName> {
        self.0.rsplit_once(SEPARATOR).map(|(parent, _)| MailboxName(parent.to_owned()))
    }

    /// Its ancestors, the nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = MailboxName> {
        std::iter::successors(self.parent(), MailboxName::parent)
    }

    /// A mailbox below this one.
    ///
    /// # Errors
    /// As [`MailboxName::new`].
    pub fn child(&self, leaf: &str) -> Result<MailboxName, MailboxNameError> {
        MailboxName::new(&format!("{}{SEPARATOR}{leaf}", self.0))
    }

    /// Whether it lies below `other`, at any depth.
    #[must_use]
    pub fn is_below(&self, other: &MailboxName) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.starts_with(SEPARATOR))
    }

    /// The name that it has after `from`, itself or above it, was renamed to `to`.
    ///
    /// # Errors
    /// If the new name would be too long or too deep.
    pub fn moved(&self, from: &MailboxName, to: &MailboxName) -> Result<MailboxName, MailboxNameError> {
        let rest = self.0.strip_prefix(&from.0).unwrap_or("");
        MailboxName::new(&format!("{}{rest}", to.0))
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// INBOX in any case is INBOX, also as the first level of a name (RFC 9051 §5.1).
fn canonicalise_inbox(name: &mut String) {
    let first = name.split(SEPARATOR).next().unwrap_or("");
    if first.eq_ignore_ascii_case("INBOX") {
        name.replace_range(..5, "INBOX");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> MailboxName {
        MailboxName::new(text).unwrap()
    }

    #[test]
    fn inbox_is_canonical_at_the_first_level_only() {
        assert_eq!(name("inBox").as_str(), "INBOX");
        assert_eq!(name("inbox/Sub").as_str(), "INBOX/Sub");
        assert_eq!(name("a/inbox").as_str(), "a/inbox");
        assert_eq!(name("inboxes").as_str(), "inboxes");
    }

    #[test]
    fn names_are_composed() {
        assert_eq!(name("Entwu\u{308}rfe"), name("Entwürfe"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (bad, why) in [
            ("", MailboxNameError::Empty),
            ("/", MailboxNameError::Empty),
            ("/a", MailboxNameError::EmptyLevel),
            ("a//b", MailboxNameError::EmptyLevel),
            ("a\u{0}", MailboxNameError::Control),
            ("a%", MailboxNameError::Wildcard),
        ] {
            assert_eq!(MailboxName::new(bad), Err(why), "{bad:?}");
        }
        assert_eq!(MailboxName::new(&"x".repeat(1001)), Err(MailboxNameError::TooLong));
        assert_eq!(MailboxName::new(&"x/".repeat(65)), Err(MailboxNameError::TooDeep));
    }

    #[test]
    fn hierarchy() {
        let deep = name("a/b/c");
        assert_eq!(deep.leaf(), "c");
        assert_eq!(deep.parent(), Some(name("a/b")));
        assert_eq!(deep.ancestors().collect::<Vec<_>>(), [name("a/b"), name("a")]);
        assert!(deep.is_below(&name("a")));
        assert!(!name("ab").is_below(&name("a")));
        assert_eq!(deep.moved(&name("a"), &name("x/y")), Ok(name("x/y/b/c")));
        assert_eq!(name("a/").as_str(), "a");
    }
}
