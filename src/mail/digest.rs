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
        /// The source route, without its colon: `@a,@b` (`addr-adl`; RFC 5322 §4.4, `obs-route`).
        route: Option<Vec<u8>>,
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

/// Obsolete source routes: `@a,@b:user@host` (RFC 5322 §4.4). The route without its colon, if there is one, and what
/// follows it.
pub(super) fn split_route(spec: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut literal = false;
    // The colons of an IPv6 address end no route.
    let colon = spec.iter().position(|byte| {
        literal = (literal || *byte == b'[') && *byte != b']';
        *byte == b':' && !literal
    });
    match colon.filter(|_| spec.starts_with(b"@")) {
        Some(at) => (spec.get(..at), spec.get(at + 1..).unwrap_or_default()),
        None => (None, spec),
    }
}

/// Parameters of a header field in their order, as they are written: [`super::mime_params::find`] reads one.
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
    /// Type, as it is written: `text`.
    pub media_type: String,
    /// Subtype, as it is written: `plain`.
    pub subtype: String,
    /// Parameters of Content-Type; RFC 2231 continuations joined.
    pub params: Params,
    /// Content-ID
    pub id: Option<Vec<u8>>,
    /// Content-Description
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding, as it is written; `7bit` where it is missing.
    pub encoding: String,
    /// Content-MD5
    pub md5: Option<Vec<u8>>,
    /// Content-Disposition: its value, and its parameters.
    pub disposition: Option<(String, Params)>,
    /// Content-Language, split at commas.
    pub language: Vec<String>,
    /// Content-Location
    pub location: Option<Vec<u8>>,
    /// What lies inside.
    pub content: PartContent,
}

impl Part {
    /// Whether its type is this one, in any case: a message's own case is kept, for it is told as written.
    #[must_use]
    pub fn is_type(&self, media_type: &str) -> bool {
        self.media_type.eq_ignore_ascii_case(media_type)
    }

    /// Whether its subtype is this one, in any case.
    #[must_use]
    pub fn is_subtype(&self, subtype: &str) -> bool {
        self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// Whether it holds a message by its type (RFC 9051 §9, `media-message`).
    #[must_use]
    pub fn is_message(&self) -> bool {
        self.is_type("message") && (self.is_subtype("rfc822") || self.is_subtype("global"))
    }
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

/// Words that most digests have: each is stored as one byte.
const COMMON: [&str; 40] = [
    "",
    "text",
    "plain",
    "html",
    "multipart",
    "mixed",
    "alternative",
    "related",
    "7bit",
    "8bit",
    "base64",
    "quoted-printable",
    "charset",
    "utf-8",
    "us-ascii",
    "iso-8859-1",
    "boundary",
    "attachment",
    "inline",
    "filename",
    "name",
    "image",
    "png",
    "jpeg",
    "gif",
    "application",
    "pdf",
    "octet-stream",
    "message",
    "rfc822",
    "signed",
    "report",
    "format",
    "flowed",
    "binary",
    "type",
    "text/html",
    "size",
    "UTF-8",
    "calendar",
];
/// Lengths are stored above the words.
const WORDS: u64 = 64;
/// Parts in parts, when reading.
const DEEPEST: usize = 128;

/// A structure of more parts takes some 300 KiB of memory.
const MANY_PARTS: usize = 500;

impl Digest {
    /// Whether it takes so much memory that whoever waits does not hold it meanwhile, but reads it again.
    #[must_use]
    pub fn is_large(&self) -> bool {
        let (mut open, mut count) = (vec![&self.root], 0);
        while let Some(part) = open.pop() {
            count += 1;
            match &part.content {
                PartContent::Leaf => {}
                PartContent::Multipart(parts) if count + open.len() + parts.len() > MANY_PARTS => {
                    return true;
                }
                PartContent::Multipart(parts) => open.extend(parts),
                PartContent::Message(inner) => open.push(&inner.1),
            }
        }
        count > MANY_PARTS
    }

    /// As it is stored: a version, then numbers of seven bits a byte, and strings.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Out(vec![DIGEST_VERSION]);
        out.number(self.size);
        out.envelope(&self.envelope);
        out.part(&self.root);
        out.text(self.preview.as_bytes());
        out.number(self.references.len() as u64);
        self.references.iter().for_each(|id| out.text(id.as_bytes()));
        out.0
    }

    /// Reads what [`Digest::encode`] wrote; `None` if it is something else or of another version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Digest> {
        let (version, rest) = bytes.split_first()?;
        if *version != DIGEST_VERSION {
            return None;
        }
        let mut reader = Reader(rest);
        let digest = Digest {
            size: reader.number()?,
            envelope: reader.envelope()?,
            root: reader.part(0)?,
            preview: reader.string()?,
            references: reader.list(Reader::string)?,
        };
        reader.0.is_empty().then_some(digest)
    }
}

struct Out(Vec<u8>);

impl Out {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn text(&mut self, bytes: &[u8]) {
        match COMMON.iter().position(|word| word.as_bytes() == bytes) {
            Some(word) => self.number(word as u64),
            None => {
                self.number(bytes.len() as u64 + WORDS);
                self.0.extend_from_slice(bytes);
            }
        }
    }

    fn option(&mut self, bytes: Option<&Vec<u8>>) {
        self.number(u64::from(bytes.is_some()));
        if let Some(bytes) = bytes {
            self.text(bytes);
        }
    }

    fn params(&mut self, params: &Params) {
        self.number(params.len() as u64);
        for (name, value) in params {
            self.text(name.as_bytes());
            self.text(value);
        }
    }

    fn envelope(&mut self, envelope: &Envelope) {
        for field in [&envelope.date, &envelope.subject, &envelope.in_reply_to, &envelope.message_id] {
            self.option(field.as_ref());
        }
        for list in
            [&envelope.from, &envelope.sender, &envelope.reply_to, &envelope.to, &envelope.cc, &envelope.bcc]
        {
            self.number(list.len() as u64);
            list.iter().for_each(|address| self.address(address));
        }
    }

    fn address(&mut self, address: &Address) {
        match address {
            Address::Mailbox { name, route, mailbox, host } => {
                self.number(0);
                self.option(name.as_ref());
                // As it stands in the message, so that a reader who knows of no route shows it there.
                match route {
                    Some(route) => self.text(&[route, &b":"[..], mailbox].concat()),
                    None => self.text(mailbox),
                }
                self.text(host);
            }
            Address::GroupStart(name) => {
                self.number(1);
                self.text(name);
            }
            Address::GroupEnd => self.number(2),
        }
    }

    fn part(&mut self, part: &Part) {
        self.number(part.header.start);
        self.number(part.header.end.saturating_sub(part.header.start));
        self.number(part.body.start.saturating_sub(part.header.end));
        self.number(part.body.end.saturating_sub(part.body.start));
        self.number(u64::from(part.lines));
        self.text(part.media_type.as_bytes());
        self.text(part.subtype.as_bytes());
        self.params(&part.params);
        self.text(part.encoding.as_bytes());
        for field in [&part.id, &part.description, &part.md5, &part.location] {
            self.option(field.as_ref());
        }
        self.number(u64::from(part.disposition.is_some()));
        if let Some((value, params)) = &part.disposition {
            self.text(value.as_bytes());
            self.params(params);
        }
        self.number(part.language.len() as u64);
        part.language.iter().for_each(|tag| self.text(tag.as_bytes()));
        match &part.content {
            PartContent::Leaf => self.number(0),
            PartContent::Multipart(parts) => {
                self.number(1);
                self.number(parts.len() as u64);
                parts.iter().for_each(|part| self.part(part));
            }
            PartContent::Message(inner) => {
                self.number(2);
                self.envelope(&inner.0);
                self.part(&inner.1);
            }
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let number = self.number()?;
        let Some(length) = number.checked_sub(WORDS) else {
            return COMMON.get(usize::try_from(number).ok()?).map(|word| word.as_bytes().to_vec());
        };
        let (text, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(text.to_vec())
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.text()?).ok()
    }

    fn flag(&mut self) -> Option<bool> {
        match self.number()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn option(&mut self) -> Option<Option<Vec<u8>>> {
        if self.flag()? { self.text().map(Some) } else { Some(None) }
    }

    /// A list; its length is not trusted before its items are there.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.number()?).ok()?;
        if count > self.0.len() {
            return None;
        }
        (0..count).map(|_| item(self)).collect()
    }

    fn params(&mut self) -> Option<Params> {
        self.list(|reader| Some((reader.string()?, reader.text()?)))
    }

    fn envelope(&mut self) -> Option<Envelope> {
        Some(Envelope {
            date: self.option()?,
            subject: self.option()?,
            in_reply_to: self.option()?,
            message_id: self.option()?,
            from: self.list(Self::address)?,
            sender: self.list(Self::address)?,
            reply_to: self.list(Self::address)?,
            to: self.list(Self::address)?,
            cc: self.list(Self::address)?,
            bcc: self.list(Self::address)?,
        })
    }

    fn address(&mut self) -> Option<Address> {
        Some(match self.number()? {
            0 => {
                let (name, local, host) = (self.option()?, self.text()?, self.text()?);
                let (route, mailbox) = split_route(&local);
                Address::Mailbox { name, route: route.map(<[u8]>::to_vec), mailbox: mailbox.to_vec(), host }
            }
            1 => Address::GroupStart(self.text()?),
            2 => Address::GroupEnd,
            _ => return None,
        })
    }

    fn range(&mut self, from: u64) -> Option<Range<u64>> {
        let start = from.checked_add(self.number()?)?;
        Some(start..start.checked_add(self.number()?)?)
    }

    fn part(&mut self, depth: usize) -> Option<Part> {
        if depth > DEEPEST {
            return None;
        }
        let header = self.range(0)?;
        let body = self.range(header.end)?;
        let mut part = Part {
            header,
            body,
            lines: u32::try_from(self.number()?).ok()?,
            media_type: self.string()?,
            subtype: self.string()?,
            params: self.params()?,
            encoding: self.string()?,
            id: self.option()?,
            description: self.option()?,
            md5: self.option()?,
            location: self.option()?,
            ..Part::default()
        };
        if self.flag()? {
            part.disposition = Some((self.string()?, self.params()?));
        }
        part.language = self.list(Self::string)?;
        part.content = match self.number()? {
            0 => PartContent::Leaf,
            1 => PartContent::Multipart(self.list(|reader| reader.part(depth + 1))?),
            2 => PartContent::Message(Box::new((self.envelope()?, self.part(depth + 1)?))),
            _ => return None,
        };
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Digest {
        let mut digester = crate::mail::structure::Digester::new();
        digester.push(
            b"From: \"Anna\" <@r,@s:a@b.example>\r\nTo: G: x@y, z@w;\r\nSubject: hello\r\nMessage-ID: <1@b>\r\n\
              Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHi\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
              Subject: in\r\n\r\nx\r\n--b\r\nContent-Type: image/png\r\nContent-Disposition: inline; filename=a\r\n\r\nx\r\n--b--\r\n",
        );
        digester.finish()
    }

    #[test]
    fn what_is_written_is_read() {
        let digest = example();
        let bytes = digest.encode();
        assert_eq!(Digest::decode(&bytes), Some(digest));
        assert!(bytes.len() < 250, "{}", bytes.len());
    }

    #[test]
    fn many_parts_are_large() {
        let of = |parts: usize| Digest {
            root: Part { content: PartContent::Multipart(vec![Part::default(); parts]), ..Part::default() },
            ..Digest::default()
        };
        assert!(!example().is_large() && !of(MANY_PARTS - 1).is_large());
        assert!(of(MANY_PARTS).is_large() && of(9_000).is_large());
        let mut deep = Part::default();
        for _ in 0..MANY_PARTS {
            deep = Part {
                content: PartContent::Message(Box::new((Envelope::default(), deep))),
                ..Part::default()
            };
        }
        assert!(Digest { root: deep, ..Digest::default() }.is_large());
    }

    #[test]
    fn damage_is_noticed_or_harmless() {
        let bytes = example().encode();
        for end in 0..bytes.len() {
            assert_eq!(Digest::decode(&bytes[..end]), None);
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let _ = Digest::decode(&changed);
            }
        }
        assert_eq!(
            Digest::decode(&[DIGEST_VERSION, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            None
        );
    }
}
