//! Which files belong together: the store's id and generation, and how far each file has come in which run.

use crate::store::base::error::Error;
use crate::store::engine::database::{META, META_SEQUENCE, View};

/// Key in every file's `meta`: the store's id.
pub(in crate::store) const META_ID: &[u8] = b"id";
/// Key in every file's `meta`: the generation of the store that wrote it last.
pub(in crate::store) const META_GENERATION: &[u8] = b"generation";
/// Key in `meta`: of the index the epoch of the journal's records that follow it, of a volume that of the run
/// which made it durable last.
pub(in crate::store) const META_EPOCH: &[u8] = b"epoch";
/// Key in the index's `meta`: the epochs of this store's runs, the newest last.
pub(in crate::store) const META_EPOCHS: &[u8] = b"epochs";
/// Key in the index's `meta`: the generations before this one.
pub(in crate::store) const META_ANCESTORS: &[u8] = b"ancestors";
/// So many runs are remembered: each command on a stopped server's store is one.
const EPOCHS: usize = 2048;

/// Which store a file is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Lineage {
    /// The store's id.
    pub(in crate::store) id: [u8; 16],
    /// Its generation.
    pub(in crate::store) generation: u64,
    /// The generations that it had before: what is of one of them belongs to it.
    pub(in crate::store) ancestors: Vec<u64>,
}

impl Lineage {
    /// Whether a file with this id and generation is of this store.
    pub(in crate::store) fn has(&self, id: [u8; 16], generation: u64) -> bool {
        self.id == id && (self.generation == generation || self.ancestors.contains(&generation))
    }
}

/// How far a file has come, and in which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Moment {
    pub(in crate::store) epoch: u64,
    pub(in crate::store) sequence: u64,
}

impl Moment {
    pub(in crate::store) fn encode(self) -> Vec<u8> {
        encode_numbers(&[self.epoch, self.sequence])
    }

    pub(in crate::store) fn decode(bytes: &[u8]) -> Option<Moment> {
        match decode_numbers(bytes).as_slice() {
            [epoch, sequence] => Some(Moment { epoch: *epoch, sequence: *sequence }),
            _ => None,
        }
    }
}

/// The key in the index's `meta` of a volume's moment as of the last checkpoint.
pub(in crate::store) fn volume_key(volume: u32) -> Vec<u8> {
    [b"volume".as_slice(), &volume.to_be_bytes()].concat()
}

/// What a volume says of itself. Those of postern 0.1.0 say only how far they have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Stamp {
    pub(in crate::store) id: Option<[u8; 16]>,
    pub(in crate::store) generation: Option<u64>,
    pub(in crate::store) epoch: Option<u64>,
    pub(in crate::store) sequence: u64,
}

impl Stamp {
    /// Reads it.
    pub(in crate::store) fn of(view: &View) -> Result<Stamp, Error> {
        let number = |key| -> Result<Option<u64>, Error> {
            let value: Option<Vec<u8>> = view.get(META, key)?;
            Ok(value.and_then(|value| value.try_into().ok()).map(u64::from_le_bytes))
        };
        Ok(Stamp {
            id: view.get(META, META_ID)?.and_then(|id| id.try_into().ok()),
            generation: number(META_GENERATION)?,
            epoch: number(META_EPOCH)?,
            sequence: number(META_SEQUENCE)?.unwrap_or(0),
        })
    }

    /// Whether it is of another store.
    pub(in crate::store) fn is_foreign(&self, lineage: &Lineage) -> bool {
        match (self.id, self.generation) {
            (Some(id), Some(generation)) => !lineage.has(id, generation),
            _ => false,
        }
    }
}

/// Whether a run that is remembered outside of the store is none that the store knows of. Where there were so many that
/// some are forgotten, nobody can say.
pub(in crate::store) fn is_later(epochs: &[u64], epoch: u64) -> bool {
    epochs.len() < EPOCHS && !epochs.contains(&epoch)
}

/// The list of runs with one more, as the index keeps it.
pub(in crate::store) fn with_epoch(epochs: &[u64], epoch: u64) -> Vec<u8> {
    let skipped = (epochs.len() + 1).saturating_sub(EPOCHS);
    let all: Vec<u64> = epochs.iter().copied().chain([epoch]).skip(skipped).collect();
    encode_numbers(&all)
}

pub(in crate::store) fn encode_numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

pub(in crate::store) fn decode_numbers(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect()
}
