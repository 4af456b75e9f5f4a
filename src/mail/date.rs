//! Dates of messages (RFC 5322 §3.3, §4.3), read as leniently as people's programs write them.

use crate::model::{CivilDate, DateTime, digits, month_by_name, zone_minutes};

/// Reads a date. `None` if no day can be made out.
#[must_use]
pub fn parse_date(value: &[u8]) -> Option<DateTime> {
    let text = String::from_utf8_lossy(value);
    let words = words(&text);
    let at = words.iter().position(|word| month(word).is_some())?;
    let month = month(&words[at])?;
    // `17 Jul 1996 02:44` or, as asctime has it, `Jul 17 02:44:25 1996`.
    let before = at.checked_sub(1).and_then(|before| digits(&words[before], 1..=3));
    let (day, rest) = match before {
        Some(day) => (day, &words[at + 1..]),
        None => (digits(words.get(at + 1)?, 1..=3)?, &words[at + 2..]),
    };
    let year =
        rest.iter().find(|word| !word.contains(':') && word.bytes().all(|byte| byte.is_ascii_digit()))?;
    let date = CivilDate::new(full_year(year)?, month, day)?;
    let clock = rest.iter().find(|word| word.contains(':')).map_or(Some((0, 0, 0)), |word| time(word))?;
    let zone = rest.iter().rev().find_map(|word| zone(word)).unwrap_or(0);
    DateTime::from_local(date, clock.0, clock.1, clock.2, zone)
}

/// Words without comments; hyphens in `17-Jul-1996` and the comma separate too.
fn words(text: &str) -> Vec<String> {
    let (mut out, mut word, mut depth) = (Vec::new(), String::new(), 0_u32);
    for c in text.chars().take(500).chain([' ']) {
        match c {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            c if c.is_whitespace()
                || c == ','
                || c == '-' && word.len() < 4 && !word.is_empty() && !word.contains(':') =>
            {
                if !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    out
}

fn month(word: &str) -> Option<u8> {
    // `July` and `Sept` are seen.
    word.get(..3).filter(|_| word.bytes().all(|byte| byte.is_ascii_alphabetic())).and_then(month_by_name)
}

/// RFC 5322 §4.3.
fn full_year(word: &str) -> Option<i32> {
    let year: i32 = word.parse().ok()?;
    Some(match word.len() {
        2 if year < 50 => year + 2000,
        2 | 3 => year + 1900,
        _ => year,
    })
}

fn time(word: &str) -> Option<(u8, u8, u8)> {
    let mut parts = word.split(':');
    let (hour, minute) = (digits(parts.next()?, 1..=2)?, digits(parts.next()?, 1..=2)?);
    let second = parts.next().map_or(Some(0), |second| digits(second.split('.').next()?, 1..=2))?;
    Some((hour, minute, second))
}

/// Minutes east of UTC.
fn zone(word: &str) -> Option<i16> {
    let hours = match word {
        "UT" | "UTC" | "GMT" | "Z" => 0,
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        "CET" | "MET" => 1,
        "CEST" | "MEST" => 2,
        _ => {
            return zone_minutes(&word.replace(':', ""));
        }
    };
    Some(hours * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        parse_date(text.as_bytes()).map_or("-".to_owned(), |date| date.imap().to_string())
    }

    #[test]
    fn examples_of_the_rfc_and_of_programs() {
        for (text, wanted) in [
            ("Fri, 21 Nov 1997 09:55:06 -0600", "21-Nov-1997 09:55:06 -0600"),
            (
                "Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 (Newfoundland Time)",
                "13-Feb-1969 23:32:00 -0330",
            ),
            ("21 Nov 97 09:55:06 GMT", "21-Nov-1997 09:55:06 +0000"),
            ("Wed, 17-Jul-96 02:44:25 PDT", "17-Jul-1996 02:44:25 -0700"),
            ("Mon Jan  5 10:00:00 2004", " 5-Jan-2004 10:00:00 +0000"),
            ("1 January 2020", " 1-Jan-2020 00:00:00 +0000"),
            ("Tue, 1 Jul 2003 10:52:37 +02:00", " 1-Jul-2003 10:52:37 +0200"),
            ("Tue, 1 Jul 103 10:52:37.123 +0200", " 1-Jul-2003 10:52:37 +0200"),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_date() {
        for text in [
            "",
            "yesterday",
            "32 Jan 2020",
            "1 Jan",
            "Jan",
            "1 Jan 2020 25:00:00",
            "1 Foo 2020",
            "ſ Jan 2020 é",
        ] {
            assert_eq!(shown(text), "-", "{text}");
        }
    }
}
