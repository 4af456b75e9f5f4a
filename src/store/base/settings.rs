//! Settings by name, and the counters that must never go back.

use std::ops::ControlFlow;

use crate::model::{ModSeq, UidValidity};
use crate::store::base::codec::{Reader, Writer};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::schema::Table;

/// The longest name of a setting, in bytes: names are ours, this only catches mistakes.
pub const MAX_NAME: usize = 255;

/// When this program was built, in seconds since 1970: no clock that is right says less, and a board without a
/// battery starts in 1970, or when it was last switched off. Where the builder's clock was wrong itself, 1 January
/// 2026.
const BUILT: i64 = later(1_767_225_600, parse(env!("POSTERN_BUILT").as_bytes()));
/// A clock that says more than this after the last known time is wrong: 20 years, in seconds.
const LEAP_MAX: i64 = 20 * 365 * 86_400;

/// UIDVALIDITYs of a store that never had a clock are chosen among so many: more than anybody has mailboxes, and
/// all of them less than what a clock says, so that one that is right later can be followed.
const BLIND_FIRST: u32 = 1 << 30;
/// How far, at most, one is from the last where the clock cannot be believed.
const BLIND_STEP: u64 = 1 << 16;

/// A number of a build script, for `const`.
const fn parse(digits: &[u8]) -> i64 {
    let (mut number, mut at) = (0_i64, 0);
    while at < digits.len() && digits[at].is_ascii_digit() && number < i64::MAX / 16 {
        number = number * 10 + (digits[at] - b'0') as i64;
        at += 1;
    }
    number
}

const fn later(one: i64, other: i64) -> i64 {
    if one > other { one } else { other }
}

/// The last modseq that was given.
pub const MODSEQ: &str = "modseq";
/// The secret that object ids are keyed with.
pub const OBJECT_KEY: &[u8] = b"objectkey";
/// The last UIDVALIDITY that was given.
pub(in crate::store) const UID_VALIDITY: &str = "uidvalidity";
/// The first email id that is not reserved yet.
pub(in crate::store) const EMAIL_ID: &str = "emailid";
/// The first volume number that was never used.
pub(in crate::store) const VOLUME: &str = "volume";

/// A counter of ids that are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Counter {
    Account,
    Device,
    Mailbox,
    Source,
}

impl Counter {
    pub(in crate::store) const fn name(self) -> &'static str {
        match self {
            Counter::Account => "accountid",
            Counter::Device => "deviceid",
            Counter::Mailbox => "mailboxid",
            Counter::Source => "sourceid",
        }
    }
}

/// A setting's value; what is in it is its owner's.
pub(in crate::store) struct Setting(Vec<u8>);

impl Row for Setting {
    type Key = ();
    const TABLE: Table = Table::Settings;

    fn what((): ()) -> String {
        "a setting".to_owned()
    }

    fn write(&self, out: Writer) -> Writer {
        out.raw(&self.0)
    }

    fn read((): (), _: u8, reader: &mut Reader<'_>) -> Option<Self> {
        Some(Setting(reader.rest().to_vec()))
    }
}

/// The value of a setting.
///
/// # Errors
/// Of reading.
pub fn get(rows: &dyn Rows, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let Some(bytes) = rows.get(Table::Settings, name.as_bytes())? else { return Ok(None) };
    Setting::from_bytes((), &bytes).map(|setting| Some(setting.0)).map_err(|error| match error {
        Error::Damaged(_) => Error::Damaged(format!("the setting {name}")),
        other => other,
    })
}

/// Sets a setting.
///
/// # Errors
/// If the name is empty or too long.
pub fn put(tx: &mut dyn Transaction, name: &str, value: &[u8]) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Error::Refused("that is no name of a setting"));
    }
    tx.put(Table::Settings, name.as_bytes(), &Setting(value.to_vec()).to_bytes());
    Ok(())
}

/// Removes a setting.
pub fn delete(tx: &mut dyn Transaction, name: &str) {
    tx.delete(Table::Settings, name.as_bytes());
}

/// Visits the names of the settings that begin with `prefix`.
///
/// # Errors
/// Of reading.
pub(in crate::store) fn each(
    rows: &dyn Rows,
    prefix: &str,
    visit: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let high = [prefix.as_bytes(), &[0xff]].concat();
    rows.scan(Table::Settings, prefix.as_bytes(), &high, &mut |name, _| {
        std::str::from_utf8(name).into_iter().for_each(&mut *visit);
        Ok(ControlFlow::Continue(()))
    })
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

/// A number as the row of a setting has it.
pub(in crate::store) fn number_value(number: u64) -> Vec<u8> {
    Setting(number.to_le_bytes().to_vec()).to_bytes()
}

/// The last modseq that a job was given.
///
/// # Errors
/// Of reading.
pub fn last_modseq(rows: &dyn Rows) -> Result<ModSeq, Error> {
    number(rows, MODSEQ).map(ModSeq)
}

/// The next modseq. For implementations of [`Transaction::modseq`], which calls it at most once a job.
///
/// # Errors
/// Of reading.
pub fn next_modseq(tx: &mut dyn Transaction) -> Result<ModSeq, Error> {
    let next = last_modseq(tx)?.next();
    put_number(tx, MODSEQ, next.0)?;
    Ok(next)
}

/// A UIDVALIDITY that no mailbox ever had: the time, or one more than the last where the clock stands or went
/// back. Where it cannot be believed, chance decides how much more, and where to begin: a client that knew this
/// account from a store that was lost must not meet the same number with other mail under it (RFC 9051 §2.3.1.1).
///
/// # Errors
/// Of reading; if there is none left.
pub fn next_uid_validity(tx: &mut dyn Transaction) -> Result<UidValidity, Error> {
    let last = number(tx, UID_VALIDITY)?;
    let known = i64::try_from(last).unwrap_or(i64::MAX).max(BUILT);
    let now = tx.now();
    let next = if now > BUILT && now < known.saturating_add(LEAP_MAX) {
        u64::try_from(now).unwrap_or(0).max(last.saturating_add(1))
    } else {
        blind(last, tx.random())
    };
    let value = u32::try_from(next).ok().and_then(UidValidity::new);
    let value = value.ok_or(Error::Limit("there is no UIDVALIDITY left"))?;
    put_number(tx, UID_VALIDITY, next)?;
    Ok(value)
}

/// More than `last` by chance; by the less the less is left, so that it never runs out.
fn blind(last: u64, chance: [u8; 16]) -> u64 {
    let chance = chance.first_chunk().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
    let room = u64::from(u32::MAX).saturating_sub(last);
    let most = if last == 0 { u64::from(BLIND_FIRST) } else { (room / BLIND_STEP).clamp(1, BLIND_STEP) };
    last.saturating_add(1 + chance % most)
}

/// How far the next UIDVALIDITY lies above the last that this history knows of, in a new generation: another history
/// may have given some more. As seconds, half a year.
const UID_VALIDITY_LEAP: u64 = 1 << 24;
/// How far the next modseq lies above the last that is known, in a new generation and after a loss: no client has seen
/// one so far above it.
pub(in crate::store) const MODSEQ_LEAP: u64 = 1 << 32;

/// In a new generation the counters begin above all that another history may have given.
///
/// # Errors
/// Of reading.
pub(in crate::store) fn leap(tx: &mut dyn Transaction) -> Result<(), Error> {
    let validity = number(tx, UID_VALIDITY)?.saturating_add(UID_VALIDITY_LEAP);
    put_number(tx, UID_VALIDITY, validity)?;
    let modseq = number(tx, MODSEQ)?.saturating_add(MODSEQ_LEAP);
    put_number(tx, MODSEQ, modseq)
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
        let built = u32::try_from(BUILT).unwrap();
        let blind = next(0);
        assert!(blind <= BLIND_FIRST, "a board without a battery: {blind}");
        assert_eq!(next(BUILT + 100), built + 100);
        assert_eq!(next(BUILT + 100), built + 101, "two in a second");
        assert_eq!(next(BUILT + 50), built + 102, "the clock went back");
        for wrong in [BUILT + LEAP_MAX * 2, BUILT, 0, -5] {
            let before = next(BUILT + 50);
            let blind = next(wrong);
            assert!(blind > before && blind - before <= BLIND_STEP as u32, "{wrong}: {before}, {blind}");
        }
        assert_eq!(next(BUILT + 5_000_000), built + 5_000_000);
    }

    #[test]
    fn a_store_without_a_clock_begins_elsewhere_than_the_one_before_it() {
        let begin = |n: u8| blind(0, [n; 16]);
        assert!(begin(1) != begin(2) && begin(0) == 1 && begin(255) <= u64::from(BLIND_FIRST));
    }

    #[test]
    fn chance_never_uses_up_what_is_left() {
        let mut last = 0;
        for n in 0..200_000_u32 {
            let next = blind(last, [255 - (n % 200) as u8; 16]);
            assert!(next > last, "{n}: {last}");
            last = next;
        }
        assert!(last < u64::from(u32::MAX), "after 200,000 mailboxes made without a clock: {last}");
    }

    #[test]
    fn the_date_of_the_build_is_one() {
        assert_eq!((parse(b"1795654800"), parse(b""), parse(b"12x")), (1_795_654_800, 0, 12));
        assert!(BUILT >= 1_767_225_600 && BUILT <= crate::store::unix_now(), "{BUILT}");
    }
}
