//! Which program may open a store: its format's number, and the features that it uses.
//!
//! A format is changed by a migration (`migrate`); a feature comes without one. Each feature has a bit in one of
//! three words in the index's `meta`, set durably before anything is written that needs it. A program that does not
//! know a bit may go on as if it were not there (compatible), may read and not write (read-only compatible), or must
//! not open the store (incompatible).

use crate::store::base::error::Error;
use crate::store::base::rows::StoredRow;
use crate::store::base::schema::SCHEMA_VERSION;
use crate::store::engine::database::{META, View};

/// Key in the index's `meta`: the format's number, u32.
pub(in crate::store) const META_SCHEMA: &[u8] = b"schema";
/// Key in the index's `meta`: the version of the program that opened the store last: what to install where that is
/// a newer one.
pub(in crate::store) const META_PROGRAM: &[u8] = b"program";
/// Key in the index's `meta`: the words of features, each u64. Where it is missing there are none.
pub(in crate::store) const META_FEATURES: &[u8] = b"features";

/// What makes a row of the format that follows out of one of a format.
pub type Convert = fn(StoredRow) -> Result<StoredRow, Error>;

/// A format that this program writes, and how it is reached from older ones.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Its number.
    pub number: u32,
    /// Older formats by number, each with what makes a row of the format that follows out of one of its own.
    pub steps: &'static [(u32, Convert)],
    /// The features that it knows.
    pub known: Features,
}

impl Format {
    /// That of this program.
    pub const CURRENT: Format =
        Format { number: SCHEMA_VERSION, steps: &[(1, from_1)], known: Features::NONE };

    /// Whether a store of format `from` can be brought to this one.
    #[must_use]
    pub fn reaches_from(&self, from: u32) -> bool {
        (from..self.number).all(|number| self.step(number).is_some())
    }

    /// What brings a row from format `from` to the next.
    pub(in crate::store) fn step(&self, from: u32) -> Option<Convert> {
        self.steps.iter().find(|(number, _)| *number == from).map(|(_, convert)| *convert)
    }
}

/// Rows are read in every version that they ever had, so those of format 1 stay as they are.
#[allow(clippy::unnecessary_wraps)]
fn from_1(row: StoredRow) -> Result<StoredRow, Error> {
    Ok(row)
}

/// Features, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Whoever does not know them may write.
    pub compatible: u64,
    /// Whoever does not know them may read.
    pub read_only: u64,
    /// Whoever does not know them must leave the store alone.
    pub incompatible: u64,
}

impl Features {
    /// None of them.
    pub const NONE: Features = Features { compatible: 0, read_only: 0, incompatible: 0 };

    /// As `meta` holds them.
    #[must_use]
    pub fn encode(self) -> [u8; 24] {
        let mut out = [0; 24];
        let words = [self.compatible, self.read_only, self.incompatible];
        out.iter_mut().zip(words.into_iter().flat_map(u64::to_le_bytes)).for_each(|(to, from)| *to = from);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Features> {
        let (words, rest) = bytes.as_chunks::<8>();
        let [compatible, read_only, incompatible] = *words else { return None };
        let number = u64::from_le_bytes;
        let features = Features {
            compatible: number(compatible),
            read_only: number(read_only),
            incompatible: number(incompatible),
        };
        rest.is_empty().then_some(features)
    }
}

/// Looks at the format of the store whose index this is; gives its number, which `format` can reach.
///
/// # Errors
/// [`Error::Incompatible`] with what to install if this program must leave the store alone; with `writing`, an I/O
/// error without permission if it may only read it.
pub(in crate::store) fn check(view: &View, format: &Format, writing: bool) -> Result<u32, Error> {
    let damaged = || Error::Damaged("index.redb".to_owned());
    let schema = view.get(META, META_SCHEMA)?.and_then(|value| value.try_into().ok());
    let schema = schema.map(u32::from_le_bytes).ok_or_else(damaged)?;
    let newer = || -> Result<String, Error> {
        let program = view.get(META, META_PROGRAM)?.and_then(|text| String::from_utf8(text).ok());
        Ok(program.map_or("in a newer version".to_owned(), |version| format!("{version} or newer")))
    };
    let own = env!("CARGO_PKG_VERSION");
    if schema > format.number {
        return Err(Error::Incompatible(format!(
            "the store has format {schema}, postern {own} knows {}: install postern {}",
            format.number,
            newer()?
        )));
    }
    if !format.reaches_from(schema) {
        return Err(Error::Incompatible(format!("the store has format {schema}, which cannot be migrated")));
    }
    let features = match view.get(META, META_FEATURES)? {
        Some(bytes) => Features::decode(&bytes).ok_or_else(damaged)?,
        None => Features::NONE,
    };
    if features.incompatible & !format.known.incompatible != 0 {
        return Err(Error::Incompatible(format!(
            "the store uses what postern {own} does not know: install postern {}",
            newer()?
        )));
    }
    if writing && features.read_only & !format.known.read_only != 0 {
        let why = format!(
            "it uses what postern {own} does not know, which may read it only: install postern {}",
            newer()?
        );
        let denied = std::io::Error::new(std::io::ErrorKind::PermissionDenied, why);
        return Err(Error::io("opening the store for writing", denied));
    }
    Ok(schema)
}
