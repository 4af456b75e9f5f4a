//! Rows without those that are damaged: what is left is checked all the same.

use crate::store::base::error::Error;
use crate::store::base::rows::{Rows, Visit};
use crate::store::base::schema::Table;
use crate::store::content::snapshot::Snapshot;

/// A snapshot in which a row whose checksum does not fit is not there.
pub(in crate::store) struct Tolerant<'a>(pub(in crate::store) &'a Snapshot);

impl Tolerant<'_> {
    fn walk(
        &self,
        table: Table,
        (low, high): (&[u8], &[u8]),
        back: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        if low >= high {
            return Ok(());
        }
        let mut rows = self.0.index().range(table as u8, low, high)?;
        while let Some((key, value)) = rows.step_over(back)? {
            if let Some(value) = value
                && visit(&key, &value)?.is_break()
            {
                break;
            }
        }
        Ok(())
    }
}

impl Rows for Tolerant<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut value = None;
        let above = [key, &[0]].concat();
        self.walk(table, (key, &above), false, &mut |_, found| {
            value = Some(found.to_vec());
            Ok(std::ops::ControlFlow::Break(()))
        })?;
        Ok(value)
    }

    fn scan(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.walk(table, (low, high), false, visit)
    }

    fn scan_back(&self, table: Table, low: &[u8], high: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
        self.walk(table, (low, high), true, visit)
    }
}
