//! Modified UTF-7, as mailbox names have it before IMAP4rev2 (RFC 3501 §5.1.3).

use base64::Engine;
use base64::alphabet::Alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Base64 with `,` for `/`, without padding; left-over bits may be anything, as some clients send them.
fn engine() -> Option<GeneralPurpose> {
    let alphabet = Alphabet::new("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").ok()?;
    let config = GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    Some(GeneralPurpose::new(&alphabet, config))
}

/// Text as modified UTF-7.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut shifted: Vec<u8> = Vec::new();
    for c in text.chars() {
        if matches!(c, ' '..='~') {
            unshift(&mut out, &mut shifted);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0_u16; 2];
            for unit in c.encode_utf16(&mut units) {
                shifted.extend_from_slice(&unit.to_be_bytes());
            }
        }
    }
    unshift(&mut out, &mut shifted);
    out
}

fn unshift(out: &mut String, shifted: &mut Vec<u8>) {
    if shifted.is_empty() {
        return;
    }
    if let Some(engine) = engine() {
        out.push('&');
        engine.encode_string(&*shifted, out);
        out.push('-');
    }
    shifted.clear();
}

/// Modified UTF-7 as text; `None` if it is none. Characters beyond ASCII that came as they are stay: clients
/// that send UTF-8 without having enabled it mean what they say.
#[must_use]
pub fn decode(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (plain, shifted) = rest.split_at(at);
        out.push_str(plain);
        let (encoded, after) = shifted.get(1..)?.split_once('-')?;
        if encoded.is_empty() {
            out.push('&');
        } else {
            let bytes = engine()?.decode(encoded).ok()?;
            let units: Vec<u16> = bytes
                .chunks(2)
                .map(|two| <[u8; 2]>::try_from(two).map(u16::from_be_bytes))
                .collect::<Result<_, _>>()
                .ok()?;
            out.push_str(&String::from_utf16(&units).ok()?);
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_rfc() {
        for (encoded, text) in [
            ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
            ("&Jjo-!", "☺!"),
            ("A&-B", "A&B"),
            ("Entw&APw-rfe", "Entwürfe"),
            ("&2D3eAA-", "😀"),
        ] {
            assert_eq!(decode(encoded).as_deref(), Some(text));
            assert_eq!(encode(text), encoded);
        }
    }

    #[test]
    fn what_is_none() {
        for text in ["a&", "&U,BTFw", "&2D0-", "&A-", "&é-"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode("für").as_deref(), Some("für"));
    }
}
