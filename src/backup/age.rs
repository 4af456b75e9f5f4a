//! The age format (age-encryption.org/v1), as far as a backup needs it: small files for one X25519 recipient or
//! one passphrase. `age -d` opens them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use ring::{aead, hkdf, hmac};
use x25519_dalek::{PublicKey, StaticSecret};

use super::bech32;

const VERSION: &str = "age-encryption.org/v1";
const RECIPIENT: &str = "age";
const IDENTITY: &str = "age-secret-key-";
/// What a passphrase costs to try, as a power of two: 32 MiB of memory, which a Pi with 512 MB has to spare (age's
/// own default takes 256).
const WORK: u8 = 15;
/// A file that asks for more is not ours: 128 MiB.
const WORK_MAX: u8 = 17;
/// Payloads are keys: they fit in one chunk of the format.
const PAYLOAD_MAX: usize = 64 << 10;

/// Why a file does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The passphrase or the key is another.
    #[error("the passphrase is wrong")]
    Wrong,
    /// The file is no such file, or damaged.
    #[error("an encrypted key is damaged")]
    Damaged,
}

/// A key pair's secret half.
#[derive(Clone)]
pub struct Identity(StaticSecret);

/// A key pair's public half: who has only this can seal, and not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

impl Identity {
    /// Out of random bytes.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Identity(StaticSecret::from(random))
    }

    /// As age writes it: `AGE-SECRET-KEY-1…`
    #[must_use]
    pub fn to_text(&self) -> String {
        bech32::encode(IDENTITY, &self.0.to_bytes()).to_uppercase()
    }

    /// From age's text, whatever comments stand around it.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
        bech32::decode(IDENTITY, &line.to_lowercase()).map(Identity::new)
    }

    /// The public half.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        Recipient(PublicKey::from(&self.0).to_bytes())
    }

    /// Opens what was sealed for this key.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(&self, file: &[u8]) -> Result<Vec<u8>, Error> {
        let parts = Parts::read(file)?;
        let ["X25519", share] = parts.arguments.as_slice() else { return Err(Error::Damaged) };
        let share = array::<32>(&decode(share)?)?;
        let shared = self.0.diffie_hellman(&PublicKey::from(share));
        let key = wrap_key(shared.as_bytes(), &share, &self.recipient());
        parts.open(&key)
    }
}

impl Recipient {
    /// As age writes it: `age1…`
    #[must_use]
    pub fn to_text(self) -> String {
        bech32::encode(RECIPIENT, &self.0)
    }

    /// From age's text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        bech32::decode(RECIPIENT, text).map(Recipient)
    }

    /// Seals a few bytes for this key. `random` must never come twice.
    #[must_use]
    pub fn seal(self, random: [u8; 64], bytes: &[u8]) -> Vec<u8> {
        let (ephemeral, rest) = random.split_at(32);
        let ephemeral = StaticSecret::from(array(ephemeral).unwrap_or_default());
        let share = PublicKey::from(&ephemeral).to_bytes();
        let shared = ephemeral.diffie_hellman(&PublicKey::from(self.0));
        let key = wrap_key(shared.as_bytes(), &share, &self);
        write(&format!("X25519 {}", BASE64.encode(share)), &key, rest, bytes)
    }
}

fn wrap_key(shared: &[u8], share: &[u8; 32], recipient: &Recipient) -> [u8; 32] {
    derive(shared, &[share.as_slice(), recipient.0.as_slice()].concat(), "age-encryption.org/v1/X25519")
}

/// Seals a few bytes with a passphrase. `random` must never come twice.
///
/// # Errors
/// `Damaged` where the system cannot derive a key.
pub fn seal_with_passphrase(passphrase: &str, random: [u8; 64], bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let (salt, rest) = random.split_at(32);
    let salt = salt.get(..16).unwrap_or_default();
    let key = passphrase_key(passphrase, salt, WORK)?;
    Ok(write(&format!("scrypt {} {WORK}", BASE64.encode(salt)), &key, rest, bytes))
}

/// Opens what was sealed with a passphrase.
///
/// # Errors
/// See [`Error`].
pub fn open_with_passphrase(passphrase: &str, file: &[u8]) -> Result<Vec<u8>, Error> {
    let parts = Parts::read(file)?;
    let ["scrypt", salt, work] = parts.arguments.as_slice() else { return Err(Error::Damaged) };
    let work = work.parse().ok().filter(|work| (1..=WORK_MAX).contains(work)).ok_or(Error::Damaged)?;
    let key = passphrase_key(passphrase, &decode(salt)?, work)?;
    parts.open(&key)
}

fn passphrase_key(passphrase: &str, salt: &[u8], work: u8) -> Result<[u8; 32], Error> {
    let params = scrypt::Params::new(work, 8, 1).map_err(|_| Error::Damaged)?;
    let salt = [b"age-encryption.org/v1/scrypt", salt].concat();
    let mut key = [0; 32];
    scrypt::scrypt(passphrase.as_bytes(), &salt, &params, &mut key).map_err(|_| Error::Damaged)?;
    Ok(key)
}

/// `random`: 16 bytes of the file's key, 16 of the payload's nonce.
fn write(stanza: &str, wrap: &[u8; 32], random: &[u8], bytes: &[u8]) -> Vec<u8> {
    let (file_key, nonce) = random.split_at(random.len().min(16));
    let body = BASE64.encode(seal(wrap, [0; 12], file_key));
    let header = format!("{VERSION}\n-> {stanza}\n{body}\n---");
    let mac = hmac::sign(&header_key(file_key), header.as_bytes());
    let mut out = format!("{header} {}\n", BASE64.encode(mac)).into_bytes();
    out.extend_from_slice(nonce);
    out.extend_from_slice(&seal(&derive(file_key, nonce, "payload"), LAST_CHUNK, bytes));
    out
}

/// The nonce of a payload's first chunk, when it is the last.
const LAST_CHUNK: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

fn header_key(file_key: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &derive(file_key, &[], "header"))
}

/// A file taken apart.
struct Parts<'a> {
    /// The one stanza's.
    arguments: Vec<&'a str>,
    body: Vec<u8>,
    /// What the MAC is of.
    header: &'a [u8],
    mac: Vec<u8>,
    payload: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(file: &'a [u8]) -> Result<Self, Error> {
        let marker = b"\n---";
        let at = file.windows(marker.len()).position(|part| part == marker).ok_or(Error::Damaged)?;
        let (header, rest) = file.split_at(at + marker.len());
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Error::Damaged)?;
        let (mac, payload) = rest.split_at(end + 1);
        let mac = std::str::from_utf8(mac).map_err(|_| Error::Damaged)?;
        let text = std::str::from_utf8(header).map_err(|_| Error::Damaged)?;
        let mut lines = text.lines();
        let (version, stanza, body) = (lines.next(), lines.next(), lines.next());
        if version != Some(VERSION) || lines.next() != Some("---") {
            return Err(Error::Damaged);
        }
        let stanza = stanza.and_then(|line| line.strip_prefix("-> ")).ok_or(Error::Damaged)?;
        Ok(Parts {
            arguments: stanza.split(' ').collect(),
            body: decode(body.unwrap_or_default())?,
            header,
            mac: decode(mac.trim())?,
            payload,
        })
    }

    fn open(&self, wrap: &[u8; 32]) -> Result<Vec<u8>, Error> {
        let file_key = open(wrap, [0; 12], &self.body).ok_or(Error::Wrong)?;
        hmac::verify(&header_key(&file_key), self.header, &self.mac).map_err(|_| Error::Damaged)?;
        let (nonce, sealed) = self.payload.split_at_checked(16).ok_or(Error::Damaged)?;
        if sealed.len() > PAYLOAD_MAX {
            return Err(Error::Damaged);
        }
        open(&derive(&file_key, nonce, "payload"), LAST_CHUNK, sealed).ok_or(Error::Damaged)
    }
}

fn decode(text: &str) -> Result<Vec<u8>, Error> {
    BASE64.decode(text).map_err(|_| Error::Damaged)
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Error> {
    bytes.try_into().map_err(|_| Error::Damaged)
}

/// HKDF-SHA-256.
fn derive(secret: &[u8], salt: &[u8], info: &str) -> [u8; 32] {
    let mut key = [0; 32];
    let pseudorandom = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let info = [info.as_bytes()];
    let filled = pseudorandom.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut key));
    debug_assert!(filled.is_ok(), "32 bytes of HKDF-SHA-256 can always be had");
    key
}

/// ChaCha20-Poly1305. A key must seal no two things under one nonce.
pub(super) fn seal(key: &[u8; 32], nonce: [u8; 12], bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let sealed = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key).and_then(|key| {
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        aead::LessSafeKey::new(key).seal_in_place_append_tag(nonce, aead::Aad::empty(), &mut out)
    });
    // Only what is longer than 256 GB cannot be sealed. Nothing is better than what nobody sealed.
    if sealed.is_err() {
        out.clear();
    }
    out
}

/// What [`seal`] sealed; `None` if the key is another or the bytes were changed.
pub(super) fn open(key: &[u8; 32], nonce: [u8; 12], sealed: &[u8]) -> Option<Vec<u8>> {
    let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key).ok()?;
    let mut bytes = sealed.to_vec();
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    let length = aead::LessSafeKey::new(key).open_in_place(nonce, aead::Aad::empty(), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity::new([5; 32])
    }

    #[test]
    fn what_is_sealed_for_a_key_opens_with_it_only() {
        let file = identity().recipient().seal([9; 64], b"secret");
        assert!(file.starts_with(b"age-encryption.org/v1\n-> X25519 "));
        assert_eq!(identity().open(&file).unwrap(), b"secret");
        assert_eq!(Identity::new([6; 32]).open(&file).unwrap_err(), Error::Wrong);
    }

    #[test]
    fn what_is_sealed_with_a_passphrase_opens_with_it_only() {
        let file = seal_with_passphrase("correct horse", [9; 64], b"secret").unwrap();
        assert_eq!(open_with_passphrase("correct horse", &file).unwrap(), b"secret");
        assert_eq!(open_with_passphrase("battery staple", &file).unwrap_err(), Error::Wrong);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let file = identity().recipient().seal([9; 64], b"secret");
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(identity().open(&changed).is_err(), "byte {at}");
            assert!(identity().open(&file[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn keys_are_written_as_age_writes_them() {
        // The first test key of the format's reference implementation.
        let text = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
        let identity = Identity::from_text(&format!("# a comment\n{text}\n")).unwrap();
        assert_eq!(identity.to_text(), text);
        assert_eq!(identity.0.to_bytes(), [0x42; 32]);
        let recipient = identity.recipient();
        assert_eq!(recipient.to_text(), "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj");
        assert_eq!(Recipient::from_text(&recipient.to_text()), Some(recipient));
        assert!(Identity::from_text(&text.replace("GFPYY", "GFPYZ")).is_none());
    }
}
