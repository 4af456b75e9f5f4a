//! Settings by name, and the counters that must never go back.

use crate::model::{ModSeq, UidValidity};
use crate::store::base::codec;
use crate::store::base::error::Error;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::schema::Table;

/// The longest name of a setting, in bytes: names are ours, this only catches mistakes.
pub const MAX_NAME: usize = 255;

/// No clock that is right says less than this: 1 January 2026. A board without a battery starts in 1970.
const BUILT: i64 = 1_767_225_600;
/// A clock that says more than this after the last known time is wrong: 20 years, in seconds.
const LEAP_MAX: i64 = 20 * 365 * 86_400;

/// The last modseq that was given.
pub const MODSEQ: &str = "modseq";
/// The secret that object ids are keyed with.
pub const OBJECT_KEY: &[u8] = b"objectkey";
const UID_VALIDITY: &str = "uidvalidity";

/// A counter of ids that are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Counter {
    Account,
    Device,
    Mailbox,
    Source,
}

impl Counter {
    const fn name(self) -> &'static str {
        match self {
            Counter::Account => "accountid",
            Counter::Device => "deviceid",
            Counter::Mailbox => "mailboxid",
            Counter::Source => "sourceid",
        }
    }
}

/// The value of a setting.
///
/// # Errors
/// Of reading.
pub fn get(rows: &dyn Rows, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let Some(bytes) = rows.get(Table::Settings, name.as_bytes())? else { return Ok(None) };
    match bytes.split_first() {
        Some((1, value)) => Ok(Some(value.to_vec())),
        _ => Err(Error::Damaged(format!("the setting {name}"))),
    }
}

/// Sets a setting.
///
/// # Errors
/// If the name is empty or too long.
pub fn put(tx: &mut dyn Transaction, name: &str, value: &[u8]) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Error::Refused("that is no name of a setting"));
    }
    let value = codec::Writer::new().raw(value).finish();
    tx.put(Table::Settings, name.as_bytes(), &value);
    Ok(())
}

/// Removes a setting.
pub fn delete(tx: &mut dyn Transaction, name: &str) {
    tx.delete(Table::Settings, name.as_bytes());
}

/// A number kept under a name; zero if it was never set.
///
/// # Errors
/// Of reading.
pub fn number(rows: &dyn Rows, name: &str) -> Result<u64, Error> {
    let Some(value) = get(rows, name)? else { return Ok(0) };
    value.try_into().map(u64::from_le_bytes).map_err(|_| Error::Damaged(format!("the setting {name}")))
}

/// Keeps a number under a name.
///
/// # Errors
/// As [`put`].
pub fn put_number(tx: &mut dyn Transaction, name: &str, number: u64) -> Result<(), Error> {
    put(tx, name, &number.to_le_bytes())
}

/// The next modseq. For implementations of [`Transaction::modseq`], which calls it at most once a job.
///
/// # Errors
/// Of reading.
pub fn next_modseq(tx: &mut dyn Transaction) -> Result<ModSeq, Error> {
    let next = ModSeq(number(tx, MODSEQ)?).next();
    put_number(tx, MODSEQ, next.0)?;
    Ok(next)
}

/// A UIDVALIDITY that no mailbox ever had: the time, or one more than the last where the clock cannot be
/// believed or stands.
///
/// # Errors
/// Of reading; if there is none left.
pub fn next_uid_validity(tx: &mut dyn Transaction) -> Result<UidValidity, Error> {
    let last = number(tx, UID_VALIDITY)?;
    let known = i64::try_from(last).unwrap_or(i64::MAX).max(BUILT);
    let now = tx.now();
    let believed = now > BUILT && now < known.saturating_add(LEAP_MAX);
    let clock = if believed { u64::try_from(now).unwrap_or(0) } else { 0 };
    let next = clock.max(last.saturating_add(1));
    let value = u32::try_from(next).ok().and_then(UidValidity::new);
    let value = value.ok_or(Error::Limit("there is no UIDVALIDITY left"))?;
    put_number(tx, UID_VALIDITY, next)?;
    Ok(value)
}

/// The next id of a kind, from 1.
pub(in crate::store) fn next_id(tx: &mut dyn Transaction, counter: Counter) -> Result<u32, Error> {
    let next = number(tx, counter.name())?.saturating_add(1);
    // The last number stays free, so that every id has one behind it.
    let id = u32::try_from(next).ok().filter(|id| *id < u32::MAX);
    let id = id.ok_or(Error::Limit("there is no id left"))?;
    put_number(tx, counter.name(), next)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;

    #[test]
    fn settings_are_kept_by_name() {
        let mut memory = Memory::new();
        memory.write(|tx| put(tx, "reserve", b"5")).unwrap();
        assert_eq!(get(&memory, "reserve").unwrap().as_deref(), Some(&b"5"[..]));
        memory
            .write(|tx| {
                delete(tx, "reserve");
                Ok(())
            })
            .unwrap();
        assert_eq!(get(&memory, "reserve").unwrap(), None);
        assert!(memory.write(|tx| put(tx, "", b"")).is_err());
    }

    #[test]
    fn ids_are_never_given_twice() {
        let mut memory = Memory::new();
        let ids: Vec<u32> =
            (0..3).map(|_| memory.write(|tx| next_id(tx, Counter::Mailbox)).unwrap()).collect();
        assert_eq!(ids, [1, 2, 3]);
        assert_eq!(memory.write(|tx| next_id(tx, Counter::Source)).unwrap(), 1);
    }

    #[test]
    fn uid_validity_follows_a_clock_that_can_be_believed() {
        let mut memory = Memory::new();
        let mut next = |now| {
            memory.now = now;
            memory.write(|tx| next_uid_validity(tx)).unwrap().get()
        };
        assert_eq!(next(0), 1, "a board without a battery");
        assert_eq!(next(BUILT + 100), BUILT as u32 + 100);
        assert_eq!(next(BUILT + 100), BUILT as u32 + 101, "two in a second");
        assert_eq!(next(BUILT + 50), BUILT as u32 + 102, "the clock went back");
        assert_eq!(next(BUILT + LEAP_MAX * 2), BUILT as u32 + 103, "the clock leapt");
        assert_eq!(next(BUILT + 500), BUILT as u32 + 500);
    }
}
