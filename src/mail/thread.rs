//! What ties messages together: Message-IDs and base subjects (RFC 5322 §3.6.4, RFC 5256 §2.1).

/// More of them than this are not kept: the first is the thread's root, the last are the nearest.
pub const MOST: usize = 100;
/// A longer one is none.
const LONGEST: usize = 998;

/// The Message-IDs in a value, without their angle brackets, each once.
#[must_use]
pub fn message_ids(value: &[u8]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut rest = value;
    while let Some(open) = rest.iter().position(|byte| *byte == b'<') {
        rest = &rest[open + 1..];
        let Some(close) = rest.iter().position(|byte| *byte == b'>') else { break };
        let id: Vec<u8> = rest[..close].iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        rest = &rest[close + 1..];
        let id = String::from_utf8_lossy(&id).into_owned();
        if !id.is_empty() && id.len() <= LONGEST && !found.contains(&id) {
            if found.len() == MOST {
                found.remove(1);
            }
            found.push(id);
        }
    }
    found
}

/// A decoded subject without `Re:`, `Fwd:`, `[list]` and `(fwd)`, and whether it had any of those.
#[must_use]
pub fn base_subject(subject: &str) -> (String, bool) {
    let mut text = subject.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut reply = false;
    loop {
        let before = text.len();
        if let Some(rest) = strip_suffix_ignoring_case(&text, "(fwd)") {
            (text, reply) = (rest.trim_end().to_owned(), true);
        }
        if let Some(rest) = strip_leader(&text) {
            (text, reply) = (rest.to_owned(), true);
        } else if let Some(rest) = strip_blob(&text).filter(|rest| !rest.is_empty()) {
            text = rest.to_owned();
        }
        if let Some(inner) = text.get(..5).filter(|start| start.eq_ignore_ascii_case("[fwd:"))
            && text.ends_with(']')
        {
            (text, reply) = (text[inner.len()..text.len() - 1].trim().to_owned(), true);
        }
        if text.len() == before {
            return (text, reply);
        }
    }
}

fn strip_suffix_ignoring_case<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(suffix.len())?;
    let (rest, end) = (text.get(..at)?, text.get(at..)?);
    end.eq_ignore_ascii_case(suffix).then_some(rest)
}

/// `Re:`, `Fw[2]:`, also after `[list]`.
fn strip_leader(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(after) = strip_blob(rest) {
        rest = after;
    }
    let word = ["re", "fwd", "fw", "aw", "wg", "sv"]
        .iter()
        .find_map(|word| rest.get(..word.len()).filter(|start| start.eq_ignore_ascii_case(word)))?;
    let mut after = rest[word.len()..].trim_start();
    if let Some(stripped) = strip_blob(after) {
        after = stripped;
    }
    after.strip_prefix(':').map(str::trim_start)
}

/// `[anything] `
fn strip_blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let (blob, rest) = inner.split_once(']')?;
    (!blob.contains('[')).then(|| rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        assert_eq!(message_ids(b"<a@b> <c@d>\r\n <a@b>(x) garbage <e\r\n @f>"), ["a@b", "c@d", "e@f"]);
        assert!(message_ids(b"none <").is_empty());
        let many: String = (0..300).map(|n| format!("<{n}@x>")).collect();
        let found = message_ids(many.as_bytes());
        assert_eq!((found.len(), found[0].as_str(), found[99].as_str()), (MOST, "0@x", "299@x"));
    }

    #[test]
    fn subjects() {
        for (subject, wanted, reply) in [
            ("Saturday", "Saturday", false),
            ("Re: Saturday", "Saturday", true),
            ("RE[2]: Fwd:  Re:Saturday (fwd)", "Saturday", true),
            ("[list] Re: [list] Saturday", "Saturday", true),
            ("[list] Saturday", "Saturday", false),
            ("[Fwd: Saturday]", "Saturday", true),
            ("AW: Samstag", "Samstag", true),
            ("Regarding", "Regarding", false),
            ("[only]", "[only]", false),
            ("é: ü", "é: ü", false),
        ] {
            assert_eq!(base_subject(subject), (wanted.to_owned(), reply), "{subject}");
        }
    }
}
