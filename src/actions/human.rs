//! Figures and times as people read them, the same on the command line and in the browser.

use crate::model::{CivilDate, DateTime};

/// `1.5 MB`
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} bytes") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// How long ago, or the day; `never` where there is no time.
#[must_use]
pub fn when(unix: Option<i64>, now: i64) -> String {
    let Some(unix) = unix else { return "never".to_owned() };
    match now - unix {
        ..60 => "just now".to_owned(),
        ago @ 60..3600 => format!("{} min ago", ago / 60),
        ago @ 3600..86_400 => format!("{} h ago", ago / 3600),
        _ => day(unix),
    }
}

/// `3 days`, `5 h`, `12 min`
#[must_use]
pub fn duration(seconds: u64) -> String {
    match seconds {
        ..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `2026-11-24`
#[must_use]
pub fn day(unix: i64) -> String {
    let (year, month, day) = DateTime::utc(unix).local_date().parts();
    format!("{year:04}-{month:02}-{day:02}")
}

/// A day that was typed as `2024-12-31`, in days since 1 January 1970.
///
/// # Errors
/// How it must be typed.
pub fn parse_day(text: &str) -> Result<i64, String> {
    let mut parts = text.splitn(3, '-');
    let date = (|| {
        let year = parts.next()?.parse().ok()?;
        let month = parts.next()?.parse().ok()?;
        CivilDate::new(year, month, parts.next()?.parse().ok()?)
    })();
    date.map(CivilDate::days_since_epoch).ok_or_else(|| "it must be a day as 2024-12-31".to_owned())
}

/// With a capital letter at its beginning.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `1 message`, `5 messages`
#[must_use]
pub fn count(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Text of others in a line: nothing in it can move a terminal's cursor, end the line or turn what is around it to
/// the other direction. The letters of any script are as they were.
#[must_use]
pub fn harmless(text: &str) -> String {
    let spaced = text.chars().map(|c| if c.is_whitespace() || c.is_control() { ' ' } else { c });
    spaced.filter(|c| !is_unseen(*c)).collect::<String>().trim().to_owned()
}

/// As [`harmless`], of several lines: no more than one in a row is empty.
#[must_use]
pub fn harmless_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines() {
        let kept = line.chars().map(|c| if c == '\t' { ' ' } else { c });
        let line: String = kept.filter(|c| !c.is_control() && !is_unseen(*c)).collect();
        empty = if line.trim().is_empty() { empty + 1 } else { 0 };
        if empty < 2 {
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Marks that are not seen but change how what is seen looks: directions, zero widths, lines of their own.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

pub use crate::store::unix_now as now;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others() {
        assert_eq!(harmless("a\u{1b}[2Jb\r\nc\td\u{202e}txt.exe\u{9b}31m"), "a [2Jb  c dtxt.exe 31m");
        assert_eq!(harmless("  日本 \u{5d0}\u{5d1} 👩\u{200d}💻 "), "日本 \u{5d0}\u{5d1} 👩\u{200d}💻");
        assert_eq!(harmless_lines("a \r\n\n\n\nb\u{1b}]0;x\u{7}\u{2028}\n  c\n\n"), "a\n\nb]0;x\n  c");
    }

    #[test]
    fn days() {
        assert_eq!(parse_day("1970-01-02"), Ok(1));
        for text in ["", "1970", "1970-02-30", "1970-1-1x", "yesterday"] {
            assert!(parse_day(text).is_err(), "{text}");
        }
    }

    #[test]
    fn figures() {
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(1_500_000), "1.5 MB");
        assert_eq!(count(1, "file", "files") + &count(0, "file", "files"), "1 file0 files");
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(when(Some(100), 90), "just now");
        assert_eq!(when(Some(0), 7_300), "2 h ago");
        assert_eq!(
            (duration(120), duration(7_200), duration(200_000)),
            ("2 min".into(), "2 h".into(), "2 days".into())
        );
    }
}
