//! A file a message, as it is; a folder a mailbox. Flags have no place there.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use super::{Meta, Outlet, names, set_time};
use crate::model::DateTime;

/// Writes single messages.
pub(super) struct Eml {
    root: PathBuf,
    folder: PathBuf,
    message: Option<(PathBuf, BufWriter<File>, i64)>,
}

impl Eml {
    pub(super) fn new(root: PathBuf) -> Self {
        Eml { folder: root.clone(), root, message: None }
    }
}

impl Outlet for Eml {
    fn mailbox(&mut self, name: &str) -> io::Result<()> {
        self.folder = self.root.join(names::path(name));
        fs::create_dir_all(&self.folder)
    }

    fn message(&mut self, meta: &Meta) -> io::Result<()> {
        let (year, month, day) = DateTime::utc(meta.date).local_date().parts();
        let path = self.folder.join(format!("{year:04}-{month:02}-{day:02}-{:06}.eml", meta.uid));
        self.message = Some((path.clone(), BufWriter::new(File::create_new(path)?), meta.date));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.message.as_mut().map_or(Ok(()), |(_, file, _)| file.write_all(bytes))
    }

    fn end(&mut self) -> io::Result<()> {
        let Some((_, mut file, date)) = self.message.take() else { return Ok(()) };
        file.flush()?;
        set_time(file.get_ref(), date)
    }

    fn broken(&mut self) -> io::Result<()> {
        self.message.take().map_or(Ok(()), |(path, _, _)| fs::remove_file(path))
    }
}
