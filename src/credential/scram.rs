//! SCRAM-SHA-256 verifiers (RFC 5802 §3, RFC 7677). They are stored for each device from the start, so that
//! SCRAM can come later without a new password.

use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};

/// RFC 7677 §4 asks for at least 4096. A device's password has 128 bits: more would gain nothing.
const ITERATIONS: NonZeroU32 = match NonZeroU32::new(4096) {
    Some(count) => count,
    None => NonZeroU32::MIN,
};
/// The encoding's version.
const VERSION: u8 = 1;

/// What a server keeps instead of the password: version, iterations, StoredKey, ServerKey.
#[must_use]
pub fn verifier(password: &str, salt: &[u8; 16]) -> Vec<u8> {
    let (stored, server) = keys(password, salt, ITERATIONS);
    let mut out = vec![VERSION];
    out.extend_from_slice(&ITERATIONS.get().to_be_bytes());
    out.extend_from_slice(&stored);
    out.extend_from_slice(&server);
    out
}

/// StoredKey and ServerKey.
fn keys(password: &str, salt: &[u8], iterations: NonZeroU32) -> ([u8; 32], [u8; 32]) {
    // What SASLprep refuses is taken as it is; device passwords are ASCII.
    let prepared = stringprep::saslprep(password).unwrap_or(password.into());
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, prepared.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client = hmac::sign(&key, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    let server = hmac::sign(&key, b"Server Key");
    let array = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).unwrap_or_default();
    (array(stored.as_ref()), array(server.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    /// RFC 7677 §3.
    #[test]
    fn example_of_the_rfc() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let (stored, server) = keys("pencil", &salt, ITERATIONS);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &stored), message.as_bytes());
        let client: Vec<u8> = proof.iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        assert_eq!(digest::digest(&digest::SHA256, &client).as_ref(), stored);
        let answer = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &server), message.as_bytes());
        assert_eq!(STANDARD.encode(answer.as_ref()), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn verifiers_name_their_cost() {
        let one = verifier("pw", &[1; 16]);
        assert_eq!((one.len(), one[0], &one[1..5]), (69, VERSION, &4096_u32.to_be_bytes()[..]));
        assert_ne!(one, verifier("pw", &[2; 16]));
    }
}
