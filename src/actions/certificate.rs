//! The server's certificates: its own, and one that somebody else keeps.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Context, Failure};
use crate::store::{Rows, settings};
use crate::tls::{self, Description};

/// Under this name the settings have the files that are watched: the key's path, a line end, the chain's.
const WATCHED: &str = "certificate.files";
/// A chain or a key is no longer, in bytes.
pub const LONGEST: u64 = 256 * 1024;

/// The certificate of the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    /// From when, in seconds since 1970.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// SHA-256 of it, as devices show it.
    pub fingerprint: String,
    /// One that somebody else keeps, shown to whoever asks for its names.
    #[serde(default)]
    pub installed: Option<Installed>,
}

/// A certificate that somebody else keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    /// From when, in seconds since 1970.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// SHA-256 of it.
    pub fingerprint: String,
    /// The files that are looked at every minute.
    pub watched: Option<Files>,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// Where a certificate lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// The private key, in PEM.
    pub key: PathBuf,
    /// The chain, in PEM, the server's own certificate first.
    pub chain: PathBuf,
}

/// A certificate that is to be shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The private key, in PEM.
    pub key: String,
    /// The chain, in PEM.
    pub chain: String,
    /// Only if it takes the place of one for the same names: a renewal, of which the server may know nothing.
    pub renewal: bool,
    /// Look at these files every minute, and take what is new in them.
    pub watch: Option<Files>,
}

/// Shows no key.
impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// What it says.
///
/// # Errors
/// Of reading.
pub fn info(context: &Context) -> Result<Info, Failure> {
    let description = context.certificates.describe();
    let watched = watched(&context.store.snapshot()?)?;
    let installed = context.certificates.describe_installed().map(|description| Installed {
        problem: problem(context, &description, watched.as_ref()),
        names: description.names,
        not_before: description.not_before,
        not_after: description.not_after,
        fingerprint: description.fingerprint_sha256,
        watched,
    });
    Ok(Info {
        names: description.names,
        not_before: description.not_before,
        not_after: description.not_after,
        fingerprint: description.fingerprint_sha256,
        installed,
    })
}

/// What is wrong with an installed certificate: why another one was not taken, or that it ends soon.
fn problem(context: &Context, installed: &Description, watched: Option<&Files>) -> Option<String> {
    let now = crate::store::unix_now();
    let refused = watched.and_then(|files| read(files).err().map(|failure| failure.to_string()));
    let refused = refused.or_else(|| watched.and_then(|files| refused_now(context, files)));
    let left = installed.not_after - now;
    let ends = (left < tls::LATE).then(|| match left / 86_400 {
        ..0 => "it has expired, and no other one has been put in its place".to_owned(),
        0 => "it expires within a day, and no other one has been put in its place".to_owned(),
        1 => "it expires in a day, and no other one has been put in its place".to_owned(),
        days => format!("it expires in {days} days, and no other one has been put in its place"),
    });
    refused.or(ends)
}

/// Why what lies in the watched files now is not served.
fn refused_now(context: &Context, files: &Files) -> Option<String> {
    let (key, chain) = read(files).ok()?;
    context.certificates.fits(chain, key).err().map(|unfit| unfit.to_string())
}

/// Shows a certificate that somebody else keeps to whoever asks for its names. Sessions that are open go on.
///
/// # Errors
/// Why it cannot be served, or its files not be watched; the present one stays.
pub fn install(context: &Context, order: Order) -> Result<Info, Failure> {
    if let Some(files) = &order.watch {
        read(files)?;
    }
    if order.renewal && !is_renewal(context, &order) {
        return info(context);
    }
    let invalid = |error: tls::Error| Failure::Invalid(error.to_string());
    let installed = context.certificates.install(order.chain, order.key).map_err(invalid)?;
    tracing::info!(names = installed.names.join(", "), "a certificate was installed");
    // A renewal leaves it as it is whether files are watched.
    if !order.renewal {
        context.store.write(move |tx| match &order.watch {
            Some(files) => settings::put(tx, WATCHED, lines(files).as_bytes()),
            None => {
                settings::delete(tx, WATCHED);
                Ok(())
            }
        })?;
    }
    info(context)
}

/// Whether what is given is for one of the names of what is installed.
fn is_renewal(context: &Context, order: &Order) -> bool {
    let Some(known) = context.certificates.describe_installed() else { return false };
    let given = context.certificates.fits(order.chain.clone(), order.key.clone());
    // One that cannot be served is told of where it is installed.
    given.map_or(true, |given| given.names.iter().any(|name| known.names.contains(name)))
}

/// Shows the server's own certificate alone again.
///
/// # Errors
/// If no other is shown.
pub fn uninstall(context: &Context) -> Result<Info, Failure> {
    let was = context.certificates.uninstall().map_err(|error| Failure::Invalid(error.to_string()))?;
    context.store.write(|tx| {
        settings::delete(tx, WATCHED);
        Ok(())
    })?;
    if !was {
        return Err(Failure::Invalid(
            "no certificate is installed: the server shows its own alone already".to_owned(),
        ));
    }
    info(context)
}

/// What the watched files had when they were looked at last.
#[derive(Debug, Default)]
pub struct Looked {
    seen: Option<(String, String)>,
    told: Option<String>,
}

/// Looks at the watched files, and shows what is new in them. What cannot be served is told once in the log.
pub fn look(context: &Context, mut looked: Looked) -> Looked {
    let files = context.store.snapshot().and_then(|snapshot| watched(&snapshot));
    let files = match files {
        Ok(Some(files)) => files,
        Ok(None) => return Looked::default(),
        Err(error) => {
            tracing::debug!(%error, "which certificate is watched cannot be read");
            return looked;
        }
    };
    let taken = read(&files).and_then(|(key, chain)| {
        if looked.seen.as_ref() == Some(&(key.clone(), chain.clone())) {
            return Ok(None);
        }
        looked.seen = Some((key.clone(), chain.clone()));
        let order = Order { key, chain, renewal: false, watch: Some(files.clone()) };
        let same = context.certificates.is_installed(&order.chain, &order.key)?;
        if same { Ok(None) } else { install(context, order).map(Some) }
    });
    let problem = taken.err().map(|failure| failure.to_string());
    if let Some(problem) = problem.as_ref().filter(|problem| looked.told.as_ref() != Some(*problem)) {
        let (key, chain) = (files.key.display(), files.chain.display());
        tracing::error!(%key, %chain, problem, "the watched certificate cannot be taken; the one before it is shown");
    }
    looked.told = problem;
    looked
}

fn watched(rows: &dyn Rows) -> Result<Option<Files>, crate::store::Error> {
    let Some(value) = settings::get(rows, WATCHED)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&value).into_owned();
    Ok(text.split_once('\n').map(|(key, chain)| Files { key: key.into(), chain: chain.into() }))
}

fn lines(files: &Files) -> String {
    format!("{}\n{}", files.key.display(), files.chain.display())
}

/// The key and the chain in files.
///
/// # Errors
/// Which cannot be read, and why.
pub fn read(files: &Files) -> Result<(String, String), Failure> {
    Ok((read_pem(&files.key)?, read_pem(&files.chain)?))
}

/// A file that should be PEM: regular, of at most [`LONGEST`] bytes.
fn read_pem(path: &Path) -> Result<String, Failure> {
    use std::io::Read;
    let problem = |why: String| Failure::Invalid(format!("{}: {why}", path.display()));
    if !path.is_absolute() || path.to_str().is_none_or(|text| text.contains('\n')) {
        return Err(problem("name it by its whole path, in UTF-8".to_owned()));
    }
    let unread = |error: std::io::Error| {
        problem(match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::PermissionDenied => "it may not be read".to_owned(),
            _ => error.to_string(),
        })
    };
    // A FIFO would have whoever reads it wait for ever.
    let is_file = std::fs::metadata(path).map_err(unread)?.is_file();
    if !is_file {
        return Err(problem("it is no file".to_owned()));
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unread)?;
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(|_| problem("it is no PEM file".to_owned()))?;
    if text.len() as u64 > LONGEST {
        return Err(problem("it is too long for a certificate or a key".to_owned()));
    }
    Ok(text)
}

/// Makes another one, for the names and addresses that this host has now. Sessions that are open go on.
///
/// # Errors
/// If it cannot be made or stored.
pub fn renew(context: &Context) -> Result<Info, Failure> {
    context.certificates.renew().map_err(|error| Failure::Invalid(error.to_string()))?;
    info(context)
}

/// The certificate of the local authority, as PEM: a device that trusts it trusts this server.
#[must_use]
pub fn authority(context: &Context) -> String {
    context.certificates.ca_pem()
}

/// The server's names and addresses, the likeliest to be found from another machine first.
#[must_use]
pub fn names(context: &Context) -> Vec<String> {
    let mut names = context.certificates.describe().names;
    names.sort_by_key(|name| rank(name));
    // A name that everybody trusts goes first.
    let installed = context.certificates.describe_installed().map_or_else(Vec::new, |known| known.names);
    let mut first: Vec<String> = installed.into_iter().filter(|name| !name.contains('*')).collect();
    names.retain(|name| !first.contains(name));
    first.append(&mut names);
    first
}

/// Which names are found the likeliest from another machine of a home: `pi.local` by multicast DNS, then the
/// addresses, then the bare name, which needs a router that knows it. `localhost` is for who sits at the machine.
fn rank(name: &str) -> u8 {
    match name.parse::<std::net::IpAddr>() {
        Ok(address) if address.is_loopback() => 4,
        Ok(address) if address.is_ipv4() => 1,
        Ok(_) => 2,
        Err(_) if name.ends_with(".local") => 0,
        Err(_) if name == "localhost" => 4,
        Err(_) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_name_is_first() {
        let mut names = ["pi", "pi.local", "localhost", "127.0.0.1", "192.0.2.5", "::1", "2001:db8::5"];
        names.sort_by_key(|name| rank(name));
        assert_eq!(names, ["pi.local", "192.0.2.5", "2001:db8::5", "pi", "localhost", "127.0.0.1", "::1"]);
    }

    /// A certificate for a name, signed by itself, and its key.
    fn files(folder: &Path, name: &str) -> Files {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let files = Files { key: folder.join("key.pem"), chain: folder.join("chain.pem") };
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        std::fs::write(&files.chain, made.cert.pem()).unwrap();
        files
    }

    fn shown(context: &Context) -> Option<(Vec<String>, Option<String>)> {
        info(context).unwrap().installed.map(|installed| (installed.names, installed.problem))
    }

    fn order(files: &Files, renewal: bool, watch: bool) -> Order {
        let (key, chain) = read(files).unwrap();
        Order { key, chain, renewal, watch: watch.then(|| files.clone()) }
    }

    #[test]
    fn watched_files_are_taken_when_they_change_and_what_is_unfit_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::in_folder(&folder.path().join("data"));
        let files = files(folder.path(), "mail.example.org");
        install(&context, order(&files, false, true)).unwrap();
        assert_eq!(shown(&context).unwrap(), (vec!["mail.example.org".to_owned()], None));
        let looked = look(&context, Looked::default());
        assert_eq!(looked.told, None);

        // The key is renewed before the chain: for a moment they do not fit.
        let before = std::fs::read(&files.chain).unwrap();
        self::tests::files(folder.path(), "imap.example.org");
        let after = std::fs::read(&files.chain).unwrap();
        std::fs::write(&files.chain, &before).unwrap();
        let looked = look(&context, looked);
        assert!(looked.told.as_ref().unwrap().contains("not that of the chain"), "{looked:?}");
        let (names, problem) = shown(&context).unwrap();
        assert_eq!(names, ["mail.example.org"], "the one before it is shown");
        assert!(problem.unwrap().contains("not that of the chain"));
        let status = crate::actions::status::read(&context).unwrap();
        let concerns = crate::actions::health::concerns(&status, crate::store::unix_now());
        let told =
            concerns.iter().any(|one| one.what == "The certificate for mail.example.org is not kept fresh");
        assert!(told, "{concerns:?}");
        std::fs::write(&files.chain, &after).unwrap();
        let looked = look(&context, looked);
        assert_eq!(looked.told, None);
        assert_eq!(shown(&context).unwrap(), (vec!["imap.example.org".to_owned()], None));

        std::fs::remove_file(&files.key).unwrap();
        let looked = look(&context, looked);
        assert!(looked.told.unwrap().ends_with("key.pem: there is no such file"));
        assert_eq!(shown(&context).unwrap().0, ["imap.example.org"]);

        uninstall(&context).unwrap();
        assert_eq!(shown(&context), None);
        assert_eq!(look(&context, Looked::default()).told, None);
        assert!(uninstall(&context).is_err());
    }

    #[test]
    fn a_renewal_takes_the_place_of_one_for_the_same_names_only() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::in_folder(&folder.path().join("data"));
        let make = |name: &str| order(&files(folder.path(), name), true, false);
        install(&context, make("mail.example.org")).unwrap();
        assert_eq!(shown(&context), None, "nothing is installed: certbot keeps it for somebody else");
        install(&context, Order { renewal: false, ..make("mail.example.org") }).unwrap();
        let first = info(&context).unwrap().installed.unwrap().fingerprint;
        install(&context, make("www.example.org")).unwrap();
        assert_eq!(info(&context).unwrap().installed.unwrap().fingerprint, first);
        install(&context, make("mail.example.org")).unwrap();
        assert_ne!(info(&context).unwrap().installed.unwrap().fingerprint, first);
    }

    #[test]
    fn files_that_are_no_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let told = |path: &Path| read_pem(path).unwrap_err().to_string();
        assert!(told(folder.path()).ends_with("it is no file"));
        assert!(told(Path::new("key.pem")).contains("by its whole path"));
        assert!(told(Path::new("/dev/zero")).ends_with("it is no file"));
        let long = folder.path().join("long");
        std::fs::write(&long, vec![b'x'; LONGEST as usize + 1]).unwrap();
        assert!(told(&long).contains("too long"));
        std::fs::write(&long, [0xff, 0xfe]).unwrap();
        assert!(told(&long).ends_with("it is no PEM file"));
    }

    #[test]
    fn an_order_shows_no_key() {
        let order = Order { key: "secret".into(), chain: "chain".into(), renewal: false, watch: None };
        assert!(!format!("{order:?}").contains("secret"));
    }
}
