//! How text gets into a page. Names come from mail programs, file names and whoever sends mail: one with a mark of
//! direction in it would turn what stands around it, so that such letters are shown as what they are.

use std::borrow::Cow;
use std::fmt::Display;

use crate::model::printable;

/// A whole page, as it is sent: whatever template it comes from, no letter in it acts.
pub(super) fn page(text: String) -> String {
    match printable::lines(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(shown) => shown,
    }
}

/// A value that a form carries, as it stands in an attribute: a browser sends it back as it was, each letter of it.
pub(super) fn carried(value: impl Display) -> String {
    let value = value.to_string();
    let mut out = String::with_capacity(value.len());
    for letter in value.chars() {
        let mut bytes = [0; 4];
        if matches!(letter, '<' | '>' | '&' | '"' | '\'')
            || !printable::is_plain(letter.encode_utf8(&mut bytes))
        {
            out.push_str(&format!("&#{};", u32::from(letter)));
        } else {
            out.push(letter);
        }
    }
    out
}

/// Advice in which commands stand between backticks, as HTML that shows them as such.
pub(super) fn prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, (command, after))) =
        rest.split_once('`').and_then(|(before, rest)| Some((before, rest.split_once('`')?)))
    {
        out += &carried(before);
        out += "<code>";
        out += &carried(command);
        out += "</code>";
        rest = after;
    }
    out + &carried(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts() {
        assert_eq!(page("<p>a\u{202e}gpj.exe</p>\n".to_owned()), "<p>a\\u{202e}gpj.exe</p>\n");
        assert_eq!(page("<p>\tÜnal</p>\n".to_owned()), "<p>\tÜnal</p>\n");
        assert_eq!(prose("run `a <b>` & look at `it"), "run <code>a &#60;b&#62;</code> &#38; look at `it");
        assert_eq!(carried("a\u{202e}\"<b>'&ü"), "a&#8238;&#34;&#60;b&#62;&#39;&#38;ü");
    }
}
