//! Cuts what a server sends into answers: lines, with the literals between them (RFC 9051 §2.2.2, §4.3).

/// Of a literal so many bytes are kept; the rest is only looked at.
const KEPT: usize = 1 << 16;

/// One whole answer. Its lines are without CRLF, and each but the last ends in the announcement of the literal that
/// follows it.
#[derive(Debug, Default)]
pub struct Answer {
    pub lines: Vec<Vec<u8>>,
    pub literals: Vec<Literal>,
}

#[derive(Debug, Default)]
pub struct Literal {
    pub length: u64,
    pub has_nul: bool,
    /// Its beginning.
    pub start: Vec<u8>,
}

impl Answer {
    /// As a failure shows it.
    pub fn shown(&self) -> String {
        let lines = self.lines.iter().map(|line| line.escape_ascii().to_string());
        let text = lines.collect::<Vec<_>>().join("…");
        match text.char_indices().nth(1_000) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

/// Holds what is not whole yet.
#[derive(Debug, Default)]
pub struct Framer {
    begun: Answer,
    line: Vec<u8>,
    left: u64,
}

impl Framer {
    /// Takes bytes from the front of `bytes` up to the end of an answer, which it gives; `None` if that is not there
    /// yet.
    pub fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Answer>, String> {
        while !bytes.is_empty() {
            if self.left > 0 {
                self.literal(bytes);
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.line.extend_from_slice(bytes);
                *bytes = &[];
                return Ok(None);
            };
            self.line.extend_from_slice(&bytes[..=end]);
            *bytes = &bytes[end + 1..];
            let mut line = std::mem::take(&mut self.line);
            let shown = || line.escape_ascii().to_string();
            let Some(text) = line.strip_suffix(b"\r\n") else {
                return Err(format!("a line ends in CRLF: {}", shown()));
            };
            if let Some(byte) = text.iter().find(|byte| matches!(byte, 0 | b'\r')) {
                return Err(format!("no byte {byte} in a line: {}", shown()));
            }
            let length = if self.begun.lines.is_empty() && is_text(text) { None } else { announced(text) };
            line.truncate(line.len() - 2);
            self.begun.lines.push(line);
            match length {
                Some(length) => {
                    self.left = length;
                    self.begun.literals.push(Literal { length, ..Literal::default() });
                }
                None => return Ok(Some(std::mem::take(&mut self.begun))),
            }
        }
        Ok(None)
    }

    /// What has come of an answer that is not whole.
    pub fn partial(&self) -> &[u8] {
        &self.line
    }

    fn literal(&mut self, bytes: &mut &[u8]) {
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let (some, rest) = bytes.split_at(count);
        *bytes = rest;
        self.left -= count as u64;
        if let Some(literal) = self.begun.literals.last_mut() {
            literal.has_nul |= some.contains(&0);
            let kept = some.len().min(KEPT.saturating_sub(literal.start.len()));
            literal.start.extend_from_slice(&some[..kept]);
        }
    }
}

/// Continuations, status responses and tagged lines end in text, where what looks like a literal is none.
fn is_text(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"* ") else { return true };
    let word = rest.split(|byte| *byte == b' ').next().unwrap_or_default().to_ascii_uppercase();
    [&b"OK"[..], b"NO", b"BAD", b"BYE", b"PREAUTH"].contains(&word.as_slice())
}

fn announced(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|byte| *byte == b'{')?;
    let digits = &inner[open + 1..];
    let are_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    are_digits.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}
