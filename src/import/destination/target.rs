//! Which mailbox a folder's messages go to.
//!
//! Without `--mailbox` folders keep their names; a first level that means a role (below `INBOX` and
//! `[Gmail]` too) goes to the account's mailbox of that role, whatever that one is called. With
//! `--mailbox M` the root goes to M and folders to mailboxes below it under their own names: who asks for
//! that wants the old mail kept apart.

use crate::import::maildir::roles;
use crate::model::{AccountId, MailboxId, MailboxName, MailboxNameError, SpecialUse};
use crate::store::{Error, Rows, Transaction, mailboxes};

/// Prefixes below which providers keep the mailboxes that have a role.
const PREFIXES: [&str; 3] = ["INBOX", "[Gmail]", "[Google Mail]"];

/// Where a folder's messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The mailbox of this name.
    Named(MailboxName),
    /// The mailbox of this role, or one below it by these levels.
    Role(SpecialUse, Vec<String>),
}

/// The target of a folder with these levels.
///
/// # Errors
/// If no mailbox can have such a name: it is too long or too deep.
pub(crate) fn target(levels: &[String], under: Option<&MailboxName>) -> Result<Target, MailboxNameError> {
    if let Some(under) = under {
        let below = levels.iter().flat_map(|level| ["/", level.as_str()]);
        let name: String = std::iter::once(under.as_str()).chain(below).collect();
        return MailboxName::new(&name).map(Target::Named);
    }
    if levels.is_empty() {
        return Ok(Target::Named(MailboxName::inbox()));
    }
    let prefixed =
        levels.first().is_some_and(|first| PREFIXES.iter().any(|known| known.eq_ignore_ascii_case(first)));
    let meant = levels.get(usize::from(prefixed)..).unwrap_or_default();
    if let Some((first, rest)) = meant.split_first()
        && let Some(role) = roles::by_name(first)
    {
        // Checked here with the longest name that the role's mailbox could reasonably have.
        MailboxName::new(&levels.join("/"))?;
        return Ok(Target::Role(role, rest.to_vec()));
    }
    MailboxName::new(&levels.join("/")).map(Target::Named)
}

impl Target {
    /// The name that it has now.
    ///
    /// # Errors
    /// Of reading, or if the name is none.
    pub(crate) fn name(&self, rows: &dyn Rows, account: AccountId) -> Result<MailboxName, Error> {
        let (role, rest) = match self {
            Target::Named(name) => return Ok(name.clone()),
            Target::Role(role, rest) => (*role, rest),
        };
        let mut name = role_mailbox(rows, account, role)?;
        for level in rest {
            name = name.child(level).map_err(|_| Error::Refused("no mailbox can have this folder's name"))?;
        }
        Ok(name)
    }

    /// The mailbox, made and subscribed if it is not there.
    ///
    /// # Errors
    /// Of reading; [`Error::Limit`] if the account has too many mailboxes.
    pub(crate) fn resolve(
        &self,
        tx: &mut dyn Transaction,
        account: AccountId,
    ) -> Result<(MailboxId, MailboxName), Error> {
        let name = self.name(tx, account)?;
        if let Some(mailbox) = mailboxes::by_name(tx, account, &name)? {
            return Ok((mailbox.id, name));
        }
        let role = match self {
            Target::Role(role, rest) if rest.is_empty() => Some(*role),
            _ => None,
        };
        // Those above it that are made with it as well: a client that shows subscribed ones shows a tree.
        let mut made = vec![name.clone()];
        for above in name.ancestors() {
            if mailboxes::by_name(tx, account, &above)?.is_none() {
                made.push(above);
            }
        }
        let mailbox = mailboxes::create(tx, account, &name, role)?;
        for name in &made {
            mailboxes::subscribe(tx, account, name)?;
        }
        Ok((mailbox, name))
    }
}

/// The name of the role's mailbox: the one that has it, else the usual name, there or not.
fn role_mailbox(rows: &dyn Rows, account: AccountId, role: SpecialUse) -> Result<MailboxName, Error> {
    let known = mailboxes::list(rows, account)?.into_iter().find(|mailbox| mailbox.special_use == Some(role));
    if let Some(mailbox) = known {
        return Ok(mailbox.name);
    }
    let usual = SpecialUse::DEFAULTS.into_iter().find(|(known, _)| *known == role).map(|(_, name)| name);
    usual.and_then(|name| MailboxName::new(name).ok()).ok_or(Error::NotFound("mailbox of this role"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, under: Option<&str>) -> Target {
        let levels: Vec<_> = name.split('/').filter(|level| !level.is_empty()).map(str::to_owned).collect();
        target(&levels, under.map(|name| MailboxName::new(name).unwrap()).as_ref()).unwrap()
    }

    fn named(name: &str) -> Target {
        Target::Named(MailboxName::new(name).unwrap())
    }

    #[test]
    fn roles_at_the_top_and_below_inbox() {
        assert_eq!(of("", None), named("INBOX"));
        assert_eq!(of("Inbox", None), named("INBOX"));
        assert_eq!(of("Work/Sent", None), named("Work/Sent"));
        assert_eq!(of("INBOX/Work", None), named("INBOX/Work"));
        assert_eq!(of("[Gmail]/All Mail", None), named("[Gmail]/All Mail"));
        for name in ["Sent", "Gesendete Objekte", "INBOX/Sent Items", "[Gmail]/Sent Mail"] {
            assert_eq!(of(name, None), Target::Role(SpecialUse::Sent, vec![]), "{name}");
        }
        assert_eq!(of("Sent/2024", None), Target::Role(SpecialUse::Sent, vec!["2024".into()]));
    }

    #[test]
    fn below_a_mailbox_names_stay() {
        assert_eq!(of("", Some("Old")), named("Old"));
        assert_eq!(of("Sent/2024", Some("Old")), named("Old/Sent/2024"));
    }

    #[test]
    fn names_that_no_mailbox_can_have() {
        assert!(target(&vec!["x".repeat(200); 6], None).is_err());
        assert!(target(&vec!["x".to_owned(); 65], None).is_err());
    }
}
