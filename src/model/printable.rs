//! Text that others made, made fit to be shown: in a log, on a terminal, on a page. A name with a line end in it would
//! be a line of its own, one with an escape would move the cursor, and one with a mark of direction would read otherwise.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a letter does something else than be shown.
fn acts(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether every letter of it is one that is shown.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(acts)
}

fn escaped(text: &str, stays: impl Fn(usize, char) -> bool) -> Cow<'_, str> {
    if !text.char_indices().any(|(at, letter)| acts(letter) && !stays(at, letter)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (at, letter) in text.char_indices() {
        if !acts(letter) || stays(at, letter) {
            out.push(letter);
        } else {
            // Of a String it cannot fail.
            let _ = write!(out, "{}", letter.escape_unicode());
        }
    }
    Cow::Owned(out)
}

/// One line of text.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, |_, _| false)
}

/// Several lines of text: their ends and tabs stay.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    escaped(text, |at, letter| match letter {
        '\n' | '\t' => true,
        '\r' => bytes.get(at + 1) == Some(&b'\n'),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown_instead() {
        for plain in ["", "Entwürfe", "日本語 💌", "a'b\"c\\d"] {
            assert!(matches!(one_line(plain), Cow::Borrowed(same) if same == plain), "{plain}");
        }
        assert_eq!(one_line("1.a\n WARN x"), "1.a\\u{a} WARN x");
        assert_eq!(one_line("\x1b[2Jx\r\0"), "\\u{1b}[2Jx\\u{d}\\u{0}");
        assert_eq!(one_line("a\u{202e}b\u{2066}c\u{200f}\u{85}"), "a\\u{202e}b\\u{2066}c\\u{200f}\\u{85}");
        assert_eq!(lines("a\tb\r\nc\rd\x07\n"), "a\tb\r\nc\\u{d}d\\u{7}\n");
    }
}
