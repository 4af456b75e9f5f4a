//! A certificate that somebody else keeps, installed and taken away under open sessions.

use std::path::Path;

use crate::harness::{PASSWORD, Server};
use crate::tls::Trusting;

/// Writes a certificate for a name, signed by itself, and its key; gives the certificate.
fn certificate(folder: &Path, name: &str) -> String {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("chain.pem"), made.cert.pem()).unwrap();
    made.cert.pem()
}

#[test]
fn certificates_are_swapped_under_fifty_open_sessions() {
    let server = Server::start(&["anna"]);
    let folder = server.scratch("certificates");
    std::fs::create_dir_all(&folder).unwrap();
    let (key, chain) = (folder.join("key.pem"), folder.join("chain.pem"));
    let install = |more: &[&str]| {
        let files = ["--key", key.to_str().unwrap(), "--chain", chain.to_str().unwrap()];
        server.command(&[&["cert", "install"], &files[..], more].concat(), "")
    };
    let own = Trusting::new(&server);
    let mut sessions = Vec::new();
    for _ in 0..40 {
        let mut session = own.connect(server.imaps, "localhost").unwrap();
        assert!(session.line().starts_with("* OK"));
        assert!(session.command(&format!("LOGIN anna \"{PASSWORD}\"")).starts_with("OK"));
        sessions.push(session);
    }
    let first = certificate(&folder, "mail.example.org");
    let (done, output) = install(&[]);
    assert!(done && output.contains("mail.example.org"), "{output}");
    let trusting = |pem: &str| Trusting::authority(pem, rustls::ALL_VERSIONS);
    for _ in 0..10 {
        let mut session = trusting(&first).connect(server.imaps, "mail.example.org").unwrap();
        assert!(session.line().starts_with("* OK"));
        assert!(session.command(&format!("LOGIN anna \"{PASSWORD}\"")).starts_with("OK"));
        sessions.push(session);
    }
    // Who trusts the server's own goes on as before, and a renewal takes its place.
    assert!(own.connect(server.imaps, "127.0.0.1").is_ok());
    let second = certificate(&folder, "mail.example.org");
    let (done, output) = install(&["--renewal"]);
    assert!(done, "{output}");
    assert!(trusting(&first).connect(server.imaps, "mail.example.org").is_err());
    assert!(trusting(&second).connect(server.imaps, "mail.example.org").is_ok());
    // What cannot be served is refused with the reason, and the one before it stays.
    std::fs::write(&chain, &first).unwrap();
    let (done, output) = install(&["--watch"]);
    assert!(!done && output.contains("the key is not that of the chain's first certificate"), "{output}");
    assert!(trusting(&second).connect(server.imaps, "mail.example.org").is_ok());
    let (done, output) = server.command(&["cert", "uninstall"], "");
    assert!(done && !output.contains("mail.example.org"), "{output}");
    assert!(trusting(&second).connect(server.imaps, "mail.example.org").is_err());
    for session in &mut sessions {
        assert!(session.command("NOOP").starts_with("OK"));
    }
}
