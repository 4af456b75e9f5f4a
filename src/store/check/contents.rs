//! What messages show: whether the index knows each content, and whether it can be read to its end.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;

use super::household::Known;
use super::report::{Kind, Message};
use super::tolerant::Tolerant;
use super::{Check, Depth, EVIDENCE, Evidence, Flow, go_on};
use crate::model::ContentId;
use crate::store::base::error::Error;
use crate::store::base::rows::Rows;
use crate::store::base::schema::Table;
use crate::store::base::settings::{self, EMAIL_ID};
use crate::store::content::contents;
use crate::store::content::emails::{self, EmailRow};
use crate::store::content::snapshot::Snapshot;
use crate::store::engine::volumes;
use crate::store::household::accounts;
use crate::store::mailbox::bin::{self, Kept};
use crate::store::mailbox::messages;
use crate::store::mailbox::record::Record;

/// Records whose contents are looked up in one snapshot.
const RECORDS: usize = 2_048;
/// Contents whose rows are looked at in one snapshot.
const EMAILS: usize = 1_024;
/// Of a subject so much is shown.
const SUBJECT: usize = 120;

/// A message, as a finding names it.
pub(in crate::store) fn message(known: &Known, record: &Record, subject: Option<String>) -> Message {
    Message {
        account: Some(known.owner.clone()),
        mailbox: Some(known.name.clone()),
        uid: Some(record.uid.get()),
        in_bin: known.deleted.is_some(),
        size: Some(record.size),
        date: Some(record.internal_date.unix),
        subject,
    }
}

/// The subject in a digest, shortened.
pub(in crate::store) fn subject(digest: &crate::mail::digest::Digest) -> Option<String> {
    let raw = digest.envelope.subject.as_deref()?;
    let decoded = crate::mail::encoded_word::decode(raw);
    Some(decoded.chars().filter(|c| !c.is_control()).take(SUBJECT).collect())
}

impl Check<'_, '_> {
    /// Looks up what a slice of a mailbox's records names; gives the UID to go on from.
    pub(super) fn named_contents(&mut self, known: &Known, from: u32) -> Result<Option<u32>, Error> {
        let snapshot = self.store.snapshot()?;
        let rows = Tolerant(&snapshot);
        let (mut seen, mut last) = (0, None);
        let (found, evidence) = (&mut self.found, &mut self.evidence);
        messages::scan(&rows, known.mailbox, from..=u32::MAX, &mut |record| {
            if let Some(wrong) = wrong_name(&rows, record, evidence)? {
                found.add_message(
                    wrong.0,
                    format!("{}: {}", known.label(), wrong.1),
                    message(known, record, None),
                );
            }
            seen += 1;
            last = Some(record.uid.get());
            Ok(if seen < RECORDS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(last.filter(|_| seen >= RECORDS).and_then(|last| last.checked_add(1)))
    }

    pub(super) fn named_in_bin(&mut self) -> Result<(), Error> {
        let owners = bin::accounts(&Tolerant(&self.store.snapshot()?))?;
        for account in owners {
            let snapshot = self.store.snapshot()?;
            let rows = Tolerant(&snapshot);
            let owner = accounts::get(&rows, account)?.map_or_else(|| "?".to_owned(), |account| account.name);
            let (found, evidence) = (&mut self.found, &mut self.evidence);
            bin::list(&rows, account, &mut |entry| {
                let Kept::Messages { records, .. } = &entry.kept else {
                    return Ok(ControlFlow::Continue(()));
                };
                let known = in_bin(&owner, &entry);
                for record in records {
                    if let Some(wrong) = wrong_name(&rows, record, evidence)? {
                        found.add_message(
                            wrong.0,
                            format!("the bin: {}", wrong.1),
                            message(&known, record, None),
                        );
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    }

    /// All contents: their rows, and their bytes as deep as is asked for.
    pub(super) fn contents(&mut self) -> Flow {
        let (mut next, mut done) = (Some(0), 0);
        while let Some(from) = next.take() {
            let mut rows = Vec::new();
            self.part("the table emails", |check| {
                let snapshot = check.store.snapshot()?;
                next = check.some_emails(&snapshot, from, &mut rows)?;
                Ok(())
            })?;
            for (email, row) in rows {
                done += 1;
                if self.is_due(email) {
                    self.read_content(email, &row)?;
                    go_on!(Ok(self.told("contents", done, self.emails)));
                }
            }
            go_on!(Ok(self.told("contents", done, self.emails)));
        }
        self.hashes()
    }

    fn is_due(&self, email: ContentId) -> bool {
        match self.options.depth {
            Depth::Index => false,
            Depth::Part { of, which } => email.0 % of.max(1) == which,
            Depth::Contents => true,
        }
    }

    fn some_emails(
        &mut self,
        snapshot: &Snapshot,
        from: u64,
        out: &mut Vec<(ContentId, EmailRow)>,
    ) -> Result<Option<u64>, Error> {
        let rows = Tolerant(snapshot);
        let known: BTreeSet<u32> = volumes_listed(&rows)?;
        let unused = settings::number(&rows, EMAIL_ID)?;
        rows.scan(Table::Emails, &from.to_be_bytes(), &[0xff; 9], &mut |key, value| {
            let id = key.try_into().map(|key| ContentId(u64::from_be_bytes(key)));
            if let (Ok(email), Some(row)) = (id, EmailRow::decode(value)) {
                out.push((email, row));
            }
            Ok(if out.len() < EMAILS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        for (email, row) in out.iter() {
            if emails::by_hash(&rows, row.hash)? != Some(*email) {
                self.found.add(Kind::ByHash, format!("content {email} is not found by its hash"));
            }
            if email.0 >= unused || row.content.0 >= unused {
                let id = email.0.max(row.content.0);
                self.found
                    .add(Kind::Counter, format!("the counter emailid is at {unused}, but {id} is in use"));
            }
            for volume in [row.content_volume, row.digest_volume] {
                if !known.contains(&volume) {
                    self.found.add(
                        Kind::UnlistedVolume,
                        format!("contents lie in volume {volume}, which the index does not list"),
                    );
                }
            }
            *self.stored.entry(row.content_volume).or_default() += row.stored;
        }
        Ok(out.last().filter(|_| out.len() >= EMAILS).and_then(|(last, _)| last.0.checked_add(1)))
    }

    /// Reads a content to its end. One that was moved or dropped meanwhile is read where it is now.
    fn read_content(&mut self, email: ContentId, row: &EmailRow) -> Result<(), Error> {
        let _pin = self.store.pin(email);
        let first = self.store.snapshot()?;
        let Some(now) = emails::get(&Tolerant(&first), email)? else { return Ok(()) };
        let mut result = sound(&first, &now);
        let mut row = if now == *row { row.clone() } else { now };
        if result.is_err() {
            let fresh = self.store.snapshot()?;
            let Some(now) = emails::get(&Tolerant(&fresh), email)? else { return Ok(()) };
            result = sound(&fresh, &now);
            row = now;
            if result.is_err() {
                self.store.inner.shared.known.content_damaged(email);
            }
        }
        let looked = self.found.looked();
        looked.contents += 1;
        looked.bytes += row.size;
        if let Err((kind, why)) = result {
            self.evidence.volumes.extend((kind == Kind::DamagedContent).then_some(row.content_volume));
            self.damaged(email, kind, why);
        }
        Ok(())
    }

    fn damaged(&mut self, email: ContentId, kind: Kind, why: String) {
        let at = match self.whys.iter().position(|known| *known == (kind, why.clone())) {
            Some(at) => at,
            None => {
                self.whys.push((kind, why));
                self.whys.len() - 1
            }
        };
        if self.evidence.damaged.len() < EVIDENCE {
            self.evidence.damaged.insert(email, at);
        }
    }

    /// Every hash leads to a content that has it.
    fn hashes(&mut self) -> Flow {
        let mut low = Some(Vec::new());
        while let Some(from) = low.take() {
            self.part("the table by_hash", |check| {
                let snapshot = check.store.snapshot()?;
                low = check.some_hashes(&snapshot, &from)?;
                Ok(())
            })?;
            go_on!(Ok(self.told("hashes", 0, 0)));
        }
        Ok(ControlFlow::Continue(()))
    }

    fn some_hashes(&mut self, snapshot: &Snapshot, from: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let rows = Tolerant(snapshot);
        let (mut seen, mut next) = (0, None);
        let found = &mut self.found;
        rows.scan(Table::ByHash, from, &[0xff; 33], &mut |key, value| {
            seen += 1;
            if seen > super::ROWS {
                next = Some(key.to_vec());
                return Ok(ControlFlow::Break(()));
            }
            if let Ok(id) = value.try_into() {
                let email = ContentId(u64::from_le_bytes(id));
                if emails::get(&rows, email)?.is_none_or(|row| row.hash.0 != key) {
                    found.add(
                        Kind::ByHash,
                        format!("a hash leads to content {email}, which has another or is not there"),
                    );
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(next)
    }

    /// Names the messages whose contents cannot be read.
    pub(super) fn name_damaged(&mut self) -> Flow {
        if self.evidence.damaged.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        for known in self.known()? {
            let mut low = Some(0);
            while let Some(from) = low.take() {
                self.part(&known.label(), |check| {
                    low = check.name_some(&known, from)?;
                    Ok(())
                })?;
                go_on!(Ok(self.told("names", 0, 0)));
            }
        }
        self.part("the bin", Check::name_in_bin)?;
        Ok(ControlFlow::Continue(()))
    }

    fn name_some(&mut self, known: &Known, from: u32) -> Result<Option<u32>, Error> {
        let snapshot = self.store.snapshot()?;
        let (mut seen, mut last, mut hits) = (0, None, Vec::new());
        messages::scan(&Tolerant(&snapshot), known.mailbox, from..=u32::MAX, &mut |record| {
            if self.evidence.damaged.contains_key(&record.email) {
                hits.push(*record);
            }
            seen += 1;
            last = Some(record.uid.get());
            Ok(if seen < RECORDS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        for record in &hits {
            self.name(&snapshot, known, record);
        }
        Ok(last.filter(|_| seen >= RECORDS).and_then(|last| last.checked_add(1)))
    }

    fn name_in_bin(&mut self) -> Result<(), Error> {
        let owners = bin::accounts(&Tolerant(&self.store.snapshot()?))?;
        for account in owners {
            let snapshot = self.store.snapshot()?;
            let rows = Tolerant(&snapshot);
            let owner = accounts::get(&rows, account)?.map_or_else(|| "?".to_owned(), |account| account.name);
            bin::list(&rows, account, &mut |entry| {
                if let Kept::Messages { records, .. } = &entry.kept {
                    let known = in_bin(&owner, &entry);
                    records.iter().for_each(|record| self.name(&snapshot, &known, record));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    }

    fn name(&mut self, snapshot: &Snapshot, known: &Known, record: &Record) {
        let Some((kind, why)) = self.evidence.damaged.get(&record.email).and_then(|at| self.whys.get(*at))
        else {
            return;
        };
        let row = emails::get(&Tolerant(snapshot), record.email).ok().flatten();
        let digest = row.and_then(|row| contents::digest(snapshot, &row).ok());
        let subject = digest.as_ref().and_then(subject);
        self.found.add_message(*kind, why.clone(), message(known, record, subject));
    }
}

/// Messages of an entry of the bin, as findings name them.
fn in_bin(owner: &str, entry: &bin::Entry) -> Known {
    Known {
        account: crate::model::AccountId(0),
        mailbox: entry.mailbox,
        owner: owner.to_owned(),
        name: entry.name.as_str().to_owned(),
        deleted: Some((0, 0)),
    }
}

fn volumes_listed(rows: &dyn Rows) -> Result<BTreeSet<u32>, Error> {
    Ok(volumes::list(rows)?.into_iter().map(|(number, _)| number).collect())
}

/// What is wrong with what a record names.
fn wrong_name(
    rows: &dyn Rows,
    record: &Record,
    evidence: &mut Evidence,
) -> Result<Option<(Kind, &'static str)>, Error> {
    Ok(match emails::get(rows, record.email)? {
        None => {
            if evidence.missing.len() < EVIDENCE {
                evidence.missing.insert(record.email);
            }
            Some((Kind::MissingContent, "messages whose content the index does not know"))
        }
        Some(row) if row.size != record.size => {
            Some((Kind::Size, "messages whose size is not that of their content"))
        }
        Some(_) => None,
    })
}

/// Why a content cannot be read, if it cannot.
fn sound(snapshot: &Snapshot, row: &EmailRow) -> Result<(), (Kind, String)> {
    let volume = row.content_volume;
    contents::verify_bytes(snapshot, row).map_err(|error| why(volume, &error))?;
    match contents::digest(snapshot, row) {
        Err(Error::Damaged(_)) => Err((
            Kind::DamagedDigest,
            format!("volume {}: contents whose digest cannot be read", row.digest_volume),
        )),
        other => other.map(drop).map_err(|error| why(row.digest_volume, &error)),
    }
}

fn why(volume: u32, error: &Error) -> (Kind, String) {
    match error {
        Error::Io { error, .. } if error.kind() == io::ErrorKind::NotFound => {
            (Kind::MissingVolume, format!("volume {volume} is missing, and with it these messages"))
        }
        Error::Io { what, error } => (Kind::Disk, format!("volume {volume}: {what}: {error}")),
        _ => (Kind::DamagedContent, format!("volume {volume}: contents that cannot be read")),
    }
}
