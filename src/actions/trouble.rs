//! Why the store cannot be opened, and what to do about it, in words for whoever looks after it: on the page that
//! stands in for the admin site, in `postern status`, and in the log.

use std::io::ErrorKind;

use serde::{Deserialize, Serialize};

use crate::store::Error;

/// Why there is no mail at present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What is wrong. It names no secrets: anybody who reaches the admin port reads it.
    pub what: String,
    /// What to do about it.
    pub help: String,
    /// Whether it may pass by itself.
    pub passes: bool,
}

impl Trouble {
    /// Of an error that the store gave when it was opened.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        Trouble { what: error.to_string(), help: help(error).to_owned(), passes: passes(error) }
    }

    /// Of what the system does not let us do.
    #[must_use]
    pub fn of_the_system(what: String) -> Self {
        Trouble { what, help: LOOK_AT_THE_DISK.to_owned(), passes: true }
    }

    /// In one line.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{}. {}", self.what.trim_end_matches('.'), self.help)
    }
}

const LOOK_AT_THE_DISK: &str = "Look at the disk: is it connected and mounted, and does `dmesg` tell of errors? Postern \
                                tries again by itself.";

fn help(error: &Error) -> &'static str {
    match error {
        Error::Locked(_) => "Postern goes on by itself as soon as that is done.",
        Error::NoSpace { .. } => "Make room on the disk. Postern tries again by itself.",
        Error::NotExpected(_) => {
            "Mount the disk that the mail is on, and Postern goes on by itself. Until then nothing is written there."
        }
        Error::Incompatible(_) => "Nothing was changed. Start Postern again when that is done.",
        error if is_damage(error) => {
            "Copy the data folder to another disk first, as it is. Then run `postern check --repair`, with the folder \
             of a backup behind it if you have one; Postern goes on by itself afterwards."
        }
        Error::Internal(_) => "The log says more. Postern tries again by itself.",
        _ => LOOK_AT_THE_DISK,
    }
}

/// What somebody must do something about is not tried over and over: each try reads the whole journal.
fn passes(error: &Error) -> bool {
    !matches!(error, Error::Incompatible(_)) && !is_damage(error)
}

/// What a file says, not what the disk does: it says the same the next time.
fn is_damage(error: &Error) -> bool {
    match error {
        Error::Damaged(_) | Error::DamagedIndex(_) | Error::DamagedEmail(_) => true,
        Error::Io { error, .. } => matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_what_to_do() {
        let locked = Trouble::of(&Error::Locked("process 7".to_owned()));
        assert!(
            locked.passes && locked.line().contains("in use by process 7. Postern goes on"),
            "{locked:?}"
        );
        let damaged = Trouble::of(&Error::Damaged("index.redb".to_owned()));
        assert!(!damaged.passes && damaged.help.contains("postern check --repair"), "{damaged:?}");
        let disk = Trouble::of(&Error::io("opening index.redb", std::io::Error::from_raw_os_error(5)));
        assert!(disk.passes && disk.help.contains("dmesg"), "{disk:?}");
    }
}
