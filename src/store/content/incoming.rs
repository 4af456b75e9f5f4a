//! The one way in: APPEND, import and delivery stream a message through here. It is hashed, digested and
//! compressed as it comes, and never whole in memory: what exceeds [`crate::store::Options::incoming_memory`]
//! after compression goes to the writer in slices, under an id that nothing names yet.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use crate::mail::digest::Digest;
use crate::mail::structure::Digester;
use crate::model::{AccountId, ContentHash, ContentId, MailboxName, locked};
use crate::store::base::error::Error;
use crate::store::base::rows::{ContentRows, Transaction};
use crate::store::base::schema::VolumeTable;
use crate::store::base::settings;
use crate::store::content::contents::{self, FRAME, HEAD_MAX, PIECE, Squeezed};
use crate::store::content::emails::{self, EmailRow};
use crate::store::engine::pins::Pin;
use crate::store::engine::shared::Shared;
use crate::store::engine::store::Store;

/// Bytes normalised and hashed at a time.
const CHUNK: usize = 16 << 10;
/// Pieces of content that one job puts, deletes or copies: about 512 KiB. A slice is in memory several times
/// on its way: compressed, as rows, as a record, as pages.
pub(in crate::store) const SLICE: u32 = 32;
/// A slice in bytes.
const SLICE_BYTES: usize = SLICE as usize * PIECE;

/// What messages on their way in may hold together, in bytes: two hundred that are half sent must not fill the
/// memory. Beyond it each that holds [`LEAST_SPILLED`] goes to the writer with what it has.
const MOST_INCOMING: usize = 16 << 20;
const LEAST_SPILLED: usize = 64 << 10;

/// What happens to line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnds {
    /// An LF without CR before it becomes CRLF; a lone CR is left alone.
    Crlf,
    /// Stored untouched (literal8, RFC 3516 §4.4).
    Verbatim,
}

/// Email ids are reserved this many at a time: one small durable record for each, and at most so many lost
/// at a restart, of 2^64.
pub(in crate::store) const EMAIL_BLOCK: u64 = 256;

/// A message on its way in.
pub struct Incoming {
    store: Store,
    limit: u64,
    line_ends: LineEnds,
    after_cr: bool,
    chunk: Vec<u8>,
    size: u64,
    hasher: blake3::Hasher,
    digester: Digester,
    head: HeadSplit,
    rest: Vec<u8>,
    packer: Packer,
    held: Held,
    spilled: Option<Spilled>,
}

/// Slices that are in a volume already.
struct Spilled {
    email: ContentId,
    volume: u32,
    pieces: u32,
    bytes: u64,
    _pin: Pin,
}

/// Finds the end of the header block.
#[derive(Default)]
struct HeadSplit {
    bytes: Vec<u8>,
    /// Bytes of the line so far, a CR at its end included.
    line: usize,
    done: bool,
}

impl HeadSplit {
    /// Takes what belongs to the head, and returns what follows it.
    fn push<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut taken = 0;
        for byte in bytes {
            if self.done {
                break;
            }
            taken += 1;
            match byte {
                b'\n' => {
                    let cr = usize::from(self.last(bytes, taken) == Some(b'\r'));
                    self.done = self.line == cr;
                    self.line = 0;
                }
                _ => self.line += 1,
            }
            self.done |= self.bytes.len() + taken >= HEAD_MAX;
        }
        let (head, rest) = bytes.split_at(taken);
        self.bytes.extend_from_slice(head);
        rest
    }

    /// The byte before the one that was taken last.
    fn last(&self, bytes: &[u8], taken: usize) -> Option<u8> {
        match taken.checked_sub(2) {
            Some(at) => bytes.get(at).copied(),
            None => self.bytes.last().copied(),
        }
    }
}

/// Compresses frames, which lie one behind the other until they go out in pieces.
#[derive(Default)]
struct Packer {
    frames: Vec<u32>,
    packed: Vec<u8>,
}

impl Packer {
    fn frame(&mut self, raw: &[u8]) {
        let (entry, bytes) = contents::frame(raw);
        self.frames.push(entry);
        extend(&mut self.packed, &bytes, SLICE_BYTES);
    }

    /// Takes out all whole pieces.
    fn take_whole(&mut self) -> Vec<u8> {
        let whole = self.packed.len() / PIECE * PIECE;
        let tail = self.packed[whole..].to_vec();
        let mut packed = std::mem::replace(&mut self.packed, tail);
        packed.truncate(whole);
        packed
    }
}

/// Appends to a buffer. A small one has no more room than it needs; any other is given its whole room at once: it is a
/// mapping of its own then, that goes back to the system with it. What grows step by step, two hundred of it at a time,
/// leaves pieces behind that lie scattered over a heap which never shrinks again.
fn extend(buffer: &mut Vec<u8>, bytes: &[u8], room: usize) {
    let needed = buffer.len() + bytes.len();
    if needed > buffer.capacity() {
        let capacity = if needed <= CHUNK { needed } else { needed.max(room) };
        buffer.reserve_exact(capacity - buffer.len());
    }
    buffer.extend_from_slice(bytes);
}

/// What a message on its way in holds of memory, counted with all others.
struct Held {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Held {
    fn all(&self) -> &AtomicUsize {
        &self.shared.counters.incoming
    }

    fn set(&mut self, bytes: usize) {
        self.all().fetch_add(bytes, Relaxed);
        self.all().fetch_sub(self.bytes, Relaxed);
        self.bytes = bytes;
    }

    fn is_much(&self) -> bool {
        self.all().load(Relaxed) > MOST_INCOMING && self.bytes >= LEAST_SPILLED
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Incoming {
    pub(in crate::store) fn new(store: Store, limit: u64, line_ends: LineEnds) -> Self {
        Incoming {
            held: Held { shared: Arc::clone(&store.inner.shared), bytes: 0 },
            store,
            limit,
            line_ends,
            after_cr: false,
            chunk: Vec::new(),
            size: 0,
            hasher: blake3::Hasher::new(),
            digester: Digester::new(),
            head: HeadSplit::default(),
            rest: Vec::new(),
            packer: Packer::default(),
            spilled: None,
        }
    }

    /// Takes the next bytes of the message. May wait for the writer.
    ///
    /// # Errors
    /// `Limit` past the limit; of writing, where the message is large.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for part in bytes.chunks(CHUNK) {
            match self.line_ends {
                LineEnds::Verbatim => self.take(part)?,
                LineEnds::Crlf => {
                    let mut chunk = std::mem::take(&mut self.chunk);
                    chunk.clear();
                    self.normalise(part, &mut chunk);
                    let taken = self.take(&chunk);
                    self.chunk = chunk;
                    taken?;
                }
            }
        }
        Ok(())
    }

    fn normalise(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line.split_last() {
                Some((b'\n', text)) => {
                    out.extend_from_slice(text);
                    let has_cr = text.last().map_or(self.after_cr, |last| *last == b'\r');
                    out.extend_from_slice(if has_cr { b"\n" } else { b"\r\n" });
                    self.after_cr = false;
                }
                Some((last, _)) => {
                    out.extend_from_slice(line);
                    self.after_cr = *last == b'\r';
                }
                None => {}
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.size += bytes.len() as u64;
        if self.size > self.limit {
            return Err(Error::Limit("the message is larger than is allowed here"));
        }
        self.hasher.update(bytes);
        self.digester.push(bytes);
        let mut rest = self.head.push(bytes);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(FRAME - self.rest.len()));
            extend(&mut self.rest, now, FRAME);
            rest = later;
            if self.rest.len() == FRAME {
                self.packer.frame(&self.rest);
                self.rest.clear();
                self.spill()?;
            }
        }
        Ok(())
    }

    /// Sends slices to the writer once more is in memory than may be.
    fn spill(&mut self) -> Result<(), Error> {
        let most = self.store.inner.shared.options.incoming_memory;
        self.held.set(self.packer.packed.len());
        if self.held.bytes < most.max(PIECE) && !self.held.is_much() {
            return Ok(());
        }
        let whole = Arc::new(self.packer.take_whole());
        for from in (0..whole.len()).step_by(SLICE_BYTES) {
            self.spill_slice(Arc::clone(&whole), from..whole.len().min(from + SLICE_BYTES))?;
        }
        self.held.set(0);
        Ok(())
    }

    fn spill_slice(&mut self, whole: Arc<Vec<u8>>, slice: Range<usize>) -> Result<(), Error> {
        let (email, volume, first) = match &self.spilled {
            Some(spilled) => (spilled.email, Some(spilled.volume), spilled.pieces),
            None => (self.store.next_email()?, None, 0),
        };
        let pin = self.store.pin(email);
        let count = (slice.len() / PIECE) as u32;
        let (volume, bytes) = self.store.write(move |tx| {
            let content = content_of(tx)?;
            let volume = match volume {
                Some(volume) => volume,
                None => content.room()?,
            };
            Ok((volume, put_pieces(content, volume, email, first, &whole[slice])))
        })?;
        match &mut self.spilled {
            Some(spilled) => {
                spilled.pieces += count;
                spilled.bytes += bytes;
            }
            None => self.spilled = Some(Spilled { email, volume, pieces: count, bytes, _pin: pin }),
        }
        Ok(())
    }

    /// The message is whole: what remains is to file it in a job. A content that is known is read back
    /// here, outside of the writer, and counts only if its hash fits.
    ///
    /// # Errors
    /// Of reading, or of reserving an id.
    pub fn finish(mut self) -> Result<Prepared, Error> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            self.packer.frame(&rest);
        }
        self.packer.packed.shrink_to_fit();
        let hash = ContentHash(*self.hasher.finalize().as_bytes());
        let known = known(&self.store, hash)?;
        if known.is_some() {
            self.drop_spilled();
        }
        let digest = self.digester.finish();
        let id = match (&self.spilled, &known) {
            (Some(spilled), _) => spilled.email,
            (None, Some((email, _))) => *email,
            (None, None) => self.store.next_email()?,
        };
        let pin = self.store.pin(id);
        Ok(Prepared {
            id,
            hash,
            size: self.size,
            encoded: Squeezed::new(&digest.encode()),
            digest,
            head: contents::encode_head(&self.head.bytes, &self.packer.frames),
            packed: self.packer.packed,
            spilled: self.spilled.take(),
            known,
            _held: self.held,
            _pin: pin,
        })
    }

    /// The content is there already: the slices go again. What stays behind in a crash, the sweep finds.
    fn drop_spilled(&mut self) {
        let Some(spilled) = self.spilled.take() else { return };
        let (email, volume, bytes) = (spilled.email, spilled.volume, spilled.bytes);
        for first in (0..spilled.pieces).step_by(SLICE as usize) {
            let last = spilled.pieces.min(first + SLICE);
            let dropped = self.store.write(move |tx| {
                let content = content_of(tx)?;
                for n in first..last {
                    content.delete_row(volume, VolumeTable::Content, &contents::piece_key(email, n));
                }
                if first == 0 {
                    content.freed(volume, bytes);
                }
                Ok(())
            });
            if let Err(error) = dropped {
                tracing::warn!(%email, %error, "slices of a known message could not be dropped; the sweep will");
                return;
            }
        }
    }
}

/// The email of a hash, if what is stored really has it.
fn known(store: &Store, hash: ContentHash) -> Result<Option<(ContentId, Pin)>, Error> {
    let Some(email) = emails::by_hash(&store.snapshot()?, hash)? else { return Ok(None) };
    // Pinned before it is looked at, and looked at again: else the sweep might drop it in between.
    let pin = store.pin(email);
    match store.snapshot()?.verify(email) {
        Ok(()) => Ok(Some((email, pin))),
        Err(Error::DamagedEmail(_) | Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(in crate::store) fn content_of(tx: &mut dyn Transaction) -> Result<&mut dyn ContentRows, Error> {
    tx.content().ok_or(Error::Internal("this transaction has no volumes"))
}

fn put_pieces(
    content: &mut dyn ContentRows,
    volume: u32,
    email: ContentId,
    first: u32,
    packed: &[u8],
) -> u64 {
    let mut bytes = 0;
    for (n, piece) in (first..).zip(packed.chunks(PIECE)) {
        let key = contents::piece_key(email, n);
        bytes += (key.len() + piece.len()) as u64;
        content.put_row(volume, VolumeTable::Content, &key, piece);
    }
    bytes
}

/// A message that is hashed, digested and compressed, and waits to be filed.
pub struct Prepared {
    id: ContentId,
    hash: ContentHash,
    size: u64,
    digest: Digest,
    encoded: Squeezed,
    head: Vec<u8>,
    packed: Vec<u8>,
    spilled: Option<Spilled>,
    known: Option<(ContentId, Pin)>,
    _held: Held,
    _pin: Pin,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("hash", &self.hash).field("size", &self.size).finish_non_exhaustive()
    }
}

impl Prepared {
    /// Its length, as it is stored.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hash of its bytes, as they are stored.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.hash
    }

    /// What is kept of it so that it need not be parsed again.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Inside a job: puts its content, or finds the content that is known, and gives its id to the records
    /// that name it. Where stored bytes turned out damaged, these take their place.
    ///
    /// # Errors
    /// Of reading, or where a volume cannot be made.
    pub fn file(
        &self,
        tx: &mut dyn Transaction,
        account: AccountId,
        mailbox: &MailboxName,
    ) -> Result<ContentId, Error> {
        let stored = match emails::by_hash(tx, self.hash)? {
            Some(email) => emails::get(tx, email)?.map(|row| (email, row)),
            None => None,
        };
        if let Some((email, row)) = &stored
            && self.is_sound(tx, *email, row)?
        {
            emails::join_thread(tx, account, &self.digest, row.thread)?;
            let content = content_of(tx)?;
            content.named(*email);
            content.named(row.content);
            return Ok(*email);
        }
        let email = stored.as_ref().map_or(self.id, |(email, _)| *email);
        let thread = match &stored {
            Some((_, row)) => row.thread,
            None => emails::assign_thread(tx, account, &self.digest, self.hash)?,
        };
        let row = self.put(tx, account, mailbox, email, thread)?;
        emails::put(tx, email, &row);
        Ok(email)
    }

    /// Whether the content that is known may be trusted: it was read back by [`Incoming::finish`], or is
    /// read back now, which is rare: it came in meanwhile.
    fn is_sound(&self, tx: &mut dyn Transaction, email: ContentId, row: &EmailRow) -> Result<bool, Error> {
        if self.known.as_ref().is_some_and(|(known, _)| *known == email) {
            return Ok(true);
        }
        match contents::verify(content_of(tx)?, row) {
            Ok(()) => Ok(true),
            Err(Error::Damaged(_) | Error::Io { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn put(
        &self,
        tx: &mut dyn Transaction,
        account: AccountId,
        mailbox: &MailboxName,
        email: ContentId,
        thread: [u8; 16],
    ) -> Result<EmailRow, Error> {
        if self.known.is_some() && self.id == email {
            // Its row went between `finish` and now: it was pinned, so only damage can be the reason.
            return Err(Error::DamagedEmail(email));
        }
        let content = content_of(tx)?;
        let (volume, first, spilled) = match &self.spilled {
            Some(spilled) => (spilled.volume, spilled.pieces, spilled.bytes),
            None => (content.room()?, 0, 0),
        };
        let header_len = u32::try_from(self.digest.root.header.end.min(self.size)).unwrap_or(u32::MAX);
        let mut row = EmailRow {
            hash: self.hash,
            content: self.id,
            content_volume: volume,
            digest_volume: volume,
            size: self.size,
            header_len,
            stored: 0,
            thread,
        };
        let digest = contents::encode_digest(&self.encoded, account, mailbox, email, &row);
        row.stored = spilled
            + put_pieces(content, volume, self.id, first, &self.packed)
            + (self.head.len() + digest.len() + 16) as u64;
        content.put_row(volume, VolumeTable::Head, &contents::key(self.id), &self.head);
        content.put_row(volume, VolumeTable::Digest, &contents::key(self.id), &digest);
        content.named(email);
        content.named(self.id);
        Ok(row)
    }
}

impl Store {
    /// Takes in a message of at most `limit` bytes; line ends become CRLF.
    #[must_use]
    pub fn incoming(&self, limit: u64) -> Incoming {
        Incoming::new(self.clone(), limit, LineEnds::Crlf)
    }

    /// As [`Store::incoming`], for bytes that must stay as they are (literal8, RFC 3516 §4.4).
    #[must_use]
    pub fn incoming_verbatim(&self, limit: u64) -> Incoming {
        Incoming::new(self.clone(), limit, LineEnds::Verbatim)
    }

    /// A new email id, durable before it is used and never given again.
    pub(in crate::store) fn next_email(&self) -> Result<ContentId, Error> {
        let mut reserved = locked(&self.inner.shared.reserved);
        if let Some(id) = reserved.next() {
            return Ok(ContentId(id));
        }
        let first = self.write(|tx| {
            // Above every id that is named, too: a damaged index may hide the counter, not what it stands for.
            let last = emails::last(tx)?.map_or(0, |last| last.0);
            let first = settings::number(tx, settings::EMAIL_ID)?.max(last + 1);
            let next = first.checked_add(EMAIL_BLOCK).ok_or(Error::Limit("no email ids left"))?;
            settings::put_number(tx, settings::EMAIL_ID, next)?;
            Ok(first)
        })?;
        *reserved = first + 1..first + EMAIL_BLOCK;
        Ok(ContentId(first))
    }
}
