//! Figures and times as people read them, the same on the command line and in the browser.

use crate::model::DateTime;

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

/// `1 message`, `5 messages`
#[must_use]
pub fn count(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

pub use crate::store::unix_now as now;

#[cfg(test)]
mod tests {
    use super::*;

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
