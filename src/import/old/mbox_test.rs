//! mbox files of many programs, as they are read.

use super::*;

#[derive(Default)]
struct Collect(Vec<(Option<i64>, String)>);

impl Receiver<io::Error> for Collect {
    fn head(&mut self, date: Option<DateTime>, header: &[u8]) -> io::Result<()> {
        self.0.push((date.map(|date| date.unix), String::from_utf8_lossy(header).into_owned()));
        Ok(())
    }
    fn body(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.last_mut().unwrap().1.push_str(&String::from_utf8_lossy(bytes));
        Ok(())
    }
    fn end(&mut self) -> io::Result<()> {
        self.0.last_mut().unwrap().1.push('$');
        Ok(())
    }
}

/// Reads a few bytes at a time, so that every boundary is met.
struct Step<'a>(&'a [u8], usize);

impl Read for Step<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(out.len()).min(self.0.len());
        out[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn messages(text: &str) -> Vec<String> {
    let mut all: Option<Vec<(Option<i64>, String)>> = None;
    for step in [1, 7, 100_000] {
        let mut found = Collect::default();
        read(&mut Window::new(Step(text.as_bytes(), step)), &mut found).unwrap();
        assert!(all.as_ref().is_none_or(|all| *all == found.0), "steps of {step}");
        all = Some(found.0);
    }
    all.unwrap().into_iter().map(|(_, text)| text).collect()
}

const DATED: &str = "From anna@example.org Mon Jan  5 10:00:00 2004\n";

#[test]
fn plain_messages() {
    let text = format!("{DATED}A: 1\n\none\ntwo\n\n{DATED}A: 2\n\nthree\n\n\n{DATED}A: 3\n\n");
    assert_eq!(messages(&text), ["A: 1\n\none\ntwo\n$", "A: 2\n\nthree\n\n$", "A: 3\n\n$"]);
    let crlf = text.replace('\n', "\r\n");
    assert_eq!(messages(&crlf)[0], "A: 1\r\n\r\none\r\ntwo\r\n$");
    // Without an empty line between, at the end of the file, and with empty bodies.
    let text = format!("\n{DATED}A: 1\n\none\n{DATED}A: 2\n\n{DATED}A: 3\n{DATED}A: 4\n\nx");
    assert_eq!(messages(&text), ["A: 1\n\none\n$", "A: 2\n\n$", "A: 3\n$", "A: 4\n\nx$"]);
}

#[test]
fn prose_is_no_start() {
    for line in [
        "From what I see:\nNote: it works\n",
        "From Jan 5 on we meet\nWhen: 10:00\n",
        "From anna Mon Jan  5 10:00:00 2004 it began\nand so on\n",
        "From \nnothing\n",
        "From Tue 9 Jan 2024 14:00\nWhere: here\n",
        "From Monday 9 Jan 2024 14:00 on\nWhere: here\n",
        "From Berlin on Tue 9 Jan 2024 14:00\nWhere: here\n",
        "From 5 Jan 2004 10:00\nWhen: now\n",
        "From anna@example.org\nWhen: now\n",
    ] {
        let text = format!("{DATED}A: 1\n\nx\n\n{line}\n{DATED}A: 2\n\ny\n");
        assert_eq!(messages(&text), [format!("A: 1\n\nx\n\n{line}$"), "A: 2\n\ny\n$".to_owned()]);
    }
}

#[test]
fn files_without_dates_or_with_a_mark_before_them() {
    let text = "From anna@example.org\nSubject: 1\n\none\nFrom x\nA: b\n\nFrom bob\nSubject: 2\n\nFrom here on:\nx: y\n";
    let wanted = ["Subject: 1\n\none\nFrom x\nA: b\n$", "Subject: 2\n\nFrom here on:\nx: y\n$"];
    assert!(is_mbox(text.as_bytes()));
    assert_eq!(messages(text), wanted);
    assert!(!is_mbox(b"From anna@example.org\nnothing: known\n\n"));
    for text in [format!("\u{feff}{DATED}A: 1\n\nx\n"), format!("\u{feff}\n{text}")] {
        assert!(is_mbox(text.as_bytes()));
        assert!(messages(&text)[0].contains(": 1\n"), "{text}");
    }
    // Where only the file's name says what it is.
    assert_eq!(messages(&format!("A: 1\n\nx\n\n{DATED}A: 2\n\ny\n")), ["A: 1\n\nx\n$", "A: 2\n\ny\n$"]);
}

/// imap-backup quotes each line that begins with `From`, fields as well.
#[test]
fn quoted_fields() {
    let text = format!(
        "{DATED}To: b\n>From: a\n\n>From: x\n>>Fromage\n> y\n\n{DATED}From: c\n\n>From: x\n>From y\n"
    );
    let wanted = ["To: b\nFrom: a\n\nFrom: x\n>Fromage\n> y\n$", "From: c\n\n>From: x\nFrom y\n$"];
    assert_eq!(messages(&text), wanted);
}

#[test]
fn quoted_lines() {
    let text = format!("{DATED}A: 1\n\n>From here\n>>From there\n> From x\n>>>From\n\n{DATED}A: 2\n\ny\n");
    assert_eq!(messages(&text)[0], "A: 1\n\nFrom here\n>From there\n> From x\n>>>From\n$");
}

#[test]
fn content_length_that_is_right() {
    let body = format!("hello\n\n{DATED}Subject: quoted\n\n>From x\nend\n");
    let text = format!("{DATED}Content-Length: {}\n\n{body}\n{DATED}Content-Length: 3\n\nab\n", body.len());
    let found = messages(&text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0], format!("Content-Length: {}\n\n{body}$", body.len()));
    assert_eq!(found[1], "Content-Length: 3\n\nab\n$");
}

/// It was counted before its line ends became two bytes, or by a program that leaves out the last.
#[test]
fn content_length_that_ends_within_a_line_end() {
    let body = format!("hello\r\n\r\n{}Subject: quoted\r\n\r\nend\r\n", DATED.replace('\n', "\r\n"));
    let dated = DATED.replace('\n', "\r\n");
    let text =
        format!("{dated}Content-Length: {}\r\n\r\n{body}\r\n{dated}A: 2\r\n\r\nab\r\n", body.len() - 1);
    let found = messages(&text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].ends_with("end\r\n$"), "{found:?}");
}

#[test]
fn content_length_that_is_wrong() {
    for length in ["0", "5", "40", "100000", "99999999999999999999", "-1", "x"] {
        let head = format!("Content-Length: {length}\n\n");
        let text = format!("{DATED}{head}one\n>From x\n\n{DATED}A: 2\n\ntwo\n");
        assert_eq!(messages(&text), [format!("{head}one\nFrom x\n$"), "A: 2\n\ntwo\n$".to_owned()]);
    }
}

#[test]
fn start_lines_of_real_programs() {
    for (line, date) in [
        ("From anna@example.org Mon Jan  5 10:00:00 2004", Some(1_073_296_800)),
        ("From - Mon Jan 05 10:00:00 2004", Some(1_073_296_800)),
        ("From 1828754568043628583@xxx Mon Apr 07 14:31:02 +0000 2025", Some(1_744_036_262)),
        ("From MAILER-DAEMON Mon Jan  5 11:00:00 2004 +0100", Some(1_073_296_800)),
        ("From a Mon b@c Mon Jan  5 10:00 CET 2004", Some(1_073_293_200)),
        ("From ???@??? Mon Jan 05 10:00:00 2004", Some(1_073_296_800)),
        ("From -", None),
        ("From ", None),
    ] {
        let text = format!("{line}\r\nA: 1\r\n\r\nx\r\n");
        assert!(is_mbox(text.as_bytes()), "{line}");
        let mut found = Collect::default();
        read(&mut Window::new(text.as_bytes()), &mut found).unwrap();
        assert_eq!(found.0, [(date, "A: 1\r\n\r\nx\r\n$".to_owned())], "{line}");
    }
    assert!(!is_mbox(b"From: anna\n\nx"));
    assert!(!is_mbox(b"From here on\n"));
}

#[test]
fn very_long_lines_and_headers() {
    let long = "x".repeat(700_000);
    let text = format!("{DATED}A: 1\n\n{long}\n{DATED}A: {long}\nB: 2\n\nb\n\n{DATED}\nno header\n");
    let found = messages(&text);
    assert_eq!(found.len(), 3);
    assert_eq!(found[0], format!("A: 1\n\n{long}\n$"));
    assert_eq!(found[1], format!("A: {long}\nB: 2\n\nb\n$"));
    assert_eq!(found[2], "\nno header\n$");
}

#[test]
fn any_bytes_are_read_to_the_end() {
    let mut seed = 5_u32;
    let parts = [DATED, "\n", ">From ", "From ", "A: 1\n", "Content-Length: 9\n", "x", "\r\n", "\0"];
    for _ in 0..3_000 {
        let text: String = std::iter::once(DATED)
            .chain((0..12).map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                parts[(seed >> 16) as usize % parts.len()]
            }))
            .collect();
        assert!(!messages(&text).is_empty());
    }
}
