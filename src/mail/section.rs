//! Sections of a message (RFC 9051 §6.4.5.1): what `BODY[…]` names, and where it lies.

/// What `BODY[…]` names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Section {
    /// Part numbers, from 1; empty for the message itself.
    pub path: Vec<u32>,
    /// What of that part.
    pub what: SectionText,
}

/// Which bytes of a part a section means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum SectionText {
    /// `BODY[]` the whole message; `BODY[1]` the body of part 1.
    #[default]
    Whole,
    /// `HEADER`
    Header,
    /// `HEADER.FIELDS (…)`: names as the client wrote them, in its order.
    HeaderFields(Vec<String>),
    /// `HEADER.FIELDS.NOT (…)`
    HeaderFieldsNot(Vec<String>),
    /// `TEXT`
    Text,
    /// `MIME`: the header of the part itself; only after a path.
    Mime,
}
