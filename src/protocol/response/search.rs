//! SEARCH (RFC 3501 §7.2.5) and ESEARCH (RFC 9051 §7.3.2).

use std::ops::RangeInclusive;

use super::Writer;
use crate::model::UidSet;

/// What an ESEARCH response tells; what is `None` was not asked for, or there is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Esearch {
    /// The lowest.
    pub min: Option<u32>,
    /// The highest.
    pub max: Option<u32>,
    /// How many.
    pub count: Option<u64>,
}

/// Begins a SEARCH response: all numbers one by one. Some clients read one such response only, so that it is one
/// line however long, which is written in pieces.
pub fn begin(w: &mut Writer<'_>) {
    w.raw(b"* SEARCH");
}

/// Some of the numbers.
pub fn numbers(w: &mut Writer<'_>, numbers: &UidSet) {
    for number in numbers.iter() {
        w.raw(b" ");
        w.number(u64::from(number));
    }
}

/// Ends it, with the highest modseq of those found (RFC 7162 §3.1.5).
pub fn end(w: &mut Writer<'_>, modseq: Option<u64>) {
    if let Some(modseq) = modseq {
        w.raw(format!(" (MODSEQ {modseq})").as_bytes());
    }
    w.raw(b"\r\n");
}

/// Begins an ESEARCH response; what was found follows, if that is asked for.
pub fn begin_esearch(w: &mut Writer<'_>, tag: &str, uid: bool, found: &Esearch) {
    w.raw(b"* ESEARCH (TAG ");
    w.string(tag.as_bytes());
    w.raw(if uid { b") UID" } else { b")" });
    let mut item = |name: &str, value: u64| w.raw(format!(" {name} {value}").as_bytes());
    if let Some(min) = found.min {
        item("MIN", u64::from(min));
    }
    if let Some(max) = found.max {
        item("MAX", u64::from(max));
    }
    if let Some(count) = found.count {
        item("COUNT", count);
    }
}

/// Some of what was found, the first of it after ALL.
pub fn ranges(w: &mut Writer<'_>, ranges: &[RangeInclusive<u32>], first: bool) {
    for (n, range) in ranges.iter().enumerate() {
        w.raw(if n > 0 || !first { b"," } else { b" ALL " });
        w.number(u64::from(*range.start()));
        if range.start() < range.end() {
            w.raw(b":");
            w.number(u64::from(*range.end()));
        }
    }
}

/// Ends it, with the highest modseq of those found (RFC 7162 §3.1.10).
pub fn end_esearch(w: &mut Writer<'_>, modseq: Option<u64>) {
    if let Some(modseq) = modseq {
        w.raw(format!(" MODSEQ {modseq}").as_bytes());
    }
    w.raw(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::*;

    fn written(write: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out, Dialect::default()));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn examples_of_the_rfc() {
        let found: UidSet = [2_u32, 3, 6].into_iter().collect();
        let search = |found: &UidSet, modseq| {
            written(|w| {
                begin(w);
                numbers(w, found);
                end(w, modseq);
            })
        };
        assert_eq!(search(&found, None), "* SEARCH 2 3 6\r\n");
        assert_eq!(search(&UidSet::new(), None), "* SEARCH\r\n");
        assert_eq!(search(&found, Some(9)), "* SEARCH 2 3 6 (MODSEQ 9)\r\n");
        let esearch = |told: &Esearch, found: &UidSet, chunk: usize| {
            written(|w| {
                begin_esearch(w, "A282", true, told);
                found.ranges().chunks(chunk).enumerate().for_each(|(n, some)| ranges(w, some, n == 0));
                end_esearch(w, Some(7));
            })
        };
        let told = Esearch { min: Some(2), count: Some(3), ..Esearch::default() };
        let wanted = "* ESEARCH (TAG \"A282\") UID MIN 2 COUNT 3 ALL 2:3,6 MODSEQ 7\r\n";
        assert_eq!(esearch(&told, &found, 1), wanted);
        assert_eq!(esearch(&told, &found, 9), wanted);
        let nothing = esearch(&Esearch::default(), &UidSet::new(), 1);
        assert_eq!(nothing, "* ESEARCH (TAG \"A282\") UID MODSEQ 7\r\n");
    }
}
