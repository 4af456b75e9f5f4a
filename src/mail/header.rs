//! Header fields (RFC 5322 §2.2), as they really are: folded anyhow, with bare line feeds, with lines that are
//! no fields at all.

use std::collections::HashSet;

/// What some editors put before the first field.
pub const BOM: &[u8] = "\u{feff}".as_bytes();

/// Clients ask for some twenty fields.
const FEW_NAMES: usize = 32;

/// A header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name, as written.
    pub name: &'a [u8],
    /// Its value, folded as it is, without the last line end.
    pub value: &'a [u8],
    /// All of it, with its line end.
    pub raw: &'a [u8],
}

impl Field<'_> {
    /// Whether it has this name, in any case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The fields of a header. Lines that are none are passed over.
pub fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    raw_fields(header).filter_map(parse)
}

/// The fields of a header, for a reader who leaves and comes back: from a place to the next. `None` at the end; a
/// line that is no field is `None` with the place after it.
#[must_use]
pub fn field_at(header: &[u8], at: usize) -> Option<(Option<Field<'_>>, usize)> {
    let from = if at == 0 && header.starts_with(BOM) { BOM.len() } else { at };
    let raw = raw_field(header.get(from..).unwrap_or_default())?;
    Some((parse(raw), from + raw.len()))
}

/// Lines with their continuations, up to the empty line.
fn raw_fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header.strip_prefix(BOM).unwrap_or(header);
    std::iter::from_fn(move || {
        let raw = raw_field(rest)?;
        rest = rest.get(raw.len()..).unwrap_or_default();
        Some(raw)
    })
}

fn raw_field(rest: &[u8]) -> Option<&[u8]> {
    if rest.is_empty() || matches!(rest, [b'\n', ..] | [b'\r', b'\n', ..]) {
        return None;
    }
    let mut end = line_end(rest, 0);
    while matches!(rest.get(end), Some(b' ' | b'\t')) {
        end = line_end(rest, end);
    }
    rest.get(..end)
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| from + at + 1)
}

fn parse(raw: &[u8]) -> Option<Field<'_>> {
    let colon = raw.iter().position(|byte| *byte == b':')?;
    let (name, value) = raw.split_at(colon);
    let name = name.trim_ascii_end();
    // A name is printable ASCII without spaces (RFC 5322 §2.2); the `From ` line of an mbox is not.
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let value = value.get(1..)?;
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    Some(Field { name, value: value.strip_suffix(b"\r").unwrap_or(value), raw })
}

/// A value without its line ends, and without white space around it (RFC 5322 §2.2.3). A CR that ends no line
/// is white space.
#[must_use]
pub fn unfold(value: &[u8]) -> Vec<u8> {
    let value = value.trim_ascii();
    let mut out: Vec<u8> = Vec::with_capacity(value.len());
    for (at, byte) in value.iter().enumerate() {
        match byte {
            b'\n' => {}
            b'\r' if value.get(at + 1) == Some(&b'\n') => {}
            b'\r' => out.push(b' '),
            other => out.push(*other),
        }
    }
    out
}

/// The fields with one of these names (or, with `not`, without any of them), as they are, and the empty line
/// (RFC 9051 §6.4.5.1, HEADER.FIELDS). It is there for a message without body and empty line too, which needs none by the RFC:
/// Mutt reads each answer up to it, and loses messages where there is none; Dovecot does the same.
#[must_use]
pub fn filter_fields(header: &[u8], names: &[String], not: bool) -> Vec<u8> {
    let mut out = Vec::new();
    // A few are compared one by one, which is faster.
    let many = names.len() > FEW_NAMES;
    let set: HashSet<Vec<u8>> =
        names.iter().filter(|_| many).map(|name| name.as_bytes().to_ascii_lowercase()).collect();
    let is_named = |name: &[u8]| match many {
        true => set.contains(&name.to_ascii_lowercase()),
        false => names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes())),
    };
    for raw in raw_fields(header) {
        let name = raw.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii_end();
        if is_named(name) != not {
            out.extend_from_slice(raw);
            if !raw.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// What stands in a quoted string, of which the opening quote is taken already: up to the closing one, which is
/// taken too, or to the end where there is none (RFC 5322 §3.2.4).
pub(super) fn quoted(rest: &mut &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((byte, after)) = rest.split_first() {
        *rest = after;
        match byte {
            b'"' => break,
            b'\\' => {
                if let Some((escaped, after)) = rest.split_first() {
                    out.push(*escaped);
                    *rest = after;
                }
            }
            b'\r' | b'\n' => {}
            _ => out.push(*byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] =
        b"From old@mbox Mon Jan  1 00:00:00 2001\r\nSubject: a\r\n b\r\n\tc\r\nno field\r\n\
        FROM : x@y\nTo:\r\n\r\nNot: here\r\n";

    #[test]
    fn folded_and_odd_fields() {
        let found: Vec<_> = fields(HEADER).collect();
        let names: Vec<_> = found.iter().map(|field| String::from_utf8_lossy(field.name)).collect();
        assert_eq!(names, ["Subject", "FROM", "To"]);
        assert_eq!(unfold(found[0].value), b"a b\tc");
        assert_eq!(found[1].raw, b"FROM : x@y\n");
        assert!(found[1].is("from"));
        assert_eq!(fields(b"").count(), 0);
        assert_eq!(unfold(b" a\rb\r\n c\r\n "), b"a b c");
        assert!(fields(b"\xef\xbb\xbfFrom: a@b\r\n").next().unwrap().is("from"));
        assert_eq!(fields(b"a: b").next().unwrap().value, b" b");
    }

    #[test]
    fn chosen_fields() {
        let names = ["subject".to_owned(), "TO".to_owned()];
        assert_eq!(filter_fields(HEADER, &names, false), b"Subject: a\r\n b\r\n\tc\r\nTo:\r\n\r\n");
        let rest = filter_fields(HEADER, &names, true);
        assert!(rest.ends_with(b"FROM : x@y\n\r\n") && !rest.windows(3).any(|three| three == b"Sub"));
        assert_eq!(filter_fields(b"", &names, false), b"\r\n");
        let many: Vec<String> =
            (0..40).map(|n| format!("X-{n}")).chain(["SUBJECT", "to"].map(str::to_owned)).collect();
        for not in [false, true] {
            assert_eq!(filter_fields(HEADER, &many, not), filter_fields(HEADER, &names, not));
        }
    }
}
