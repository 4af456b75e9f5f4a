//! Certificates: the server's own authority and the leaf that clients see, kept in the store, renewed by
//! themselves and swapped without dropping a session.

mod authority;
mod config;
mod installed;
mod interfaces;
mod leaf;
mod names;
mod resolver;
mod substitute;

use std::sync::{Arc, Mutex};

use async_rustls::TlsAcceptor;
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;

use crate::model::locked;
use crate::store::{self, Store, certificates};
pub use installed::Unfit;
use leaf::Leaf;
pub use names::Names;
use resolver::Resolver;
pub use substitute::Substitute;

/// Under these names the store keeps them.
const AUTHORITY: &str = "ca";
const LEAF: &str = "leaf";
const INSTALLED: &str = "installed";
/// Whoever keeps an installed certificate should have put another in its place so long before its end, in seconds.
pub const LATE: i64 = 14 * 86_400;

/// When this was built, in seconds since 1970: until the clock has passed it, the clock is wrong. A Pi has
/// none before NTP.
pub const BUILT: i64 = built();

const fn built() -> i64 {
    // 1 November 2026, where the build does not say.
    const DEFAULT: i64 = 1_793_491_200;
    let Some(text) = option_env!("SOURCE_DATE_EPOCH") else { return DEFAULT };
    match i64::from_str_radix(text, 10) {
        Ok(seconds) => seconds,
        Err(_) => DEFAULT,
    }
}

/// What goes wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// One could not be made.
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// One could not be used.
    #[error("a certificate could not be used: {0}")]
    Use(#[from] rustls::Error),
    /// One that is stored cannot be read.
    #[error("a stored certificate cannot be read: {0}")]
    Unreadable(String),
    /// One that was given cannot be served.
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

/// The certificate of the moment, and what makes the next one.
pub struct Certificates {
    store: Store,
    authority: certificates::Certificate,
    imap: Arc<ServerConfig>,
    http: Arc<ServerConfig>,
    resolver: Arc<Resolver>,
    leaf: Mutex<Leaf>,
    installed: Mutex<Option<Leaf>>,
}

/// What a certificate says, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    /// From when, in seconds since 1970.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// SHA-256 of the certificate, in pairs of hexadecimal digits with colons between them.
    pub fingerprint_sha256: String,
}

impl Certificates {
    /// Reads the certificates of a store; makes what is missing.
    ///
    /// # Errors
    /// If they can be neither read nor made.
    pub fn open(store: &Store) -> Result<Self, Error> {
        Self::open_at(store, store::unix_now(), Names::of_this_host())
    }

    fn open_at(store: &Store, now: i64, names: Names) -> Result<Self, Error> {
        let authority = match certificates::get(&store.snapshot()?, AUTHORITY)? {
            Some(known) => known,
            None => {
                let made = authority::make(&names, now)?;
                put(store, AUTHORITY, &made)?;
                made
            }
        };
        let stored = certificates::get(&store.snapshot()?, LEAF)?;
        let leaf = match stored.as_ref().map(Leaf::read).transpose()? {
            Some(leaf) => leaf,
            None => {
                let (made, leaf) = leaf::make(&authority, &names, now)?;
                put(store, LEAF, &made)?;
                leaf
            }
        };
        let resolver = Arc::new(Resolver::new(leaf.certified()?));
        let installed = certificates::get(&store.snapshot()?, INSTALLED)?;
        let installed = installed.as_ref().map(Leaf::read).transpose()?;
        if let Some(leaf) = &installed {
            resolver.set_installed(Some((leaf.names().clone(), leaf.certified()?)));
        }
        let config =
            |protocol: &[u8]| config::server(Arc::clone(&resolver) as Arc<dyn ResolvesServerCert>, protocol);
        let (imap, http) = (Arc::new(config(b"imap")?), Arc::new(config(b"http/1.1")?));
        let (leaf, installed) = (Mutex::new(leaf), Mutex::new(installed));
        Ok(Certificates { store: store.clone(), authority, imap, http, resolver, leaf, installed })
    }

    /// What does handshakes for IMAP. It gives each the certificate of that moment.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.imap))
    }

    /// What does handshakes for the admin site.
    #[must_use]
    pub fn http_acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.http))
    }

    /// Makes another leaf if this one is about to expire, or the host has names or addresses that it does not
    /// have. Sessions that are open go on.
    ///
    /// # Errors
    /// If it cannot be made or stored; the present one stays.
    pub fn renew_if_needed(&self, now: i64) -> Result<bool, Error> {
        self.renew_for(now, Names::of_this_host())
    }

    /// Makes another leaf whether it is time or not: somebody asked for it. Sessions that are open go on.
    ///
    /// # Errors
    /// If it cannot be made or stored; the present one stays.
    pub fn renew(&self) -> Result<(), Error> {
        let mut leaf = locked(&self.leaf);
        self.replace(&mut leaf, store::unix_now(), &Names::of_this_host())
    }

    fn renew_for(&self, now: i64, names: Names) -> Result<bool, Error> {
        let mut leaf = locked(&self.leaf);
        if !leaf.is_outdated(now, &names) {
            return Ok(false);
        }
        self.replace(&mut leaf, now, &names).map(|()| true)
    }

    fn replace(&self, leaf: &mut Leaf, now: i64, names: &Names) -> Result<(), Error> {
        let (made, next) = leaf::make(&self.authority, names, now)?;
        put(&self.store, LEAF, &made)?;
        self.resolver.set_own(next.certified()?);
        *leaf = next;
        Ok(())
    }

    /// The authority's certificate, for devices that are to trust this server.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.authority.chain.clone()
    }

    /// What the leaf says.
    #[must_use]
    pub fn describe(&self) -> Description {
        locked(&self.leaf).describe()
    }

    /// Shows a certificate that somebody else keeps to whoever asks for one of its names, from the next handshake on.
    /// Sessions that are open go on.
    ///
    /// # Errors
    /// Why it cannot be served; the present one stays.
    pub fn install(&self, chain: String, key: String) -> Result<Description, Error> {
        let given = certificates::Certificate { chain, key };
        let mut installed = locked(&self.installed);
        let leaf = installed::check(&given, store::unix_now())?;
        put(&self.store, INSTALLED, &given)?;
        self.resolver.set_installed(Some((leaf.names().clone(), leaf.certified()?)));
        let description = leaf.describe();
        *installed = Some(leaf);
        Ok(description)
    }

    /// Shows the server's own certificate alone. Whether another one was installed.
    ///
    /// # Errors
    /// Of writing.
    pub fn uninstall(&self) -> Result<bool, Error> {
        let mut installed = locked(&self.installed);
        self.store.write(|tx| {
            certificates::delete(tx, INSTALLED);
            Ok(())
        })?;
        self.resolver.set_installed(None);
        Ok(installed.take().is_some())
    }

    /// What a chain says that can be served with this key.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn fits(&self, chain: String, key: String) -> Result<Description, Unfit> {
        installed::check(&certificates::Certificate { chain, key }, store::unix_now())
            .map(|leaf| leaf.describe())
    }

    /// Whether this chain, with this key, is the one that is installed.
    ///
    /// # Errors
    /// Of reading.
    pub fn is_installed(&self, chain: &str, key: &str) -> Result<bool, store::Error> {
        let known = certificates::get(&self.store.snapshot()?, INSTALLED)?;
        Ok(known.is_some_and(|known| known.chain == chain && known.key == key))
    }

    /// What the installed certificate says, if there is one.
    #[must_use]
    pub fn describe_installed(&self) -> Option<Description> {
        locked(&self.installed).as_ref().map(Leaf::describe)
    }
}

fn put(store: &Store, name: &'static str, certificate: &certificates::Certificate) -> Result<(), Error> {
    let certificate = certificate.clone();
    Ok(store.write(move |tx| certificates::put(tx, name, &certificate))?)
}

/// The clock, or the build's date where the clock is behind that.
fn trusted(now: i64) -> i64 {
    now.max(BUILT)
}

#[cfg(test)]
mod tests;
