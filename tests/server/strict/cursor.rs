//! The words of the grammar: numbers, atoms, strings, sets, dates (RFC 9051 §9).

use super::answer::Answer;

/// What the session has enabled decides what may be said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dialect {
    /// UTF8=ACCEPT.
    pub utf8: bool,
    pub rev2: bool,
}

impl Dialect {
    /// Whether a quoted string may hold what is not ASCII.
    pub fn is_wide(self) -> bool {
        self.utf8 || self.rev2
    }
}

/// Why an answer is none.
pub type Wrong = String;
/// Numbers and ranges in the order they were told.
pub type Set = Vec<(u32, u32)>;

/// A string, as far as it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub bytes: Vec<u8>,
    pub is_quoted: bool,
}

/// A place in an answer.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    answer: &'a Answer,
    line: usize,
    at: usize,
    pub dialect: Dialect,
}

pub fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

impl<'a> Cursor<'a> {
    pub fn new(answer: &'a Answer, dialect: Dialect) -> Self {
        Cursor { answer, line: 0, at: 0, dialect }
    }

    fn rest(&self) -> &'a [u8] {
        self.answer.lines.get(self.line).map_or(&[], |line| &line[self.at..])
    }

    pub fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    pub fn wrong<T>(&self, expected: &str) -> Result<T, Wrong> {
        let rest = self.rest();
        let shown = rest[..rest.len().min(60)].escape_ascii();
        Err(format!("expected {expected} at {} of line {}: “{shown}”", self.at, self.line + 1))
    }

    /// Takes this if it comes; letters in any case.
    pub fn eat(&mut self, word: &str) -> bool {
        let found =
            self.rest().get(..word.len()).is_some_and(|rest| rest.eq_ignore_ascii_case(word.as_bytes()));
        self.at += if found { word.len() } else { 0 };
        found
    }

    pub fn must(&mut self, word: &str) -> Result<(), Wrong> {
        if self.eat(word) { Ok(()) } else { self.wrong(&format!("“{word}”")) }
    }

    pub fn space(&mut self) -> Result<(), Wrong> {
        self.must(" ")
    }

    /// Takes NIL, where nothing that goes on as an atom is NIL.
    pub fn nil(&mut self) -> bool {
        let ends = !self.rest().get(3).is_some_and(|byte| is_atom_char(*byte));
        ends && self.eat("NIL")
    }

    pub fn end(&self) -> Result<(), Wrong> {
        if self.peek().is_none() && self.line + 1 == self.answer.lines.len() {
            Ok(())
        } else {
            self.wrong("the end of the line")
        }
    }

    pub fn while_(&mut self, is_part: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let count = rest.iter().take_while(|byte| is_part(**byte)).count();
        self.at += count;
        &rest[..count]
    }

    pub fn rest_of_line(&mut self) -> &'a [u8] {
        let rest = self.rest();
        self.at += rest.len();
        rest
    }

    /// A number of at most `most`. None has zeros before it: the grammar would let them be, no server writes them.
    fn digits(&mut self, least: u64, most: u64, expected: &str) -> Result<u64, Wrong> {
        let before = *self;
        let digits = self.while_(|byte| byte.is_ascii_digit());
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
        let is_plain = digits.len() == 1 || !digits.starts_with(b"0");
        match number.filter(|number| is_plain && (least..=most).contains(number)) {
            Some(number) => Ok(number),
            None => before.wrong(expected),
        }
    }

    pub fn number(&mut self) -> Result<u32, Wrong> {
        self.digits(0, u64::from(u32::MAX), "number").map(|number| number as u32)
    }

    pub fn nz_number(&mut self) -> Result<u32, Wrong> {
        self.digits(1, u64::from(u32::MAX), "nz-number").map(|number| number as u32)
    }

    pub fn number64(&mut self) -> Result<u64, Wrong> {
        self.digits(0, i64::MAX as u64, "number64")
    }

    /// `mod-sequence-value` (RFC 7162 §7).
    pub fn modseq(&mut self) -> Result<u64, Wrong> {
        self.digits(1, i64::MAX as u64, "mod-sequence-value")
    }

    pub fn atom(&mut self, expected: &str) -> Result<&'a str, Wrong> {
        let before = *self;
        let found = self.while_(is_atom_char);
        match std::str::from_utf8(found) {
            Ok(text) if !text.is_empty() => Ok(text),
            _ => before.wrong(expected),
        }
    }

    /// `string`: quoted, or a literal that holds no NUL.
    pub fn string(&mut self) -> Result<Text, Wrong> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => self.wrong("string"),
        }
    }

    pub fn nstring(&mut self) -> Result<Option<Text>, Wrong> {
        if self.nil() { Ok(None) } else { self.string().map(Some) }
    }

    /// `literal8`.
    pub fn literal8(&mut self) -> Result<(), Wrong> {
        self.must("~")?;
        self.announcement().map(|_| ())
    }

    fn literal(&mut self) -> Result<Text, Wrong> {
        let before = *self;
        let literal = self.announcement()?;
        if literal.has_nul {
            return before.wrong("a literal without NUL");
        }
        Ok(Text { bytes: literal.start.clone(), is_quoted: false })
    }

    fn announcement(&mut self) -> Result<&'a super::answer::Literal, Wrong> {
        let before = *self;
        self.must("{")?;
        let length = self.number64()?;
        self.must("}")?;
        match self.answer.literals.get(self.line) {
            Some(literal) if self.peek().is_none() && literal.length == length => {
                (self.line, self.at) = (self.line + 1, 0);
                Ok(literal)
            }
            _ => before.wrong("a literal after its announcement"),
        }
    }

    pub fn quoted(&mut self) -> Result<Text, Wrong> {
        let before = *self;
        self.must("\"")?;
        let mut bytes = Vec::new();
        loop {
            let Some(byte) = self.peek() else { return before.wrong("a quoted string that ends") };
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => match self.peek() {
                    Some(special @ (b'"' | b'\\')) => {
                        self.at += 1;
                        bytes.push(special);
                    }
                    _ => return before.wrong("quoted-specials after a backslash"),
                },
                0x80.. if !self.dialect.is_wide() => {
                    return before.wrong("ASCII, for neither UTF8=ACCEPT nor IMAP4rev2 is enabled");
                }
                other => bytes.push(other),
            }
        }
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Text { bytes, is_quoted: true }),
            Err(_) => before.wrong("UTF-8 in a quoted string"),
        }
    }

    pub fn astring(&mut self) -> Result<Vec<u8>, Wrong> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string().map(|text| text.bytes);
        }
        let before = *self;
        match self.while_(|byte| is_atom_char(byte) || byte == b']') {
            b"" => before.wrong("astring"),
            found => Ok(found.to_vec()),
        }
    }

    /// `mailbox`: UTF-8 where that is enabled, else modified UTF-7 (RFC 3501 §5.1.3).
    pub fn mailbox(&mut self) -> Result<(), Wrong> {
        let before = *self;
        let name = self.astring()?;
        let is_name = match std::str::from_utf8(&name) {
            Ok(name) if self.dialect.is_wide() => !name.chars().any(char::is_control),
            Ok(name) => is_utf7(name),
            Err(_) => false,
        };
        if is_name { Ok(()) } else { before.wrong("a mailbox's name") }
    }

    /// `sequence-set` without `*`, which no answer has.
    pub fn set(&mut self) -> Result<Set, Wrong> {
        let mut set = Vec::new();
        loop {
            let from = self.nz_number()?;
            let to = if self.eat(":") { self.nz_number()? } else { from };
            set.push((from, to));
            if !self.eat(",") {
                return Ok(set);
            }
        }
    }

    /// `objectid` in its parentheses (RFC 8474 §7).
    pub fn object_id(&mut self) -> Result<(), Wrong> {
        self.must("(")?;
        let before = *self;
        let id = self.while_(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if !(1..=255).contains(&id.len()) {
            return before.wrong("objectid");
        }
        self.must(")")
    }

    pub fn date_time(&mut self) -> Result<(), Wrong> {
        let before = *self;
        let found = self.quoted()?.bytes;
        if is_date_time(&found) { Ok(()) } else { before.wrong("date-time") }
    }

    /// `what` once or more, with single spaces, up to a parenthesis that closes; none at all where `or_none`.
    pub fn list(
        &mut self,
        or_none: bool,
        mut what: impl FnMut(&mut Self) -> Result<(), Wrong>,
    ) -> Result<(), Wrong> {
        self.must("(")?;
        if or_none && self.eat(")") {
            return Ok(());
        }
        loop {
            what(self)?;
            if self.eat(")") {
                return Ok(());
            }
            self.space()?;
        }
    }
}

/// Modified UTF-7: printable ASCII, `&-`, and shifts that end and stand for UTF-16 that is not printable ASCII.
fn is_utf7(name: &str) -> bool {
    if !name.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return false;
    }
    let mut rest = name;
    while let Some(open) = rest.find('&') {
        let Some(length) = rest[open..].find('-') else { return false };
        let shifted = &rest[open + 1..open + length];
        rest = &rest[open + length + 1..];
        if shifted.is_empty() {
            continue;
        }
        let (mut bits, mut held, mut units) = (0_u32, 0, Vec::new());
        for byte in shifted.bytes() {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b',' => 63,
                _ => return false,
            };
            bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
            held += 6;
            if held >= 16 {
                held -= 16;
                units.push((bits >> held) as u16);
            }
        }
        let text = String::from_utf16(&units);
        let is_needed = text.is_ok_and(|text| !text.chars().any(|c| (' '..='~').contains(&c)));
        if held >= 6 || bits & ((1 << held) - 1) != 0 || !is_needed {
            return false;
        }
    }
    true
}

/// `date-day-fixed "-" date-month "-" date-year SP time SP zone`.
fn is_date_time(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let Some((day, rest)) = text.split_at_checked(2) else { return false };
    let is_shaped = rest.len() == 24
        && rest.bytes().zip(b"-Mmm-yyyy hh:mm:ss +hhmm".iter()).all(|(byte, shape)| match shape {
            b'M' => byte.is_ascii_uppercase(),
            b'm' => byte.is_ascii_alphanumeric(),
            b'y' | b'h' | b's' => byte.is_ascii_digit(),
            b'+' => matches!(byte, b'+' | b'-'),
            other => byte == *other,
        });
    if !is_shaped {
        return false;
    }
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let number = |from: usize, count: usize| rest[from..from + count].parse::<u32>().unwrap_or(u32::MAX);
    let year = number(5, 4);
    let Some(month) = MONTHS.iter().position(|name| *name == &rest[1..4]) else { return false };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month];
    let day = match day.strip_prefix(' ') {
        Some(digit) => digit.parse().ok().filter(|day| *day < 10),
        None => day.parse().ok(),
    };
    day.is_some_and(|day: u32| (1..=days).contains(&day) && text.as_bytes()[0] != b'+')
        && number(10, 2) < 24
        && number(13, 2) < 60
        && number(16, 2) <= 60
        && number(20, 2) < 24
        && number(22, 2) < 60
}
