//! The files of an archive on their way to the sink.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::archive::{Entry, Survey, Visitor};
use super::loose::is_eml;
use super::old_mail::{Fault, Origin, Reader};

/// Gives the files of an archive to the reader.
pub(super) struct Unpacker<'a, 'b> {
    pub(super) reader: &'a mut Reader<'b>,
    pub(super) name: &'a str,
    /// The archive's own name.
    pub(super) below: &'a Path,
    pub(super) survey: Survey,
}

impl Visitor<Fault> for Unpacker<'_, '_> {
    fn entry(&mut self, entry: Entry<'_>) -> Result<(), Fault> {
        let name = if entry.path.as_os_str().is_empty() {
            self.name.to_owned()
        } else {
            format!("{}: {}", self.name, entry.path.display())
        };
        let done = self.one(entry, name.clone());
        self.reader.or_note(Path::new(&name), done).map(|_| ())
    }

    fn unreadable(&mut self, path: &Path, why: String) {
        self.reader.failed(&format!("{}: {}", self.name, path.display()), &why);
    }
}

impl Unpacker<'_, '_> {
    fn one(&mut self, entry: Entry<'_>, name: String) -> Result<(), Fault> {
        if entry.path.as_os_str().as_bytes().ends_with(b"/") {
            return Ok(());
        }
        let parent = entry.path.parent().unwrap_or(Path::new(""));
        let leaf = entry.path.file_name().unwrap_or_default();
        let in_maildir = ["cur", "new", "tmp"].iter().any(|sub| parent.file_name() == Some(OsStr::new(sub)));
        let holder = parent.parent().filter(|_| in_maildir);
        if let Some((holder, folder)) = holder.and_then(|holder| self.survey.folders.get_key_value(holder)) {
            if parent.file_name() == Some(OsStr::new("tmp")) || leaf.as_bytes().starts_with(b".") {
                return Ok(());
            }
            let keywords = self.survey.keywords.get(holder).cloned().unwrap_or_default();
            let (folder, when) = (folder.clone(), entry.modified);
            return self.reader.maildir_message(
                entry.reader,
                &folder,
                &keywords,
                leaf.as_bytes(),
                when,
                name,
            );
        }
        if leaf.as_bytes().starts_with(b".") {
            return Ok(());
        }
        let path = self.inner_path(&entry.path);
        let origin =
            Origin { name, path: &path, modified: entry.modified, named: false, packed: true, flags: None };
        self.reader.stream(entry.reader, &origin)
    }

    /// Below the folder that all others lie in; messages that lie there are named after the archive.
    fn inner_path(&self, path: &Path) -> PathBuf {
        if path.as_os_str().is_empty() {
            return self.below.with_extension("");
        }
        let base = self.survey.base.as_deref().unwrap_or(Path::new(""));
        let inner = path.strip_prefix(base).unwrap_or(path);
        if is_eml(inner) && inner.parent().is_none_or(|parent| parent.as_os_str().is_empty()) {
            let stem = self.below.with_extension("");
            let stem =
                if stem.extension() == Some(OsStr::new("tar")) { stem.with_extension("") } else { stem };
            return stem.join(inner);
        }
        inner.to_owned()
    }
}
