//! Handshakes in memory against the certificates of a real store.

use std::io::{Read, Write};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConnection};

use super::*;

const NOW: i64 = BUILT + 86_400 * 100;

fn store(folder: &std::path::Path) -> Store {
    Store::open(store::Options::new(folder)).unwrap()
}

fn names(address: &str) -> Names {
    Names::new(vec!["pi".into(), "localhost".into()], vec![address.parse().unwrap()])
}

fn client(certificates: &Certificates) -> Arc<ClientConfig> {
    client_of(certificates, rustls::ALL_VERSIONS)
}

fn client_of(
    certificates: &Certificates,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificates.ca_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Shakes hands and says a word each way; gives how, and the leaf that was seen.
fn shake(certificates: &Certificates, config: &Arc<ClientConfig>, name: &str) -> (HandshakeKind, Vec<u8>) {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(&certificates.imap)).unwrap();
    client.writer().write_all(b"hi").unwrap();
    for _ in 0..6 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().unwrap();
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    let mut said = [0; 2];
    server.reader().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"hi");
    let leaf = client.peer_certificates().unwrap()[0].to_vec();
    (client.handshake_kind().unwrap(), leaf)
}

#[test]
fn clients_that_trust_the_authority_are_served_and_resume() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    // The real clock: rustls's client looks at it.
    let certificates = Certificates::open_at(&store, store::unix_now(), names("192.0.2.7")).unwrap();
    let config = client(&certificates);
    assert_eq!(shake(&certificates, &config, "localhost").0, HandshakeKind::Full);
    assert_eq!(shake(&certificates, &config, "localhost").0, HandshakeKind::Resumed);
    assert_eq!(shake(&certificates, &config, "192.0.2.7").0, HandshakeKind::Full);
    let description = certificates.describe();
    assert_eq!(description.not_after - description.not_before, 397 * 86_400);
    assert_eq!(description.names, ["pi", "localhost", "192.0.2.7"]);
    assert_eq!(description.fingerprint_sha256.len(), 95);
}

#[test]
fn certificates_outlive_a_restart_and_are_swapped_while_serving() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let first = Certificates::open_at(&store, store::unix_now(), names("192.0.2.7")).unwrap();
    let again = Certificates::open_at(&store, store::unix_now(), names("192.0.2.7")).unwrap();
    assert_eq!((first.describe(), first.ca_pem()), (again.describe(), again.ca_pem()));
    let config = client(&first);
    let before = shake(&first, &config, "pi").1;
    assert!(!first.renew_for(store::unix_now(), names("192.0.2.7")).unwrap());
    assert!(first.renew_for(store::unix_now(), names("192.0.2.8")).unwrap(), "another address");
    let fresh = client(&first);
    let after = shake(&first, &fresh, "192.0.2.8").1;
    assert_ne!(before, after);
}

#[test]
fn clocks() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    // A Pi before NTP: 1970.
    let certificates = Certificates::open_at(&store, 100, names("192.0.2.7")).unwrap();
    assert_eq!(certificates.describe().not_before, BUILT);
    let renew = |at: i64| certificates.renew_for(at, names("192.0.2.7")).unwrap();
    assert!(!renew(200), "a clock that is wrong says nothing");
    assert!(!renew(NOW));
    let end = certificates.describe().not_after;
    assert!(!renew(end - 31 * 86_400));
    assert!(renew(end - 29 * 86_400));
    assert_eq!(certificates.describe().not_before, end - 29 * 86_400 - 3600);
    assert!(!renew(100), "and takes nothing back");
}

#[test]
fn a_clock_that_was_years_ahead_does_no_harm_that_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let ahead = store::unix_now() + 20 * 365 * 86_400;
    let certificates = Certificates::open_at(&store, ahead, names("192.0.2.7")).unwrap();
    // The clock is put right: the leaf is not valid yet, and is made again.
    assert!(certificates.renew_for(store::unix_now(), names("192.0.2.7")).unwrap());
    let config = client(&certificates);
    assert_eq!(shake(&certificates, &config, "192.0.2.7").0, HandshakeKind::Full);
}

#[test]
fn what_the_certificates_say() {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let certificates = Certificates::open_at(&store, NOW, names("192.0.2.7")).unwrap();
    let chain = certificates.resolver.choose(None).cert.clone();
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth);
    assert!(!leaf.is_ca() && leaf.key_usage().unwrap().unwrap().value.digital_signature());
    let (_, authority) = X509Certificate::from_der(&chain[1]).unwrap();
    let usage = authority.key_usage().unwrap().unwrap().value;
    assert!(authority.is_ca() && usage.key_cert_sign() && !usage.digital_signature());
    assert_eq!(authority.validity().not_before.timestamp(), BUILT);
    assert!(leaf.verify_signature(Some(authority.public_key())).is_ok());
}

#[test]
fn both_versions_of_tls_are_spoken_and_both_resume() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let certificates = Certificates::open_at(&store, store::unix_now(), names("192.0.2.7")).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = client_of(&certificates, &[version]);
        assert_eq!(shake(&certificates, &config, "pi").0, HandshakeKind::Full);
        assert_eq!(shake(&certificates, &config, "pi").0, HandshakeKind::Resumed, "{version:?}");
    }
}

/// A chain of somebody else's authority, and its key.
fn foreign(names: &[&str], days: (i64, i64)) -> (String, String) {
    let authority =
        authority::make(&Names::new(vec!["other".into()], Vec::new()), store::unix_now()).unwrap();
    foreign_by(&authority, names, days)
}

fn foreign_by(
    authority: &certificates::Certificate,
    names: &[&str],
    (from, until): (i64, i64),
) -> (String, String) {
    use rcgen::{CertificateParams, Issuer, KeyPair};
    let authority_key = KeyPair::from_pem(&authority.key).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&authority.chain, authority_key).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = authority::moment(store::unix_now() + from * 86_400);
    params.not_after = authority::moment(store::unix_now() + until * 86_400);
    let key = KeyPair::generate().unwrap();
    let made = params.signed_by(&key, &issuer).unwrap();
    (made.pem() + &authority.chain, key.serialize_pem())
}

#[test]
fn an_installed_certificate_is_shown_to_who_asks_for_its_names_and_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let certificates = Certificates::open_at(&store, store::unix_now(), names("192.0.2.7")).unwrap();
    let own = certificates.resolver.choose(None).cert[0].to_vec();
    let authority =
        authority::make(&Names::new(vec!["other".into()], Vec::new()), store::unix_now()).unwrap();
    let (chain, key) = foreign_by(&authority, &["mail.example.org", "*.home.example.org"], (-1, 90));
    let said = certificates.install(chain.clone(), key.clone()).unwrap();
    assert_eq!(said.names, ["mail.example.org", "*.home.example.org"]);
    assert!(certificates.is_installed(&chain, &key).unwrap());
    for certificates in
        [&certificates, &Certificates::open_at(&store, store::unix_now(), names("192.0.2.7")).unwrap()]
    {
        let seen = |name: &str| certificates.resolver.choose(Some(name)).cert[0].to_vec();
        assert_eq!(seen("pi"), own);
        assert_eq!(certificates.resolver.choose(None).cert[0].to_vec(), own);
        assert_ne!(seen("mail.example.org"), own);
        assert_eq!(seen("pi.home.example.org"), seen("MAIL.example.org"));
        // A real handshake of a client that trusts the other authority alone.
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.chain.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let trusting = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        assert_eq!(shake(certificates, &trusting, "mail.example.org").1, seen("mail.example.org"));
        let known = client(certificates);
        assert_eq!(shake(certificates, &known, "192.0.2.7").1, own);
    }
    assert!(certificates.uninstall().unwrap() && !certificates.uninstall().unwrap());
    assert_eq!(certificates.resolver.choose(Some("mail.example.org")).cert[0].to_vec(), own);
    assert_eq!(certificates::get(&store.snapshot().unwrap(), INSTALLED).unwrap(), None);
}

#[test]
fn what_cannot_be_served_is_not_installed_and_the_reason_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let certificates =
        Certificates::open_at(&store(folder.path()), store::unix_now(), names("192.0.2.7")).unwrap();
    let (chain, key) = foreign(&["mail.example.org"], (-1, 90));
    certificates.install(chain.clone(), key.clone()).unwrap();
    let kept = key.clone();
    let (other_chain, other_key) = foreign(&["mail.example.org"], (-1, 90));
    let blocks: Vec<&str> = chain.split_inclusive("-----END CERTIFICATE-----\n").collect();
    let others: Vec<&str> = other_chain.split_inclusive("-----END CERTIFICATE-----\n").collect();
    let made = |days| foreign(&["mail.example.org"], days);
    let refused = |(chain, key): (String, String)| match certificates.install(chain, key) {
        Err(Error::Unfit(unfit)) => unfit,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused((String::new(), key.clone())), Unfit::NoCertificate);
    assert_eq!(refused((key.clone(), chain.clone())), Unfit::NoCertificate);
    assert_eq!(refused((chain.clone(), chain.clone())), Unfit::NoKey);
    assert_eq!(refused((chain.clone(), other_key)), Unfit::OthersKey);
    assert_eq!(refused((blocks[0].to_owned() + others[0], key.clone())), Unfit::Order(2));
    assert_eq!(refused(made((-90, -3))), Unfit::Expired(3));
    assert!(matches!(refused(made((10, 90))), Unfit::Early(9..=10)));
    assert!(matches!(refused((chain.replace("MII", "MIX"), key.clone())), Unfit::Unreadable(_)));
    let short = chain.len() / 4;
    assert!(matches!(refused((chain[..short].to_owned(), key)), Unfit::Unreadable(_) | Unfit::NoCertificate));
    assert!(certificates.is_installed(&chain, &kept).unwrap(), "what was there stays");
    assert_eq!(certificates.describe_installed().unwrap().names, ["mail.example.org"]);
}
