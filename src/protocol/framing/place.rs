//! Knows, byte by byte, whether a set must stand at a place of a command (RFC 9051 §9; RFC 7162 §7).
//!
//! It need not find every place, for a set that it misses is kept as text and parsed like any other. But where it
//! says that a set begins, the parser must read a set or have refused the command before: whatever is not foreseen
//! here ends its say for the rest of the command.

use crate::protocol::cursor::is_atom_char;
use crate::protocol::set_reader::SetReader;

/// The longest word that is looked at: `SAVEDBEFORE`.
const LONGEST_WORD: usize = 16;

/// A place in a command that is being received.
#[derive(Clone, Debug)]
pub(super) struct Place {
    token: Token,
    /// The last byte was a space or an opening parenthesis.
    gap: bool,
    part: Part,
}

/// The token that the next byte may go on with.
#[derive(Clone, Copy, Debug)]
enum Token {
    None,
    Word(Word),
    Quoted {
        escaped: bool,
    },
    /// The announcement of a literal, up to the literal.
    Announcement,
}

/// The beginning of a word, in upper case.
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    bytes: [u8; LONGEST_WORD],
    /// Its whole length.
    len: usize,
    has_other_than_digits: bool,
}

/// What a command's next token is.
#[derive(Clone, Copy, Debug)]
enum Part {
    Tag,
    Name {
        uid: bool,
    },
    /// The set of FETCH, STORE, COPY, MOVE or UID EXPUNGE.
    Set,
    Search(Search),
    Select(Select),
    /// Nothing is known any more.
    Off,
}

/// Among the keys of SEARCH.
#[derive(Clone, Copy, Debug, Default)]
struct Search {
    /// What the last key still wants; the next token is a key or a set when that is nothing.
    wants: Wants,
    /// In `RETURN (…)`, its parenthesis included.
    in_options: bool,
}

/// What a search key wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wants {
    #[default]
    Nothing,
    Strings(u8),
    Number,
    /// `MODSEQ [entry type] number`
    ModSeq,
    EntryType,
}

/// Behind SELECT: `mailbox (QRESYNC (uidvalidity modseq [uids] [(numbers uids)]))`.
#[derive(Clone, Copy, Debug, Default)]
struct Select {
    has_mailbox: bool,
    depth: u8,
    /// Of QRESYNC.
    numbers: u8,
}

impl Place {
    /// At a command's beginning.
    pub fn new() -> Self {
        Place { token: Token::None, gap: false, part: Part::Tag }
    }

    /// Where no set ever stands.
    pub fn off() -> Self {
        Place { part: Part::Off, ..Place::new() }
    }

    /// Whether no set can follow.
    pub fn is_off(&self) -> bool {
        matches!(self.part, Part::Off)
    }

    /// Whether a set begins with this byte, if it is the next.
    pub fn begins_set(&self, byte: u8) -> bool {
        if !self.gap || !matches!(self.token, Token::None) || !SetReader::begins(byte) {
            return false;
        }
        match self.part {
            Part::Set => true,
            Part::Search(search) => search.wants == Wants::Nothing && !search.in_options,
            Part::Select(select) => select.depth == 3 || select.depth == 2 && select.numbers == 2,
            _ => false,
        }
    }

    /// A set that began here has been read.
    pub fn set_ended(&mut self) {
        self.gap = false;
        if matches!(self.part, Part::Set) {
            self.part = Part::Off;
        }
    }

    /// The announced literal has become a part of the command.
    pub fn literal_taken(&mut self) {
        match self.token {
            Token::Announcement => self.string_ended(),
            _ => self.part = Part::Off,
        }
    }

    /// Goes on behind the next byte.
    pub fn push(&mut self, byte: u8) {
        match &mut self.token {
            _ if matches!(self.part, Part::Off) => {}
            Token::Announcement => {}
            Token::Quoted { escaped } => match byte {
                _ if *escaped => *escaped = false,
                b'\\' => *escaped = true,
                b'"' => self.string_ended(),
                _ => {}
            },
            Token::Word(word) if is_atom_char(byte) => word.push(byte),
            Token::Word(word) => {
                let word = *word;
                self.token = Token::None;
                self.word_ended(&word);
                self.between(byte);
            }
            Token::None => self.between(byte),
        }
    }

    fn between(&mut self, byte: u8) {
        self.gap = matches!(byte, b' ' | b'(');
        match byte {
            b' ' => {}
            b'(' => self.open(),
            b')' => self.close(),
            b'"' if self.takes_string() => self.token = Token::Quoted { escaped: false },
            b'{' if self.takes_string() => self.token = Token::Announcement,
            byte if is_atom_char(byte) => {
                let mut word = Word::default();
                word.push(byte);
                self.token = Token::Word(word);
            }
            _ => self.part = Part::Off,
        }
    }

    fn takes_string(&self) -> bool {
        match self.part {
            Part::Search(search) => matches!(search.wants, Wants::Strings(_) | Wants::ModSeq),
            Part::Select(select) => !select.has_mailbox,
            _ => false,
        }
    }

    fn string_ended(&mut self) {
        (self.token, self.gap) = (Token::None, false);
        match &mut self.part {
            Part::Search(search) => search.string(),
            Part::Select(select) => select.has_mailbox = true,
            _ => self.part = Part::Off,
        }
    }

    fn word_ended(&mut self, word: &Word) {
        let goes_on = match &mut self.part {
            Part::Tag => {
                self.part = Part::Name { uid: false };
                true
            }
            Part::Name { uid } => {
                self.part = after_name(word.text(), *uid);
                true
            }
            Part::Search(search) => search.word(word),
            Part::Select(select) => select.word(word),
            Part::Set | Part::Off => false,
        };
        if !goes_on {
            self.part = Part::Off;
        }
    }

    fn open(&mut self) {
        let goes_on = match &mut self.part {
            Part::Search(search) => search.wants == Wants::Nothing,
            Part::Select(select) => {
                select.depth += 1;
                select.numbers = if select.depth == 2 { 0 } else { select.numbers };
                select.has_mailbox && (select.depth < 3 || select.depth == 3 && select.numbers == 2)
            }
            _ => false,
        };
        if !goes_on {
            self.part = Part::Off;
        }
    }

    fn close(&mut self) {
        let goes_on = match &mut self.part {
            Part::Search(search) => {
                search.in_options = false;
                search.wants == Wants::Nothing
            }
            Part::Select(select) => {
                let open = select.depth > 0;
                select.depth -= u8::from(open);
                open
            }
            _ => false,
        };
        if !goes_on {
            self.part = Part::Off;
        }
    }
}

fn after_name(name: &[u8], uid: bool) -> Part {
    match name {
        b"UID" if !uid => Part::Name { uid: true },
        b"FETCH" | b"STORE" | b"COPY" | b"MOVE" => Part::Set,
        b"EXPUNGE" if uid => Part::Set,
        b"SEARCH" => Part::Search(Search::default()),
        b"SELECT" | b"EXAMINE" if !uid => Part::Select(Select::default()),
        _ => Part::Off,
    }
}

impl Search {
    fn string(&mut self) {
        self.wants = match self.wants {
            Wants::Strings(2..) => Wants::Strings(1),
            Wants::ModSeq => Wants::EntryType,
            _ => Wants::Nothing,
        };
    }

    /// Whether it is clear what a word is here. Unknown keys are the parser's to refuse.
    fn word(&mut self, word: &Word) -> bool {
        self.wants = match self.wants {
            Wants::Nothing if self.in_options => Wants::Nothing,
            Wants::Nothing => return self.key(word),
            Wants::Strings(2..) => Wants::Strings(1),
            Wants::Strings(_) => Wants::Nothing,
            Wants::EntryType => Wants::Number,
            Wants::Number | Wants::ModSeq if word.has_other_than_digits => return false,
            Wants::Number | Wants::ModSeq => Wants::Nothing,
        };
        true
    }

    fn key(&mut self, word: &Word) -> bool {
        // In a group another key may follow at once, behind `$` or behind a set that itself follows a string.
        if matches!(word.bytes[0], b'$' | b'0'..=b'9') && word.len > 1 {
            return false;
        }
        self.wants = match word.text() {
            b"HEADER" => Wants::Strings(2),
            b"BCC" | b"CC" | b"FROM" | b"SUBJECT" | b"TO" | b"BODY" | b"TEXT" | b"KEYWORD" | b"UNKEYWORD"
            | b"BEFORE" | b"ON" | b"SINCE" | b"SENTBEFORE" | b"SENTON" | b"SENTSINCE" | b"SAVEDBEFORE"
            | b"SAVEDON" | b"SAVEDSINCE" | b"EMAILID" | b"THREADID" | b"CHARSET" => Wants::Strings(1),
            b"LARGER" | b"SMALLER" | b"OLDER" | b"YOUNGER" => Wants::Number,
            b"MODSEQ" => Wants::ModSeq,
            b"RETURN" => {
                self.in_options = true;
                Wants::Nothing
            }
            _ => Wants::Nothing,
        };
        true
    }
}

impl Select {
    /// Whether a word can stand here: the mailbox, `QRESYNC` and `CONDSTORE`, QRESYNC's two numbers.
    fn word(&mut self, word: &Word) -> bool {
        match self.depth {
            0 => !std::mem::replace(&mut self.has_mailbox, true),
            1 => true,
            2 if self.numbers < 2 => {
                self.numbers += 1;
                !word.has_other_than_digits
            }
            _ => false,
        }
    }
}

impl Word {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte.to_ascii_uppercase();
        }
        self.len += 1;
        self.has_other_than_digits |= !byte.is_ascii_digit();
    }

    /// Empty if it is too long to mean anything here.
    fn text(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
