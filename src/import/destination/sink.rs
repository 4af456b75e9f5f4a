//! Where a message that was read somewhere is to go, and the way there: a [`Sink`] is the store
//! (`intake`), or a running server at the other end of a socket.

use serde::{Deserialize, Serialize};

use crate::model::{DateTime, Flag, FlagSet, Keyword, SystemFlags};
use crate::store;

/// What is to become of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filing {
    /// The mailboxes, each by its levels; none at all is the inbox.
    pub places: Vec<Vec<String>>,
    /// System flags and keywords by their names.
    pub flags: Vec<String>,
    /// INTERNALDATE: seconds since 1970, and minutes east of UTC. Without it, now.
    pub date: Option<(i64, i16)>,
    /// Where it was read, for people.
    pub origin: String,
}

impl Filing {
    /// With these flags.
    #[must_use]
    pub fn with_flags(mut self, flags: &FlagSet) -> Self {
        let system = flags.system.names().map(str::to_owned);
        let keywords = flags.keywords.iter().map(|keyword| keyword.as_str().to_owned());
        self.flags = system.chain(keywords).collect();
        self
    }

    /// Its flags; names that are none are left out.
    #[must_use]
    pub fn flag_set(&self) -> FlagSet {
        let flag = |name: &String| match SystemFlags::by_name(name) {
            Some(flag) => Some(Flag::System(flag)),
            None => Keyword::new(name).map(Flag::Keyword),
        };
        self.flags.iter().filter_map(flag).collect()
    }

    /// Its date.
    #[must_use]
    pub fn date_time(&self) -> Option<DateTime> {
        self.date.map(|(unix, offset_minutes)| DateTime { unix, offset_minutes })
    }
}

/// A message that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Where it was read.
    pub origin: String,
    /// Why.
    pub why: String,
}

/// What became of the messages so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Stored, durably.
    pub stored: u64,
    /// Left out, because every mailbox that they were for had them.
    pub present: u64,
    /// Bytes of those that were stored.
    pub bytes: u64,
}

/// Why nothing more is taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stop {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The server, in words.
    #[error("{0}")]
    Server(String),
}

/// Takes messages one after the other: its bytes, then where it goes.
pub trait Sink {
    /// More of the present message.
    ///
    /// # Errors
    /// If nothing more is taken. A message that is too large is refused at its end.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop>;

    /// The present message is whole. It may be stored later, with others.
    ///
    /// # Errors
    /// If nothing more is taken.
    fn file(&mut self, filing: Filing) -> Result<(), Stop>;

    /// The present message could not be read to its end.
    ///
    /// # Errors
    /// If nothing more is taken.
    fn discard(&mut self) -> Result<(), Stop>;

    /// Stores what waits.
    ///
    /// # Errors
    /// If it cannot.
    fn finish(&mut self) -> Result<(), Stop>;

    /// What became of the messages so far.
    fn outcome(&self) -> Outcome;

    /// Those that were refused since the last call.
    fn take_refused(&mut self) -> Vec<Refused>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_dates_there_and_back() {
        let flags: FlagSet = [
            Flag::System(SystemFlags::SEEN),
            Flag::System(SystemFlags::DRAFT),
            Flag::Keyword(Keyword::new("$Forwarded").unwrap()),
        ]
        .into_iter()
        .collect();
        let mut filing = Filing { date: Some((5, 60)), ..Filing::default() }.with_flags(&flags);
        assert_eq!(filing.flag_set(), flags);
        assert_eq!(filing.date_time(), Some(DateTime { unix: 5, offset_minutes: 60 }));
        filing.flags.push("no keyword".to_owned());
        let line = serde_json::to_string(&filing).unwrap();
        assert_eq!(serde_json::from_str::<Filing>(&line).unwrap().flag_set(), flags);
    }
}
