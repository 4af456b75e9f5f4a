//! TLS as clients see it: rustls here, and OpenSSL where it is installed.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use crate::harness::strict::Wire;
use crate::harness::{PASSWORD, Server};

/// A client that trusts a server's own authority and nobody else.
pub struct Trusting(Arc<ClientConfig>);

/// A connection with TLS.
pub struct Secure(BufReader<Wire<Tls>>);

type Tls = StreamOwned<ClientConnection, TcpStream>;

impl Trusting {
    pub fn new(server: &Server) -> Trusting {
        Trusting::with(server, rustls::ALL_VERSIONS)
    }

    fn with(server: &Server, versions: &[&'static rustls::SupportedProtocolVersion]) -> Trusting {
        let (done, pem) = server.command(&["cert", "ca"], "");
        assert!(done, "{pem}");
        Trusting::authority(&pem, versions)
    }

    /// Trusts this authority.
    pub fn authority(pem: &str, versions: &[&'static rustls::SupportedProtocolVersion]) -> Trusting {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        Trusting(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    }

    /// Connects and shakes hands, with the name or address that the certificate must have.
    pub fn connect(&self, address: SocketAddr, name: &str) -> io::Result<Secure> {
        let stream = self.secure(TcpStream::connect(address)?, name)?;
        Ok(Secure(BufReader::new(Wire::over(stream))))
    }

    fn secure(&self, socket: TcpStream, name: &str) -> io::Result<Tls> {
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let client = ClientConnection::new(Arc::clone(&self.0), name).unwrap();
        let mut stream = StreamOwned::new(client, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }
}

impl Secure {
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub fn command(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(format!("t {command}\r\n").as_bytes()).unwrap();
        loop {
            let line = self.line();
            if let Some(status) = line.strip_prefix("t ") {
                return status.to_owned();
            }
            assert!(line.starts_with("* "), "{line}");
        }
    }

    fn kind(&self) -> HandshakeKind {
        self.0.get_ref().stream().conn.handshake_kind().unwrap()
    }

    fn leaf(&self) -> Vec<u8> {
        self.0.get_ref().stream().conn.peer_certificates().unwrap()[0].to_vec()
    }
}

impl Read for Secure {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

#[test]
fn who_trusts_the_authority_logs_in_by_name_and_by_address() {
    let server = Server::start(&["anna"]);
    let host = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Trusting::with(&server, &[version]);
        for name in ["localhost", "127.0.0.1", &host] {
            let mut connection = client.connect(server.imaps, name).unwrap();
            assert!(connection.line().contains("AUTH=PLAIN"));
            assert!(connection.command(&format!("LOGIN anna \"{PASSWORD}\"")).starts_with("OK"));
            assert!(connection.command("SELECT INBOX").starts_with("OK"));
        }
        let wrong = client.connect(server.imaps, "mail.example.org").err().unwrap().to_string();
        assert!(wrong.contains("not valid for name"), "{wrong}");
    }
}

#[test]
fn a_phone_that_comes_back_resumes_in_both_versions() {
    let server = Server::start(&["anna"]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Trusting::with(&server, &[version]);
        let mut first = client.connect(server.imaps, "localhost").unwrap();
        assert_eq!(first.kind(), HandshakeKind::Full);
        // A ticket of TLS 1.3 comes with the first bytes.
        first.line();
        let mut second = client.connect(server.imaps, "localhost").unwrap();
        assert_eq!(second.kind(), HandshakeKind::Resumed, "{version:?}");
        assert!(second.line().starts_with("* OK "));
        assert!(second.command(&format!("LOGIN anna \"{PASSWORD}\"")).starts_with("OK"));
    }
}

#[test]
fn starttls_leads_to_the_same() {
    let server = Server::start(&["anna"]);
    let client = Trusting::new(&server);
    let mut plain = BufReader::new(Wire::connect(server.imap).unwrap());
    let mut line = String::new();
    plain.read_line(&mut line).unwrap();
    assert!(line.contains("STARTTLS"), "{line}");
    plain.get_mut().write_all(b"s STARTTLS\r\n").unwrap();
    line.clear();
    plain.read_line(&mut line).unwrap();
    assert!(line.starts_with("s OK"), "{line}");
    let secure = client.secure(plain.into_inner().into_stream(), "localhost").unwrap();
    let mut secure = Secure(BufReader::new(Wire::after_starttls(secure)));
    assert!(secure.command("CAPABILITY").starts_with("OK"));
    assert!(secure.command("STARTTLS").starts_with("BAD"));
    assert!(secure.command(&format!("LOGIN anna \"{PASSWORD}\"")).starts_with("OK"));
}

#[test]
fn a_new_certificate_drops_no_session_and_a_restart_keeps_it() {
    let mut server = Server::start(&["anna"]);
    let client = Trusting::new(&server);
    let mut old = client.connect(server.imaps, "localhost").unwrap();
    old.line();
    assert!(old.command(&format!("LOGIN anna \"{PASSWORD}\"")).starts_with("OK"));
    let (done, text) = server.command(&["cert", "renew"], "");
    assert!(done, "{text}");
    let renewed = Trusting::new(&server).connect(server.imaps, "localhost").unwrap().leaf();
    assert_ne!(renewed, old.leaf());
    assert!(old.command("SELECT INBOX").starts_with("OK"));
    server.stop();
    server.restart();
    let after = client.connect(server.imaps, "localhost").unwrap();
    assert_eq!(after.leaf(), renewed, "the authority is the same too: the old client still trusts it");
}

#[test]
fn who_does_not_trust_or_does_not_speak_tls_harms_nobody() {
    let server = Server::start(&["anna"]);
    let other = Server::start(&[]);
    assert!(Trusting::new(&other).connect(server.imaps, "localhost").is_err(), "another authority");
    // Plain text, rubbish, and a connection that is closed at once.
    for bytes in [&b"a LOGIN anna horse\r\n"[..], &[0x16, 3, 1, 0xff, 0xff], &[0; 4096], b""] {
        let mut socket = TcpStream::connect(server.imaps).unwrap();
        socket.write_all(bytes).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"* "), "nothing is said in the clear");
    }
    assert!(Trusting::new(&server).connect(server.imaps, "localhost").is_ok());
}

/// `openssl s_client` with what it printed; none where it is not installed.
fn openssl(server: &Server, arguments: &[&str], address: SocketAddr) -> Option<(bool, String)> {
    let (_, pem) = server.command(&["cert", "ca"], "");
    let authority = server.folder().join("ca.pem");
    std::fs::write(&authority, pem).unwrap();
    let child = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string(), "-verify_return_error", "-CAfile"])
        .arg(&authority)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: openssl is not installed");
        return None;
    };
    let mut input = child.stdin.take().unwrap();
    // Once it is through, LOGOUT ends it; a refused one reads nothing.
    let _ = input.write_all(b"a LOGOUT\r\n");
    let output = child.wait_with_output().unwrap();
    drop(input);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), text))
}

#[test]
fn openssl_verifies_and_resumes() {
    let server = Server::start(&["anna"]);
    let session = server.folder().join("session").to_str().unwrap().to_owned();
    let quiet = ["-ign_eof"];
    let at = |arguments: &[&str]| openssl(&server, &[&quiet[..], arguments].concat(), server.imaps);
    for version in ["-tls1_2", "-tls1_3"] {
        for verify in [["-verify_hostname", "localhost"], ["-verify_ip", "127.0.0.1"]] {
            let Some((done, text)) = at(&[&[version], &verify[..]].concat()) else { return };
            assert!(done && text.contains("Verify return code: 0 (ok)"), "{version} {verify:?}: {text}");
            assert!(text.contains("* BYE "), "{text}");
        }
        let Some((done, text)) = at(&[version, "-verify_hostname", "mail.example.org"]) else { return };
        assert!(!done && text.contains("ostname mismatch"), "{text}");
        at(&[version, "-sess_out", &session]);
        let Some((_, text)) = at(&[version, "-sess_in", &session]) else { return };
        assert!(text.contains("Reused, TLSv1."), "{version}: {text}");
    }
    let Some((done, text)) = at(&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]) else { return };
    assert!(!done, "TLS 1.1 is not spoken: {text}");
    let starttls = ["-ign_eof", "-starttls", "imap", "-verify_hostname", "localhost"];
    let Some((done, text)) = openssl(&server, &starttls, server.imap) else { return };
    assert!(done && text.contains("Verify return code: 0 (ok)") && text.contains("* BYE "), "{text}");
}
