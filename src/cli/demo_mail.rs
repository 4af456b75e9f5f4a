//! The demo's sample mail: one of every kind that a mail program has to show.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::model::{DateTime, SystemFlags};

/// Bytes of the large attachment.
const LARGE: usize = 10 * 1024 * 1024;

/// A message and where it goes.
pub(super) struct Sample {
    pub(super) mailbox: &'static str,
    pub(super) flags: SystemFlags,
    /// In seconds since 1970.
    pub(super) received: i64,
    pub(super) message: Vec<u8>,
}

/// A tulip of 32 pixels, as PNG in base64.
const TULIP: &str = "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAMAAABEpIrGAAAAD1BMVEX6+vXIHjIojDzwyDz///8+\r\n\
     pGsWAAAAVElEQVR42mNgoCtgxCDR5BkZkUis8kBhOIlDAQKMWAUMhOQJK2AgJI9Qgi/KmZiY8KeJ\r\n\
     AVUAlUGlsKhAJrGqQBA4VMAwTndAAD4/MOH3KCF5cgIKAIqsAVlbZKtdAAAAAElFTkSuQmCC\r\n";
/// And a bulb of garlic.
const GARLIC: &str = "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAMAAABEpIrGAAAAD1BMVEX6+vXIHjIojDzwyDz///8+\r\n\
     pGsWAAAAWElEQVR42tXSOw7AMAgD0Ahz/zPng9QolYuHLsSrH0MCrdWLmd0PMACSGgsAn7VHOBn1\r\n\
     A5yIOb4BEfADOEh/gLdQAASgGvj/TP2Tehdym/oegkTSo8tqlg5tigTdu3+5pAAAAABJRU5ErkJg\r\n\
     gg==\r\n";

/// All of them, the newest received at `now`.
pub(super) fn all(now: i64) -> Vec<Sample> {
    let none = SystemFlags::default();
    let mut found = vec![
        inbox(now, 30, SystemFlags::SEEN, plain(now - 30 * HOUR)),
        inbox(now, 29, SystemFlags::SEEN.union(SystemFlags::FLAGGED), html(now - 29 * HOUR)),
        inbox(now, 26, SystemFlags::SEEN, attachments(now - 26 * HOUR)),
        inbox(now, 20, none, japanese(now - 20 * HOUR)),
        inbox(now, 12, SystemFlags::SEEN.union(SystemFlags::ANSWERED), thread(now - 12 * HOUR, 0)),
        inbox(now, 10, SystemFlags::SEEN, thread(now - 10 * HOUR, 2)),
        inbox(now, 5, none, large(now - 5 * HOUR)),
        inbox(now, 1, none, thread(now - HOUR, 3)),
    ];
    let mut answer = inbox(now, 11, SystemFlags::SEEN, thread(now - 11 * HOUR, 1));
    answer.mailbox = "Sent";
    found.push(answer);
    let mut draft = inbox(now, 2, SystemFlags::SEEN.union(SystemFlags::DRAFT), draft(now - 2 * HOUR));
    draft.mailbox = "Drafts";
    found.push(draft);
    found
}

const HOUR: i64 = 3600;

fn inbox(now: i64, hours: i64, flags: SystemFlags, message: Vec<u8>) -> Sample {
    Sample { mailbox: "INBOX", flags, received: now - hours * HOUR, message }
}

fn headers(id: &str, from: &str, subject: &str, at: i64, more: &str) -> String {
    format!(
        "Message-ID: <{id}@postern.example>\r\nDate: {}\r\nFrom: {from}\r\nTo: Demo <demo@postern.example>\r\n\
         Subject: {subject}\r\nMIME-Version: 1.0\r\n{more}",
        date(at)
    )
}

/// As a Date field has it.
fn date(at: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let day = DateTime::utc(at).local_date();
    let (year, month, of_month) = day.parts();
    let weekday = DAYS[day.days_since_epoch().rem_euclid(7) as usize];
    let month = MONTHS[usize::from(month.clamp(1, 12)) - 1];
    let second = at.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {of_month} {month} {year} {hour:02}:{minute:02}:{second:02} +0000")
}

fn plain(at: i64) -> Vec<u8> {
    let mut message = headers(
        "welcome",
        "Postern <postern@postern.example>",
        "Welcome to your own mail server",
        at,
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
    );
    message.push_str(
        "Hello,\r\n\r\nthis message lies in a database on this very machine, and nowhere else.\r\n\
         Flag it, move it, delete it: every device that is logged in sees the change at once.\r\n\r\n\
         Ünïcödé is welcome too. 🎉\r\n\r\n-- \r\nPostern\r\n",
    );
    message.into_bytes()
}

fn html(at: i64) -> Vec<u8> {
    let mut message = headers(
        "html",
        "\"Garden Weekly\" <news@garden.example>",
        "What to plant in November",
        at,
        "Content-Type: multipart/alternative; boundary=\"alt\"\r\n\r\n",
    );
    message.push_str(&format!(
        "--alt\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nTulips, garlic and broad beans.\r\n\
         --alt\r\nContent-Type: multipart/related; boundary=\"rel\"; type=\"text/html\"\r\n\r\n\
         --rel\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         <html><body><h1>November</h1><p>Tulips, garlic and broad beans =E2=80=93 <b>now</b>.</p>=\r\n\
         <img src=3D\"cid:tulip@garden.example\" alt=3D\"a tulip\" width=3D\"64\">=\r\n\
         <img src=3D\"cid:garlic@garden.example\" alt=3D\"garlic\" width=3D\"64\"></body></html>\r\n\
         --rel\r\nContent-Type: image/png; name=\"tulip.png\"\r\nContent-ID: <tulip@garden.example>\r\n\
         Content-Disposition: inline; filename=\"tulip.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         {TULIP}--rel\r\nContent-Type: image/png; name=\"garlic.png\"\r\nContent-ID: <garlic@garden.example>\r\n\
         Content-Disposition: inline; filename=\"garlic.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         {GARLIC}--rel--\r\n--alt--\r\n",
    ));
    message.into_bytes()
}

fn attachments(at: i64) -> Vec<u8> {
    let mut message = headers(
        "attachments",
        "Clara Müller <clara@example.org>".replace("Müller", "=?utf-8?Q?M=C3=BCller?=").as_str(),
        "The papers",
        at,
        "Content-Type: multipart/mixed; boundary=\"mix\"\r\n\r\n",
    );
    let forwarded = String::from_utf8(plain(at - HOUR)).unwrap_or_default();
    message.push_str(&format!(
        "--mix\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         Anbei die Unterlagen, sch=F6ne Gr=FC=DFe.\r\n\
         --mix\r\nContent-Type: text/csv; charset=utf-8\r\n\
         Content-Disposition: attachment; filename*=utf-8''f%C3%BCr%20dich.csv\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n\
         --mix\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n{forwarded}\r\n--mix--\r\n",
        STANDARD.encode("name;sum\r\nClara;12,50\r\n"),
    ));
    message.into_bytes()
}

fn japanese(at: i64) -> Vec<u8> {
    let word = |text: &str| format!("=?UTF-8?B?{}?=", STANDARD.encode(text));
    let mut message = headers(
        "japanese",
        &format!("{} <sakura@example.jp>", word("山田さくら")),
        &format!("{}\r\n {}", word("花見のお誘い 🌸"), word("来週の土曜日")),
        at,
        "Content-Type: text/plain; charset=iso-2022-jp\r\nContent-Transfer-Encoding: 7bit\r\n\r\n",
    );
    let (text, _, _) =
        encoding_rs::ISO_2022_JP.encode("来週の土曜日、花見に行きませんか。\r\n\r\nさくら\r\n");
    let mut message = std::mem::take(&mut message).into_bytes();
    message.extend_from_slice(&text);
    message
}

fn thread(at: i64, n: usize) -> Vec<u8> {
    const WORDS: [&str; 4] = [
        "Shall we meet on Saturday at ten?",
        "Gladly, but rather at eleven.",
        "Eleven is fine. By the river?",
        "By the river, by the old postern gate.",
    ];
    let from = if n == 1 { "Demo <demo@postern.example>" } else { "Ben <ben@example.org>" };
    let subject = if n == 0 { "Saturday" } else { "Re: Saturday" };
    let references: Vec<String> = (0..n).map(|n| format!("<thread{n}@postern.example>")).collect();
    let mut more = String::new();
    if let Some(last) = references.last() {
        more = format!("In-Reply-To: {last}\r\nReferences: {}\r\n", references.join("\r\n "));
    }
    more.push_str("Content-Type: text/plain; charset=utf-8\r\n\r\n");
    let mut message = headers(&format!("thread{n}"), from, subject, at, &more);
    message.push_str(WORDS.get(n).copied().unwrap_or_default());
    message.push_str("\r\n");
    message.into_bytes()
}

fn draft(at: i64) -> Vec<u8> {
    let more = "Content-Type: text/plain; charset=utf-8\r\n\r\nDear Clara,\r\n\r\nthank you for\r\n";
    headers("draft", "Demo <demo@postern.example>", "Re: The papers", at, more).into_bytes()
}

/// With an attachment of 10 MB that does not compress, as photographs do not.
fn large(at: i64) -> Vec<u8> {
    let mut message = headers(
        "large",
        "Ben <ben@example.org>",
        "The photographs",
        at,
        "Content-Type: multipart/mixed; boundary=\"big\"\r\n\r\n",
    )
    .into_bytes();
    message.extend_from_slice(
        b"--big\r\nContent-Type: text/plain\r\n\r\nFrom the trip.\r\n\
          --big\r\nContent-Type: application/zip; name=\"photographs.zip\"\r\n\
          Content-Disposition: attachment; filename=\"photographs.zip\"\r\n\
          Content-Transfer-Encoding: base64\r\n\r\n",
    );
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut line = [0_u8; 57];
    for _ in 0..LARGE / line.len() {
        for byte in &mut line {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = (state >> 24) as u8;
        }
        message.extend_from_slice(STANDARD.encode(line).as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"--big--\r\n");
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_as_rfc_5322_has_them() {
        assert_eq!(date(0), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(date(1_795_536_000), "Tue, 24 Nov 2026 16:00:00 +0000");
    }

    #[test]
    fn one_of_every_kind() {
        let all = all(1_795_536_000);
        assert!(all.iter().any(|sample| sample.message.len() > LARGE));
        for sample in &all {
            let crlf = sample.message.windows(2).filter(|two| two == b"\r\n").count();
            assert_eq!(sample.message.iter().filter(|byte| **byte == b'\n').count(), crlf);
            assert!(sample.message.windows(4).any(|four| four == b"\r\n\r\n"));
        }
    }
}
