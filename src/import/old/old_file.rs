//! One file of old mail: what it is, and its messages on their way to the sink.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::archive::{self, Kind, Survey};
use super::emlx::{self, Emlx};
use super::loose::{self, Loose, is_eml};
use super::message_stream::{MessageStream, eml_levels, mbox_levels};
use super::old_mail::{Counted, Fault, MAX_SKIPPED, Origin, Reader};
use super::unpack::Unpacker;
use crate::import::disk::bounds::Bounds;
use crate::import::disk::coding::{self, Coding, Start};
use crate::import::disk::read::MAX_FILE;
use crate::import::disk::recognise::{LOOK, Likeness, NO_MAIL, likeness};
use crate::import::disk::window::{CrLines, Unread, Window};
use crate::import::maildir::keywords::Keywords;
use crate::import::maildir::layout::Folder;
use crate::import::maildir::message_name;
use crate::model::{DateTime, FlagSet};

impl Reader<'_> {
    pub(super) fn maildir_message(
        &mut self,
        source: &mut dyn Read,
        folder: &Folder,
        keywords: &Keywords,
        name: &[u8],
        modified: Option<i64>,
        origin: String,
    ) -> Result<(), Fault> {
        let date = message_name::arrived(name, modified).map(DateTime::utc);
        let mut window = Window::new(source);
        window.ensure(LOOK)?;
        let given = Some((date, message_name::flags(name, keywords)));
        let is_own = message_name::is_own(name);
        match coding::start(window.bytes()) {
            Start::Plain => self.maildir_contents(&mut window, folder, given, (origin, is_own)),
            Start::Closed(why) => {
                self.failed(&origin, why);
                Ok(())
            }
            // What is longer is refused at its end, as any message is.
            Start::Packed(coding) => {
                let mut unpacked = coding::unpack(coding, Unread(&mut window))?.take(MAX_FILE + 1);
                let mut window = Window::new(&mut unpacked as &mut dyn Read);
                window.ensure(LOOK)?;
                self.maildir_contents(&mut window, folder, given, (origin, is_own))
            }
        }
    }

    fn maildir_contents<R: Read>(
        &mut self,
        window: &mut Window<R>,
        folder: &Folder,
        given: Option<(Option<DateTime>, FlagSet)>,
        (origin, is_own): (String, bool),
    ) -> Result<(), Fault> {
        if window.bytes().is_empty() {
            self.skipped(&origin, "empty");
            return Ok(());
        }
        if !is_own && likeness(window.bytes()) == Likeness::Binary {
            self.skipped(&origin, NO_MAIL);
            return Ok(());
        }
        let mut stream = MessageStream::new(self, origin, folder.levels.clone());
        stream.given = given;
        if is_own { stream.read_as_it_is(window) } else { stream.read_one(window) }
    }

    /// A file on the disk.
    pub(super) fn file(
        &mut self,
        mut file: File,
        path: &Path,
        below: &Path,
        (named, flags): (bool, Option<FlagSet>),
    ) -> Result<(), Fault> {
        let modified = file.metadata()?.mtime();
        if let Some(kind) = archive::kind(&mut file)? {
            return self.archive(file, kind, path, below);
        }
        let origin = Origin {
            name: path.display().to_string(),
            path: below,
            modified: Some(modified),
            named,
            packed: false,
            flags,
        };
        self.stream(&mut self.counted(file), &origin)
    }

    /// Whatever a stream is.
    pub(super) fn stream(&mut self, source: &mut dyn Read, origin: &Origin<'_>) -> Result<(), Fault> {
        let mut window = Window::new(source);
        window.ensure(LOOK)?;
        if loose::has_cr_lines(window.bytes()) {
            let mut lines = CrLines(Unread(&mut window));
            return self.contents(&mut Window::new(&mut lines as &mut dyn Read), origin);
        }
        self.contents(&mut window, origin)
    }

    fn contents(&mut self, window: &mut Window<&mut dyn Read>, origin: &Origin<'_>) -> Result<(), Fault> {
        window.ensure(LOOK)?;
        let start = window.bytes();
        match loose::kind(origin.path, start, origin.named && !origin.packed) {
            Loose::Mbox => {
                self.looked(format!("{}: an mbox", origin.name));
                let mut stream = MessageStream::new(self, origin.name.clone(), mbox_levels(origin.path));
                (stream.modified, stream.is_mbox) = (origin.modified, true);
                stream.read_mbox(window)
            }
            Loose::Message => {
                if origin.named {
                    self.looked(format!("{}: a message", origin.name));
                }
                let mut stream = MessageStream::new(self, origin.name.clone(), eml_levels(origin.path));
                stream.modified = origin.modified;
                stream.given = origin.flags.clone().map(|flags| (None, flags));
                stream.read_one(window)
            }
            Loose::Emlx => {
                let (length, line) = loose::emlx_length(start).unwrap_or_default();
                window.consume(line);
                let source = Emlx::new(Unread(window), length);
                let mut stream = MessageStream::new(self, origin.name.clone(), emlx::levels(origin.path));
                (stream.modified, stream.late) = (origin.modified, Some(source.late()));
                stream.read_one(&mut Window::new(source))
            }
            Loose::Foreign(why) => {
                self.other(origin, why);
                Ok(())
            }
            Loose::Unnamed => {
                self.other(origin, loose::UNNAMED);
                Ok(())
            }
            Loose::Unknown => {
                let why = match (start, coding::start(start)) {
                    ([b'P', b'K', 3, 4, ..], _) | (_, Start::Packed(_)) if origin.packed => {
                        "an archive in an archive"
                    }
                    (_, Start::Closed(why)) => why,
                    ([], _) if is_eml(origin.path) || origin.named => "empty",
                    _ if is_eml(origin.path) => NO_MAIL,
                    _ if origin.named => "neither an mbox, nor a message, nor an archive",
                    _ => return Ok(()),
                };
                self.skipped(&origin.name, why);
                Ok(())
            }
        }
    }

    /// A file that is mail and is not read: told of with the others of its folder.
    fn other(&mut self, origin: &Origin<'_>, why: &'static str) {
        if origin.named {
            return self.skipped(&origin.name, why);
        }
        let folder = Path::new(&origin.name).parent().unwrap_or(Path::new("")).display().to_string();
        if self.others.len() < MAX_SKIPPED || self.others.contains_key(&(folder.clone(), why)) {
            *self.others.entry((folder, why)).or_default() += 1;
        } else {
            self.report.skipped_count += 1;
        }
    }

    fn archive(&mut self, mut file: File, kind: Kind, path: &Path, below: &Path) -> Result<(), Fault> {
        let name = path.display().to_string();
        let size = file.metadata()?.len();
        let bounds = || Bounds::new(size, Arc::clone(&self.wishes.stop));
        // Read for the first time it is no progress, but it is broken off.
        let (done, stop) = (Rc::default(), Arc::clone(&self.wishes.stop));
        let survey = Survey::of(Counted { inner: &mut file, done, stop }, kind, &bounds())?;
        file.rewind()?;
        let bounds = bounds();
        let what = match (kind, survey.folders.len()) {
            (Kind::Packed(Coding::Utf16), _) => "a text in UTF-16".to_owned(),
            (Kind::Packed(_), _) => "a compressed file".to_owned(),
            (_, 0) => "an archive".to_owned(),
            (_, folders) => format!("an archive of a Maildir, folders: {folders}"),
        };
        self.looked(format!("{name}: {what}"));
        // Inflated bytes are more than the file has: what counts is how far it was read.
        let source = self.counted(file);
        let mut unpacker = Unpacker { reader: self, name: &name, below, survey };
        archive::visit(source, kind, &bounds, &mut unpacker)
    }
}
