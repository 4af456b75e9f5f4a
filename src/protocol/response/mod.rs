//! Responses: types → bytes (RFC 9051 §7).

pub mod bodystructure;
pub mod code;
pub mod envelope;
pub mod fetch;
pub mod list;
pub mod search;
pub mod status;
mod writer;

pub use writer::{Dialect, Writer};

use std::ops::RangeInclusive;

use code::Code;

/// The longest text of a status response: it is for people.
const LONGEST_TEXT: usize = 500;
/// UIDs of VANISHED go into lines of about this length, since some clients limit lines.
const LONGEST_SET: usize = 8_000;

/// A status response (RFC 9051 §7.1); without a tag an untagged one.
pub fn status_line(w: &mut Writer<'_>, tag: Option<&str>, condition: &str, code: Option<&Code>, text: &str) {
    w.raw(tag.unwrap_or("*").as_bytes());
    w.raw(b" ");
    w.raw(condition.as_bytes());
    w.raw(b" ");
    if let Some(code) = code {
        w.raw(b"[");
        code.write(w);
        w.raw(b"] ");
    }
    // Text must not be empty, nor look like a code where there is none.
    let shown = if text.is_empty() { "Done" } else { text };
    if code.is_none() && shown.starts_with('[') {
        w.raw(b"- ");
    }
    for c in shown.chars().take(LONGEST_TEXT) {
        let safe = if c.is_control() || !c.is_ascii() && !w.dialect().utf8 { '?' } else { c };
        w.raw(safe.encode_utf8(&mut [0; 4]).as_bytes());
    }
    w.raw(b"\r\n");
}

/// `+ text` (RFC 9051 §7.6).
pub fn continuation(w: &mut Writer<'_>, text: &str) {
    w.raw(b"+ ");
    w.raw(text.as_bytes());
    w.raw(b"\r\n");
}

/// CAPABILITY (RFC 9051 §7.2.2).
pub fn capability(w: &mut Writer<'_>, capabilities: &[String]) {
    w.raw(b"* CAPABILITY ");
    w.raw(capabilities.join(" ").as_bytes());
    w.raw(b"\r\n");
}

/// ID (RFC 2971 §3.2).
pub fn id(w: &mut Writer<'_>, parameters: &[(&str, &str)]) {
    w.raw(b"* ID (");
    for (n, (name, value)) in parameters.iter().enumerate() {
        w.raw(if n == 0 { b"" } else { b" " });
        w.string(name.as_bytes());
        w.raw(b" ");
        w.string(value.as_bytes());
    }
    w.raw(b")\r\n");
}

/// ENABLED (RFC 9051 §7.2.1).
pub fn enabled(w: &mut Writer<'_>, capabilities: &[&str]) {
    w.raw(b"* ENABLED");
    for name in capabilities {
        w.raw(b" ");
        w.raw(name.as_bytes());
    }
    w.raw(b"\r\n");
}

/// EXISTS (RFC 9051 §7.4.1).
pub fn exists(w: &mut Writer<'_>, count: u32) {
    w.raw(format!("* {count} EXISTS\r\n").as_bytes());
}

/// RECENT (RFC 3501 §7.3.2).
pub fn recent(w: &mut Writer<'_>, count: u32) {
    w.raw(format!("* {count} RECENT\r\n").as_bytes());
}

/// EXPUNGE (RFC 9051 §7.5.1).
pub fn expunge(w: &mut Writer<'_>, number: u32) {
    w.raw(format!("* {number} EXPUNGE\r\n").as_bytes());
}

/// VANISHED (RFC 7162 §3.2.10), in several responses where the set is long.
pub fn vanished(w: &mut Writer<'_>, uids: &[RangeInclusive<u32>], earlier: bool) {
    let start: &[u8] = if earlier { b"* VANISHED (EARLIER) " } else { b"* VANISHED " };
    let mut line = String::new();
    for range in uids {
        if line.len() > LONGEST_SET {
            w.line(start, &line);
            line.clear();
        }
        if !line.is_empty() {
            line.push(',');
        }
        line.push_str(&range.start().to_string());
        if range.start() != range.end() {
            line.push_str(&format!(":{}", range.end()));
        }
    }
    if !line.is_empty() {
        w.line(start, &line);
    }
}

/// FLAGS (RFC 9051 §7.3.5).
pub fn flags<'n>(w: &mut Writer<'_>, names: impl Iterator<Item = &'n str>) {
    w.raw(b"* FLAGS (");
    w.words(names);
    w.raw(b")\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{UidSet, UidValidity};

    pub(super) fn written(utf8: bool, write: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out, Dialect { utf8, rev2: utf8 }));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn status_lines() {
        let text = written(false, |w| {
            status_line(w, Some("a1"), "OK", Some(&Code::ReadWrite), "SELECT completed");
            status_line(w, None, "NO", None, "[odd]\r\nnaïve");
        });
        assert_eq!(text, "a1 OK [READ-WRITE] SELECT completed\r\n* NO - [odd]??na?ve\r\n");
        assert!(written(true, |w| status_line(w, None, "NO", None, "naïve")).contains("naïve"));
        let uids = [304_u32, 319, 320].into_iter().collect();
        let code = Code::AppendUid(UidValidity::new(38505).unwrap(), uids);
        let text = written(false, |w| status_line(w, Some("A003"), "OK", Some(&code), "APPEND completed"));
        assert_eq!(text, "A003 OK [APPENDUID 38505 304,319:320] APPEND completed\r\n");
    }

    #[test]
    fn long_sets_are_told_in_several_lines() {
        let uids: UidSet = (1..20_000_u32).map(|n| n * 2).collect();
        let text = written(false, |w| vanished(w, uids.ranges(), true));
        let mut back = UidSet::new();
        for line in text.lines() {
            assert!(line.len() < 8_100);
            let set = line.strip_prefix("* VANISHED (EARLIER) ").unwrap();
            let mut cursor = crate::protocol::cursor::Cursor::new(set.as_bytes());
            back = back.union(&cursor.sequence_set().unwrap().resolve(u32::MAX));
        }
        assert_eq!(back, uids);
        assert_eq!(written(false, |w| vanished(w, &[], false)), "");
    }

    #[test]
    fn untagged() {
        assert_eq!(written(false, |w| exists(w, 23)), "* 23 EXISTS\r\n");
        assert_eq!(written(false, |w| id(w, &[("name", "Postern")])), "* ID (\"name\" \"Postern\")\r\n");
        assert_eq!(written(false, |w| enabled(w, &[])), "* ENABLED\r\n");
        assert_eq!(written(false, |w| flags(w, ["\\Seen", "$x"].into_iter())), "* FLAGS (\\Seen $x)\r\n");
    }
}
