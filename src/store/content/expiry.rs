//! What was kept aside (`engine/kept.rs`) goes after 14 days, or when its owner, or a full disk, wants it so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::store::base::env::Disk;
use crate::store::base::error::Error;
use crate::store::base::running;
use crate::store::base::settings;
use crate::store::engine::kept::{kept, newest_before};
use crate::store::engine::store::Store;

/// How long such a file is kept, in seconds that the server has run.
const KEPT_FOR: i64 = 14 * 86_400;
/// Settings: when each such file was first seen, by the clock of what ages.
const SEEN: &str = "kept.";

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

impl Store {
    /// Drops what was kept for its time. That begins when a file is first seen here, by the clock of what ages.
    ///
    /// # Errors
    /// Of reading and writing.
    pub(in crate::store) fn drop_kept(&self) -> Result<(), Error> {
        let shared = &self.inner.shared;
        let files = kept(&shared.disk, &shared.paths)?;
        self.forget_gone(&files)?;
        for path in files {
            let name = name_of(&path);
            let key = format!("{SEEN}{name}");
            let rows = self.snapshot()?;
            let (now, seen) = (running::clock(&rows)?, settings::get(&rows, &key)?);
            drop(rows);
            let seen = seen.is_some().then(|| settings::number(&self.snapshot()?, &key)).transpose()?;
            let since = seen.map(|seen| now.saturating_sub(i64::try_from(seen).unwrap_or(i64::MAX)));
            match since {
                Some(since) if since >= KEPT_FOR => {
                    self.unlink_kept(&path)?;
                    tracing::info!(name, "what was kept for 14 days is dropped");
                    self.write(move |tx| {
                        settings::delete(tx, &key);
                        Ok(())
                    })?;
                }
                Some(_) => {}
                None => {
                    let now = u64::try_from(now).unwrap_or(0);
                    self.write(move |tx| settings::put_number(tx, &key, now))?;
                }
            }
        }
        Ok(())
    }

    /// Whoever has removed such a file may get another of the same name, whose time begins anew.
    fn forget_gone(&self, files: &[PathBuf]) -> Result<(), Error> {
        let names: BTreeSet<String> = files.iter().map(|path| name_of(path)).collect();
        let mut gone = Vec::new();
        settings::each(&self.snapshot()?, SEEN, &mut |name| {
            if !name.strip_prefix(SEEN).is_some_and(|name| names.contains(name)) {
                gone.push(name.to_owned());
            }
        })?;
        if gone.is_empty() {
            return Ok(());
        }
        self.write(move |tx| {
            gone.iter().for_each(|name| settings::delete(tx, name));
            Ok(())
        })
    }

    /// Gives up the way back to an older version, for the room that it takes or the mail that it holds. Whether there was
    /// one.
    ///
    /// # Errors
    /// Of the disk.
    pub fn give_up_way_back(&self) -> Result<bool, Error> {
        let shared = &self.inner.shared;
        let mut given_up = false;
        while let Some(format) = newest_before(&shared.disk, &shared.paths, u32::MAX)? {
            self.unlink_kept(&shared.paths.index_before(format))?;
            tracing::warn!(
                format,
                "the index of the older format is dropped: there is no way back to the older version"
            );
            given_up = true;
        }
        Ok(given_up)
    }

    fn unlink_kept(&self, path: &Path) -> Result<(), Error> {
        let dropping = |error| Error::io(format!("dropping {}", path.display()), error);
        self.inner.shared.disk.unlink(path).map_err(dropping)?;
        let folder = path.parent().unwrap_or(path);
        self.inner.shared.disk.sync_dir(folder).map_err(dropping)
    }
}
