//! The nouns of mail storage: ids, numbers, flags, names, sets and dates.
//!
//! Values here cannot be wrong once built: a [`Uid`] is never zero, a [`Keyword`] is an atom, a
//! [`MailboxName`] is well-formed UTF-8 without empty levels. Nothing here does I/O.

mod account_name;
pub mod date;
mod device_name;
pub mod flags;
pub mod ids;
mod lock;
pub mod mailbox_name;
pub mod passwd;
pub mod printable;
pub mod sequence_set;
pub mod special_use;
mod uid_chunk;
pub mod uid_list;
pub mod uid_set;

pub use account_name::{AccountName, AccountNameError};
pub use date::{CivilDate, DateTime, digits, month_by_name, zone_minutes};
pub use device_name::{DeviceName, DeviceNameError};
pub use flags::{Flag, FlagSet, Keyword, SystemFlags};
pub use ids::{
    AccountId, ContentHash, ContentId, DeviceId, MailboxId, ModSeq, ObjectId, SeqNum, SourceId, Uid,
    UidValidity,
};
pub use lock::locked;
pub use mailbox_name::{MailboxName, MailboxNameError};
pub use sequence_set::{Endpoint, SequenceSet, SetBuilder, TooManyRanges};
pub use special_use::SpecialUse;
pub use uid_list::{UidList, UidListBuilder};
pub use uid_set::UidSet;
