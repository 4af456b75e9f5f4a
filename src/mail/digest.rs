//! What is kept of a message so that it need not be parsed again: its envelope and its part tree, with
//! every part's place in the message as byte ranges.

use std::ops::Range;

/// The encoding's version; one that is older is made again from the message.
pub const DIGEST_VERSION: u8 = 1;

/// Everything that FETCH, SEARCH and threading ask of a message but its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// The message's length in bytes: RFC822.SIZE.
    pub size: u64,
    /// ENVELOPE (RFC 9051 §7.5.2).
    pub envelope: Envelope,
    /// The outermost part: its header is the message's header.
    pub root: Part,
    /// The first words of its text, at most 200 characters, decoded, white space folded (RFC 8970).
    pub preview: String,
    /// Message-IDs of References and In-Reply-To, without their angle brackets, oldest first, at most 100.
    pub references: Vec<String>,
}

/// The fields of ENVELOPE, unfolded, otherwise as the message has them (encoded words are left to the
/// client, 8-bit bytes are kept). `None` is NIL: the field is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Date
    pub date: Option<Vec<u8>>,
    /// Subject
    pub subject: Option<Vec<u8>>,
    /// From
    pub from: Vec<Address>,
    /// Sender; the writer puts From where it is empty, as RFC 9051 §7.5.2 says.
    pub sender: Vec<Address>,
    /// Reply-To; likewise.
    pub reply_to: Vec<Address>,
    /// To
    pub to: Vec<Address>,
    /// Cc
    pub cc: Vec<Address>,
    /// Bcc
    pub bcc: Vec<Address>,
    /// In-Reply-To
    pub in_reply_to: Option<Vec<u8>>,
    /// Message-ID
    pub message_id: Option<Vec<u8>>,
}

/// One address of an envelope (`address`, RFC 9051 §7.5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A mailbox. A host that is missing is an empty string, never NIL: NIL would mean a group.
    Mailbox {
        /// The display name, quotes taken away.
        name: Option<Vec<u8>>,
        /// The local part, quotes taken away.
        mailbox: Vec<u8>,
        /// The domain.
        host: Vec<u8>,
    },
    /// A group begins: `(NIL NIL "name" NIL)`.
    GroupStart(Vec<u8>),
    /// The group ends: `(NIL NIL NIL NIL)`.
    GroupEnd,
}

/// Parameters of a header field in their order: names in lower case, values as bytes.
pub type Params = Vec<(String, Vec<u8>)>;

/// A MIME part. Offsets count bytes from the start of the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The header block with the empty line that ends it (where there is one).
    pub header: Range<u64>,
    /// The body, without the line end that belongs to a following boundary.
    pub body: Range<u64>,
    /// Lines of the body (RFC 9051 §7.5.2, for text and message/rfc822).
    pub lines: u32,
    /// Type, lower case: `text`.
    pub media_type: String,
    /// Subtype, lower case: `plain`.
    pub subtype: String,
    /// Parameters of Content-Type, names in lower case; RFC 2231 continuations joined, its
    /// percent-encoding decoded to UTF-8 where the charset is known.
    pub params: Params,
    /// Content-ID
    pub id: Option<Vec<u8>>,
    /// Content-Description
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding, lower case; `7bit` where it is missing.
    pub encoding: String,
    /// Content-MD5
    pub md5: Option<Vec<u8>>,
    /// Content-Disposition: its value in lower case, and its parameters.
    pub disposition: Option<(String, Params)>,
    /// Content-Language, split at commas.
    pub language: Vec<String>,
    /// Content-Location
    pub location: Option<Vec<u8>>,
    /// What lies inside.
    pub content: PartContent,
}

/// What lies inside a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PartContent {
    /// Nothing that IMAP numbers.
    #[default]
    Leaf,
    /// The parts of a multipart, at least one.
    Multipart(Vec<Part>),
    /// The message in a message/rfc822 or message/global part that is not encoded.
    Message(Box<(Envelope, Part)>),
}
