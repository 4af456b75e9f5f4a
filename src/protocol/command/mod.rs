//! Commands, grouped as the RFC's grammar groups them (RFC 9051 §9, `command`), so that one without the state
//! that it needs cannot be written. One file a command: type, parser, the RFC's examples as tests.

pub mod append;
pub mod authenticate;
pub mod copy;
pub mod create;
pub mod delete;
pub mod enable;
pub mod expunge;
pub mod fetch;
pub mod id;
pub mod list;
pub mod login;
pub mod rename;
pub mod search;
mod search_key;
pub mod select;
pub mod status;
pub mod store;
pub mod subscribe;

use crate::model::{MailboxName, MailboxNameError, SequenceSet};
use crate::protocol::cursor::{Cursor, Parsed, Syntax};
use crate::protocol::framed::Framed;
use crate::protocol::response::code::Code;
use crate::protocol::utf7;

/// A longer tag is no tag.
const LONGEST_TAG: usize = 256;
/// Clients put some dozens of items, flags, fields or patterns into a list; each may be compared with all others.
const MOST_IN_A_LIST: usize = 1_000;

/// How a client writes strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    /// Mailbox names are UTF-8, not modified UTF-7 (IMAP4rev2, or UTF8=ACCEPT).
    pub utf8: bool,
}

/// What a client calls a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// As the client wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A command with its tag.
#[derive(Clone, Debug, PartialEq)]
pub struct Tagged {
    /// What the client calls it.
    pub tag: Tag,
    /// What it asks.
    pub command: Command,
}

/// A command, by the state that it needs (RFC 9051 §3).
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// In any state.
    Any(Any),
    /// Before login.
    NonAuth(NonAuth),
    /// After login.
    Auth(Auth),
    /// With a mailbox open.
    Select(Selected),
}

/// Commands of any state.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Any {
    Capability,
    Noop,
    Id(id::Parameters),
    Logout,
}

/// Commands before login.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum NonAuth {
    StartTls,
    Authenticate(authenticate::Authenticate),
    Login(login::Login),
}

/// Commands after login.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Auth {
    Enable(enable::Enable),
    Select(select::Select),
    Create(create::Create),
    Delete(delete::Delete),
    Rename(rename::Rename),
    Subscribe(subscribe::Subscribe),
    Unsubscribe(subscribe::Unsubscribe),
    List(list::List),
    Lsub(list::Lsub),
    Namespace,
    Status(status::Status),
    Idle,
    /// Without its message: APPEND with one is read by `append::parse_head`.
    Append,
}

/// Commands with a mailbox open.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Selected {
    Check,
    Close,
    Unselect,
    Expunge(expunge::Expunge),
    Search(search::Search),
    Fetch(fetch::Fetch),
    Store(store::Store),
    Copy(copy::Copy),
    Move(copy::Copy),
}

/// The messages that a command names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Messages {
    /// By number or UID.
    Set(SequenceSet),
    /// `$`: the saved result of a SEARCH (RFC 9051 §6.4.4.1).
    Saved,
}

/// A mailbox as a command names it: as text, checked when it is used, so that a name that cannot be is
/// answered NO and not BAD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxArg(String);

impl MailboxArg {
    /// As text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// As a name in its canonical form.
    ///
    /// # Errors
    /// If no mailbox can have it.
    pub fn name(&self) -> Result<MailboxName, MailboxNameError> {
        MailboxName::new(&self.0)
    }
}

/// Why something is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The tag, if there was one.
    pub tag: Option<Tag>,
    /// What is wrong, for the client's author.
    pub text: String,
}

impl ParseError {
    /// The response code that goes with it.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        None
    }
}

/// The tag with which bytes begin.
#[must_use]
pub fn tag_of(bytes: &[u8]) -> Option<Tag> {
    let mut cursor = Cursor::new(bytes);
    let tag = cursor.tag().ok().filter(|tag| tag.len() <= LONGEST_TAG)?;
    (cursor.peek() == Some(b' ')).then(|| Tag(tag.to_owned()))
}

/// Reads a command.
///
/// # Errors
/// With what is wrong, and the tag if that was right.
pub fn parse(bytes: &[u8], dialect: Dialect) -> Result<Tagged, ParseError> {
    read(Cursor::new(bytes).with_utf8(dialect.utf8), |cursor| command(cursor, dialect))
}

/// Reads a command whose sets may have been read as they arrived.
///
/// # Errors
/// With what is wrong, and the tag if that was right.
pub fn parse_framed(framed: &Framed, dialect: Dialect) -> Result<Tagged, ParseError> {
    read(Cursor::over(framed).with_utf8(dialect.utf8), |cursor| command(cursor, dialect))
}

/// Reads a command of someone who has not logged in. Of others than those that may come then no more than the name
/// is read: a stranger's long commands cost nothing.
///
/// # Errors
/// With what is wrong, and the tag if that was right.
pub fn parse_before_login(framed: &Framed) -> Result<Tagged, ParseError> {
    read(Cursor::over(framed), before_login)
}

fn read<'a>(
    mut cursor: Cursor<'a>,
    command: impl FnOnce(&mut Cursor<'a>) -> Parsed<Command>,
) -> Result<Tagged, ParseError> {
    let tag = match cursor.tag() {
        Ok(tag) if tag.len() <= LONGEST_TAG => Tag(tag.to_owned()),
        _ => return Err(ParseError { tag: None, text: "A command begins with a tag".to_owned() }),
    };
    match command(&mut cursor).and_then(|command| cursor.end().map(|()| command)) {
        Ok(command) => Ok(Tagged { tag, command }),
        Err(Syntax(text)) => {
            let text = format!(
                "{}{}",
                text.get(..1).unwrap_or_default().to_uppercase(),
                text.get(1..).unwrap_or_default()
            );
            Err(ParseError { tag: Some(tag), text })
        }
    }
}

fn command(cursor: &mut Cursor<'_>, dialect: Dialect) -> Parsed<Command> {
    cursor.space().map_err(|_| Syntax("a command is missing"))?;
    let mut name = cursor.atom().map_err(|_| Syntax("a command is missing"))?.to_ascii_uppercase();
    let uid = name == "UID";
    if uid {
        cursor.space()?;
        name = cursor.atom()?.to_ascii_uppercase();
    }
    if let Some(command) = with_messages(cursor, dialect, &name, uid)? {
        return Ok(Command::Select(command));
    }
    if uid {
        return Err(Syntax("there is no such UID command"));
    }
    if let Some(command) = of_strangers(cursor, &name)? {
        return Ok(command);
    }
    Ok(match name.as_str() {
        "CHECK" => Command::Select(Selected::Check),
        "CLOSE" => Command::Select(Selected::Close),
        "UNSELECT" => Command::Select(Selected::Unselect),
        "EXPUNGE" => Command::Select(Selected::Expunge(expunge::Expunge { uids: None })),
        _ => Command::Auth(auth(cursor, dialect, &name)?),
    })
}

fn before_login(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space().map_err(|_| Syntax("a command is missing"))?;
    let name = cursor.atom().map_err(|_| Syntax("a command is missing"))?.to_ascii_uppercase();
    of_strangers(cursor, &name)?.ok_or(Syntax("log in first"))
}

/// The commands that may come before login.
fn of_strangers(cursor: &mut Cursor<'_>, name: &str) -> Parsed<Option<Command>> {
    Ok(Some(match name {
        "CAPABILITY" => Command::Any(Any::Capability),
        "NOOP" => Command::Any(Any::Noop),
        "LOGOUT" => Command::Any(Any::Logout),
        "ID" => Command::Any(Any::Id(id::parse(cursor)?)),
        "STARTTLS" => Command::NonAuth(NonAuth::StartTls),
        "AUTHENTICATE" => Command::NonAuth(NonAuth::Authenticate(authenticate::parse(cursor)?)),
        "LOGIN" => Command::NonAuth(NonAuth::Login(login::parse(cursor)?)),
        _ => return Ok(None),
    }))
}

fn with_messages(
    cursor: &mut Cursor<'_>,
    dialect: Dialect,
    name: &str,
    uid: bool,
) -> Parsed<Option<Selected>> {
    Ok(Some(match name {
        "FETCH" => Selected::Fetch(fetch::parse(cursor, uid)?),
        "STORE" => Selected::Store(store::parse(cursor, uid)?),
        "SEARCH" => Selected::Search(search::parse(cursor, uid)?),
        "COPY" => Selected::Copy(copy::parse(cursor, dialect, uid)?),
        "MOVE" => Selected::Move(copy::parse(cursor, dialect, uid)?),
        "EXPUNGE" if uid => Selected::Expunge(expunge::parse(cursor)?),
        _ => return Ok(None),
    }))
}

fn auth(cursor: &mut Cursor<'_>, dialect: Dialect, name: &str) -> Parsed<Auth> {
    Ok(match name {
        "ENABLE" => Auth::Enable(enable::parse(cursor)?),
        "SELECT" => Auth::Select(select::parse(cursor, dialect, false)?),
        "EXAMINE" => Auth::Select(select::parse(cursor, dialect, true)?),
        "CREATE" => Auth::Create(create::parse(cursor, dialect)?),
        "DELETE" => Auth::Delete(delete::parse(cursor, dialect)?),
        "RENAME" => Auth::Rename(rename::parse(cursor, dialect)?),
        "SUBSCRIBE" => Auth::Subscribe(subscribe::Subscribe { mailbox: one_mailbox(cursor, dialect)? }),
        "UNSUBSCRIBE" => Auth::Unsubscribe(subscribe::Unsubscribe { mailbox: one_mailbox(cursor, dialect)? }),
        "LIST" => Auth::List(list::parse(cursor, dialect, false)?),
        "XLIST" => Auth::List(list::parse(cursor, dialect, true)?),
        "LSUB" => Auth::Lsub(list::parse_lsub(cursor, dialect)?),
        "NAMESPACE" => Auth::Namespace,
        "STATUS" => Auth::Status(status::parse(cursor, dialect)?),
        "IDLE" => Auth::Idle,
        "APPEND" => {
            // Nothing of it is needed: it has no message.
            *cursor = Cursor::new(b"");
            Auth::Append
        }
        _ => return Err(Syntax("this command is not known")),
    })
}

/// A space and a mailbox.
fn one_mailbox(cursor: &mut Cursor<'_>, dialect: Dialect) -> Parsed<MailboxArg> {
    cursor.space()?;
    mailbox(cursor, dialect)
}

/// A mailbox.
fn mailbox(cursor: &mut Cursor<'_>, dialect: Dialect) -> Parsed<MailboxArg> {
    let bytes = cursor.astring().map_err(|_| Syntax("a mailbox is missing"))?;
    Ok(MailboxArg(mailbox_text(bytes, dialect)?))
}

/// A mailbox's name or a pattern of it, as text. What is no modified UTF-7 means itself: some clients never
/// encode `&`.
fn mailbox_text(bytes: Vec<u8>, dialect: Dialect) -> Parsed<String> {
    let text = String::from_utf8(bytes).map_err(|_| Syntax("a mailbox's name is not UTF-8"))?;
    if dialect.utf8 {
        return Ok(text);
    }
    Ok(utf7::decode(&text).unwrap_or(text))
}

/// A space and the messages that a command names.
fn messages(cursor: &mut Cursor<'_>) -> Parsed<Messages> {
    cursor.space()?;
    if cursor.take(b'$') { Ok(Messages::Saved) } else { cursor.sequence_set().map(Messages::Set) }
}

/// Reads items in parentheses with spaces between them, until the closing one: at most [`MOST_IN_A_LIST`].
fn list<'a>(cursor: &mut Cursor<'a>, mut item: impl FnMut(&mut Cursor<'a>) -> Parsed<()>) -> Parsed<()> {
    cursor.expect(b'(', "a list in parentheses is missing")?;
    let mut count = 0;
    loop {
        while cursor.take(b' ') {}
        if cursor.take(b')') {
            return Ok(());
        }
        count += 1;
        if count > MOST_IN_A_LIST {
            return Err(Syntax("a list has more than 1000 items"));
        }
        item(cursor)?;
        if !matches!(cursor.peek(), Some(b' ' | b')')) {
            return Err(Syntax("a list does not end"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Command, String> {
        parse(text.as_bytes(), Dialect::default()).map(|tagged| tagged.command).map_err(|error| error.text)
    }

    #[test]
    fn simple_commands() {
        assert_eq!(read("a1 noop  "), Ok(Command::Any(Any::Noop)));
        assert_eq!(read("A]1 CAPABILITY"), Ok(Command::Any(Any::Capability)));
        assert_eq!(read("a IDLE"), Ok(Command::Auth(Auth::Idle)));
        assert!(read("a NOOP x").is_err());
        assert!(read("a").is_err());
        assert!(read("").is_err());
        assert!(read("a UID NOOP").is_err());
        assert_eq!(parse(b"tag FROBNICATE", Dialect::default()).unwrap_err().tag.unwrap().as_str(), "tag");
        assert_eq!(parse(b"(x", Dialect::default()).unwrap_err().tag, None);
        assert_eq!(parse(b"a+b NOOP", Dialect::default()).unwrap_err().tag, None);
    }

    #[test]
    fn before_login_only_what_may_come_then_is_read() {
        let read = |text: &str| parse_before_login(&Framed::from(text.as_bytes().to_vec()));
        assert_eq!(read("a NOOP").map(|tagged| tagged.command), Ok(Command::Any(Any::Noop)));
        assert!(matches!(read("a login x y").unwrap().command, Command::NonAuth(NonAuth::Login(_))));
        assert!(read("a NOOP x").is_err());
        for other in ["a FETCH 1 (", "a SELECT INBOX", "a UID FETCH 1 FLAGS", "a FROBNICATE"] {
            let refused = read(other).unwrap_err();
            assert_eq!((refused.tag.unwrap().as_str(), refused.text.as_str()), ("a", "Log in first"));
        }
    }

    #[test]
    fn names_in_modified_utf7_and_in_utf8() {
        let name = |text: &str, utf8| match parse(text.as_bytes(), Dialect { utf8 }).unwrap().command {
            Command::Auth(Auth::Delete(delete)) => delete.mailbox.text().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(name("a DELETE Entw&APw-rfe", false), "Entwürfe");
        assert_eq!(name("a DELETE \"R&D\"", false), "R&D");
        assert_eq!(name("a DELETE \"Entw&APw-rfe\"", true), "Entw&APw-rfe");
        assert_eq!(name("a DELETE \"Entwürfe\"", true), "Entwürfe");
    }

    const EXAMPLES: &[&str] = &[
        "a STARTTLS",
        "a AUTHENTICATE PLAIN AGEAYg==",
        "a LOGIN smith \"se same\"",
        "a ENABLE CONDSTORE X-GOOD",
        "a SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211 (1:2 3:4)) CONDSTORE)",
        "a CREATE x (USE (\\Drafts \\Sent))",
        "a RENAME a b",
        "a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (\"a\" %) RETURN (CHILDREN STATUS (MESSAGES UIDNEXT))",
        "a LSUB \"\" \"*\"",
        "a STATUS blurdybloop (UIDNEXT MESSAGES)",
        "a APPEND x",
        "a UID FETCH 1:*,$ FLAGS",
        "a UID FETCH 1:* (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (a b)]<0.20> BINARY.SIZE[1]) (CHANGEDSINCE 5 VANISHED)",
        "a STORE 1 (UNCHANGEDSINCE 3) +FLAGS.SILENT (\\Seen $Forwarded)",
        "a SEARCH RETURN (MIN SAVE) CHARSET UTF-8 OR (FROM x) NOT TEXT {3}\r\nabc",
        "a UID MOVE 1,2 x",
        "a UID EXPUNGE $",
        "a ID (\"name\" NIL \"x\" \"y\")",
    ];

    #[test]
    fn anything_is_a_command_or_an_error() {
        let mut seed = 5_u32;
        let mut random = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as usize
        };
        for example in EXAMPLES {
            let bytes = example.as_bytes();
            for end in 0..bytes.len() {
                let _ = parse(&bytes[..end], Dialect::default());
            }
            for _ in 0..2_000 {
                let mut changed = bytes.to_vec();
                for _ in 0..1 + random() % 3 {
                    let at = random() % changed.len();
                    changed[at] = b"()[]<>{}\"\\*%$ ,:.0aA\xff\r\n"[random() % 23];
                }
                let _ = parse(&changed, Dialect { utf8: random() % 2 == 0 });
            }
        }
    }
}
