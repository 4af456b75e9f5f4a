//! Certificates while the store, where they lie, cannot be opened: those of its catalogue, which is a file of its own.

use std::path::Path;
use std::sync::Arc;

use async_rustls::TlsAcceptor;
use rustls::server::ResolvesServerCert;

use super::leaf::Leaf;
use super::{Error, INSTALLED, LEAF, Names, Resolver, authority, config, leaf};
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
            Ok(Some((leaf, installed))) => Self::of(&leaf, installed, true),
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
        Self::of(&leaf, None, false)
    }

    fn of(leaf: &Leaf, installed: Option<Leaf>, is_known: bool) -> Result<Self, Error> {
        let resolver = Resolver::new(leaf.certified()?);
        if let Some(leaf) = installed {
            resolver.set_installed(Some((leaf.names().clone(), leaf.certified()?)));
        }
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(resolver);
        let acceptor = |protocol: &[u8]| -> Result<TlsAcceptor, Error> {
            Ok(TlsAcceptor::from(Arc::new(config::server(Arc::clone(&resolver), protocol)?)))
        };
        let imap = is_known.then(|| acceptor(b"imap")).transpose()?;
        Ok(Substitute { http: acceptor(b"http/1.1")?, imap })
    }
}

/// The leaf in the newest catalogue, and what was installed beside it.
fn known(data: &Path, expected: Option<[u8; 16]>) -> Result<Option<(Leaf, Option<Leaf>)>, Error> {
    let Some((path, summary)) = keep::newest(&RealDisk, data)? else { return Ok(None) };
    if expected.is_some_and(|expected| expected != summary.head.store) {
        return Ok(None);
    }
    let Some(mut input) = keep::open(&RealDisk, &path)? else { return Ok(None) };
    let (mut found, mut installed): (Option<Certificate>, Option<Certificate>) = (None, None);
    catalogue::read(&mut input, &mut |table, key, value| {
        if table == Table::Certificates && key == LEAF.as_bytes() {
            found = Some(certificates::of_row(value)?);
        } else if table == Table::Certificates && key == INSTALLED.as_bytes() {
            installed = Some(certificates::of_row(value)?);
        }
        Ok::<_, store::Error>(())
    })?;
    let read = |found: Option<Certificate>| found.as_ref().map(Leaf::read).transpose();
    let installed = read(installed)?;
    Ok(read(found)?.map(|leaf| (leaf, installed)))
}

#[cfg(test)]
mod tests {
    use super::super::Certificates;
    use super::*;
    use crate::store::{Options, Store};

    #[test]
    fn the_certificate_that_is_known_comes_from_the_catalogue_of_the_right_store() {
        let folder = tempfile::tempdir().unwrap();
        let found = |expected| known(folder.path(), expected).unwrap().map(|(leaf, _)| leaf.describe());
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
