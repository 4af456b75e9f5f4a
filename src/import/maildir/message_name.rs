//! Names of files in a Maildir ↔ what they say about the message. Pure.
//!
//! `1700000000.M5P7.host,S=1234,W=1260:2,FSab` is a base name, parts that servers add and change
//! (`,S=` `,W=` sizes, `,U=` a synchroniser's UID), and an info part with flags. Only the base name
//! stays the same as clients read, flag and synchronise the message.

use super::keywords::Keywords;
use crate::model::{Flag, FlagSet, Keyword, SystemFlags};

/// `:` is the rule; `;` and `!` stand in for it on file systems that do not allow a colon.
const INFO_MARKS: [u8; 3] = [b':', b';', b'!'];
/// What else a colon becomes on its way through such file systems, archives and browsers: escaped, as Cygwin and SMB map it, as its
/// full-width twin, as the characters that programs put in place of what they do not allow, and nothing at all.
const LOST_MARKS: [&[u8]; 7] =
    [b"%3A", b"%3a", b"\xef\x80\xba", b"\xef\x80\xa2", b"\xef\xbc\x9a", b"_", b"-"];

/// The name without its info part and without its `,U=` `,S=` and `,W=` parts. Never empty unless the
/// name is.
#[must_use]
pub fn base(name: &[u8]) -> Vec<u8> {
    // A name of flags alone is one by itself.
    let bare = Some(split_info(name).0).filter(|bare| !bare.is_empty()).unwrap_or(name);
    let mut parts = bare.split(|byte| *byte == b',');
    let mut base = parts.next().unwrap_or_default().to_vec();
    for part in parts.filter(|part| !is_added(part)) {
        base.push(b',');
        base.extend_from_slice(part);
    }
    if base.is_empty() { bare.to_vec() } else { base }
}

/// The letters of the info part: `FS` of `x:2,FS`.
#[must_use]
pub fn letters(name: &[u8]) -> &[u8] {
    split_info(name).1
}

/// The flags that a name tells, keywords by what the folder tells of them.
///
/// `T` (trashed) is `\Deleted`; `P` (passed on) is `$Forwarded`, as the registered keyword has it
/// (RFC 5788 §3). Letters that mean nothing here are left out.
#[must_use]
pub fn flags(name: &[u8], keywords: &Keywords) -> FlagSet {
    letters(name)
        .iter()
        .filter_map(|letter| match letter {
            b'S' => Some(Flag::System(SystemFlags::SEEN)),
            b'R' => Some(Flag::System(SystemFlags::ANSWERED)),
            b'F' => Some(Flag::System(SystemFlags::FLAGGED)),
            b'D' => Some(Flag::System(SystemFlags::DRAFT)),
            b'T' => Some(Flag::System(SystemFlags::DELETED)),
            b'P' => Keyword::new("$Forwarded").map(Flag::Keyword),
            b'a'..=b'z' => keywords.by_letter(*letter).cloned().map(Flag::Keyword),
            _ => None,
        })
        .chain(keywords.by_name(split_info(name).0).iter().cloned().map(Flag::Keyword))
        .collect()
}

/// The delivery time that the name begins with, in seconds since 1970.
#[must_use]
pub fn seconds(name: &[u8]) -> Option<i64> {
    let end = name.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = name.split_at(end);
    // `1700000000.` by the rule, `1700000000_1.` from OfflineIMAP; anything else is just a number. More
    // digits are no seconds: no date of ours has five digits for its year.
    if !matches!(rest.first(), Some(b'.' | b'_')) || !matches!(digits.len(), 9 | 10) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// When a message arrived: what its file's name says or the time of the file, whichever is earlier. Dovecot and
/// mbsync name a file by the moment at which they made it and give it the time at which the message arrived,
/// which may be years before; a copy of a Maildir keeps the names, and often not the times.
#[must_use]
pub fn arrived(name: &[u8], modified: Option<i64>) -> Option<i64> {
    // A file system without times says 1970 or earlier.
    seconds(name).into_iter().chain(modified.filter(|time| *time > 0)).min().or(modified)
}

/// Whether our own export gave a file this name: `1700000000.M1U7.postern`. Such a file is a message, whatever is in it.
#[must_use]
pub(crate) fn is_own(name: &[u8]) -> bool {
    let is_number = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let base = base(name);
    let Some(rest) = base.strip_suffix(b".postern") else { return false };
    // Another server's file that a host of this name delivered has a `P` there.
    let mut parts = rest.split(|byte| *byte == b'.');
    let (Some(seconds), Some(which), None) = (parts.next(), parts.next(), parts.next()) else { return false };
    let numbers = which.strip_prefix(b"M").and_then(|numbers| {
        let at = numbers.iter().position(|byte| *byte == b'U')?;
        Some((numbers.get(..at)?, numbers.get(at + 1..)?))
    });
    is_number(seconds) && numbers.is_some_and(|(mailbox, uid)| is_number(mailbox) && is_number(uid))
}

/// The file's size, where the name tells it.
#[must_use]
pub fn told_size(name: &[u8]) -> Option<u64> {
    let size = split_info(name).0.split(|byte| *byte == b',').find_map(|part| part.strip_prefix(b"S="))?;
    std::str::from_utf8(size).ok()?.parse().ok()
}

/// Bare name and flag letters. The last mark counts, for a base name may hold a colon of its own.
pub(crate) fn split_info(name: &[u8]) -> (&[u8], &[u8]) {
    let at = name.windows(3).rposition(|three| match three {
        [mark, version, b','] => INFO_MARKS.contains(mark) && matches!(version, b'1' | b'2'),
        _ => false,
    });
    match at {
        // `1,` is the experimental form: no flags that anyone defined.
        Some(at) if name[at + 1] == b'1' => (&name[..at], &[]),
        Some(at) => (&name[..at], &name[at + 3..]),
        // `name:` and `name:2` are seen where a program was sloppy.
        None if let Some(found) = split_lost(name) => found,
        None => match name {
            [bare @ .., mark] | [bare @ .., mark, b'2'] if INFO_MARKS.contains(mark) && !bare.is_empty() => {
                (bare, &[])
            }
            _ => (name, &[]),
        },
    }
}

/// The same where the mark was lost: only the letters that a program writes, in their order, and only behind what a program
/// calls its files, the moment of the delivery first.
fn split_lost(name: &[u8]) -> Option<(&[u8], &[u8])> {
    seconds(name)?;
    let at = name.windows(2).rposition(|two| two == b"2,")?;
    let (bare, letters) = (name.get(..at)?, name.get(at + 2..)?);
    let is_flag = |letter: &u8| b"DFPRST".contains(letter) || letter.is_ascii_lowercase();
    if !letters.iter().all(is_flag) || !letters.is_sorted() {
        return None;
    }
    let mark = LOST_MARKS.iter().find_map(|mark| bare.strip_suffix(*mark));
    Some((mark.unwrap_or(bare), letters))
}

/// `U=12`, `S=1234`, `W=1260`.
fn is_added(part: &[u8]) -> bool {
    matches!(part, [b'U' | b'S' | b'W', b'=', digits @ ..]
        if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_names_of_real_programs() {
        for (name, wanted) in [
            ("1700000000.M5P7.host", "1700000000.M5P7.host"),
            ("1700000000.M5P7.host:2,", "1700000000.M5P7.host"),
            ("1700000000.M5P7.host,S=1234,W=1260:2,FSab", "1700000000.M5P7.host"),
            ("1700000000.M5P7.host,S=1234:2,S", "1700000000.M5P7.host"),
            // mbsync
            ("1394400000.12345_7.box,U=44:2,RS", "1394400000.12345_7.box"),
            ("1394400000.12345_7.box:2,S", "1394400000.12345_7.box"),
            // OfflineIMAP: its own parts stay, only U S W go
            (
                "1446800000_0.789.box,U=3,FMD5=7e33429f656f1e6e9d79b29c3f82c57e:2,S",
                "1446800000_0.789.box,FMD5=7e33429f656f1e6e9d79b29c3f82c57e",
            ),
            // a colon of its own, marks of other systems, sloppy ends
            ("a:b:2,S", "a:b"),
            ("a;2,S", "a"),
            ("a!2,S", "a"),
            ("a:1,xyz", "a"),
            ("a:", "a"),
            ("a:2", "a"),
            // A colon that was lost on the way
            ("1700000000.M5P7.host2,S", "1700000000.M5P7.host"),
            ("1700000000.M5P7.host_2,S", "1700000000.M5P7.host"),
            ("1700000000.M5P7.host-2,", "1700000000.M5P7.host"),
            ("1700000000.M5P7.host%3A2,FS", "1700000000.M5P7.host"),
            ("1700000000.M5P7.host\u{f022}2,RSab", "1700000000.M5P7.host"),
            ("1700000000.M5P7.host\u{f03a}2,RSab", "1700000000.M5P7.host"),
            ("1700000000.M5P7.host\u{ff1a}2,S", "1700000000.M5P7.host"),
            ("1700000000.M5P7.host,S=12_2,S", "1700000000.M5P7.host"),
            ("1700000000.M5P7.host2,S=12", "1700000000.M5P7.host2"),
            ("1700000000.M5P7.host2,SR", "1700000000.M5P7.host2,SR"),
            ("letter2,S", "letter2,S"),
            (",U=5", ",U=5"),
            (",U=5:2,S", ",U=5"),
            (":2,S", ":2,S"),
            (":2,a,S=5", ":2,a"),
            (":2,a,S=5:2,S", ":2,a"),
            ("a,S=,W=1x", "a,S=,W=1x"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&base(name.as_bytes())), wanted, "{name}");
        }
    }

    #[test]
    fn every_letter() {
        let keywords = Keywords::parse(b"0 $Label1\n1 NonJunk\r\n2 not a keyword\n99 far\nx y\n25 last");
        let all = flags(b"x:2,DFPRSTabcz9", &keywords);
        for (flag, name) in SystemFlags::NAMED {
            assert!(all.system.contains(flag), "{name}");
        }
        let names: Vec<_> = all.keywords.iter().map(Keyword::as_str).collect();
        assert_eq!(names, ["$Forwarded", "$Label1", "NonJunk", "last"]);
        assert!(flags(b"1700000000.M5P7.host_2,FS", &keywords).system.contains(SystemFlags::SEEN));
        assert!(flags(b"new-one", &keywords).is_empty());
        assert!(flags(b"x:2,abc", &Keywords::default()).is_empty());
    }

    #[test]
    fn files_of_our_own_export() {
        assert!(is_own(b"1700000000.M1U7.postern,S=8,W=11:2,PSab"));
        assert!(is_own(b"1700000000.M12U700.postern"));
        for name in [
            "1700000000.M5P7.postern,S=8:2,S",
            "1700000000.M1U.postern",
            "x.M1U7.postern",
            ".postern",
            "postern",
        ] {
            assert!(!is_own(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(told_size(b"1700000000.M5P7.host,S=1234,W=1260:2,FSab"), Some(1234));
        assert_eq!(told_size(b"1700000000.M5P7.host,W=1260:2,S"), None);
        assert_eq!(told_size(b"a,S=x"), None);
    }

    #[test]
    fn arrival_is_the_earlier_time() {
        let name = b"1700000000.M5P7.host";
        assert_eq!(arrived(name, Some(1_000_000_000)), Some(1_000_000_000), "Dovecot and mbsync");
        assert_eq!(arrived(name, Some(1_790_000_000)), Some(1_700_000_000), "copied without its time");
        assert_eq!(arrived(name, Some(0)), Some(1_700_000_000));
        assert_eq!(arrived(name, None), Some(1_700_000_000));
        assert_eq!(arrived(b"message-7", Some(1_790_000_000)), Some(1_790_000_000));
        assert_eq!(arrived(b"message-7", Some(0)), Some(0));
        assert_eq!(arrived(b"message-7", None), None);
    }

    #[test]
    fn delivery_seconds() {
        assert_eq!(seconds(b"1700000000.M5P7.host"), Some(1_700_000_000));
        assert_eq!(seconds(b"1446800000_0.789.box"), Some(1_446_800_000));
        assert_eq!(seconds(b"message-7"), None);
        assert_eq!(seconds(b"12.x"), None);
        assert_eq!(seconds(b"1700000000123.milliseconds"), None);
        assert_eq!(seconds(b"99999999999999999999999.x"), None);
        assert_eq!(seconds(b"1700000000"), None);
    }

    #[test]
    fn any_bytes_are_a_name() {
        let mut seed = 3_u32;
        for _ in 0..5_000 {
            let name: Vec<u8> = (0..12)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    b":;!12,USW=.ab\xff\xc3"[(seed >> 16) as usize % 15]
                })
                .collect();
            for end in 0..=name.len() {
                let part = &name[..end];
                let _ = (flags(part, &Keywords::default()), seconds(part));
                assert_eq!(base(part).is_empty(), part.is_empty());
            }
        }
    }
}
