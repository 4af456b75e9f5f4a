//! Stands in for `mail::structure` until that has landed on this branch.

use crate::mail::digest::{Digest, Part};

pub(super) struct Digester {
    size: u64,
    header: Option<u64>,
    tail: Vec<u8>,
}

impl Digester {
    pub(super) fn new() -> Self {
        Digester { size: 0, header: None, tail: b"\r\n".to_vec() }
    }
    pub(super) fn push(&mut self, chunk: &[u8]) {
        for byte in chunk {
            self.size += 1;
            if self.header.is_none() {
                self.tail.push(*byte);
                if self.tail.ends_with(b"\r\n\r\n") {
                    self.header = Some(self.size);
                }
                if self.tail.len() > 8 {
                    self.tail.drain(..4);
                }
            }
        }
    }
    pub(super) fn finish(self) -> Digest {
        let header = self.header.unwrap_or(self.size);
        let root = Part { header: 0..header, body: header..self.size, ..Part::default() };
        Digest { size: self.size, root, ..Digest::default() }
    }
}

pub(super) fn encode(digest: &Digest) -> Vec<u8> {
    let mut out = digest.size.to_le_bytes().to_vec();
    out.extend_from_slice(&digest.root.header.end.to_le_bytes());
    out
}

pub(super) fn decode(bytes: &[u8]) -> Option<Digest> {
    let size = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let header = u64::from_le_bytes(bytes.get(8..)?.try_into().ok()?);
    let root = Part { header: 0..header, body: header..size, ..Part::default() };
    Some(Digest { size, root, ..Digest::default() })
}
