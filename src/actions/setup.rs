//! The guided set-up: five steps, from the administrator's password to the first device.
//!
//! How far it is is read from what there is, so that it can be left and taken up again in any browser, and a
//! step that was done on the command line counts. Only what was skipped is kept.

use serde::{Deserialize, Serialize};

use super::{Context, Failure, account, administrator, source};
use crate::store::settings;

/// Under this name the numbers of skipped steps are kept.
const SKIPPED: &str = "setup.skipped";

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The administrator's password.
    Password,
    /// The first account.
    Account,
    /// Where mail comes from: a source, or old mail.
    Mail,
    /// The first device.
    Device,
    /// What the device needs, and that all is well.
    Ready,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is still to do.
    Open,
    /// It was done, here or elsewhere.
    Done,
    /// Somebody said "later".
    Skipped,
}

/// How far the set-up is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Progress {
    pub password: State,
    pub account: State,
    pub mail: State,
    pub device: State,
}

impl Step {
    /// All, in order.
    pub const ALL: [Step; 5] = [Step::Password, Step::Account, Step::Mail, Step::Device, Step::Ready];

    /// From 1 on.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8 + 1
    }
}

impl Progress {
    /// How this step stands.
    #[must_use]
    pub fn of(&self, step: Step) -> State {
        match step {
            Step::Password => self.password,
            Step::Account => self.account,
            Step::Mail => self.mail,
            Step::Device => self.device,
            Step::Ready => State::Open,
        }
    }

    /// The first step that is still to do; the last one is a page to read.
    #[must_use]
    pub fn next(&self) -> Step {
        Step::ALL.into_iter().find(|step| self.of(*step) == State::Open).unwrap_or(Step::Ready)
    }
}

/// How far it is.
pub fn progress(context: &Context) -> Result<Progress, Failure> {
    judge(context, &account::list(context)?, &source::list(context)?)
}

/// How far it is with these accounts and sources.
pub(super) fn judge(
    context: &Context,
    accounts: &[account::Info],
    sources: &[source::Info],
) -> Result<Progress, Failure> {
    let skipped = settings::get(&context.store.snapshot()?, SKIPPED)?.unwrap_or_default();
    let state = |step: Step, done: bool| match done {
        true => State::Done,
        false if skipped.contains(&step.number()) => State::Skipped,
        false => State::Open,
    };
    let has_mail = !sources.is_empty() || accounts.iter().any(|account| account.messages > 0);
    // With the account's own password a device can log in as well.
    let can_log_in = accounts.iter().any(|account| account.devices > 0 || account.password);
    Ok(Progress {
        password: state(Step::Password, administrator::is_set_up(context)?),
        account: state(Step::Account, !accounts.is_empty()),
        mail: state(Step::Mail, has_mail),
        device: state(Step::Device, can_log_in),
    })
}

/// Puts a step off for good: the set-up asks for it no more.
///
/// # Errors
/// If nothing goes without it.
pub fn skip(context: &Context, step: Step) -> Result<(), Failure> {
    if !matches!(step, Step::Mail | Step::Device) {
        return Err(Failure::Invalid("this step cannot be skipped".to_owned()));
    }
    context.store.write(move |tx| {
        let mut skipped = settings::get(tx, SKIPPED)?.unwrap_or_default();
        if !skipped.contains(&step.number()) {
            skipped.push(step.number());
        }
        settings::put(tx, SKIPPED, &skipped)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::device;
    use crate::model::{AccountName, DeviceName};

    #[test]
    fn it_goes_on_where_it_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::in_folder(folder.path());
        let next = |context: &Context| progress(context).unwrap().next();
        assert_eq!(next(&context), Step::Password);
        let code = administrator::setup_link(&context).unwrap().code;
        administrator::set_up(&context, &code, "correct horse").unwrap();
        assert_eq!(next(&context), Step::Account);
        assert!(skip(&context, Step::Account).is_err());
        account::add(&context, &AccountName::new("anna").unwrap(), None).unwrap();
        assert_eq!(next(&context), Step::Mail);
        skip(&context, Step::Mail).unwrap();
        skip(&context, Step::Mail).unwrap();
        // The certificates hold on to the store as well.
        drop(context);
        let context = Context::in_folder(folder.path());
        assert_eq!(next(&context), Step::Device, "over a restart");
        assert_eq!(progress(&context).unwrap().mail, State::Skipped);
        device::add(&context, None, &DeviceName::new("phone").unwrap()).unwrap();
        let done = progress(&context).unwrap();
        assert_eq!((done.device, done.next()), (State::Done, Step::Ready));
    }

    #[test]
    fn what_the_command_line_did_counts() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::in_folder(folder.path());
        account::add(&context, &AccountName::new("anna").unwrap(), Some("correct horse")).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let maildir = elsewhere.path().join("Maildir");
        for sub in ["cur", "new", "tmp"] {
            std::fs::create_dir_all(maildir.join(sub)).unwrap();
        }
        source::add(&context, &maildir, None, None, source::After::Keep).unwrap();
        let done = progress(&context).unwrap();
        assert_eq!((done.account, done.mail, done.device), (State::Done, State::Done, State::Done));
        assert_eq!(done.next(), Step::Password);
    }
}
