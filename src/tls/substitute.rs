//! Certificates while the store, where they lie, cannot be opened: those of its catalogue, which is a file of its own.

use std::path::Path;
use std::sync::{Arc, RwLock};

use async_rustls::TlsAcceptor;
use rustls::server::ResolvesServerCert;

use super::leaf::Leaf;
use super::{Error, LEAF, Names, Resolver, authority, config, leaf};
use crate::store::certificates::{self, Certificate};
use crate::store::check::{catalogue, keep};
use crate::store::env::RealDisk;
use crate::store::schema::Table;
use crate::store::{self, unix_now};

/// What does handshakes in the meantime.
pub struct Substitute {
    /// For the admin site's page: the certificate that browsers know, or one that nobody knows.
    pub http: TlsAcceptor,
    /// For IMAP, if the certificate that phones know could be read. Another one would have each of them ask its owner
    /// whether to trust a stranger.
    pub imap: Option<TlsAcceptor>,
}

impl Substitute {
    /// Reads what can be read in a data folder; only of the store that is `expected` there, if one is.
    ///
    /// # Errors
    /// If no certificate can be made.
    pub fn find(data: &Path, expected: Option<[u8; 16]>) -> Result<Self, Error> {
        match known(data, expected) {
            Ok(Some(leaf)) => Self::of(&leaf, true),
            Ok(None) => Self::unknown(),
            Err(error) => {
                tracing::debug!(%error, "the certificate cannot be read from the catalogue");
                Self::unknown()
            }
        }
    }

    fn unknown() -> Result<Self, Error> {
        let (names, now) = (Names::of_this_host(), unix_now());
        let (_, leaf) = leaf::make(&authority::make(&names, now)?, &names, now)?;
        Self::of(&leaf, false)
    }

    fn of(leaf: &Leaf, is_known: bool) -> Result<Self, Error> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(Resolver(RwLock::new(leaf.certified()?)));
        let acceptor = |protocol: &[u8]| -> Result<TlsAcceptor, Error> {
            Ok(TlsAcceptor::from(Arc::new(config::server(Arc::clone(&resolver), protocol)?)))
        };
        let imap = is_known.then(|| acceptor(b"imap")).transpose()?;
        Ok(Substitute { http: acceptor(b"http/1.1")?, imap })
    }
}

/// The leaf in the newest catalogue.
fn known(data: &Path, expected: Option<[u8; 16]>) -> Result<Option<Leaf>, Error> {
    let Some((path, summary)) = keep::newest(&RealDisk, data)? else { return Ok(None) };
    if expected.is_some_and(|expected| expected != summary.head.store) {
        return Ok(None);
    }
    let Some(mut input) = keep::open(&RealDisk, &path)? else { return Ok(None) };
    let mut found: Option<Certificate> = None;
    catalogue::read(&mut input, &mut |table, key, value| {
        if table == Table::Certificates && key == LEAF.as_bytes() {
            found = Some(certificates::of_row(value)?);
        }
        Ok::<_, store::Error>(())
    })?;
    found.as_ref().map(Leaf::read).transpose()
}

#[cfg(test)]
mod tests {
    use super::super::Certificates;
    use super::*;
    use crate::store::{Options, Store};

    #[test]
    fn the_certificate_that_is_known_comes_from_the_catalogue_of_the_right_store() {
        let folder = tempfile::tempdir().unwrap();
        let found = |expected| known(folder.path(), expected).unwrap().map(|leaf| leaf.describe());
        assert_eq!(found(None), None);
        let store = Store::open(Options::new(folder.path())).unwrap();
        let certificates = Certificates::open(&store).unwrap();
        keep::Keeper::default().look(&store).unwrap().unwrap();
        let (id, described) = (store.id(), certificates.describe());
        drop((certificates, store));
        std::fs::remove_file(folder.path().join("index.redb")).unwrap();
        assert_eq!(found(Some(id)), Some(described.clone()));
        assert_eq!(found(None), Some(described));
        assert_eq!(found(Some([7; 16])), None);
        assert!(Substitute::find(folder.path(), Some(id)).unwrap().imap.is_some());
        assert!(Substitute::find(folder.path(), Some([7; 16])).unwrap().imap.is_none());
    }
}
