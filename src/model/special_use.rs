//! Roles of mailboxes (RFC 6154 §2, RFC 8457).

/// A special use of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SpecialUse {
    /// `\Archive`
    Archive = 1,
    /// `\Drafts`
    Drafts = 2,
    /// `\Junk`
    Junk = 3,
    /// `\Sent`
    Sent = 4,
    /// `\Trash`
    Trash = 5,
    /// `\All`: known by name, not offered; this server has no virtual mailboxes.
    All = 6,
    /// `\Flagged`: known by name, not offered.
    Flagged = 7,
    /// `\Important` (RFC 8457): known by name, not offered.
    Important = 8,
}

impl SpecialUse {
    /// All of them.
    pub const EVERY: [SpecialUse; 8] = [
        SpecialUse::Archive,
        SpecialUse::Drafts,
        SpecialUse::Junk,
        SpecialUse::Sent,
        SpecialUse::Trash,
        SpecialUse::All,
        SpecialUse::Flagged,
        SpecialUse::Important,
    ];

    /// The roles of a new account's mailboxes, each with the mailbox's name.
    pub const DEFAULTS: [(SpecialUse, &'static str); 5] = [
        (SpecialUse::Drafts, "Drafts"),
        (SpecialUse::Sent, "Sent"),
        (SpecialUse::Junk, "Junk"),
        (SpecialUse::Trash, "Trash"),
        (SpecialUse::Archive, "Archive"),
    ];

    /// The attribute, with its backslash.
    #[must_use]
    pub const fn attribute(self) -> &'static str {
        match self {
            SpecialUse::Archive => "\\Archive",
            SpecialUse::Drafts => "\\Drafts",
            SpecialUse::Junk => "\\Junk",
            SpecialUse::Sent => "\\Sent",
            SpecialUse::Trash => "\\Trash",
            SpecialUse::All => "\\All",
            SpecialUse::Flagged => "\\Flagged",
            SpecialUse::Important => "\\Important",
        }
    }

    /// The use of this attribute (with its backslash), in any case.
    #[must_use]
    pub fn by_attribute(attribute: &str) -> Option<Self> {
        Self::EVERY.into_iter().find(|known| known.attribute().eq_ignore_ascii_case(attribute))
    }

    /// From its stored byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::EVERY.into_iter().find(|known| *known as u8 == byte)
    }

    /// Whether a mailbox may be made with this use; a virtual mailbox cannot be.
    #[must_use]
    pub const fn may_be_assigned(self) -> bool {
        !matches!(self, SpecialUse::All | SpecialUse::Flagged | SpecialUse::Important)
    }
}
