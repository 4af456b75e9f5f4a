//! A certificate that somebody else keeps: certbot's, Tailscale's, Caddy's. It is taken only if it can be served.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::BUILT;
use super::leaf::Leaf;
use crate::store::certificates::Certificate;

/// An RSA key has so many bits at least: with fewer no program of today connects.
const RSA_LEAST: usize = 2_048;
/// Clocks differ: a certificate may begin so much later than now, in seconds.
const EARLY: i64 = 86_400;
/// Signatures that can be forged, or that no program takes: MD5 and SHA-1 with RSA, SHA-1 with DSA and ECDSA.
const BROKEN: [&str; 4] =
    ["1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.10040.4.3", "1.2.840.10045.4.1"];

/// Why a certificate is not taken, in words for who keeps it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No PEM block of a certificate.
    #[error("there is no certificate in the chain: it begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// A block that is none.
    #[error("a certificate of the chain cannot be read: {0}")]
    Unreadable(String),
    /// No PEM block of a key.
    #[error(
        "there is no private key in the key's file: it begins with -----BEGIN PRIVATE KEY----- and has no passphrase"
    )]
    NoKey,
    /// Of a kind that cannot be used.
    #[error("the private key cannot be used: {0}")]
    Key(String),
    /// It belongs to another certificate.
    #[error("the key is not that of the chain's first certificate")]
    OthersKey,
    /// The chain is not one.
    #[error(
        "certificate {0} of the chain did not sign the one before it: the server's own comes first, then that which signed it, and so on"
    )]
    Order(usize),
    /// It is over.
    #[error("the certificate expired {0} days ago")]
    Expired(i64),
    /// It has not begun.
    #[error("the certificate is valid in {0} days only")]
    Early(i64),
    /// Its key is too short.
    #[error("the certificate's RSA key has {0} bits: mail programs want 2048 at least")]
    Short(usize),
    /// How it is signed.
    #[error(
        "the certificate is signed with an algorithm that mail programs do not accept any more (SHA-1 or MD5)"
    )]
    Broken,
    /// No name is in it.
    #[error("the certificate is for no name: it has no subject alternative name")]
    NoName,
}

/// Reads a chain and its key, if they can be served.
///
/// # Errors
/// Why not.
pub(super) fn check(files: &Certificate, now: i64) -> Result<Leaf, Unfit> {
    let unreadable = |error: &dyn std::fmt::Display| Unfit::Unreadable(error.to_string());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(files.chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(&error))?;
    let parsed: Vec<X509Certificate<'_>> = chain
        .iter()
        .map(|der| X509Certificate::from_der(der).map(|(_, certificate)| certificate))
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(&error))?;
    let first = parsed.first().ok_or(Unfit::NoCertificate)?;
    let key = PrivateKeyDer::from_pem_slice(files.key.as_bytes()).map_err(|_| Unfit::NoKey)?;
    if let Ok(PublicKey::RSA(rsa)) = first.public_key().parsed()
        && rsa.key_size() < RSA_LEAST
    {
        return Err(Unfit::Short(rsa.key_size()));
    }
    let signing = rustls::crypto::ring::sign::any_supported_type(&key);
    let signing = signing.map_err(|error| Unfit::Key(error.to_string()))?;
    if CertifiedKey::new(chain.clone(), signing).keys_match().is_err() {
        return Err(Unfit::OthersKey);
    }
    for (n, pair) in parsed.windows(2).enumerate() {
        if pair[0].issuer().as_raw() != pair[1].subject().as_raw() {
            return Err(Unfit::Order(n + 2));
        }
    }
    if BROKEN.contains(&first.signature_algorithm.algorithm.to_id_string().as_str()) {
        return Err(Unfit::Broken);
    }
    let leaf = Leaf::read(files).map_err(|error| unreadable(&error))?;
    if leaf.names().dns().is_empty() && leaf.names().addresses().is_empty() {
        return Err(Unfit::NoName);
    }
    // A clock that is behind the build's date says nothing.
    let (begins, ends) = leaf.validity();
    if now >= BUILT && ends <= now {
        return Err(Unfit::Expired((now - ends) / 86_400));
    }
    if now >= BUILT && begins > now + EARLY {
        return Err(Unfit::Early((begins - now) / 86_400));
    }
    Ok(leaf)
}
