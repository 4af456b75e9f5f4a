//! Every table of the store. Keys are big-endian tuples, values little-endian records that begin with a
//! version byte; the engine puts a checksum behind every value.

/// The format's number, kept in the index's `meta`. Each is told in FORMAT.md.
pub const SCHEMA_VERSION: u32 = 2;

/// A table of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// account u32 → name, password hash
    Accounts = 1,
    /// account u32, device u32 → device password's hash, SCRAM verifier, name, last use
    Credentials = 2,
    /// BLAKE3 of a device password → account u32, device u32
    DeviceKeys = 3,
    /// key text → value
    Settings = 4,
    /// name text → PEM chain and key
    Certificates = 5,
    /// source u32 → path, account, mailbox, what happens after
    Sources = 6,
    /// volume u32 → generation, live and dead bytes, damaged or not
    Volumes = 7,
    /// account u32, mailbox u32 → the mailbox
    Mailboxes = 8,
    /// account u32, name → mailbox u32
    Names = 9,
    /// account u32, name → nothing
    Subscriptions = 10,
    /// mailbox u32, lowest uid u32 → a block of records
    Messages = 11,
    /// mailbox u32, bit u8 → keyword
    Keywords = 12,
    /// mailbox u32, modseq u64 → UID sets added, flags changed, expunged
    Changes = 13,
    /// account u32, modseq u64, n u32 → what happened to a mailbox
    Events = 14,
    /// email u64 → hash, volumes, sizes, thread
    Emails = 15,
    /// content hash → email u64
    ByHash = 16,
    /// account u32, hash of a message-id → thread
    Threads = 17,
    /// source u32, folder, base name → BLAKE3 and length of the file
    Imported = 18,
    /// account u32, modseq u64, n u32 → expunged records
    Bin = 19,
}

impl Table {
    /// All of them.
    pub const EVERY: [Table; 19] = [
        Table::Accounts,
        Table::Credentials,
        Table::DeviceKeys,
        Table::Settings,
        Table::Certificates,
        Table::Sources,
        Table::Volumes,
        Table::Mailboxes,
        Table::Names,
        Table::Subscriptions,
        Table::Messages,
        Table::Keywords,
        Table::Changes,
        Table::Events,
        Table::Emails,
        Table::ByHash,
        Table::Threads,
        Table::Imported,
        Table::Bin,
    ];

    /// Its name in `index.redb`. Tables that came after format 1 are called `t` and their number there, as every
    /// program calls those that it does not know: so rows that an older one kept are where a newer one looks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Table::Accounts => "accounts",
            Table::Credentials => "credentials",
            Table::DeviceKeys => "device_keys",
            Table::Settings => "settings",
            Table::Certificates => "certificates",
            Table::Sources => "sources",
            Table::Volumes => "volumes",
            Table::Mailboxes => "mailboxes",
            Table::Names => "names",
            Table::Subscriptions => "subscriptions",
            Table::Messages => "messages",
            Table::Keywords => "keywords",
            Table::Changes => "changes",
            Table::Events => "events",
            Table::Emails => "emails",
            Table::ByHash => "by_hash",
            Table::Threads => "threads",
            Table::Imported => "imported",
            Table::Bin => "bin",
        }
    }

    /// From its number in the journal.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Table> {
        Self::EVERY.into_iter().find(|table| *table as u8 == number)
    }
}

/// A table of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum VolumeTable {
    /// email u64 → digest, and what is needed to rebuild an index
    Digest = 1,
    /// email u64 → the header block, and the lengths of the frames of what follows it
    Head = 2,
    /// email u64, n u32 → piece n of the frames
    Content = 3,
}

impl VolumeTable {
    /// All of them.
    pub const EVERY: [VolumeTable; 3] = [VolumeTable::Digest, VolumeTable::Head, VolumeTable::Content];

    /// Its name in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            VolumeTable::Digest => "digest",
            VolumeTable::Head => "head",
            VolumeTable::Content => "content",
        }
    }

    /// From its number in the journal.
    #[must_use]
    pub fn from_number(number: u8) -> Option<VolumeTable> {
        Self::EVERY.into_iter().find(|table| *table as u8 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_tables_are_called_by_their_number() {
        for table in Table::EVERY.into_iter().filter(|table| *table as u8 > 19) {
            assert_eq!(table.name(), format!("t{}", table as u8));
        }
        for table in VolumeTable::EVERY.into_iter().filter(|table| *table as u8 > 3) {
            assert_eq!(table.name(), format!("t{}", table as u8));
        }
    }
}
