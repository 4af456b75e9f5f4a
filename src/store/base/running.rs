//! The clock of what ages: seconds that the store has been in use. It stands while the server does, and no jump of
//! the wall clock moves it, so that nothing is ever dropped before somebody could have noticed.
//!
//! The server advances it hourly. So a time that was noted by it may be up to an hour older than it says: whatever
//! must last for a while is given an hour more.

use super::error::Error;
use super::rows::{Rows, Transaction};
use super::settings;

/// The most that one call advances it, in seconds: a day.
const ADVANCE_MAX: u64 = 86_400;
/// The bin was the first that was counted by it.
const CLOCK: &str = "binclock";

/// A time that is not known by this clock, of rows that were written with the time of the wall. It lies ahead; and a
/// time that lies ahead counts as now, also where it does so because an older copy of the store was put back.
pub(in crate::store) const UNKNOWN: i64 = i64::MAX;

/// What it says, in seconds.
///
/// # Errors
/// Of reading.
pub fn clock(rows: &dyn Rows) -> Result<i64, Error> {
    Ok(i64::try_from(settings::number(rows, CLOCK)?).unwrap_or(i64::MAX))
}

/// Lets it go on by the seconds that the server has run since the last call, by a clock that cannot be set. Never by
/// more than a day at once.
///
/// # Errors
/// Of reading.
pub fn advance(tx: &mut dyn Transaction, seconds: u64) -> Result<(), Error> {
    let now = settings::number(tx, CLOCK)?.saturating_add(seconds.min(ADVANCE_MAX));
    settings::put_number(tx, CLOCK, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;

    #[test]
    fn it_goes_a_day_at_most_and_never_by_the_wall_clock() {
        let mut memory = Memory::new();
        memory.write(|tx| advance(tx, 3_600)).unwrap();
        memory.now += 41 * 86_400;
        assert_eq!(clock(&memory).unwrap(), 3_600);
        memory.write(|tx| advance(tx, u64::MAX)).unwrap();
        assert_eq!(clock(&memory).unwrap(), 3_600 + 86_400);
    }
}
