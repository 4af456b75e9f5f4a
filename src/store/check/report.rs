//! What a check found: typed, bounded, and told message by message.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Findings that are listed; more are counted.
const MAX_FINDINGS: usize = 2_000;
/// Messages that are listed under all findings together; more are counted. Each takes about 200 bytes.
const MAX_MESSAGES: usize = 100_000;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Something contradicts something else; it can be made true again without loss.
    Wrong,
    /// Something that was stored cannot be read.
    Lost,
}

/// What kind of thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A row of the index whose checksum does not fit, or that cannot be decoded.
    Row,
    /// Part of a table of the index cannot be read.
    Table,
    /// A counter is below what is used.
    Counter,
    /// A mailbox's counts are not those of its records.
    Counts,
    /// UIDNEXT or HIGHESTMODSEQ is below what the records use.
    Numbers,
    /// Records out of order, or in a block that cannot hold them.
    Block,
    /// Records bear a keyword's bit that has no name.
    Keyword,
    /// The log of changes contradicts the records.
    Changes,
    /// A name and a mailbox do not point to each other.
    Name,
    /// The log of an account's mailboxes contradicts itself.
    Events,
    /// Messages of a mailbox that is neither listed nor in the bin.
    LostMailbox,
    /// A content and its hash do not point to each other.
    ByHash,
    /// A message names a content that the index does not know.
    MissingContent,
    /// A content cannot be read, or its hash is another.
    DamagedContent,
    /// The digest of a content cannot be read; the content can.
    DamagedDigest,
    /// A message's size is not its content's.
    Size,
    /// A volume's file is missing.
    MissingVolume,
    /// A volume cannot be opened or read.
    DamagedVolume,
    /// Contents are said to lie in a volume that the index does not list.
    UnlistedVolume,
    /// A volume of another store or generation.
    ForeignVolume,
    /// A file of mail that the index does not name.
    UnnamedFile,
    /// Whole messages in a volume that no row names.
    UnnamedContent,
    /// A volume's live bytes are far from what lies in it.
    VolumeBytes,
    /// A device and its password do not point to each other.
    Device,
    /// A source, device or mailbox of an account that is not there.
    Owner,
    /// The disk gave an error: what is there is not known.
    Disk,
    /// Something of a newer version, which this program does not know.
    Newer,
    /// The journal, as it was found at the start: something of it is lost.
    Journal,
    /// The journal as it is now: what it holds was made durable elsewhere.
    JournalOfNow,
    /// The catalogue.
    Catalogue,
}

impl Kind {
    /// How bad it is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Kind::UnnamedFile | Kind::UnnamedContent | Kind::VolumeBytes => Severity::Note,
            Kind::Row
            | Kind::Table
            | Kind::MissingContent
            | Kind::DamagedContent
            | Kind::MissingVolume
            | Kind::DamagedVolume
            | Kind::Journal => Severity::Lost,
            _ => Severity::Wrong,
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Kind::MissingContent | Kind::DamagedContent | Kind::MissingVolume | Kind::DamagedVolume => {
                "stop the server and run `postern check --repair BACKUP`: what the backup has is put back; \
                 without a backup these messages stay listed and cannot be read"
            }
            Kind::UnnamedFile | Kind::UnnamedContent => {
                "`postern check --repair` files whole messages that are not listed into a mailbox \"Recovered\""
            }
            Kind::ForeignVolume => {
                "move the file to where it belongs: with it in mail/ the store is refused at the next start"
            }
            Kind::Disk => "look at the disk and its cable, make a backup, and check again",
            Kind::VolumeBytes => "nothing: `postern check --repair` counts again",
            Kind::Journal => {
                "changes of the last minutes before the damage may be missing; \
                 the segments are kept aside in journal/"
            }
            Kind::JournalOfNow => {
                "nothing is lost; the disk may be failing: make a backup with `postern backup`, and look at the disk"
            }
            Kind::Newer => "install the newer version again: this one cannot read it, and leaves it as it is",
            Kind::Catalogue => "the next one is written within a day; `postern check --repair` writes it now",
            _ => "stop the server and run `postern check --repair`",
        }
    }
}

/// A message that a finding concerns, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account: Option<String>,
    /// The mailbox that lists it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mailbox: Option<String>,
    /// Its UID there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uid: Option<u32>,
    /// It was expunged and waits in the bin.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub in_bin: bool,
    /// Its length in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub size: Option<u64>,
    /// Its INTERNALDATE, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub date: Option<i64>,
    /// Its subject, if its digest can be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
}

impl std::fmt::Display for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unknown = || "?".to_owned();
        write!(f, "{}: ", self.account.clone().unwrap_or_else(unknown))?;
        if self.in_bin {
            write!(f, "deleted from ")?;
        }
        write!(f, "{}", self.mailbox.clone().unwrap_or_else(unknown))?;
        if let Some(uid) = self.uid {
            write!(f, ", UID {uid}")?;
        }
        if let Some(subject) = &self.subject {
            write!(f, ", {subject:?}")?;
        }
        if let Some(size) = self.size {
            write!(f, ", {size} bytes")?;
        }
        Ok(())
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// What, in a sentence.
    pub what: String,
    /// What to do.
    pub advice: String,
    /// The messages that it concerns.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub messages: Vec<Message>,
    /// And so many more.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub more_messages: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // What serde asks for.
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// Rows of the index.
    pub rows: u64,
    /// Mailboxes.
    pub mailboxes: u64,
    /// Messages in them.
    pub messages: u64,
    /// Contents that were read to their end and hashed.
    pub contents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Volumes.
    pub volumes: u64,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The worst first.
    pub findings: Vec<Finding>,
    /// Findings that found no room here.
    pub more_findings: u64,
    /// How much was looked at.
    pub looked: Looked,
    /// Whether it came to its end.
    pub complete: bool,
}

impl Report {
    /// Whether nothing is wrong or lost.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.more_findings == 0 && self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }

    /// The findings that are more than notes.
    pub fn faults(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity > Severity::Note)
    }

    /// The messages that cannot be read, over all findings.
    #[must_use]
    pub fn lost_messages(&self) -> u64 {
        let lost = self.findings.iter().filter(|finding| finding.severity == Severity::Lost);
        lost.map(|finding| finding.messages.len() as u64 + finding.more_messages).sum()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for finding in &self.findings {
            let severity = match finding.severity {
                Severity::Note => "note",
                Severity::Wrong => "WRONG",
                Severity::Lost => "LOST",
            };
            writeln!(f, "{severity}: {}", finding.what)?;
            for message in &finding.messages {
                writeln!(f, "    {message}")?;
            }
            if finding.more_messages > 0 {
                writeln!(f, "    and {} more", finding.more_messages)?;
            }
            writeln!(f, "  {}", finding.advice)?;
        }
        if self.more_findings > 0 {
            writeln!(f, "and {} more findings", self.more_findings)?;
        }
        Ok(())
    }
}

/// Gathers findings; the same of several messages is one.
#[derive(Debug, Default)]
pub(in crate::store) struct Findings {
    report: Report,
    by_what: BTreeMap<(Kind, String), usize>,
    messages: usize,
}

impl Findings {
    /// Something was found.
    pub(in crate::store) fn add(&mut self, kind: Kind, what: impl Into<String>) {
        self.place(kind, what.into());
    }

    /// Something was found that concerns a message.
    pub(in crate::store) fn add_message(&mut self, kind: Kind, what: impl Into<String>, message: Message) {
        let room = self.messages < MAX_MESSAGES;
        let Some(finding) = self.place(kind, what.into()) else { return };
        if room {
            finding.messages.push(message);
            self.messages += 1;
        } else {
            finding.more_messages += 1;
        }
    }

    fn place(&mut self, kind: Kind, what: String) -> Option<&mut Finding> {
        let findings = &mut self.report.findings;
        let at = match self.by_what.get(&(kind, what.clone())) {
            Some(at) => *at,
            None if findings.len() >= MAX_FINDINGS => {
                self.report.more_findings += 1;
                return None;
            }
            None => {
                let finding = Finding {
                    kind,
                    severity: kind.severity(),
                    what: what.clone(),
                    advice: kind.advice().to_owned(),
                    messages: Vec::new(),
                    more_messages: 0,
                };
                findings.push(finding);
                self.by_what.insert((kind, what), findings.len() - 1);
                findings.len() - 1
            }
        };
        findings.get_mut(at)
    }

    pub(in crate::store) fn looked(&mut self) -> &mut Looked {
        &mut self.report.looked
    }

    /// The report, the worst first.
    pub(in crate::store) fn finish(mut self, complete: bool) -> Report {
        self.report.complete = complete;
        self.report.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        self.report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_of_many_messages_is_one_finding_and_all_is_bounded() {
        let mut found = Findings::default();
        found.add(Kind::VolumeBytes, "a note");
        for uid in 0..MAX_MESSAGES as u32 + 5 {
            let message = Message { uid: Some(uid), ..Message::default() };
            found.add_message(Kind::DamagedContent, "volume 1", message);
        }
        (0..MAX_FINDINGS).for_each(|n| found.add(Kind::Row, n.to_string()));
        let report = found.finish(true);
        assert!(!report.is_clean());
        let first = &report.findings[0];
        assert_eq!((first.messages.len(), first.more_messages), (MAX_MESSAGES, 5));
        assert_eq!((report.findings.len(), report.more_findings), (MAX_FINDINGS, 2));
        assert_eq!(report.lost_messages(), MAX_MESSAGES as u64 + 5);
        let line = serde_json::to_string(&report.findings[1]).unwrap();
        assert_eq!(serde_json::from_str::<Finding>(&line).unwrap(), report.findings[1]);
    }

    #[test]
    fn notes_alone_are_clean() {
        let mut found = Findings::default();
        found.add(Kind::UnnamedFile, "x");
        assert!(found.finish(true).is_clean());
    }
}
