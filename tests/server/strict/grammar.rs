//! A whole answer by the grammar of RFC 9051 §9 and of the extensions that Postern offers: what it says, or why it
//! says nothing.

use super::answer::Answer;
use super::cursor::{Cursor, Dialect, Set, Wrong};
use super::fetch::{Flags, Told, flags, msg_att};

/// A response code, with what the session's rules need of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code(pub String);

/// What was said.
#[derive(Debug)]
pub enum Heard {
    Continuation,
    Tagged {
        tag: String,
        condition: String,
        code: Option<Code>,
    },
    Condition {
        condition: String,
        code: Option<Code>,
    },
    Exists(u32),
    Recent,
    Expunge(u32),
    Fetch(u32, Told),
    Search(Vec<u32>),
    Esearch {
        tag: Option<Vec<u8>>,
        uid: bool,
        found: Set,
    },
    Vanished {
        earlier: bool,
        uids: Set,
    },
    Enabled(Vec<String>),
    /// Any other, by its name.
    Data(&'static str),
}

/// Reads an answer that is all of it.
pub fn read(answer: &Answer, dialect: Dialect) -> Result<Heard, Wrong> {
    let mut c = Cursor::new(answer, dialect);
    let heard = if c.eat("+ ") {
        text(&mut c, true)?;
        Heard::Continuation
    } else if c.eat("* ") {
        untagged(&mut c)?
    } else {
        let tag = c.while_(|byte| super::cursor::is_atom_char(byte) && byte != b'+' || byte == b']');
        let tag = String::from_utf8_lossy(tag).into_owned();
        if tag.is_empty() {
            return c.wrong("a tag, “* ” or “+ ”");
        }
        c.space()?;
        let before = c;
        let condition = c.atom("OK, NO or BAD")?.to_ascii_uppercase();
        if !["OK", "NO", "BAD"].contains(&condition.as_str()) {
            return before.wrong("OK, NO or BAD");
        }
        c.space()?;
        Heard::Tagged { tag, condition, code: text(&mut c, false)? }
    };
    c.end()?;
    Ok(heard)
}

fn untagged(c: &mut Cursor<'_>) -> Result<Heard, Wrong> {
    if c.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        return numbered(c);
    }
    let before = *c;
    let word = c.atom("a response")?.to_ascii_uppercase();
    match word.as_str() {
        "OK" | "NO" | "BAD" | "BYE" | "PREAUTH" => {
            c.space()?;
            return Ok(Heard::Condition { condition: word, code: text(c, false)? });
        }
        "SEARCH" => return search(c),
        "ESEARCH" => return esearch(c),
        "ENABLED" => {
            let mut names = Vec::new();
            while c.eat(" ") {
                names.push(c.atom("capability")?.to_ascii_uppercase());
            }
            return Ok(Heard::Enabled(names));
        }
        _ => c.space()?,
    }
    Ok(match word.as_str() {
        "VANISHED" => {
            let earlier = c.eat("(EARLIER) ");
            return Ok(Heard::Vanished { earlier, uids: c.set()? });
        }
        "FLAGS" => {
            flags(c, Flags::OfMailbox)?;
            Heard::Data("FLAGS")
        }
        "LIST" => mailbox_list(c, "LIST")?,
        "LSUB" => mailbox_list(c, "LSUB")?,
        "XLIST" => mailbox_list(c, "XLIST")?,
        "STATUS" => status(c)?,
        "CAPABILITY" => {
            capabilities(c)?;
            Heard::Data("CAPABILITY")
        }
        "ID" => id(c)?,
        "NAMESPACE" => {
            namespace(c)?;
            c.space()?;
            namespace(c)?;
            c.space()?;
            namespace(c)?;
            Heard::Data("NAMESPACE")
        }
        _ => return before.wrong("a response that is known"),
    })
}

fn numbered(c: &mut Cursor<'_>) -> Result<Heard, Wrong> {
    let before = *c;
    let number = c.number()?;
    c.space()?;
    let word = c.atom("EXISTS, RECENT, EXPUNGE or FETCH")?.to_ascii_uppercase();
    match word.as_str() {
        "EXISTS" => Ok(Heard::Exists(number)),
        "RECENT" => Ok(Heard::Recent),
        "EXPUNGE" if number > 0 => Ok(Heard::Expunge(number)),
        "FETCH" if number > 0 => {
            c.space()?;
            Ok(Heard::Fetch(number, msg_att(c)?))
        }
        _ => before.wrong("EXISTS, RECENT, EXPUNGE or FETCH, of a number that can be"),
    }
}

/// `resp-text`: RFC 3501 wants text. Before a continuation it may be base64, or nothing (RFC 9051 §6.2.2).
fn text(c: &mut Cursor<'_>, may_be_empty: bool) -> Result<Option<Code>, Wrong> {
    let mut found = None;
    if c.eat("[") {
        found = Some(code(c)?);
        c.must("]")?;
        c.space()?;
    }
    let before = *c;
    let rest = c.rest_of_line();
    let is_text = std::str::from_utf8(rest).is_ok_and(|rest| {
        !rest.chars().any(|c| matches!(c, '\0' | '\r' | '\n'))
            && (rest.is_ascii() || before.dialect.is_wide())
    });
    if !is_text || rest.is_empty() && !may_be_empty {
        return before.wrong("text of ASCII, or of UTF-8 where that is enabled");
    }
    Ok(found)
}

/// Codes that are a word.
const WORDS: &str = "ALERT PARSE READ-ONLY READ-WRITE TRYCREATE UIDNOTSTICKY UNAVAILABLE AUTHENTICATIONFAILED \
    AUTHORIZATIONFAILED EXPIRED PRIVACYREQUIRED CONTACTADMIN NOPERM INUSE EXPUNGEISSUED CORRUPTION SERVERBUG CLIENTBUG \
    CANNOT LIMIT OVERQUOTA ALREADYEXISTS NONEXISTENT NOTSAVED HASCHILDREN CLOSED UNKNOWN-CTE NOMODSEQ TOOBIG USEATTR";

fn code(c: &mut Cursor<'_>) -> Result<Code, Wrong> {
    let before = *c;
    let name = c.atom("resp-text-code")?.to_ascii_uppercase();
    match name.as_str() {
        "UIDNEXT" | "UIDVALIDITY" | "UNSEEN" => {
            c.space()?;
            c.nz_number()?;
        }
        "HIGHESTMODSEQ" => {
            c.space()?;
            c.modseq()?;
        }
        "PERMANENTFLAGS" => {
            c.space()?;
            flags(c, Flags::Permanent)?;
        }
        "BADCHARSET" => {
            if c.eat(" ") {
                c.list(false, |c| c.astring().map(|_| ()))?;
            }
        }
        "CAPABILITY" => {
            c.space()?;
            capabilities(c)?;
        }
        "APPENDUID" => {
            c.space()?;
            c.nz_number()?;
            c.space()?;
            c.set()?;
        }
        "COPYUID" => {
            c.space()?;
            c.nz_number()?;
            c.space()?;
            let from = c.set()?;
            c.space()?;
            if count(&from) != count(&c.set()?) {
                return before.wrong("as many UIDs as were copied (RFC 4315 §3)");
            }
        }
        "MODIFIED" => {
            c.space()?;
            c.set()?;
        }
        "MAILBOXID" => {
            c.space()?;
            c.object_id()?;
        }
        word if WORDS.split(' ').any(|known| known == word) => {}
        _ => return before.wrong("a response code that a document knows"),
    }
    Ok(Code(name))
}

pub fn count(set: &Set) -> u64 {
    set.iter().map(|(a, b)| u64::from(a.abs_diff(*b)) + 1).sum()
}

/// `capability-data` after its name: each once, IMAP4rev1 and IMAP4rev2 among them.
fn capabilities(c: &mut Cursor<'_>) -> Result<(), Wrong> {
    let before = *c;
    let mut names: Vec<String> = Vec::new();
    loop {
        let name = c.atom("capability")?.to_ascii_uppercase();
        if names.contains(&name) {
            return before.wrong("each capability once");
        }
        names.push(name);
        if !c.eat(" ") {
            break;
        }
    }
    let has = |name: &str| names.iter().any(|known| known == name);
    if has("IMAP4REV1") && has("IMAP4REV2") { Ok(()) } else { before.wrong("IMAP4rev1 and IMAP4rev2") }
}

fn search(c: &mut Cursor<'_>) -> Result<Heard, Wrong> {
    let mut numbers = Vec::new();
    while c.eat(" ") {
        if c.eat("(MODSEQ ") {
            if numbers.is_empty() {
                return c.wrong("MODSEQ only where something was found (RFC 7162 §3.1.5)");
            }
            c.modseq()?;
            c.must(")")?;
            break;
        }
        numbers.push(c.nz_number()?);
    }
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|two| two[0] == two[1]) {
        return c.wrong("each number once");
    }
    Ok(Heard::Search(numbers))
}

fn esearch(c: &mut Cursor<'_>) -> Result<Heard, Wrong> {
    let mut tag = None;
    if c.eat(" (TAG ") {
        tag = Some(c.astring()?);
        c.must(")")?;
    }
    let uid = c.eat(" UID");
    let (mut seen, mut found): (Vec<String>, Set) = (Vec::new(), Vec::new());
    let (mut least, mut most) = (None, None);
    while c.eat(" ") {
        let before = *c;
        let name = c.atom("search-return-data")?.to_ascii_uppercase();
        c.space()?;
        match name.as_str() {
            "MIN" => least = Some(c.nz_number()?),
            "MAX" => most = Some(c.nz_number()?),
            "ALL" => found.extend(c.set()?),
            "COUNT" => drop(c.number()?),
            "MODSEQ" => drop(c.modseq()?),
            _ => return before.wrong("MIN, MAX, ALL, COUNT or MODSEQ"),
        }
        if seen.contains(&name) {
            return before.wrong("each of what was asked for once");
        }
        seen.push(name);
    }
    if least.zip(most).is_some_and(|(least, most)| least > most) {
        return c.wrong("MIN no more than MAX");
    }
    found.extend([least, most].into_iter().flatten().map(|number| (number, number)));
    Ok(Heard::Esearch { tag, uid, found })
}

fn mailbox_list(c: &mut Cursor<'_>, name: &'static str) -> Result<Heard, Wrong> {
    let mut seen: Vec<String> = Vec::new();
    c.list(true, |c| {
        let before = *c;
        c.must("\\")?;
        let flag = c.atom("an attribute")?.to_ascii_lowercase();
        let is_known = match flag.as_str() {
            "nonexistent" | "noselect" | "marked" | "unmarked" => {
                if ["nonexistent", "noselect", "marked", "unmarked"]
                    .iter()
                    .any(|one| seen.iter().any(|s| s == one))
                {
                    return before.wrong("one mbx-list-sflag");
                }
                true
            }
            "haschildren" => !seen.iter().any(|seen| seen == "hasnochildren"),
            "hasnochildren" => !seen.iter().any(|seen| seen == "haschildren"),
            "noinferiors" | "subscribed" | "remote" => true,
            "all" | "archive" | "drafts" | "flagged" | "junk" | "sent" | "trash" => true,
            "inbox" | "spam" => name == "XLIST",
            _ => false,
        };
        if !is_known || seen.contains(&flag) {
            return before.wrong("an attribute that is known, each once");
        }
        seen.push(flag);
        Ok(())
    })?;
    c.space()?;
    delimiter(c)?;
    c.space()?;
    let (before, mut has_old_name) = (*c, false);
    if !c.eat("\"\"") {
        c.mailbox()?;
    }
    if c.eat(" ") {
        if name != "LIST" {
            return before.wrong("the end of the line");
        }
        c.list(false, |c| {
            let before = *c;
            let tag = c.astring()?.to_ascii_uppercase();
            c.space()?;
            match tag.as_slice() {
                b"CHILDINFO" => c.list(false, |c| c.quoted().map(|_| ())),
                b"OLDNAME" => {
                    has_old_name = true;
                    c.must("(")?;
                    c.mailbox()?;
                    c.must(")")
                }
                _ => before.wrong("CHILDINFO or OLDNAME"),
            }
        })?;
    }
    Ok(Heard::Data(if has_old_name { "OLDNAME" } else { name }))
}

fn delimiter(c: &mut Cursor<'_>) -> Result<(), Wrong> {
    let before = *c;
    if c.nil() || c.quoted()?.bytes.len() == 1 { Ok(()) } else { before.wrong("one character or NIL") }
}

fn status(c: &mut Cursor<'_>) -> Result<Heard, Wrong> {
    c.mailbox()?;
    c.space()?;
    let mut seen: Vec<String> = Vec::new();
    c.list(true, |c| {
        let before = *c;
        let name = c.atom("status-att")?.to_ascii_uppercase();
        c.space()?;
        match name.as_str() {
            "MESSAGES" | "RECENT" | "UNSEEN" | "DELETED" => drop(c.number()?),
            "UIDNEXT" | "UIDVALIDITY" => drop(c.nz_number()?),
            "SIZE" | "HIGHESTMODSEQ" => drop(c.number64()?),
            "APPENDLIMIT" if c.nil() => {}
            "APPENDLIMIT" => drop(c.number()?),
            "MAILBOXID" => c.object_id()?,
            _ => return before.wrong("status-att"),
        }
        if seen.contains(&name) {
            return before.wrong("each status-att once");
        }
        seen.push(name);
        Ok(())
    })?;
    Ok(Heard::Data("STATUS"))
}

/// RFC 2971 §3.3: 30 pairs of 30 and 1,024 octets, no field twice.
fn id(c: &mut Cursor<'_>) -> Result<Heard, Wrong> {
    if c.nil() {
        return Ok(Heard::Data("ID"));
    }
    let mut names: Vec<Vec<u8>> = Vec::new();
    c.list(true, |c| {
        let before = *c;
        let name = c.string()?.bytes.to_ascii_lowercase();
        c.space()?;
        let value = c.nstring()?;
        let is_long = name.len() > 30 || value.is_some_and(|value| value.bytes.len() > 1_024);
        if is_long || names.len() == 30 || names.contains(&name) {
            return before.wrong("no more than RFC 2971 allows");
        }
        names.push(name);
        Ok(())
    })?;
    Ok(Heard::Data("ID"))
}

fn namespace(c: &mut Cursor<'_>) -> Result<(), Wrong> {
    if c.nil() {
        return Ok(());
    }
    c.must("(")?;
    while !c.eat(")") {
        c.must("(")?;
        c.string()?;
        c.space()?;
        delimiter(c)?;
        c.must(")")?;
    }
    Ok(())
}
