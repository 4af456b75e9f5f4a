//! A content out of a volume's rows: what is read is as long as was asked for, or an error.

use postern::store::read_back;

use super::stored_rows;

/// Contents that are seeds.
const SEEDS: usize = 12;
/// Bytes before the rows: the content's length, and the lengths of two of its rows.
const FIELDS: usize = 9;

pub fn seeds() -> Vec<Vec<u8>> {
    let rows = stored_rows("000001");
    let of = |name: &'static str| rows.iter().filter(move |(table, ..)| table == name).take(SEEDS);
    let heads = of("head").map(|(.., head)| head);
    let mut seeds: Vec<_> =
        of("digest").zip(heads).map(|((.., digest), head)| content(100_000, digest, head, b"")).collect();
    // A message of ten bytes of header and five of text, neither of them compressed.
    let head = [
        &[1, 0][..],
        &10_u32.to_le_bytes(),
        &1_u32.to_le_bytes(),
        &(5_u32 | 1 << 31).to_le_bytes(),
        b"Subject:\r\n",
    ];
    seeds.push(content(15, b"\x01\x00", &head.concat(), b"hello"));
    seeds
}

fn content(size: u32, digest: &[u8], head: &[u8], content: &[u8]) -> Vec<u8> {
    let mut out = size.to_le_bytes().to_vec();
    out.extend_from_slice(&(digest.len() as u16).to_le_bytes());
    out.extend_from_slice(&(head.len() as u16).to_le_bytes());
    [&out[..], b"\0", digest, head, content].concat()
}

pub fn run(data: &[u8]) {
    let Some((fields, rest)) = data.split_at_checked(FIELDS) else { return };
    let length = |at: usize| usize::from(u16::from_le_bytes([fields[at], fields[at + 1]]));
    let size = u32::from_le_bytes([fields[0], fields[1], fields[2], fields[3]]);
    // A length beyond all that there is, too.
    let size = u64::from(size) << (fields[8] % 32);
    let (digest, rest) = rest.split_at(length(4).min(rest.len()));
    let (head, content) = rest.split_at(length(6).min(rest.len()));
    assert_eq!(read_back::content(size, digest, head, content), Ok(()));
}
