//! Mailboxes, as they are shown, and what they are for.

use serde::{Deserialize, Serialize};

use super::{Context, Failure, account};
use crate::model::{MailboxName, SpecialUse};
use crate::store::{Error, mailboxes};

/// A mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// What it is for: `Sent`, `Trash` …
    pub role: Option<String>,
    /// How many messages.
    pub messages: u64,
    /// How many of them are unread.
    pub unseen: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A mailbox that was given a role, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSet {
    /// The mailbox.
    pub mailbox: String,
    /// What it is for now.
    pub role: Option<String>,
    /// The mailbox that had the role until now, and has none any more.
    pub taken_from: Option<String>,
}

/// The roles that a mailbox can have, by the names that people give them.
pub fn roles() -> impl Iterator<Item = &'static str> {
    SpecialUse::DEFAULTS.into_iter().map(|(role, _)| called(role))
}

fn called(role: SpecialUse) -> &'static str {
    role.attribute().trim_start_matches('\\')
}

/// `sent`, `Sent` and `\Sent` are a role, `none` and nothing are none.
fn role_of(text: &str) -> Result<Option<SpecialUse>, Failure> {
    let name = text.trim().trim_start_matches('\\');
    if name.is_empty() || name.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    match SpecialUse::by_attribute(&format!("\\{name}")) {
        Some(role) if role.may_be_assigned() => Ok(Some(role)),
        _ => {
            let known: Vec<_> = roles().collect();
            Err(Failure::Invalid(format!("a mailbox is for one of {}, or none", known.join(", "))))
        }
    }
}

/// Gives a mailbox a role (RFC 6154), which is taken from the one that has it, or none. Every session sees it
/// in its next LIST.
///
/// # Errors
/// If there is no such account, mailbox or role, or it is INBOX.
pub fn set_role(
    context: &Context,
    account: Option<&str>,
    mailbox: &str,
    role: &str,
) -> Result<RoleSet, Failure> {
    let (account, role) = (account::find_or_only(context, account)?.id, role_of(role)?);
    let unknown = || Failure::Unknown { what: "mailbox", name: mailbox.to_owned() };
    let name = MailboxName::new(mailbox).map_err(|_| unknown())?;
    if name.is_inbox() && role.is_some() {
        // A program that files its deleted or sent mail there would mix it with what arrives.
        return Err(Failure::Invalid("INBOX is for the mail that arrives, and for nothing else".to_owned()));
    }
    let wanted = name.clone();
    let before = context.store.write(move |tx| {
        let all = mailboxes::list(tx, account)?;
        let chosen = all.iter().find(|known| known.name == wanted).ok_or(Error::NotFound("mailbox"))?;
        let before =
            all.iter().find(|known| role.is_some() && known.special_use == role && known.id != chosen.id);
        if let Some(before) = before {
            mailboxes::set_special_use(tx, account, before.id, None)?;
        }
        mailboxes::set_special_use(tx, account, chosen.id, role)?;
        Ok(before.map(|before| before.name.as_str().to_owned()))
    });
    match before {
        Ok(taken_from) => {
            let (mailbox, role) = (name.as_str().to_owned(), role.map(|role| called(role).to_owned()));
            Ok(RoleSet { mailbox, role, taken_from })
        }
        Err(Error::NotFound(_)) => Err(unknown()),
        Err(error) => Err(error.into()),
    }
}

impl RoleSet {
    /// What was done, in a sentence or two.
    #[must_use]
    pub fn describe(&self) -> String {
        let done = match &self.role {
            Some(role) => format!("{} is the mailbox for {role} now.", self.mailbox),
            None => format!("{} has no role any more.", self.mailbox),
        };
        match &self.taken_from {
            Some(before) => format!("{done} {before}, which had this role, has none any more."),
            None => done,
        }
    }
}

/// An account's mailboxes: INBOX, then by name.
///
/// # Errors
/// If there is no such account.
pub fn list(context: &Context, account: Option<&str>) -> Result<Vec<Info>, Failure> {
    let account = account::find_or_only(context, account)?;
    let mut found = mailboxes::list(&context.store.snapshot()?, account.id)?;
    found.sort_by_key(|mailbox| (!mailbox.name.is_inbox(), mailbox.name.as_str().to_lowercase()));
    Ok(found
        .into_iter()
        .map(|mailbox| Info {
            name: mailbox.name.as_str().to_owned(),
            role: mailbox.special_use.map(|role| called(role).to_owned()),
            messages: u64::from(mailbox.messages),
            unseen: u64::from(mailbox.unseen),
            bytes: mailbox.size,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AccountName;

    fn role(context: &Context, mailbox: &str) -> Option<String> {
        let all = list(context, Some("anna")).unwrap();
        all.into_iter().find(|known| known.name == mailbox).unwrap().role
    }

    #[test]
    fn a_role_is_borne_by_one_mailbox() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::in_folder(folder.path());
        account::add(&context, &AccountName::new("anna").unwrap(), None).unwrap();
        account::add(&context, &AccountName::new("ben").unwrap(), None).unwrap();
        assert!(set_role(&context, None, "Sent", "trash").is_err(), "whose?");
        let set = |mailbox: &str, role: &str| set_role(&context, Some("anna"), mailbox, role);

        // Taken from the one that has it; the one it is given to loses its own.
        let done = set("Archive", "\\Trash").unwrap();
        assert_eq!(
            done.describe(),
            "Archive is the mailbox for Trash now. Trash, which had this role, has none any more."
        );
        assert_eq!((role(&context, "Archive").as_deref(), role(&context, "Trash")), (Some("Trash"), None));
        let ben = list(&context, Some("ben")).unwrap();
        assert!(ben.iter().any(|known| known.name == "Trash" && known.role.as_deref() == Some("Trash")));

        // The same again changes nothing.
        assert_eq!(set("Archive", "trash").unwrap().taken_from, None);
        assert_eq!(set("Archive", "none").unwrap().describe(), "Archive has no role any more.");
        assert_eq!((role(&context, "Archive"), role(&context, "Trash")), (None, None));
        set("Trash", "Trash").unwrap();
        assert_eq!(role(&context, "Trash").as_deref(), Some("Trash"));

        for (mailbox, role) in
            [("Nowhere", "Sent"), ("", "Sent"), ("Sent", "Flagged"), ("Sent", "x"), ("inbox", "Sent")]
        {
            assert!(
                matches!(set(mailbox, role), Err(Failure::Unknown { .. } | Failure::Invalid(_))),
                "{mailbox} {role}"
            );
        }
        assert_eq!(role(&context, "Sent").as_deref(), Some("Sent"), "what was refused changed nothing");
    }
}
