//! SEARCH (RFC 3501 §7.2.5) and ESEARCH (RFC 9051 §7.3.2).

use super::Writer;
use crate::model::UidSet;

/// What an ESEARCH response tells; what is `None` was not asked for, or there is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Esearch<'a> {
    /// The lowest.
    pub min: Option<u32>,
    /// The highest.
    pub max: Option<u32>,
    /// All; not told if empty.
    pub all: Option<&'a UidSet>,
    /// How many.
    pub count: Option<u64>,
    /// The highest modseq of those found (RFC 7162 §3.1.10).
    pub modseq: Option<u64>,
}

/// All numbers one by one. Some clients read one SEARCH response only, so that it is one line however long.
pub fn search(w: &mut Writer<'_>, found: &UidSet, modseq: Option<u64>) {
    w.raw(b"* SEARCH");
    for number in found.iter() {
        w.raw(b" ");
        w.number(u64::from(number));
    }
    if let Some(modseq) = modseq {
        w.raw(format!(" (MODSEQ {modseq})").as_bytes());
    }
    w.raw(b"\r\n");
}

/// An ESEARCH response.
pub fn esearch(w: &mut Writer<'_>, tag: &str, uid: bool, found: &Esearch<'_>) {
    w.raw(b"* ESEARCH (TAG ");
    w.string(tag.as_bytes());
    w.raw(if uid { b") UID" } else { b")" });
    let mut item = |name: &str, value: String| w.raw(format!(" {name} {value}").as_bytes());
    if let Some(min) = found.min {
        item("MIN", min.to_string());
    }
    if let Some(max) = found.max {
        item("MAX", max.to_string());
    }
    if let Some(count) = found.count {
        item("COUNT", count.to_string());
    }
    if let Some(all) = found.all.filter(|all| !all.is_empty()) {
        item("ALL", all.to_string());
    }
    if let Some(modseq) = found.modseq {
        item("MODSEQ", modseq.to_string());
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
        assert_eq!(written(|w| search(w, &found, None)), "* SEARCH 2 3 6\r\n");
        assert_eq!(written(|w| search(w, &UidSet::new(), None)), "* SEARCH\r\n");
        assert_eq!(written(|w| search(w, &found, Some(9))), "* SEARCH 2 3 6 (MODSEQ 9)\r\n");
        let told = Esearch { min: Some(2), count: Some(3), all: Some(&found), ..Esearch::default() };
        let wanted = "* ESEARCH (TAG \"A282\") MIN 2 COUNT 3 ALL 2:3,6\r\n";
        assert_eq!(written(|w| esearch(w, "A282", false, &told)), wanted);
        let nothing = Esearch { all: Some(&UidSet::new()), ..Esearch::default() };
        assert_eq!(written(|w| esearch(w, "A", true, &nothing)), "* ESEARCH (TAG \"A\") UID\r\n");
    }
}
