//! How handshakes are done.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ResolvesServerCert;
use rustls::{CipherSuite, ServerConfig, SupportedCipherSuite};

/// TLS 1.2 and 1.3, resumption by tickets (so that a phone that comes back saves a round trip, and the Pi a
/// signature).
pub(super) fn server(
    resolver: Arc<dyn ResolvesServerCert>,
    protocol: &[u8],
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider(has_aes())))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.ticketer = ring::Ticketer::new()?;
    config.ignore_client_order = !has_aes();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

/// Without AES in hardware (Pi 1 to 4) ChaCha20 is several times faster, and goes first.
fn provider(has_aes: bool) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !has_aes {
        provider.cipher_suites.sort_by_key(|suite| !is_chacha(suite));
    }
    provider
}

fn is_chacha(suite: &SupportedCipherSuite) -> bool {
    matches!(
        suite.suite(),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chacha_first_without_aes() {
        assert!(is_chacha(&provider(false).cipher_suites[0]));
        assert!(!is_chacha(&provider(true).cipher_suites[0]));
        assert_eq!(provider(false).cipher_suites.len(), provider(true).cipher_suites.len());
    }
}
