//! The announcement of a literal at the end of a line (RFC 9051 §4.3; RFC 7888; RFC 3516 §4.4).

/// No announcement is longer: `~{`, 20 digits, `+}` and a carriage return.
pub(super) const LONGEST: usize = 25;

/// What a literal will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    pub len: u64,
    pub non_sync: bool,
    pub binary: bool,
}

/// The announcement with which a line ends, if it does.
pub(super) fn of_line(line: &[u8]) -> Result<Option<Announcement>, &'static str> {
    let Some(inner) = line.strip_suffix(b"}") else { return Ok(None) };
    let Some(open) = inner.iter().rposition(|byte| *byte == b'{') else { return Ok(None) };
    let number = &inner[open + 1..];
    let (number, non_sync) = match number.strip_suffix(b"+") {
        Some(number) => (number, true),
        None => (number, false),
    };
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) || in_quotes(&line[..open]) {
        return Ok(None);
    }
    let digits = std::str::from_utf8(number).unwrap_or_default();
    let len = digits.parse::<u64>().ok().filter(|len| *len <= i64::MAX as u64);
    let len = len.ok_or("A literal cannot be that long")?;
    Ok(Some(Announcement { len, non_sync, binary: open > 0 && line[open - 1] == b'~' }))
}

/// Whether a quoted string is open at the end of this.
fn in_quotes(line: &[u8]) -> bool {
    let (mut open, mut escaped) = (false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if open => escaped = true,
            b'"' => open = !open,
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_literal() {
        let found = |len, non_sync, binary| Ok(Some(Announcement { len, non_sync, binary }));
        assert_eq!(of_line(b"a X \"{5}"), Ok(None));
        assert_eq!(of_line(b"a X \"\" {5}"), found(5, false, false));
        assert_eq!(of_line(b"a X \"\\\"\" ~{5+}"), found(5, true, true));
        assert_eq!(of_line(b"a X {}"), Ok(None));
        assert_eq!(of_line(b"a X {-1}"), Ok(None));
        assert!(of_line(b"a X {99999999999999999999}").is_err());
    }
}
