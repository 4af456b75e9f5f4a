//! The keywords of a mailbox: each has one of 64 bits, and keeps it until all are taken, another is wanted, and no
//! message bears it. What reads records and this table must read both in one snapshot, or leave out the bits whose
//! meaning has changed between ([`KeywordTable::agreeing`]).

use crate::model::{Keyword, MailboxId};
use crate::store::base::codec::{Reader, Writer, all_of, decode_key};
use crate::store::base::error::Error;
use crate::store::base::row::Row;
use crate::store::base::rows::{Rows, Transaction};
use crate::store::base::schema::Table;
use crate::store::mailbox::records;
use std::ops::ControlFlow;

/// The most keywords of a mailbox: a record has one word of bits.
pub const MAX: usize = 64;

/// Which keyword each bit of a mailbox means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeywordTable {
    /// Bit and keyword, by bit.
    bits: Vec<(u8, Keyword)>,
    /// All bits are taken, but some keyword is borne by no message: it would make room for another.
    has_spare: bool,
}

impl KeywordTable {
    /// The keywords of these bits.
    pub fn names(&self, bits: u64) -> impl Iterator<Item = &Keyword> {
        self.bits.iter().filter(move |(bit, _)| bits >> bit & 1 == 1).map(|(_, keyword)| keyword)
    }

    /// The bit of a keyword, in any case.
    #[must_use]
    pub fn bit(&self, keyword: &Keyword) -> Option<u8> {
        self.bits.iter().find(|(_, known)| known == keyword).map(|(bit, _)| *bit)
    }

    /// The bits of those keywords that it knows.
    #[must_use]
    pub fn bits<'a>(&self, keywords: impl IntoIterator<Item = &'a Keyword>) -> u64 {
        keywords.into_iter().filter_map(|keyword| self.bit(keyword)).fold(0, |bits, bit| bits | 1 << bit)
    }

    /// All keywords, by bit.
    pub fn all(&self) -> impl Iterator<Item = &Keyword> + Clone {
        self.bits.iter().map(|(_, keyword)| keyword)
    }

    /// Whether no keyword can be added: PERMANENTFLAGS then has no `\*`.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bits.len() >= MAX && !self.has_spare
    }

    /// The bits that mean in both the same.
    #[must_use]
    pub fn agreeing(&self, other: &KeywordTable) -> u64 {
        self.bits.iter().filter(|pair| other.bits.contains(pair)).fold(0, |bits, (bit, _)| bits | 1 << bit)
    }

    /// The part of the table that these bits need.
    pub(in crate::store) fn only(&self, bits: u64) -> KeywordTable {
        let bits = self.bits.iter().filter(|(bit, _)| bits >> bit & 1 == 1).cloned().collect();
        KeywordTable { bits, has_spare: false }
    }

    pub(in crate::store) fn pairs(&self) -> &[(u8, Keyword)] {
        &self.bits
    }

    /// `None` if a bit is none or comes twice.
    pub(in crate::store) fn from_pairs(mut bits: Vec<(u8, Keyword)>) -> Option<Self> {
        bits.sort_by_key(|(bit, _)| *bit);
        let valid = bits.iter().all(|(bit, _)| usize::from(*bit) < MAX)
            && bits.windows(2).all(|pair| pair[0].0 < pair[1].0);
        valid.then_some(KeywordTable { bits, has_spare: false })
    }

    fn free_bit(&self) -> Option<u8> {
        (0..MAX as u8).find(|free| self.bits.iter().all(|(bit, _)| bit != free))
    }

    fn set(&mut self, bit: u8, keyword: &Keyword) {
        self.bits.retain(|(known, _)| *known != bit);
        let at = self.bits.partition_point(|(known, _)| *known < bit);
        self.bits.insert(at, (bit, keyword.clone()));
    }
}

impl Row for Keyword {
    type Key = MailboxId;
    const TABLE: Table = Table::Keywords;

    fn what(mailbox: MailboxId) -> String {
        format!("a keyword of mailbox {mailbox}")
    }

    fn write(&self, out: Writer) -> Writer {
        out.raw(self.as_str().as_bytes())
    }

    fn read(_: MailboxId, _: u8, reader: &mut Reader<'_>) -> Option<Self> {
        Keyword::new(std::str::from_utf8(reader.rest()).ok()?)
    }
}

/// The table of a mailbox.
///
/// # Errors
/// Of reading.
pub fn load(rows: &dyn Rows, mailbox: MailboxId) -> Result<KeywordTable, Error> {
    let damaged = || Error::Damaged(format!("a keyword of mailbox {mailbox}"));
    let (low, high) = all_of(mailbox.0);
    let mut bits = Vec::new();
    rows.scan(Table::Keywords, &low, &high, &mut |key, value| {
        let bit = decode_key("a keyword's key", key, |key| key.u32().and(key.u8()))?;
        bits.push((bit, Keyword::from_bytes(mailbox, value)?));
        Ok(ControlFlow::Continue(()))
    })?;
    KeywordTable::from_pairs(bits).ok_or_else(damaged)
}

/// As [`load`]; of a table without a free bit it is also found whether one can be freed.
///
/// # Errors
/// Of reading.
pub(in crate::store) fn load_with_spare(rows: &dyn Rows, mailbox: MailboxId) -> Result<KeywordTable, Error> {
    let mut table = load(rows, mailbox)?;
    table.has_spare = table.bits.len() >= MAX && borne(rows, mailbox)? != u64::MAX;
    Ok(table)
}

/// The bits that some message of the mailbox has.
fn borne(rows: &dyn Rows, mailbox: MailboxId) -> Result<u64, Error> {
    let mut borne = 0;
    records::scan(rows, mailbox, 1..=u32::MAX, &mut |record| {
        borne |= record.keywords;
        Ok(if borne == u64::MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(borne)
}

/// What becomes of a keyword that finds no free bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum WhenFull {
    /// The operation fails: this keyword is all that a client asked for.
    Fail,
    /// It is left off: a message that is added, copied or moved is worth more than its keyword.
    LeaveOff,
}

/// The bits of keywords, each `None` if it was left off; new ones take a free bit, or that of a keyword which no
/// message bears and which is not among `used`: the bits of records that are not written yet.
pub(in crate::store) fn assign<'a>(
    tx: &mut dyn Transaction,
    mailbox: MailboxId,
    table: &mut KeywordTable,
    keywords: impl IntoIterator<Item = &'a Keyword> + Clone,
    used: u64,
    when_full: WhenFull,
) -> Result<Vec<Option<u8>>, Error> {
    let mut used = used | table.bits(keywords.clone());
    let mut spare = None;
    let mut assigned = Vec::new();
    for keyword in keywords {
        let known = table.bit(keyword);
        let mut bit = known.or_else(|| table.free_bit());
        if bit.is_none() {
            let spare = match spare {
                Some(spare) => spare,
                None => *spare.insert(!borne(tx, mailbox)?),
            } & !used;
            bit = (spare != 0).then(|| spare.trailing_zeros() as u8);
        }
        if bit.is_none() && when_full == WhenFull::Fail {
            return Err(Error::Limit("the mailbox has 64 keywords already"));
        }
        if let (Some(bit), None) = (bit, known) {
            let mut key = mailbox.0.to_be_bytes().to_vec();
            key.push(bit);
            tx.put(Table::Keywords, &key, &keyword.to_bytes());
            table.set(bit, keyword);
        }
        used |= bit.map_or(0, |bit| 1 << bit);
        assigned.push(bit);
    }
    Ok(assigned)
}

/// Translates keyword bits from one mailbox's table to another's.
pub(in crate::store) struct Translation([Option<u8>; MAX]);

impl Translation {
    /// For the keywords of `used`; those that find no bit in `to` are left off.
    pub(in crate::store) fn new(
        tx: &mut dyn Transaction,
        from: &KeywordTable,
        used: u64,
        to: MailboxId,
    ) -> Result<Self, Error> {
        let mut bits = [None; MAX];
        let used = from.only(used);
        if !used.bits.is_empty() {
            let mut table = load(tx, to)?;
            let assigned = assign(tx, to, &mut table, used.all(), 0, WhenFull::LeaveOff)?;
            for ((bit, _), new) in used.bits.iter().zip(assigned) {
                bits[usize::from(*bit) % MAX] = new;
            }
        }
        Ok(Translation(bits))
    }

    pub(in crate::store) fn translate(&self, mut bits: u64) -> u64 {
        let mut translated = 0;
        while bits != 0 {
            let bit = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            if let Some(new) = self.0[bit] {
                translated |= 1 << new;
            }
        }
        translated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Memory;

    const MAILBOX: MailboxId = MailboxId(1);

    fn keyword(n: usize) -> Keyword {
        Keyword::new(&format!("k{n}")).unwrap()
    }

    #[test]
    fn sixty_four_keywords_and_no_more() {
        let mut memory = Memory::new();
        memory
            .write(|tx| {
                let mut table = load(tx, MAILBOX)?;
                let words: Vec<Keyword> = (0..64).map(keyword).collect();
                let bits = assign(tx, MAILBOX, &mut table, &words, u64::MAX, WhenFull::Fail)?;
                assert!(bits.into_iter().eq((0..64).map(Some)));
                assert_eq!(load(tx, MAILBOX)?, table);
                assert!(table.is_full());
                // In any case, it is the one that is there.
                let shout = Keyword::new("K7").unwrap();
                assert_eq!(assign(tx, MAILBOX, &mut table, [&shout], u64::MAX, WhenFull::Fail)?, [Some(7)]);
                let more = keyword(64);
                assert_eq!(assign(tx, MAILBOX, &mut table, [&more], u64::MAX, WhenFull::LeaveOff)?, [None]);
                let refused = assign(tx, MAILBOX, &mut table, [&more], u64::MAX, WhenFull::Fail);
                assert!(matches!(refused, Err(Error::Limit(_))));
                Ok(())
            })
            .unwrap();
        assert_eq!(load(&memory, MAILBOX).unwrap().names(0b101).count(), 2);
        assert!(load(&memory, MailboxId(2)).unwrap().all().next().is_none());
    }

    #[test]
    fn bits_are_translated_by_name() {
        let mut memory = Memory::new();
        memory
            .write(|tx| {
                let mut from = KeywordTable::default();
                assign(tx, MailboxId(1), &mut from, &[keyword(0), keyword(1)], 0, WhenFull::Fail)?;
                let mut to = KeywordTable::default();
                assign(tx, MailboxId(2), &mut to, &[keyword(1)], 0, WhenFull::Fail)?;
                let translation = Translation::new(tx, &from, 0b11, MailboxId(2))?;
                assert_eq!(translation.translate(0b11), 0b11);
                assert_eq!(translation.translate(0b01), 0b10);
                assert_eq!(translation.translate(0b10), 0b01);
                Ok(())
            })
            .unwrap();
    }
}
