//! Dates and times of the Gregorian calendar, as mail writes them.

use std::fmt;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SECONDS_A_DAY: i64 = 86_400;

/// A calendar date without a zone: what SEARCH compares (RFC 9051 §6.4.4, "disregarding time and
/// timezone").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CivilDate {
    year: i32,
    month: u8,
    day: u8,
}

impl CivilDate {
    /// `None` if there is no such day. Years 1 to 9999.
    #[must_use]
    pub fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        let valid = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && day >= 1
            && day <= days_in(year, month);
        valid.then_some(CivilDate { year, month, day })
    }

    /// Year, month from 1, day from 1.
    #[must_use]
    pub const fn parts(self) -> (i32, u8, u8) {
        (self.year, self.month, self.day)
    }

    /// Days since 1 January 1970.
    #[must_use]
    pub fn days_since_epoch(self) -> i64 {
        // Howard Hinnant's days_from_civil: years begin in March, so that leap days come last.
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// The date that many days after 1 January 1970, kept within the years 1 to 9999.
    #[must_use]
    pub fn from_days_since_epoch(days: i64) -> Self {
        let days = days.clamp(-719_162, 2_932_896) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * month + 2) / 5 + 1) as u8;
        let month = if month < 10 { month + 3 } else { month - 9 } as u8;
        let year = (year_of_era + era * 400) as i32 + i32::from(month <= 2);
        CivilDate { year, month, day }
    }
}

/// The number that some decimal digits are, if they are as many as they may be and nothing else: a number parser of
/// the language takes signs too.
#[must_use]
pub fn digits<T: TryFrom<u32>>(text: &str, count: std::ops::RangeInclusive<usize>) -> Option<T> {
    let only = count.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = only.then(|| text.parse().ok()).flatten()?;
    T::try_from(number).ok()
}

/// Minutes east of UTC of a zone as `+0130` (`zone`, RFC 9051 §9, RFC 5322 §3.3).
#[must_use]
pub fn zone_minutes(zone: &str) -> Option<i16> {
    let (sign, number) = zone.split_at_checked(1)?;
    let number: i16 = digits(number, 4..=4)?;
    let minutes = (number % 100 < 60).then(|| number / 100 * 60 + number % 100)?;
    match sign {
        "+" => Some(minutes),
        "-" => Some(-minutes),
        _ => None,
    }
}

/// The number of a month by its English abbreviation, in any case.
#[must_use]
pub fn month_by_name(name: &str) -> Option<u8> {
    MONTHS.iter().position(|known| known.eq_ignore_ascii_case(name)).map(|n| n as u8 + 1)
}

/// A moment, and the zone in which it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateTime {
    /// Seconds since 1 January 1970, UTC.
    pub unix: i64,
    /// East of UTC, in minutes.
    pub offset_minutes: i16,
}

impl DateTime {
    /// A moment as UTC writes it.
    #[must_use]
    pub const fn utc(unix: i64) -> Self {
        DateTime { unix, offset_minutes: 0 }
    }

    /// From the clock that hangs on the wall at `offset_minutes` east of UTC. `None` for an hour past 23,
    /// a minute past 59, a second past 60 (a leap second counts as the next), a zone beyond ±24 h.
    #[must_use]
    pub fn from_local(
        date: CivilDate,
        hour: u8,
        minute: u8,
        second: u8,
        offset_minutes: i16,
    ) -> Option<Self> {
        if hour > 23 || minute > 59 || second > 60 || offset_minutes.unsigned_abs() >= 24 * 60 {
            return None;
        }
        let local = date.days_since_epoch() * SECONDS_A_DAY
            + i64::from(hour) * 3600
            + i64::from(minute) * 60
            + i64::from(second);
        Some(DateTime { unix: local - i64::from(offset_minutes) * 60, offset_minutes })
    }

    /// The date on the wall in its own zone.
    #[must_use]
    pub fn local_date(self) -> CivilDate {
        CivilDate::from_days_since_epoch(self.local_seconds().div_euclid(SECONDS_A_DAY))
    }

    /// As INTERNALDATE shows it, without its quotes: `17-Jul-1996 02:44:25 -0700` (`date-time`, RFC 9051
    /// §9); the day is padded with a space.
    #[must_use]
    pub fn imap(self) -> ImapDateTime {
        ImapDateTime(self)
    }

    fn local_seconds(self) -> i64 {
        self.unix.saturating_add(i64::from(self.offset_minutes) * 60)
    }
}

/// Shows a [`DateTime`] as INTERNALDATE does.
#[derive(Clone, Copy, Debug)]
pub struct ImapDateTime(DateTime);

impl fmt::Display for ImapDateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.local_date().parts();
        let seconds = self.0.local_seconds().rem_euclid(SECONDS_A_DAY);
        let month = MONTHS[usize::from(month - 1)];
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let sign = if self.0.offset_minutes < 0 { '-' } else { '+' };
        let zone = self.0.offset_minutes.unsigned_abs();
        write!(
            f,
            "{day:2}-{month}-{year:04} {hour:02}:{minute:02}:{second:02} {sign}{:02}{:02}",
            zone / 60,
            zone % 60
        )
    }
}

fn days_in(year: i32, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_there_and_back() {
        for days in (-719_162..2_932_896).step_by(97) {
            assert_eq!(CivilDate::from_days_since_epoch(days).days_since_epoch(), days);
        }
        assert_eq!(CivilDate::new(2000, 3, 1).unwrap().days_since_epoch(), 11_017);
        assert!(CivilDate::new(2023, 2, 29).is_none());
        assert!(CivilDate::new(2000, 2, 29).is_some());
        assert!(CivilDate::new(1900, 2, 29).is_none());
    }

    #[test]
    fn digits_and_zones() {
        assert_eq!(
            (digits::<u8>("07", 1..=2), digits::<u8>("7", 2..=2), digits::<u8>("+7", 1..=2)),
            (Some(7), None, None)
        );
        assert_eq!((digits::<u8>("300", 1..=3), digits::<i32>("99999999999", 1..=20)), (None, None));
        assert_eq!((zone_minutes("+0130"), zone_minutes("-0800")), (Some(90), Some(-480)));
        for wrong in ["", "+", "0130", "+130", "+-100", "-+100", "+0160", "*0100", "+01:0", "é100"] {
            assert_eq!(zone_minutes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn internal_date_of_the_rfc() {
        let date = CivilDate::new(1996, 7, 17).unwrap();
        let moment = DateTime::from_local(date, 2, 44, 25, -420).unwrap();
        assert_eq!(moment.imap().to_string(), "17-Jul-1996 02:44:25 -0700");
        assert_eq!(moment.unix, 837_596_665);
        assert_eq!(DateTime::utc(0).imap().to_string(), " 1-Jan-1970 00:00:00 +0000");
        assert_eq!(
            DateTime { unix: 0, offset_minutes: -60 }.local_date(),
            CivilDate::new(1969, 12, 31).unwrap()
        );
    }
}
