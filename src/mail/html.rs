//! The words of an HTML page, as they come: enough for search and preview, no renderer.

/// A longer tag or entity is text.
const LONGEST_TAG: usize = 64;

/// Takes tags, scripts and styles out of HTML and decodes entities.
#[derive(Debug, Default)]
pub(super) struct Words {
    state: State,
    /// The name of the tag, or the entity, so far.
    name: String,
    /// Within `<style>` or `<script>`: until its end.
    hidden: Option<&'static str>,
    /// Whether it is for a reader: lines end where the page has them end, and nowhere else.
    lines: bool,
}

#[derive(Debug, Default, PartialEq)]
enum State {
    #[default]
    Text,
    Tag,
    /// In a tag behind its name; within quotes.
    Attributes(Option<char>),
    Comment(u8),
    Entity,
}

/// Tags that begin a line.
const BREAKS: [&str; 24] = [
    "p",
    "br",
    "div",
    "tr",
    "li",
    "ul",
    "ol",
    "dl",
    "dt",
    "dd",
    "table",
    "blockquote",
    "pre",
    "hr",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "section",
    "article",
    "header",
    "footer",
];

impl Words {
    /// For a reader, with lines.
    pub(super) fn lines() -> Self {
        Words { lines: true, ..Words::default() }
    }

    /// Appends the text of the next characters to `out`.
    pub(super) fn push(&mut self, html: &str, out: &mut String) {
        for c in html.chars() {
            self.step(c, out);
        }
    }

    fn step(&mut self, c: char, out: &mut String) {
        match &mut self.state {
            State::Text => match c {
                '<' => {
                    self.name.clear();
                    self.state = State::Tag;
                }
                _ if self.hidden.is_some() => {}
                '&' => {
                    self.name.clear();
                    self.state = State::Entity;
                }
                _ if self.lines && c.is_whitespace() => out.push(' '),
                _ => out.push(c),
            },
            State::Tag => self.tag(c, out),
            State::Attributes(quote) => match (c, *quote) {
                ('>', None) => {
                    self.end_of_tag(out);
                }
                ('"' | '\'', None) => *quote = Some(c),
                (c, Some(open)) if c == open => *quote = None,
                _ => {}
            },
            State::Comment(dashes) => match c {
                '-' => *dashes = dashes.saturating_add(1),
                '>' if *dashes >= 2 => self.state = State::Text,
                _ => *dashes = 0,
            },
            State::Entity => match c {
                ';' => {
                    self.state = State::Text;
                    match entity(&self.name) {
                        Some(decoded) => out.push(decoded),
                        None => self.literal_entity(out, ";"),
                    }
                }
                c if (c.is_ascii_alphanumeric() || c == '#') && self.name.len() < 12 => self.name.push(c),
                _ => {
                    self.state = State::Text;
                    self.literal_entity(out, "");
                    self.step(c, out);
                }
            },
        }
    }

    fn literal_entity(&mut self, out: &mut String, end: &str) {
        out.push('&');
        out.push_str(&self.name);
        out.push_str(end);
    }

    fn tag(&mut self, c: char, out: &mut String) {
        match c {
            '>' => self.end_of_tag(out),
            '-' if self.name == "!-" => self.state = State::Comment(0),
            c if c.is_whitespace() && !self.name.is_empty() => self.state = State::Attributes(None),
            c if self.name.len() < LONGEST_TAG && (c.is_ascii_alphanumeric() || "!/-:?".contains(c)) => {
                self.name.push(c.to_ascii_lowercase());
            }
            // `a < b` is text.
            c => {
                self.state = State::Text;
                if self.hidden.is_none() {
                    out.push('<');
                    out.push_str(&self.name);
                }
                if c != '<' {
                    self.step(c, out)
                } else {
                    self.state = State::Tag;
                    self.name.clear()
                }
            }
        }
    }

    fn end_of_tag(&mut self, out: &mut String) {
        self.state = State::Text;
        let name = self.name.trim_end_matches('/');
        match self.hidden {
            Some(hidden) if name.strip_prefix('/') == Some(hidden) => self.hidden = None,
            Some(_) => {}
            None => {
                self.hidden = ["style", "script", "head", "title"].into_iter().find(|known| *known == name);
                // Inline tags do not part words: `<b>w</b>ord` is one.
                let inline =
                    ["b", "i", "u", "a", "em", "strong", "span", "font", "small", "big", "code", "wbr"];
                let name = name.trim_start_matches('/');
                if self.lines && BREAKS.contains(&name) {
                    out.push('\n');
                } else if !inline.contains(&name) {
                    out.push(' ');
                }
            }
        }
    }
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    const NAMED: [(&str, char); 32] = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("nbsp", ' '),
        ("auml", 'ä'),
        ("ouml", 'ö'),
        ("uuml", 'ü'),
        ("Auml", 'Ä'),
        ("Ouml", 'Ö'),
        ("Uuml", 'Ü'),
        ("szlig", 'ß'),
        ("eacute", 'é'),
        ("egrave", 'è'),
        ("ecirc", 'ê'),
        ("agrave", 'à'),
        ("acirc", 'â'),
        ("ccedil", 'ç'),
        ("ntilde", 'ñ'),
        ("oslash", 'ø'),
        ("aring", 'å'),
        ("euro", '€'),
        ("copy", '©'),
        ("ndash", '–'),
        ("mdash", '—'),
        ("hellip", '…'),
        ("lsquo", '‘'),
        ("rsquo", '’'),
        ("ldquo", '“'),
        ("rdquo", '”'),
        ("bull", '•'),
    ];
    NAMED.iter().find(|(known, _)| *known == name).map(|(_, decoded)| *decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(html: &str) -> String {
        let (mut whole, mut state) = (String::new(), Words::default());
        state.push(html, &mut whole);
        let (mut out, mut state) = (String::new(), Words::default());
        html.chars().for_each(|c| state.push(&c.to_string(), &mut out));
        assert_eq!(out, whole);
        whole.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn visible_words() {
        assert_eq!(words("<p>Hello <b>w</b>orld</p><br/>x"), "Hello world x");
        assert_eq!(
            words("<head><title>no</title></head><style>a{}</style>yes<script>if (a<b) x</script>!"),
            "yes !"
        );
        assert_eq!(words("Gr&uuml;&#223;e &#x1F389; &unknown; & co"), "Grüße 🎉 &unknown; & co");
        assert_eq!(words("a <!-- <b> -- > --> b <a href='x>y'>c</a>"), "a b c");
        assert_eq!(words("1 < 2 <"), "1 < 2");
    }
}
