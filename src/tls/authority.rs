//! The local authority: made once, kept for twenty years. A device that trusts it trusts every leaf.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};

use super::{BUILT, Error, Names, trusted};
use crate::store::certificates::Certificate;

/// In seconds.
const VALID: i64 = 20 * 365 * 86_400;
/// Devices' clocks are a little behind.
pub(super) const EARLIER: i64 = 3600;

/// Makes an authority.
pub(super) fn make(names: &Names, now: i64) -> Result<Certificate, Error> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Postern on {}", names.host()));
    // From the build on whatever the clock says: were it wrong, and years ahead, an authority that begins
    // then would stay invalid until then, and devices have learnt to trust it.
    params.not_before = moment(BUILT);
    params.not_after = moment(trusted(now) + VALID);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    Ok(Certificate { chain: certificate.pem(), key: key.serialize_pem() })
}

/// An hour ago; the build's date as long as the clock is behind it.
pub(super) fn not_before(now: i64) -> i64 {
    trusted(now.saturating_sub(EARLIER))
}

/// As X.509 has it.
pub(super) fn moment(unix: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(unix).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}
