//! Identifiers and the numbers that IMAP gives to messages.

use std::fmt;
use std::num::NonZeroU32;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(/// An account of this server.
    AccountId, u32);
id!(/// A mailbox. Never used again once the mailbox is deleted.
    MailboxId, u32);
id!(/// A device of an account: the holder of one device password.
    DeviceId, u32);
id!(/// A watched Maildir.
    SourceId, u32);
id!(/// A content, stored once however many messages show it. Never used again.
    ContentId, u64);

macro_rules! non_zero {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// The smallest value, one.
            pub const MIN: $name = $name(NonZeroU32::MIN);
            /// The largest value.
            pub const MAX: $name = $name(NonZeroU32::MAX);

            /// `None` for zero, which the grammar excludes (`nz-number`, RFC 9051 §9).
            #[must_use]
            pub const fn new(value: u32) -> Option<Self> {
                match NonZeroU32::new(value) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// The number itself.
            #[must_use]
            pub const fn get(self) -> u32 {
                self.0.get()
            }

            /// The next number, or `None` after the last.
            #[must_use]
            pub const fn next(self) -> Option<Self> {
                match self.0.checked_add(1) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

non_zero!(/// A unique identifier of a message in its mailbox (RFC 9051 §2.3.1.1).
    Uid);
non_zero!(/// A message sequence number: a position in one session's view (RFC 9051 §2.3.1.2).
    SeqNum);
non_zero!(/// UIDVALIDITY of a mailbox (RFC 9051 §2.3.1.1).
    UidValidity);

/// A modification sequence (RFC 7162 §3.1). One counter serves the whole store; zero is "before
/// everything", which clients may name in CHANGEDSINCE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModSeq(pub u64);

impl ModSeq {
    /// Before every change.
    pub const ZERO: ModSeq = ModSeq(0);

    /// The next modseq.
    #[must_use]
    pub const fn next(self) -> ModSeq {
        ModSeq(self.0 + 1)
    }
}

impl fmt::Display for ModSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// BLAKE3 of a message's bytes as they are stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({})", Hex(&self.0[..8]))
    }
}

/// An object id as clients see it (RFC 8474 §4): 128 bits, shown as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub [u8; 16]);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
