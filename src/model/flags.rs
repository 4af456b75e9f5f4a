//! Message flags (RFC 9051 §2.3.2).

use std::fmt;

/// The system flags, one bit each. `\Recent` is a session's business and is not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SystemFlags(u8);

impl SystemFlags {
    /// No flag.
    pub const EMPTY: SystemFlags = SystemFlags(0);
    /// `\Seen`
    pub const SEEN: SystemFlags = SystemFlags(1);
    /// `\Answered`
    pub const ANSWERED: SystemFlags = SystemFlags(2);
    /// `\Flagged`
    pub const FLAGGED: SystemFlags = SystemFlags(4);
    /// `\Deleted`
    pub const DELETED: SystemFlags = SystemFlags(8);
    /// `\Draft`
    pub const DRAFT: SystemFlags = SystemFlags(16);

    /// Every flag with its name, in the order in which they are shown.
    pub const NAMED: [(SystemFlags, &'static str); 5] = [
        (SystemFlags::ANSWERED, "\\Answered"),
        (SystemFlags::FLAGGED, "\\Flagged"),
        (SystemFlags::DELETED, "\\Deleted"),
        (SystemFlags::SEEN, "\\Seen"),
        (SystemFlags::DRAFT, "\\Draft"),
    ];

    /// From its stored byte; unknown bits are dropped.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        SystemFlags(bits & 31)
    }

    /// The byte to store.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn contains(self, other: SystemFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those of either.
    #[must_use]
    pub const fn union(self, other: SystemFlags) -> Self {
        SystemFlags(self.0 | other.0)
    }

    /// Those that `other` does not have.
    #[must_use]
    pub const fn without(self, other: SystemFlags) -> Self {
        SystemFlags(self.0 & !other.0)
    }

    /// Whether none is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The flag of this name (with its backslash), in any case.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(flag, _)| *flag)
    }

    /// The names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED.into_iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| name)
    }
}

/// A keyword: an atom that does not begin with a backslash (`flag-keyword`, RFC 9051 §9). Compared
/// without regard to case, shown as first written.
#[derive(Clone, Debug)]
pub struct Keyword(String);

impl Keyword {
    /// The longest keyword that is kept, in bytes.
    pub const MAX_LEN: usize = 255;

    /// `None` if it is not an atom, or longer than [`Keyword::MAX_LEN`].
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let is_atom_char = |byte: u8| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte);
        (!name.is_empty() && name.len() <= Self::MAX_LEN && name.bytes().all(is_atom_char))
            .then(|| Keyword(name.to_owned()))
    }

    /// As it was first written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Keyword {}

impl std::hash::Hash for Keyword {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.bytes().for_each(|byte| byte.to_ascii_lowercase().hash(state));
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One flag that a client may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flag {
    /// One of the system flags (exactly one bit).
    System(SystemFlags),
    /// A keyword.
    Keyword(Keyword),
}

/// The flags of a message, or those that a command names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagSet {
    /// The system flags.
    pub system: SystemFlags,
    /// The keywords, each once.
    pub keywords: Vec<Keyword>,
}

impl FlagSet {
    /// Adds a flag; one that is there already is not added twice.
    pub fn insert(&mut self, flag: Flag) {
        match flag {
            Flag::System(flag) => self.system = self.system.union(flag),
            Flag::Keyword(keyword) if self.keywords.contains(&keyword) => {}
            Flag::Keyword(keyword) => self.keywords.push(keyword),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.system.is_empty() && self.keywords.is_empty()
    }
}

impl From<SystemFlags> for FlagSet {
    fn from(system: SystemFlags) -> Self {
        FlagSet { system, keywords: Vec::new() }
    }
}

impl FromIterator<Flag> for FlagSet {
    fn from_iter<I: IntoIterator<Item = Flag>>(flags: I) -> Self {
        let mut set = FlagSet::default();
        flags.into_iter().for_each(|flag| set.insert(flag));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_flags_are_found_by_name_in_any_case() {
        assert_eq!(SystemFlags::by_name("\\sEEN"), Some(SystemFlags::SEEN));
        assert_eq!(SystemFlags::by_name("Seen"), None);
        assert_eq!(SystemFlags::by_name("\\Recent"), None);
    }

    #[test]
    fn keywords_are_atoms_and_compare_without_case() {
        assert_eq!(Keyword::new("$Junk"), Keyword::new("$junk"));
        for bad in ["", "\\Seen", "a b", "a(b", "ü", "a]", "a\"b"] {
            assert!(Keyword::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_set_holds_each_flag_once() {
        let set: FlagSet = [
            Flag::Keyword(Keyword::new("a").unwrap()),
            Flag::Keyword(Keyword::new("A").unwrap()),
            Flag::System(SystemFlags::SEEN),
        ]
        .into_iter()
        .collect();
        assert_eq!(set.keywords.len(), 1);
        assert_eq!(set.system, SystemFlags::SEEN);
    }
}
