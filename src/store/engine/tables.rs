//! The tables of a redb file, by number and by name. A number that this program does not know is a table all the
//! same: a newer one wrote its rows, and they are kept where it looks for them.

use std::sync::LazyLock;

use crate::store::base::schema::{Table, VolumeTable};

/// The table of the file's own facts; in every file.
pub(in crate::store) const META: u8 = 0;

/// What kind of file it is: decides the names of its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    Index,
    Volume,
}

impl Kind {
    /// The name of a table that this program knows.
    pub(in crate::store) fn table(self, number: u8) -> Option<&'static str> {
        match (self, number) {
            (_, META) => Some("meta"),
            (Kind::Index, number) => Table::from_number(number).map(|table| table.name()),
            (Kind::Volume, number) => VolumeTable::from_number(number).map(|table| table.name()),
        }
    }

    /// The name of any table.
    pub(in crate::store) fn name(self, number: u8) -> &'static str {
        self.table(number).or_else(|| NUMBERED.get(usize::from(number)).map(String::as_str)).unwrap_or("t")
    }

    /// The number of a table in the file; none if no version of Postern calls one so.
    pub(in crate::store) fn number(self, name: &str) -> Option<u8> {
        (0..=u8::MAX).find(|number| self.name(*number) == name)
    }
}

/// What a table is called that has no other name.
static NUMBERED: LazyLock<Vec<String>> =
    LazyLock::new(|| (0..=u8::MAX).map(|number| format!("t{number}")).collect());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_name_of_its_own() {
        for kind in [Kind::Index, Kind::Volume] {
            for number in 0..=u8::MAX {
                assert_eq!(kind.number(kind.name(number)), Some(number));
            }
            assert_eq!((kind.name(37), kind.number("nothing")), ("t37", None));
        }
    }
}
