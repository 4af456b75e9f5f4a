//! Mailbox names as clients give them and are told them (RFC 9051 §5.1, §6.3.9.7).

use crate::imap::client::Client;
use crate::imap::refusal::{Refusal, Stop};
use crate::model::MailboxName;
use crate::protocol::command::MailboxArg;
use crate::protocol::response::{self, code::Code, list::Attributes};

/// The name of a mailbox that a command names.
///
/// # Errors
/// NO [CANNOT] with what is wrong with it.
pub fn name_of(argument: &MailboxArg) -> Result<MailboxName, Stop> {
    argument.name().map_err(|error| Stop::no(Code::Cannot, error.to_string()))
}

/// The name of a mailbox that must be there: no mailbox has a bad one.
///
/// # Errors
/// NO [NONEXISTENT].
pub fn known_name_of(argument: &MailboxArg) -> Result<MailboxName, Stop> {
    argument.name().map_err(|_| nowhere())
}

/// What a command ends with whose mailbox is not there.
#[must_use]
pub fn nowhere() -> Stop {
    Stop::no(Code::NonExistent, "There is no such mailbox")
}

/// The refusal of a target that is not there, or has gone meanwhile: the client may create it and try again (RFC 9051
/// §6.3.12, §6.4.7), unless CREATE would be refused.
#[must_use]
pub fn no_target(name: &MailboxName) -> Refusal {
    let create = || Refusal::no(Code::TryCreate, "There is no such mailbox; create it first");
    refuse_inbox_in_inbox(name).err().unwrap_or_else(create)
}

/// Apple Mail tries INBOX/INBOX where it misreads the namespace; the result only confuses.
///
/// # Errors
/// NO [CANNOT].
pub fn refuse_inbox_in_inbox(name: &MailboxName) -> Result<(), Refusal> {
    // With a dot too: what a client makes of a namespace that it remembers from another server.
    let mut levels = name.as_str().split(['/', '.']).map(|level| level.eq_ignore_ascii_case("INBOX"));
    if levels.next() == Some(true) && levels.next() == Some(true) {
        return Err(Refusal::no(
            Code::Cannot,
            "INBOX is there already; this would be a second one inside it",
        ));
    }
    Ok(())
}

/// The name that an IMAP4rev2 client gave, if the mailbox is called otherwise in its canonical form: OLDNAME
/// (RFC 9051 §6.3.9.7). A separator at its end is no part of it (§6.3.4).
#[must_use]
pub fn old_name(client: &Client, argument: &MailboxArg, name: &MailboxName) -> Option<String> {
    let given = argument.text().strip_suffix('/').unwrap_or(argument.text());
    (client.enabled.rev2 && given != name.as_str()).then(|| given.to_owned())
}

/// LIST with OLDNAME, where the name is not the one that the client gave.
pub fn tell_old_name(client: &mut Client, given: &MailboxArg, name: &MailboxName, attributes: Attributes) {
    if let Some(old_name) = old_name(client, given, name) {
        let attributes = Attributes { old_name: Some(old_name), ..attributes };
        response::list::list(&mut client.writer(), &attributes, name.as_str());
    }
}
