//! The mail that is measured: out of a seed, of the kinds, sizes, languages and encodings of a real mailbox.
//!
//! | share | what | size |
//! |---|---|---|
//! | 50 % | plain text, a fifth of it with quoted text of the message before | 2 to 12 KB |
//! | 36 % | text and HTML | 8 to 80 KB |
//! | 12 % | text with one to three attachments | 15 to 300 KB |
//! | 2 % | text with a large attachment | 300 KB to 1 MB |

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use postern::store::sim::Dice;

use crate::languages::{LANGUAGES, Vocabulary};

/// Characters in a line of base64, RFC 2045 §6.8.
const BASE64_LINE: usize = 76;
const PEOPLE: u64 = 300;

/// A message and its INTERNALDATE.
pub struct Message {
    pub content: Vec<u8>,
    pub date: String,
}

/// So many messages.
pub fn generate(seed: u64, count: usize) -> Vec<Message> {
    let vocabularies: Vec<Vocabulary> = LANGUAGES.iter().map(Vocabulary::new).collect();
    let mut dice = Dice::new(seed);
    (0..count).map(|number| Writer::new(&mut dice, &vocabularies, seed, number).message()).collect()
}

/// Of one message.
struct Writer<'a> {
    dice: &'a mut Dice,
    vocabulary: &'a Vocabulary,
    seed: u64,
    number: usize,
    boundary: u32,
}

impl<'a> Writer<'a> {
    fn new(dice: &'a mut Dice, all: &'a [Vocabulary], seed: u64, number: usize) -> Self {
        let mut share = dice.below(100);
        let mut chosen = &all[0];
        for (language, vocabulary) in LANGUAGES.iter().zip(all) {
            if share < language.share {
                chosen = vocabulary;
                break;
            }
            share -= language.share;
        }
        Writer { dice, vocabulary: chosen, seed, number, boundary: 0 }
    }

    fn message(mut self) -> Message {
        let day = 1 + self.number % 28;
        let (month, year) =
            (["Jan", "Mar", "Jun", "Sep", "Nov"][self.number / 28 % 5], 2015 + self.number / 600);
        let time = format!("{:02}:{:02}:{:02}", self.below(24), self.below(60), self.below(60));
        let mut content = self.header(&format!("{day} {month} {year} {time} +0000")).into_bytes();
        let kind = self.below(100);
        match kind {
            0..50 => content.extend(self.plain(1 << 10, 9 << 10)),
            50..86 => content.extend(self.alternative()),
            86..98 => {
                let files = 1 + self.below(3);
                content.extend(self.mixed(files, 6 << 10, 70 << 10));
            }
            _ => content.extend(self.mixed(1, 220 << 10, 720 << 10)),
        }
        Message { content, date: format!("{day:2}-{month}-{year} {time} +0000") }
    }

    fn header(&mut self, date: &str) -> String {
        let (from, to) = (self.below(PEOPLE), self.below(8));
        let mut text = format!("Return-Path: <{}>\r\nDelivered-To: anna@example.org\r\n", address(from));
        for hop in 0..2 + self.below(4) {
            text += &format!(
                "Received: from mx{hop}.example.net (mx{hop}.example.net [192.0.2.{}])\r\n\tby mail{hop}.example.org \
                 (Postfix) with ESMTPS id {:010X}\r\n\t(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256)\
                 \r\n\tfor <anna@example.org>; {date}\r\n",
                self.below(250),
                self.dice.roll() >> 24,
            );
        }
        if self.below(3) > 0 {
            let (hash, signature) = (self.random(32), self.random(256));
            text += &format!(
                "Authentication-Results: mail0.example.org; dkim=pass header.d=example.com; spf=pass\r\n\
                 DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=2024;\r\n\
                 \th=from:to:subject:date:message-id:mime-version;\r\n\tbh={hash};\r\n\tb={}\r\n",
                folded(&signature, "\r\n\t ")
            );
        }
        text += &format!("From: {} <{}>\r\n", self.name(from), address(from));
        text += &format!("To: {} <{}>\r\n", self.name(to), address(to));
        if self.below(4) == 0 {
            let copies: Vec<u64> = (0..1 + self.below(5)).map(|_| self.below(PEOPLE)).collect();
            let copies: Vec<String> =
                copies.into_iter().map(|who| format!("{} <{}>", self.name(who), address(who))).collect();
            text += &format!("Cc: {}\r\n", copies.join(",\r\n\t"));
        }
        text + &self.header_end(date)
    }

    fn header_end(&mut self, date: &str) -> String {
        let (seed, number) = (self.seed, self.number);
        let words = 3 + self.below(6);
        let subject = self.sentence(words as usize);
        let mut text = format!("Subject: {}\r\nDate: {date}\r\n", encoded(&subject));
        text += &format!("Message-ID: <{seed}.{number}.{:x}@mail.example.com>\r\n", number * 7_919);
        if number > 10 && self.below(3) == 0 {
            let before: Vec<String> = (1..=1 + self.below(6) as usize)
                .map(|back| number.saturating_sub(back * 2))
                .map(|number| format!("<{seed}.{number}.{:x}@mail.example.com>", number * 7_919))
                .collect();
            text += &format!("In-Reply-To: {}\r\nReferences: {}\r\n", before[0], before.join("\r\n\t"));
        }
        if self.below(4) == 0 {
            text += "List-Id: A list of people <people.lists.example.net>\r\nPrecedence: list\r\n\
                     List-Unsubscribe: <https://lists.example.net/leave/people>,\r\n\
                     \t<mailto:people-leave@lists.example.net>\r\nList-Post: <mailto:people@lists.example.net>\r\n";
        }
        let agents =
            ["Mozilla Thunderbird", "iPhone Mail (20G75)", "Apple Mail (2.3731)", "K-9 Mail for Android"];
        text + &format!("MIME-Version: 1.0\r\nX-Mailer: {}\r\n", agents[self.below(4) as usize])
    }

    /// A text part with its header.
    fn plain(&mut self, least: u64, most: u64) -> Vec<u8> {
        let length = least + self.below(most - least);
        let mut text = self.text(length as usize);
        if self.below(5) == 0 {
            text = text.lines().map(|line| format!("> {line}\r\n")).collect::<String>() + &self.text(400);
        }
        self.encoded_text("plain", &text)
    }

    fn html(&mut self, length: u64) -> Vec<u8> {
        let mut html = String::from(
            "<!DOCTYPE html>\r\n<html><head><meta http-equiv=\"Content-Type\" content=\"text/html\">\r\n\
             <style>body{font-family:sans-serif;color:#222}td{padding:4px}</style></head><body><table>\r\n",
        );
        while html.len() < length as usize {
            let words = 8 + self.below(60);
            html += &format!(
                "<tr><td style=\"padding:{}px;border-bottom:1px solid #{:06x}\"><p>{}</p>\r\n\
                 <a href=\"https://www.example.com/c/{:016x}\"><img src=\"https://img.example.com/{}.png\" \
                 width=\"{}\" alt=\"\"></a></td></tr>\r\n",
                self.below(30),
                self.below(1 << 24),
                self.sentence(words as usize),
                self.dice.roll(),
                self.below(10_000),
                self.below(600),
            );
        }
        html += "</table></body></html>\r\n";
        self.encoded_text("html", &html)
    }

    fn alternative(&mut self) -> Vec<u8> {
        let length = (4 << 10) + self.below(8) * self.below(8) * (1 << 10);
        let parts = [self.plain(512, 5 << 10), self.html(length)];
        self.multipart("alternative", &parts)
    }

    fn mixed(&mut self, files: u64, least: u64, most: u64) -> Vec<u8> {
        let mut parts = vec![if self.below(2) == 0 { self.alternative() } else { self.plain(400, 3 << 10) }];
        for file in 0..files {
            let (kind, suffix) = [
                ("image/jpeg", "jpg"),
                ("application/pdf", "pdf"),
                ("image/png", "png"),
                ("application/zip", "zip"),
            ][self.below(4) as usize];
            let length = least + self.below(most - least);
            let name = format!("{}-{file}.{suffix}", self.number);
            let head = format!(
                "Content-Type: {kind}; name=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\
                 Content-Disposition: attachment; filename=\"{name}\"\r\n\r\n"
            );
            let body = folded(&self.random(length as usize), "\r\n");
            parts.push(format!("{head}{body}\r\n").into_bytes());
        }
        self.multipart("mixed", &parts)
    }

    fn multipart(&mut self, kind: &str, parts: &[Vec<u8>]) -> Vec<u8> {
        self.boundary += 1;
        let boundary = format!("----=_Part_{}_{}.{:x}", self.number, self.boundary, self.dice.roll());
        let mut body =
            format!("Content-Type: multipart/{kind};\r\n\tboundary=\"{boundary}\"\r\n\r\nThis is MIME.\r\n")
                .into_bytes();
        for part in parts {
            body.extend(format!("--{boundary}\r\n").into_bytes());
            body.extend(part);
            body.extend(b"\r\n");
        }
        body.extend(format!("--{boundary}--\r\n").into_bytes());
        body
    }

    /// In the encodings that mail programs choose.
    fn encoded_text(&mut self, kind: &str, text: &str) -> Vec<u8> {
        let latin = text.chars().map(|char| u8::try_from(u32::from(char)).ok()).collect::<Option<Vec<u8>>>();
        let (charset, encoding, body) = match (latin, self.below(3)) {
            (_, 0) if !text.is_ascii() => ("utf-8", "8bit", text.as_bytes().to_vec()),
            _ if text.is_ascii() && kind == "plain" => ("us-ascii", "7bit", text.as_bytes().to_vec()),
            (Some(latin), 1) => ("iso-8859-1", "quoted-printable", quoted_printable(&latin)),
            (Some(_), _) => ("utf-8", "quoted-printable", quoted_printable(text.as_bytes())),
            (None, _) => {
                let lines = folded(&BASE64.encode(text), "\r\n");
                ("utf-8", "base64", format!("{lines}\r\n").into_bytes())
            }
        };
        let mut part = format!(
            "Content-Type: text/{kind}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        )
        .into_bytes();
        part.extend(body);
        part
    }

    fn text(&mut self, length: usize) -> String {
        let mut text = String::new();
        while text.len() < length {
            let words = 4 + self.below(10);
            text += &self.sentence(words as usize);
            text += if self.below(6) == 0 { "\r\n\r\n" } else { "\r\n" };
        }
        text
    }

    fn sentence(&mut self, words: usize) -> String {
        let words: Vec<&str> = (0..words).map(|_| self.vocabulary.word(self.dice)).collect();
        words.join(self.vocabulary.space)
    }

    fn name(&self, who: u64) -> String {
        encoded(&format!("{} {}", self.vocabulary.at(who * 3 + 60), self.vocabulary.at(who * 5 + 61)))
    }

    /// Random bytes in base64.
    fn random(&mut self, length: usize) -> String {
        let bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| self.dice.roll().to_le_bytes()).collect();
        BASE64.encode(&bytes[..length])
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.dice.below(bound)
    }
}

fn address(who: u64) -> String {
    format!("person{who}@mail{}.example.com", who % 12)
}

/// An unstructured header's words, RFC 2047.
fn encoded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut words = vec![String::new()];
    for char in text.chars() {
        if words.last().is_some_and(|word| word.len() + char.len_utf8() > 42) {
            words.push(String::new());
        }
        words.last_mut().unwrap().push(char);
    }
    words.iter().map(|word| format!("=?UTF-8?B?{}?=", BASE64.encode(word))).collect::<Vec<_>>().join("\r\n ")
}

fn folded(base64: &str, end: &str) -> String {
    let lines = base64.as_bytes().chunks(BASE64_LINE).map(|line| std::str::from_utf8(line).unwrap());
    lines.collect::<Vec<_>>().join(end)
}

/// RFC 2045 §6.7.
fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let (mut text, mut column) = (Vec::new(), 0);
    for (at, byte) in bytes.iter().enumerate() {
        let plain = matches!(byte, b'\r' | b'\n' | b' '..=b'<' | b'>'..=b'~')
            && !(*byte == b' ' && bytes.get(at + 1) == Some(&b'\r'));
        if column > 70 && *byte != b'\r' && *byte != b'\n' {
            text.extend(b"=\r\n");
            column = 0;
        }
        if plain {
            text.push(*byte);
            column = if *byte == b'\n' { 0 } else { column + 1 };
        } else {
            text.extend(format!("={byte:02X}").into_bytes());
            column += 3;
        }
    }
    text
}
