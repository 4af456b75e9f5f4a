//! Reads the tokens of IMAP's grammar (RFC 9051 §9) from one command's bytes.

use crate::model::{
    CivilDate, DateTime, Flag, Keyword, SequenceSet, SystemFlags, digits, month_by_name, zone_minutes,
};
use crate::protocol::framed::{FoldedSet, Framed};
use crate::protocol::set_reader::SetReader;

/// What is wrong with a command, in words for its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syntax(pub &'static str);

/// The result of reading a token.
pub type Parsed<T> = Result<T, Syntax>;

/// A place in a command.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    /// The length of the whole text.
    len: usize,
    folded: &'a [FoldedSet],
    /// Quoted strings must be UTF-8.
    utf8: bool,
}

/// `atom-specials` without the characters of lists that some contexts allow (RFC 9051 §9).
pub(super) const fn is_atom_char(byte: u8) -> bool {
    !matches!(byte, 0..=0x20 | 0x7f | b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\')
}

impl<'a> Cursor<'a> {
    /// At the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes, len: bytes.len(), folded: &[], utf8: false }
    }

    /// At the start of a command in which sets may be folded.
    #[must_use]
    pub fn over(framed: &'a Framed) -> Self {
        Cursor { folded: &framed.sets, ..Cursor::new(&framed.text) }
    }

    /// In a session whose quoted strings are UTF-8: IMAP4rev2 (RFC 9051 §4.3) or UTF8=ACCEPT (RFC 6855 §3, RFC 9755).
    #[must_use]
    pub fn with_utf8(self, utf8: bool) -> Self {
        Cursor { utf8, ..self }
    }

    /// What is left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next byte, not taken.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes this byte if it is next.
    pub fn take(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes this word, in any case, if it is next and ends there.
    pub fn take_word(&mut self, word: &str) -> bool {
        let Some(next) = self.rest.get(..word.len()) else { return false };
        let ends = self.rest.get(word.len()).is_none_or(|byte| !is_atom_char(*byte) || *byte == b']');
        let found = ends && next.eq_ignore_ascii_case(word.as_bytes());
        if found {
            self.rest = self.rest.get(word.len()..).unwrap_or_default();
        }
        found
    }

    /// Requires this byte.
    ///
    /// # Errors
    /// With `what` if another comes.
    pub fn expect(&mut self, byte: u8, what: &'static str) -> Parsed<()> {
        if self.take(byte) { Ok(()) } else { Err(Syntax(what)) }
    }

    /// A space; more than one is taken as one.
    ///
    /// # Errors
    /// If none comes.
    pub fn space(&mut self) -> Parsed<()> {
        self.expect(b' ', "a space is missing")?;
        while self.take(b' ') {}
        Ok(())
    }

    /// The end of the command; spaces before it are ignored.
    ///
    /// # Errors
    /// If something follows.
    pub fn end(mut self) -> Parsed<()> {
        while self.take(b' ') {}
        if self.rest.is_empty() { Ok(()) } else { Err(Syntax("something follows the end of the command")) }
    }

    /// Whether the command ends here, spaces aside.
    #[must_use]
    pub fn at_end(&self) -> bool {
        self.rest.iter().all(|byte| *byte == b' ')
    }

    fn while_(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| !accept(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// An atom, as text.
    ///
    /// # Errors
    /// If none comes.
    pub fn atom(&mut self) -> Parsed<&'a str> {
        let bytes = self.while_(|byte| is_atom_char(byte) && byte.is_ascii());
        if bytes.is_empty() {
            return Err(Syntax("a word is missing"));
        }
        std::str::from_utf8(bytes).map_err(|_| Syntax("a word has bytes that are no text"))
    }

    /// An atom that ends at `]`, `[` or `<` too: names of FETCH items.
    ///
    /// # Errors
    /// If none comes.
    pub fn item_name(&mut self) -> Parsed<&'a str> {
        let bytes = self.while_(|byte| is_atom_char(byte) && !matches!(byte, b'[' | b']' | b'<'));
        std::str::from_utf8(bytes)
            .ok()
            .filter(|name| !name.is_empty())
            .ok_or(Syntax("the name of an item is missing"))
    }

    /// A tag: an atom without `+` (RFC 9051 §9). One that another character goes on is none: to answer `a+b` as `a` would
    /// answer another command.
    ///
    /// # Errors
    /// If none comes.
    pub fn tag(&mut self) -> Parsed<&'a str> {
        let bytes =
            self.while_(|byte| (is_atom_char(byte) && byte.is_ascii() || byte == b']') && byte != b'+');
        let ends = !self.peek().is_some_and(|byte| byte.is_ascii_graphic());
        let tag = std::str::from_utf8(bytes).ok().filter(|tag| ends && !tag.is_empty());
        tag.ok_or(Syntax("the tag is missing"))
    }

    /// A string: quoted, or a literal.
    ///
    /// # Errors
    /// If none comes or it does not end.
    pub fn string(&mut self) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{' | b'~') => self.literal(),
            _ => Err(Syntax("a string is missing")),
        }
    }

    /// An astring: a string, or an atom in which `]` is allowed.
    ///
    /// # Errors
    /// If none comes.
    pub fn astring(&mut self) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => {
                let bytes = self.while_(|byte| is_atom_char(byte) || byte == b']');
                if bytes.is_empty() { Err(Syntax("a word or string is missing")) } else { Ok(bytes.to_vec()) }
            }
        }
    }

    /// The characters of a LIST pattern as an atom, or a string.
    ///
    /// # Errors
    /// If none comes.
    pub fn list_mailbox(&mut self) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => {
                let bytes = self.while_(|byte| is_atom_char(byte) || matches!(byte, b']' | b'%' | b'*'));
                if bytes.is_empty() {
                    Err(Syntax("a mailbox pattern is missing"))
                } else {
                    Ok(bytes.to_vec())
                }
            }
        }
    }

    /// `NIL`, or a string.
    ///
    /// # Errors
    /// If neither comes.
    pub fn nstring(&mut self) -> Parsed<Option<Vec<u8>>> {
        if self.take_word("NIL") { Ok(None) } else { self.string().map(Some) }
    }

    fn quoted(&mut self) -> Parsed<Vec<u8>> {
        self.expect(b'"', "a quote is missing")?;
        let mut text = Vec::new();
        loop {
            let plain = self.while_(|byte| !matches!(byte, b'"' | b'\\'));
            text.extend_from_slice(plain);
            if self.take(b'"') {
                if self.utf8 && std::str::from_utf8(&text).is_err() {
                    return Err(Syntax("a quoted string is not UTF-8"));
                }
                return Ok(text);
            }
            self.expect(b'\\', "a quoted string does not end")?;
            // Only quotes and backslashes are quoted by the grammar; a Windows path is taken as it is meant.
            match self.peek() {
                Some(byte @ (b'"' | b'\\')) => {
                    self.take(byte);
                    text.push(byte);
                }
                Some(_) => text.push(b'\\'),
                None => return Err(Syntax("a quoted string does not end")),
            }
        }
    }

    fn literal(&mut self) -> Parsed<Vec<u8>> {
        self.take(b'~');
        self.expect(b'{', "a literal is missing")?;
        let length = self.number()?;
        self.take(b'+');
        self.expect(b'}', "a literal's length does not end")?;
        self.take(b'\r');
        self.expect(b'\n', "a literal's line does not end")?;
        let length = usize::try_from(length).map_err(|_| Syntax("a literal is too long"))?;
        if self.rest.len() < length {
            return Err(Syntax("a literal is cut off"));
        }
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(bytes.to_vec())
    }

    /// A number of up to 63 bits (`number64`, RFC 9051 §9).
    ///
    /// # Errors
    /// If none comes or it is larger.
    pub fn number(&mut self) -> Parsed<u64> {
        let digits = self.while_(|byte| byte.is_ascii_digit());
        let text = std::str::from_utf8(digits).map_err(|_| Syntax("a number is missing"))?;
        if text.is_empty() {
            return Err(Syntax("a number is missing"));
        }
        text.parse().ok().filter(|number| *number <= i64::MAX as u64).ok_or(Syntax("a number is too large"))
    }

    /// A number of 32 bits.
    ///
    /// # Errors
    /// If none comes or it is larger.
    pub fn number32(&mut self) -> Parsed<u32> {
        u32::try_from(self.number()?).map_err(|_| Syntax("a number is too large"))
    }

    /// A number of 32 bits that is not zero.
    ///
    /// # Errors
    /// If none comes.
    pub fn nz_number(&mut self) -> Parsed<u32> {
        match self.number32()? {
            0 => Err(Syntax("numbers begin at 1 here")),
            number => Ok(number),
        }
    }

    /// A sequence set without `$`; it may have been read already, as it arrived.
    ///
    /// # Errors
    /// If none comes.
    pub fn sequence_set(&mut self) -> Parsed<SequenceSet> {
        let at = self.len - self.rest.len();
        if let Ok(found) = self.folded.binary_search_by_key(&at, |folded| folded.at) {
            self.rest = self.rest.get(1..).unwrap_or_default();
            return self
                .folded
                .get(found)
                .map_or(Err(Syntax("a number is missing")), |folded| folded.set.clone());
        }
        let mut reader = SetReader::default();
        let taken = reader.read(self.rest);
        self.rest = self.rest.get(taken..).unwrap_or_default();
        reader.finish()
    }

    /// `"17-Jul-1996 02:44:25 -0700"` (`date-time`, RFC 9051 §9).
    ///
    /// # Errors
    /// If none comes or there is no such moment.
    pub fn date_time(&mut self) -> Parsed<DateTime> {
        const WRONG: Syntax = Syntax("a date and time must look like \"17-Jul-1996 02:44:25 -0700\"");
        let text = self.quoted().map_err(|_| WRONG)?;
        let text = std::str::from_utf8(&text).map_err(|_| WRONG)?;
        parse_date_time(text).ok_or(WRONG)
    }

    /// `1-Feb-1994`, quoted or not (`date`, RFC 9051 §9).
    ///
    /// # Errors
    /// If none comes or there is no such day.
    pub fn date(&mut self) -> Parsed<CivilDate> {
        const WRONG: Syntax = Syntax("a date must look like 1-Feb-1994");
        let text = self.astring().map_err(|_| WRONG)?;
        std::str::from_utf8(&text).ok().and_then(parse_date).ok_or(WRONG)
    }

    /// One flag: `\Seen`, or a keyword. `None` for `\Recent`, which no client can set, and for system flags
    /// that nobody defined.
    ///
    /// # Errors
    /// If none comes.
    pub fn flag(&mut self) -> Parsed<Option<Flag>> {
        let mut ahead = *self;
        if ahead.take(b'\\') {
            let name = ahead.atom()?;
            *self = ahead;
            return Ok(SystemFlags::by_name(&format!("\\{name}")).map(Flag::System));
        }
        // A keyword with `]` is no atom, and could not be told again: it would end PERMANENTFLAGS.
        let name = self.while_(|byte| is_atom_char(byte) || byte == b']');
        if name.is_empty() {
            return Err(Syntax("a flag is missing"));
        }
        let keyword = std::str::from_utf8(name).ok().and_then(Keyword::new);
        let wrong = Syntax("a keyword is too long, or has a character that none may have, such as ]");
        keyword.map(|keyword| Some(Flag::Keyword(keyword))).ok_or(wrong)
    }

    /// A keyword to search for. Some clients name system flags so.
    ///
    /// # Errors
    /// If none comes.
    pub fn searched_keyword(&mut self) -> Parsed<Flag> {
        let mut ahead = *self;
        let name = if ahead.take(b'\\') {
            *self = ahead;
            format!("\\{}", self.atom()?).into_bytes()
        } else {
            self.astring()?
        };
        let name = String::from_utf8_lossy(&name);
        let system = SystemFlags::by_name(&name).map(Flag::System);
        system.or_else(|| Keyword::new(&name).map(Flag::Keyword)).ok_or(Syntax("this is no keyword"))
    }
}

fn parse_date(text: &str) -> Option<CivilDate> {
    let mut parts = text.trim().splitn(3, '-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    CivilDate::new(digits(year, 4..=4)?, month_by_name(month)?, digits(day, 1..=2)?)
}

/// As `date-time` has it (RFC 9051 §9), but that some clients do not pad the day.
fn parse_date_time(text: &str) -> Option<DateTime> {
    let mut words = text.split_ascii_whitespace();
    let (day, time, zone) = (parse_date(words.next()?)?, words.next()?, zone_minutes(words.next()?)?);
    let mut clock = time.split(':').map(|part| digits(part, 2..=2));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if clock.next().is_some() || words.next().is_some() {
        return None;
    }
    DateTime::from_local(day, hour, minute, second, zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings() {
        let read = |text: &str| Cursor::new(text.as_bytes()).astring();
        assert_eq!(read("INBOX x").unwrap(), b"INBOX");
        assert_eq!(read(r#""a \"b\" \\ c""#).unwrap(), br#"a "b" \ c"#);
        assert_eq!(read("{3}\r\na\"bc").unwrap(), b"a\"b");
        assert_eq!(read("{3+}\na\0b").unwrap(), b"a\0b");
        for wrong in ["", "(", "\"abc", "{4}\r\nabc", "{99999999999999999999}\r\n", "\"\\", "{1\r\na"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn quoted_strings_that_are_no_utf8() {
        for read in [Cursor::string, Cursor::astring, Cursor::list_mailbox] {
            assert_eq!(read(&mut Cursor::new(b"\"\xff\"")).unwrap(), b"\xff");
            assert!(read(&mut Cursor::new(b"\"\xff\"").with_utf8(true)).is_err());
            assert_eq!(read(&mut Cursor::new("\"é\"".as_bytes()).with_utf8(true)).unwrap(), "é".as_bytes());
            // A literal may hold any bytes.
            assert_eq!(read(&mut Cursor::new(b"{1}\r\n\xff").with_utf8(true)).unwrap(), b"\xff");
        }
    }

    #[test]
    fn tags_and_keywords() {
        let tag = |text: &'static str| Cursor::new(text.as_bytes()).tag().ok();
        assert_eq!((tag("a1 NOOP"), tag("a]1"), tag("a")), (Some("a1"), Some("a]1"), Some("a")));
        assert_eq!((tag("a+b NOOP"), tag("+ NOOP"), tag("a(b"), tag("")), (None, None, None, None));
        let keyword = |text: &str| Cursor::new(text.as_bytes()).searched_keyword().ok();
        let seen = Some(Flag::System(SystemFlags::SEEN));
        assert_eq!((keyword("\\Seen x"), keyword("\"\\\\seen\"")), (seen.clone(), seen));
        assert!(matches!(keyword("$Work"), Some(Flag::Keyword(_))));
        assert_eq!(
            (keyword("\\"), keyword("\\Other"), keyword("a]b"), keyword("")),
            (None, None, None, None)
        );
        assert!(Cursor::new(b"a]b)").flag().unwrap_err().0.contains("such as ]"));
    }

    #[test]
    fn sets() {
        let read =
            |text: &str| Cursor::new(text.as_bytes()).sequence_set().map(|set| set.resolve(10).to_string());
        assert_eq!(read("2,4:7,9,12:*").unwrap(), "2,4:7,9:12");
        assert_eq!(read("*:4").unwrap(), "4:10");
        assert!(read("0").is_err());
        assert!(read("1:").is_err());
        assert!(read("4294967296").is_err());
        assert!(read("1,2:3:4").is_ok(), "what follows is another's error");
        let many = |count: u32| (1..=count).map(|n| (n * 2).to_string()).collect::<Vec<_>>().join(",");
        assert!(Cursor::new(many(500_000).as_bytes()).sequence_set().is_ok());
        let refused = Cursor::new(many(1_000_000).as_bytes()).sequence_set();
        assert_eq!(refused, Err(Syntax("a set has too many ranges")));
    }

    #[test]
    fn moments() {
        let read = |text: &str| Cursor::new(text.as_bytes()).date_time();
        let moment = read("\"17-Jul-1996 02:44:25 -0700\"").unwrap();
        assert_eq!(moment.imap().to_string().trim_matches('"'), "17-Jul-1996 02:44:25 -0700");
        assert!(read("\" 1-Jan-2020 00:00:00 +0000\"").is_ok());
        assert!(read("\"1-Jan-2020 00:00:00 +0000\"").is_ok(), "some clients do not pad");
        for wrong in [
            "17-Jul-1996",
            "\"32-Jul-1996 02:44:25 -0700\"",
            "\"1-Jul-1996 25:00:00 +0000\"",
            "\"\"",
            "\"17-Jul-1996 02:44:25\"",
            "\"17-Jul-1996 02:44:25 +-100\"",
            "\"17-Jul-1996 02:44:25 0100\"",
            "\"17-Jul-1996 02:44:25 +0100 x\"",
            "\"17-Jul-1996 00:00:00:99 +0000\"",
            "\"17-Jul-1996 2:44:25 +0000\"",
            "\"17-Jul-1996 +2:44:25 +0000\"",
            "\"17-Jul-96 02:44:25 +0000\"",
            "\"+7-Jul-1996 02:44:25 +0000\"",
            "\"007-Jul-1996 02:44:25 +0000\"",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let date = |text: &str| Cursor::new(text.as_bytes()).date();
        assert!(date("1-Feb-1994 x").is_ok() && date("\"01-feb-1994\"").is_ok());
        for wrong in
            ["30-Feb-1994", "1-Jan-26", "+1-Jan-2026", "1-Jan-+026", "1-Jan-02026", "1-Jan--026", "1-Jan"]
        {
            assert!(date(wrong).is_err(), "{wrong}");
        }
    }
}
