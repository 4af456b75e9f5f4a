//! The chunks of a `UidList`, and how they are filled.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{SeqNum, Uid};

/// The most UIDs of a chunk but for a run. A chunk is what an EXPUNGE rewrites and what two sessions share.
pub(super) const CHUNK: usize = 512;

#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// How many UIDs lie in the chunks before this one.
    pub(super) before: u32,
    pub(super) count: u32,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    /// All from the first to the last.
    Run,
    /// The differences from each UID to the next, LEB128.
    Steps(Arc<[u8]>),
    /// A bit for each number from the first on.
    Bits(Arc<[u64]>),
}

impl Chunk {
    pub(super) fn new(before: u32, uids: &[u32]) -> Option<Self> {
        let (&first, &last) = (uids.first()?, uids.last()?);
        let (count, span) = (uids.len() as u32, last - first);
        let body = if span == count - 1 {
            Body::Run
        } else if span / 8 < count {
            let mut words = vec![0_u64; span as usize / 64 + 1];
            for uid in uids {
                words[(uid - first) as usize / 64] |= 1 << ((uid - first) % 64);
            }
            Body::Bits(words.into())
        } else {
            Body::Steps(steps(uids).into())
        };
        Some(Chunk { before, count, first, last, body })
    }

    pub(super) fn is_run(&self) -> bool {
        matches!(self.body, Body::Run)
    }

    pub(super) fn uids(&self) -> Uids<'_> {
        match &self.body {
            Body::Run => Uids::Run(self.first..=self.last),
            Body::Steps(steps) => Uids::Steps(Some(self.first), steps.iter()),
            Body::Bits(words) => Uids::Bits { base: self.first, word: words[0], rest: &words[1..] },
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match &self.body {
            Body::Run => 0,
            Body::Steps(steps) => steps.len() + 16,
            Body::Bits(words) => words.len() * 8 + 16,
        }
    }

    /// How many UIDs lie before this one, if it is there.
    pub(super) fn position(&self, uid: u32) -> Option<u32> {
        let offset = uid.checked_sub(self.first).filter(|_| uid <= self.last)?;
        match &self.body {
            Body::Run => Some(offset),
            Body::Steps(_) => self.uids().position(|known| known == uid).map(|at| at as u32),
            Body::Bits(words) => {
                let (at, bit) = (offset as usize / 64, 1_u64 << (offset % 64));
                let before: u32 = words[..at].iter().map(|word| word.count_ones()).sum();
                (words[at] & bit != 0).then(|| before + (words[at] & (bit - 1)).count_ones())
            }
        }
    }

    pub(super) fn at(&self, index: u32) -> Option<u32> {
        match self.body {
            Body::Run => Some(self.first + index).filter(|uid| *uid <= self.last),
            _ => self.uids().nth(index as usize),
        }
    }
}

fn steps(uids: &[u32]) -> Vec<u8> {
    let mut steps = Vec::with_capacity(uids.len());
    for pair in uids.windows(2) {
        let mut step = pair[1] - pair[0];
        while step >= 0x80 {
            steps.push(step as u8 | 0x80);
            step >>= 7;
        }
        steps.push(step as u8);
    }
    steps
}

/// The UIDs of a chunk.
pub(super) enum Uids<'a> {
    Run(RangeInclusive<u32>),
    Steps(Option<u32>, std::slice::Iter<'a, u8>),
    /// Bits that are left, of which the lowest of the word stands for `base`.
    Bits {
        base: u32,
        word: u64,
        rest: &'a [u64],
    },
}

impl Iterator for Uids<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self {
            Uids::Run(range) => range.next(),
            Uids::Steps(next, steps) => {
                let current = (*next)?;
                let (mut step, mut shift, mut ended) = (0_u32, 0, true);
                for byte in steps.by_ref() {
                    ended = false;
                    step |= u32::from(byte & 0x7f) << shift;
                    shift += 7;
                    if byte & 0x80 == 0 {
                        break;
                    }
                }
                *next = if ended { None } else { Some(current + step) };
                Some(current)
            }
            Uids::Bits { base, word, rest } => {
                while *word == 0 {
                    let (next, others) = rest.split_first()?;
                    (*word, *rest, *base) = (*next, others, *base + 64);
                }
                let uid = *base + word.trailing_zeros();
                *word &= *word - 1;
                Some(uid)
            }
        }
    }
}

impl Chunk {
    pub(super) fn pairs(&self) -> impl Iterator<Item = (SeqNum, Uid)> + '_ {
        let numbers = self.before + 1..;
        numbers.zip(self.uids()).filter_map(|(number, uid)| Some((SeqNum::new(number)?, Uid::new(uid)?)))
    }
}

/// A list that is being made.
#[derive(Default)]
pub(super) struct Packing {
    pub(super) chunks: Vec<Chunk>,
    /// Fewer than a chunk's.
    pub(super) pending: Vec<u32>,
}

impl Packing {
    /// Behind these chunks, the last of which is filled up.
    pub(super) fn onto(mut chunks: Vec<Chunk>) -> Self {
        let mut pending = Vec::new();
        if let Some(last) = chunks.pop_if(|last| (last.count as usize) < CHUNK) {
            pending.extend(last.uids());
        }
        Packing { chunks, pending }
    }

    pub(super) fn push(&mut self, uid: u32) {
        self.pending.push(uid);
        if self.pending.len() == CHUNK {
            self.flush();
        }
    }

    /// Pushes a range, which may be empty.
    pub(super) fn push_run(&mut self, uids: RangeInclusive<u32>) {
        let (first, last) = (*uids.start(), *uids.end());
        if last.saturating_sub(first) as usize >= CHUNK {
            self.push_chunk(Chunk { before: 0, count: last - first + 1, first, last, body: Body::Run });
        } else {
            uids.for_each(|uid| self.push(uid));
        }
    }

    pub(super) fn push_chunk(&mut self, chunk: Chunk) {
        self.flush();
        let before = self.chunks.last().map_or(0, |last| last.before + last.count);
        match self.chunks.last_mut() {
            Some(last) if last.is_run() && chunk.is_run() && last.last + 1 == chunk.first => {
                (last.count, last.last) = (last.count + chunk.count, chunk.last);
            }
            _ => self.chunks.push(Chunk { before, ..chunk }),
        }
    }

    pub(super) fn flush(&mut self) {
        if let Some(chunk) = Chunk::new(0, &std::mem::take(&mut self.pending)) {
            self.push_chunk(chunk);
        }
    }

    pub(super) fn finish(mut self) -> Vec<Chunk> {
        self.flush();
        self.chunks
    }
}

/// Joins neighbours that have become small, so that the list stays compact however much is expunged.
pub(super) fn merge_small(chunks: Vec<Chunk>) -> Vec<Chunk> {
    let mut merged: Vec<Chunk> = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        match merged.last_mut() {
            Some(last) if (last.count + chunk.count) as usize <= CHUNK / 2 => {
                let uids: Vec<u32> = last.uids().chain(chunk.uids()).collect();
                if let Some(joined) = Chunk::new(last.before, &uids) {
                    *last = joined;
                }
            }
            _ => merged.push(chunk),
        }
    }
    merged
}
