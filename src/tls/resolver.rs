//! Which certificate a client is shown.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Names;

/// Gives each handshake the certificate of the moment: that of somebody else to who asks for one of its names, and
/// else the server's own, so that devices which trust the authority go on as before.
#[derive(Debug)]
pub(super) struct Resolver(RwLock<Choice>);

#[derive(Debug)]
struct Choice {
    own: Arc<CertifiedKey>,
    installed: Option<(Names, Arc<CertifiedKey>)>,
}

impl Resolver {
    pub(super) fn new(own: Arc<CertifiedKey>) -> Self {
        Resolver(RwLock::new(Choice { own, installed: None }))
    }

    pub(super) fn set_own(&self, own: Arc<CertifiedKey>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).own = own;
    }

    pub(super) fn set_installed(&self, installed: Option<(Names, Arc<CertifiedKey>)>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).installed = installed;
    }

    /// The one for a name; without a name, the own one.
    pub(super) fn choose(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let choice = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let installed = choice.installed.as_ref().filter(|(names, _)| {
            name.is_some_and(|name| names.dns().iter().any(|pattern| is_for(pattern, name)))
        });
        Arc::clone(installed.map_or(&choice.own, |(_, key)| key))
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.choose(hello.server_name()))
    }
}

/// Whether a name of a certificate stands for this one: a `*` is one whole label, the first (RFC 9525 §6.3).
fn is_for(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.trim_end_matches('.'), name.trim_end_matches('.'));
    match pattern.strip_prefix("*.") {
        Some(rest) => name.split_once('.').is_some_and(|(first, below)| {
            !first.is_empty() && rest.contains('.') && below.eq_ignore_ascii_case(rest)
        }),
        None => pattern.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_names_a_certificate_is_for() {
        for (pattern, name, expected) in [
            ("mail.example.org", "mail.example.org", true),
            ("mail.example.org", "MAIL.Example.org.", true),
            ("mail.example.org", "example.org", false),
            ("*.example.org", "mail.example.org", true),
            ("*.example.org", "a.mail.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.org", "example.org", false),
            ("*", "localhost", false),
        ] {
            assert_eq!(is_for(pattern, name), expected, "{pattern} {name}");
        }
    }
}
