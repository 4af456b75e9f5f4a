//! Device passwords: 128 random bits, written so that they can be typed on a phone.

use std::fmt;

use super::{Error, random};

/// Without letters that look like others: `i`, `l`, `o`, `u` (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 26 characters of 5 bits hold 128.
const LENGTH: usize = 26;
/// Characters of a group.
const GROUP: usize = 5;
/// What the hash is for (BLAKE3's key derivation).
const CONTEXT: &str = "postern 2026 device password";

/// One device's password. There is nothing to guess, so nothing has to slow guessing down: it is found by a
/// plain hash.
#[derive(Clone, PartialEq, Eq)]
pub struct DevicePassword([u8; 16]);

impl DevicePassword {
    /// A new one.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn generate() -> Result<Self, Error> {
        random().map(DevicePassword)
    }

    /// Reads one as a person types it: case, spaces and dashes do not matter, and look-alikes are taken for
    /// what they look like. `None` if it cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mut bits, mut count) = (0_u128, 0);
        for c in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let c = match c.to_ascii_lowercase() {
                'o' => '0',
                'i' | 'l' => '1',
                other => other,
            };
            let value = ALPHABET.iter().position(|known| char::from(*known) == c)?;
            count += 1;
            // The last character has three bits of the 130 that must be zero… two are left over.
            if count > LENGTH || count == LENGTH && value & 3 != 0 {
                return None;
            }
            let value = value as u128;
            bits = if count == LENGTH { bits << 3 | value >> 2 } else { bits << 5 | value };
        }
        (count == LENGTH).then(|| DevicePassword(bits.to_be_bytes()))
    }

    /// What is stored, and found again.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        blake3::derive_key(CONTEXT, &self.0)
    }
}

impl fmt::Display for DevicePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        for n in 0..LENGTH {
            if n > 0 && n % GROUP == 0 && n + 1 < LENGTH {
                f.write_str("-")?;
            }
            // From the front, five bits each; the last has three, and two zeros below them.
            let value = match 123_u32.checked_sub(5 * n as u32) {
                Some(shift) => bits >> shift,
                None => bits << 2,
            };
            f.write_str(&char::from(ALPHABET[(value & 31) as usize]).to_string())?;
        }
        Ok(())
    }
}

impl fmt::Debug for DevicePassword {
    /// Never the password itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DevicePassword")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_written_and_as_typed() {
        for n in 0..200_u32 {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
            bytes[12..].copy_from_slice(&n.wrapping_mul(40_503).to_be_bytes());
            let password = DevicePassword(bytes);
            let text = password.to_string();
            assert_eq!(text.len(), LENGTH + 4, "{text}");
            assert_eq!(DevicePassword::parse(&text), Some(password.clone()));
            assert_eq!(DevicePassword::parse(&text.to_uppercase().replace('-', " ")), Some(password.clone()));
            assert_eq!(DevicePassword::parse(&text.replace('0', "O").replace('1', "l")), Some(password));
        }
        let max = DevicePassword([0xff; 16]);
        assert_eq!(DevicePassword::parse(&max.to_string()), Some(max.clone()));
        assert_ne!(max.key(), DevicePassword([0; 16]).key());
    }

    #[test]
    fn what_is_none() {
        let text = DevicePassword::generate().unwrap().to_string();
        for wrong in ["", "correct horse", &text[1..], &format!("{text}0"), &text.replace('-', "u")] {
            assert!(DevicePassword::parse(wrong).is_none(), "{wrong}");
        }
        assert_eq!(format!("{:?}", DevicePassword::generate().unwrap()), "DevicePassword");
    }
}
