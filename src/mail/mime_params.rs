//! Values with parameters: Content-Type and Content-Disposition (RFC 2045 §5.1, RFC 2183, RFC 2231).

use super::digest::Params;
use super::text::decode_charset;

/// More parameters than any real part has.
const MOST: usize = 64;
/// Longer values are cut.
const LONGEST: usize = 8 * 1024;

/// A value in lower case, and its parameters.
#[must_use]
pub fn parse(field: &[u8]) -> (String, Params) {
    let mut scanner = Scanner { rest: field };
    let value = scanner.until(b";").to_ascii_lowercase();
    let value = String::from_utf8_lossy(&value).trim().to_owned();
    let mut raw: Vec<(String, Vec<u8>)> = Vec::new();
    while scanner.take(b';') {
        let name = scanner.until(b"=;");
        let name = String::from_utf8_lossy(&name).trim().to_ascii_lowercase();
        if scanner.take(b'=') && !name.is_empty() && raw.len() < MOST {
            let mut value = scanner.value();
            value.truncate(LONGEST);
            raw.push((name, value));
        }
    }
    (value, join(raw))
}

/// A media type, split; `None` if it is none.
#[must_use]
pub fn media_type(value: &str) -> Option<(String, String)> {
    let (media_type, subtype) = value.split_once('/')?;
    let token = |text: &str| {
        let text = text.trim();
        let good = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte));
        good.then(|| text.to_owned())
    };
    Some((token(media_type)?, token(subtype)?))
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
        let mut out = Vec::new();
        while let Some((byte, after)) = self.rest.split_first() {
            self.rest = after;
            match byte {
                b'"' => break,
                b'\\' => {
                    if let Some((escaped, after)) = self.rest.split_first() {
                        out.push(*escaped);
                        self.rest = after;
                    }
                }
                b'\r' | b'\n' => {}
                _ => out.push(*byte),
            }
        }
        self.until(b";");
        out
    }
}

/// Joins continuations and decodes (RFC 2231 §3, §4); a plain parameter of the same name gives way.
fn join(raw: Vec<(String, Vec<u8>)>) -> Params {
    let mut joined: Params = Vec::new();
    for (name, value) in &raw {
        let Some((base, _)) = name.split_once('*') else {
            let extended =
                raw.iter().any(|(other, _)| other.split_once('*').is_some_and(|(base, _)| base == name));
            if !extended && !joined.iter().any(|(known, _)| known == name) {
                joined.push((name.clone(), value.clone()));
            }
            continue;
        };
        if !joined.iter().any(|(known, _)| known == base) {
            let value = extended(&raw, base);
            joined.push((base.to_owned(), value));
        }
    }
    joined
}

fn extended(raw: &[(String, Vec<u8>)], base: &str) -> Vec<u8> {
    let of = |suffix: String| raw.iter().find(|(name, _)| name.strip_prefix(base) == Some(suffix.as_str()));
    let (mut bytes, mut charset) = (Vec::new(), None);
    let mut add = |value: &[u8], encoded: bool, first: bool| {
        let mut value = value;
        if encoded && first {
            let mut parts = value.splitn(3, |byte| *byte == b'\'');
            if let (Some(name), Some(_), Some(rest)) = (parts.next(), parts.next(), parts.next()) {
                charset = Some(String::from_utf8_lossy(name).into_owned());
                value = rest;
            }
        }
        if encoded { bytes.extend(percent(value)) } else { bytes.extend_from_slice(value) }
    };
    if let Some((_, value)) = of("*".to_owned()) {
        add(value, true, true);
    } else {
        for n in 0..MOST {
            if let Some((_, value)) = of(format!("*{n}*")) {
                add(value, true, n == 0);
            } else if let Some((_, value)) = of(format!("*{n}")) {
                add(value, false, n == 0);
            } else {
                break;
            }
        }
    }
    match charset.and_then(|charset| decode_charset(&bytes, &charset)) {
        Some(text) => text.into_bytes(),
        None => bytes,
    }
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
        assert_eq!(shown("Text/Plain; charset=\"us-ascii\"; X"), "text/plain charset=us-ascii");
        assert_eq!(
            shown("message/external-body; access-type=URL;\r\n URL*0=\"ftp://\";\r\n URL*1=\"cs.utk.edu/x\""),
            "message/external-body access-type=URL|url=ftp://cs.utk.edu/x"
        );
        assert_eq!(
            shown("application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A"),
            "application/x-stuff title=This is ***fun***"
        );
        assert_eq!(
            shown(
                "a/b; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\""
            ),
            "a/b title=This is even more ***fun*** isn't it!"
        );
        assert_eq!(
            shown("attachment; filename=a.txt; filename*=iso-8859-1''%e4.txt"),
            "attachment filename=ä.txt"
        );
    }

    #[test]
    fn what_programs_write() {
        assert_eq!(shown("text/html; charset = utf-8 ; charset=x"), "text/html charset=utf-8");
        assert_eq!(shown("multipart/mixed; boundary=\"a;b\\\"c"), "multipart/mixed boundary=a;b\"c");
        assert_eq!(shown("text"), "text ");
        assert_eq!(shown(""), " ");
        assert_eq!(media_type("text/plain"), Some(("text".into(), "plain".into())));
        assert_eq!(media_type("text"), None);
        assert_eq!(media_type("text/"), None);
        assert_eq!(media_type("te xt/plain"), None);
    }
}
