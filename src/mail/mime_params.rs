//! Values with parameters: Content-Type and Content-Disposition (RFC 2045 §5.1, RFC 2183, RFC 2231).

use super::charset::decode_charset;
use super::digest::Params;
use super::header;

/// More parameters than any real part has.
const MOST: usize = 64;
/// Longer values are cut.
const LONGEST: usize = 8 * 1024;

/// A value and its parameters, as they are written; continuations are joined (RFC 2231 §3, §6).
#[must_use]
pub fn parse(field: &[u8]) -> (String, Params) {
    let mut scanner = Scanner { rest: field };
    // `attachment filename=x`: the semicolon is missing.
    let (value, mut is_missing) = match scanner.word_before_parameter() {
        Some(word) => (word, true),
        None => (scanner.until(b";"), false),
    };
    let value = String::from_utf8_lossy(&value).trim().to_owned();
    let mut raw: Params = Vec::new();
    while std::mem::take(&mut is_missing) || scanner.take(b';') {
        let name = scanner.until(b"=;");
        let name = String::from_utf8_lossy(&name).trim().to_owned();
        if scanner.take(b'=') && !name.is_empty() && raw.len() < MOST {
            let mut value = scanner.value();
            value.truncate(LONGEST);
            raw.push((name, value));
        }
    }
    (value, join(raw))
}

/// A parameter's value, decoded: `name*=utf-8''%c3%a4` before `name=` (RFC 2231 §4, RFC 6266 §4.3).
#[must_use]
pub fn find(params: &Params, name: &str) -> Option<Vec<u8>> {
    let of = |wanted: &str| params.iter().find(|(found, _)| found.eq_ignore_ascii_case(wanted));
    match of(&format!("{name}*")) {
        Some((_, value)) => Some(decode_extended(value)),
        None => of(name).map(|(_, value)| value.clone()),
    }
}

/// The tokens of a list, without comments: Content-Language (RFC 3282 §2).
#[must_use]
pub fn tokens(field: &[u8]) -> Vec<String> {
    let mut scanner = Scanner { rest: field };
    let mut found = Vec::new();
    while !scanner.rest.is_empty() {
        let token = String::from_utf8_lossy(&scanner.until(b",")).trim_matches(['"', ' ', '\t']).to_owned();
        if !token.is_empty() {
            found.push(token);
        }
        scanner.take(b',');
    }
    found
}

/// The token that a field begins with, without comments: Content-Transfer-Encoding (RFC 2045 §6.1).
#[must_use]
pub fn token(field: &[u8]) -> String {
    let value = Scanner { rest: field }.until(b";");
    String::from_utf8_lossy(&value).split_whitespace().next().unwrap_or_default().to_owned()
}

/// A media type, split; `None` if it is none.
#[must_use]
pub fn media_type(value: &str) -> Option<(String, String)> {
    let (media_type, subtype) = value.split_once('/')?;
    let token = |text: &str| {
        let text = text.trim();
        let good = !text.is_empty() && text.bytes().all(|byte| is_token(&byte));
        good.then(|| text.to_owned())
    };
    Some((token(media_type)?, token(subtype)?))
}

/// What a token is made of (RFC 2045 §5.1).
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(byte)
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl Scanner<'_> {
    fn take(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// A word, if what follows it after white space alone is a parameter.
    fn word_before_parameter(&mut self) -> Option<Vec<u8>> {
        let word = self.rest.trim_ascii_start();
        let is_in_word = |byte: &&u8| is_token(byte) || **byte == b'/';
        let length = word.iter().take_while(is_in_word).count();
        let (word, after) = word.split_at(length);
        let rest = after.trim_ascii_start();
        let name = rest.iter().take_while(is_in_word).count();
        let is_parameter = name > 0 && rest.get(name..)?.trim_ascii_start().starts_with(b"=");
        if word.is_empty() || rest.len() == after.len() || !is_parameter {
            return None;
        }
        self.rest = rest;
        Some(word.to_vec())
    }

    /// Bytes up to one of `ends`; comments and line ends are left out.
    fn until(&mut self, ends: &[u8]) -> Vec<u8> {
        let (mut out, mut depth) = (Vec::new(), 0_u32);
        while let Some((byte, after)) = self.rest.split_first() {
            if depth == 0 && ends.contains(byte) {
                break;
            }
            self.rest = after;
            match byte {
                b'(' => depth = depth.saturating_add(1),
                b')' if depth > 0 => depth -= 1,
                b'\r' | b'\n' => {}
                _ if depth > 0 => {}
                _ => out.push(*byte),
            }
        }
        out
    }

    fn value(&mut self) -> Vec<u8> {
        self.rest = self.rest.trim_ascii_start();
        if !self.take(b'"') {
            return self.until(b";").trim_ascii().to_vec();
        }
        let out = header::quoted(&mut self.rest);
        self.until(b";");
        out
    }
}

/// Joins continuations (RFC 2231 §3); a charset and percent-encoding stay, under `name*`, so that what goes
/// out is ASCII and says its charset. A segment that does not follow on another stays as it is.
fn join(raw: Params) -> Params {
    let mut joined: Params = Vec::new();
    let mut done: Vec<String> = Vec::new();
    for (name, value) in &raw {
        let base = match segment(name) {
            Some((base, number, _)) if number < segments(&raw, base).len() => base,
            _ => {
                joined.push((name.clone(), value.clone()));
                continue;
            }
        };
        if !done.iter().any(|known| known.eq_ignore_ascii_case(base)) {
            joined.push(join_segments(&raw, base));
            done.push(base.to_owned());
        }
    }
    joined
}

/// `name*2*` is segment 2 of `name`, percent-encoded.
fn segment(name: &str) -> Option<(&str, usize, bool)> {
    let (name, encoded) = name.strip_suffix('*').map_or((name, false), |name| (name, true));
    let (base, number) = name.split_once('*')?;
    Some((base, number.parse().ok()?, encoded))
}

fn find_segment<'a>(raw: &'a Params, base: &str, wanted: usize) -> Option<(&'a [u8], bool)> {
    raw.iter().find_map(|(name, value)| match segment(name)? {
        (found, number, encoded) if number == wanted && found.eq_ignore_ascii_case(base) => {
            Some((value.as_slice(), encoded))
        }
        _ => None,
    })
}

fn segments<'a>(raw: &'a Params, base: &str) -> Vec<(&'a [u8], bool)> {
    (0..MOST).map_while(|number| find_segment(raw, base, number)).collect()
}

fn join_segments(raw: &Params, base: &str) -> (String, Vec<u8>) {
    let segments = segments(raw, base);
    if !segments.iter().any(|(_, encoded)| *encoded) {
        return (base.to_owned(), segments.iter().flat_map(|(value, _)| value.iter().copied()).collect());
    }
    let mut value = Vec::new();
    if !segments.first().is_some_and(|(_, encoded)| *encoded) {
        // Only the first may name the charset.
        value.extend_from_slice(b"''");
    }
    for (segment, encoded) in segments {
        if encoded {
            value.extend_from_slice(segment);
        } else {
            segment.iter().for_each(|byte| push_percent(&mut value, *byte));
        }
    }
    (format!("{base}*"), value)
}

fn push_percent(out: &mut Vec<u8>, byte: u8) {
    // attribute-char of RFC 2231 §7.
    if byte.is_ascii_graphic() && !b"*'%()<>@,;:\\\"/[]?=".contains(&byte) {
        out.push(byte);
    } else {
        out.extend_from_slice(format!("%{byte:02X}").as_bytes());
    }
}

/// `utf-8'en'%c3%a4`, as UTF-8 where the charset is known.
fn decode_extended(value: &[u8]) -> Vec<u8> {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let (Some(charset), Some(_), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
        return percent(value);
    };
    let bytes = percent(text);
    decode_charset(&bytes, &String::from_utf8_lossy(charset)).map_or(bytes, String::into_bytes)
}

fn percent(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let digits = after.get(..2).filter(|_| *byte == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                rest = &after[2..];
            }
            None => out.push(*byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(field: &str) -> String {
        let (value, params) = parse(field.as_bytes());
        let params: Vec<String> =
            params.iter().map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value))).collect();
        format!("{value} {}", params.join("|"))
    }

    #[test]
    fn examples_of_the_rfcs() {
        assert_eq!(shown(" text/plain; charset=us-ascii (Plain text)"), "text/plain charset=us-ascii");
        assert_eq!(shown("Text/Plain; Charset=\"us-ascii\"; X"), "Text/Plain Charset=us-ascii");
        assert_eq!(
            shown("message/external-body; access-type=URL;\r\n URL*0=\"ftp://\";\r\n URL*1=\"cs.utk.edu/x\""),
            "message/external-body access-type=URL|URL=ftp://cs.utk.edu/x"
        );
        assert_eq!(
            shown("application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A"),
            "application/x-stuff title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A"
        );
        assert_eq!(
            shown(
                "a/b; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\""
            ),
            "a/b title*=us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it!"
        );
        assert_eq!(
            shown("attachment; filename=a.txt; filename*=iso-8859-1''%e4.txt"),
            "attachment filename=a.txt|filename*=iso-8859-1''%e4.txt"
        );
    }

    #[test]
    fn values_are_decoded_for_us() {
        let found = |field: &str, name: &str| {
            find(&parse(field.as_bytes()).1, name).map(|value| String::from_utf8_lossy(&value).into_owned())
        };
        assert_eq!(found("a; filename=a.txt; FileName*=iso-8859-1''%e4.txt", "filename").unwrap(), "ä.txt");
        assert_eq!(found("a; t*0=x; T*1*=%41; t*2=\"y z\"", "t").unwrap(), "xAy z");
        assert_eq!(found("a; t*1=x; t*2=y", "t"), None);
        assert_eq!(found("a; t*=%41", "t").unwrap(), "A");
        assert_eq!(found("a; Charset=X", "charset").unwrap(), "X");
        assert_eq!(token(b" Base64 (comment) \r\n"), "Base64");
        assert_eq!(tokens(b" (c) en, de (x) ,, \"fr\""), ["en", "de", "fr"]);
        assert_eq!(shown("a; b*0=1; b*2=3; c*1=x"), "a b=1|b*2=3|c*1=x");
    }

    #[test]
    fn what_programs_write() {
        assert_eq!(shown("text/html; charset = utf-8 ; charset=x"), "text/html charset=utf-8|charset=x");
        assert_eq!(shown("multipart/mixed; boundary=\"a;b\\\"c"), "multipart/mixed boundary=a;b\"c");
        assert_eq!(shown("attachment filename=x"), "attachment filename=x");
        assert_eq!(
            shown("attachment\r\n filename=\"a b.txt\"; size=3"),
            "attachment filename=a b.txt|size=3"
        );
        assert_eq!(shown("text/plain charset=utf-8;format=flowed"), "text/plain charset=utf-8|format=flowed");
        assert_eq!(shown("; name=x"), " name=x");
        assert_eq!(shown("text / plain; a=b"), "text / plain a=b");
        assert_eq!(shown("attachment of mine"), "attachment of mine ");
        assert_eq!(shown("text"), "text ");
        assert_eq!(shown(""), " ");
        assert_eq!(media_type("text/plain"), Some(("text".into(), "plain".into())));
        assert_eq!(media_type("text"), None);
        assert_eq!(media_type("text/"), None);
        assert_eq!(media_type("te xt/plain"), None);
    }
}
