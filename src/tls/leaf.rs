//! The certificate that clients see.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::authority::{moment, not_before};
use super::{BUILT, Description, Error, Names};
use crate::store::certificates::Certificate;

/// 397 days: what browsers and phones accept without a word, in seconds.
const VALID: i64 = 397 * 86_400;
/// It is renewed so long before its end.
const RENEWED_BEFORE: i64 = 30 * 86_400;

/// A leaf, read.
pub(super) struct Leaf {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    names: Names,
    not_before: i64,
    not_after: i64,
    fingerprint: String,
}

/// Makes a leaf for these names.
pub(super) fn make(authority: &Certificate, names: &Names, now: i64) -> Result<(Certificate, Leaf), Error> {
    let issuer = Issuer::from_ca_cert_pem(&authority.chain, KeyPair::from_pem(&authority.key)?)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, names.host());
    params.subject_alt_names = names
        .dns()
        .iter()
        .filter_map(|name| name.as_str().try_into().ok().map(SanType::DnsName))
        .chain(names.addresses().iter().map(|address| SanType::IpAddress(*address)))
        .collect();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let start = not_before(now);
    params.not_before = moment(start);
    params.not_after = moment(start + VALID);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.signed_by(&key, &issuer)?;
    let made = Certificate { chain: certificate.pem() + &authority.chain, key: key.serialize_pem() };
    let leaf = Leaf::read(&made)?;
    Ok((made, leaf))
}

impl Leaf {
    /// Reads a stored one.
    pub(super) fn read(stored: &Certificate) -> Result<Self, Error> {
        let unreadable = |error: &dyn std::fmt::Display| Error::Unreadable(error.to_string());
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(stored.chain.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| unreadable(&error))?;
        let key = PrivateKeyDer::from_pem_slice(stored.key.as_bytes()).map_err(|error| unreadable(&error))?;
        let first = chain.first().ok_or_else(|| Error::Unreadable("there is none in it".to_owned()))?.clone();
        let (_, parsed) = X509Certificate::from_der(&first).map_err(|error| unreadable(&error))?;
        let fingerprint = ring::digest::digest(&ring::digest::SHA256, &first);
        let pairs: Vec<String> = fingerprint.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        Ok(Leaf {
            names: names(&parsed),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            fingerprint: pairs.join(":"),
            chain,
            key,
        })
    }

    /// For handshakes.
    pub(super) fn certified(&self) -> Result<Arc<CertifiedKey>, Error> {
        let key = rustls::crypto::ring::sign::any_supported_type(&self.key)?;
        Ok(Arc::new(CertifiedKey::new(self.chain.clone(), key)))
    }

    /// What it is for.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// From when until when, in seconds since 1970.
    pub(super) fn validity(&self) -> (i64, i64) {
        (self.not_before, self.not_after)
    }

    /// Whether it is time for another. A clock that is behind the build's date says nothing.
    pub(super) fn is_outdated(&self, now: i64, host: &Names) -> bool {
        let clock_is_right = now >= BUILT;
        let expires = self.not_after - now < RENEWED_BEFORE;
        let not_yet = self.not_before > now + 86_400;
        clock_is_right && (expires || not_yet) || !self.names.cover(host)
    }

    /// For people.
    pub(super) fn describe(&self) -> Description {
        let addresses = self.names.addresses().iter().map(IpAddr::to_string);
        Description {
            names: self.names.dns().iter().cloned().chain(addresses).collect(),
            not_before: self.not_before,
            not_after: self.not_after,
            fingerprint_sha256: self.fingerprint.clone(),
        }
    }
}

fn names(parsed: &X509Certificate<'_>) -> Names {
    let (mut dns, mut addresses) = (Vec::new(), Vec::new());
    if let Ok(Some(extension)) = parsed.subject_alternative_name() {
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => dns.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    addresses.extend(<[u8; 4]>::try_from(*bytes).map(IpAddr::from));
                    addresses.extend(<[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                }
                _ => {}
            }
        }
    }
    Names::new(dns, addresses)
}
