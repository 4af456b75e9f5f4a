//! Bech32 (BIP 173): how age writes keys, so that a slip of the pen is noticed.

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECKSUM: usize = 6;

/// 32 bytes as text, in lower case.
pub(super) fn encode(prefix: &str, bytes: &[u8; 32]) -> String {
    let mut values = regroup(bytes, 8, 5, true).unwrap_or_default();
    let sum = polymod(&[expanded(prefix), values.clone(), vec![0; CHECKSUM]].concat()) ^ 1;
    values.extend((0..CHECKSUM).map(|n| (sum >> (5 * (CHECKSUM - 1 - n)) & 31) as u8));
    let letters = values.iter().filter_map(|value| ALPHABET.get(usize::from(*value)));
    format!("{prefix}1{}", letters.map(|letter| char::from(*letter)).collect::<String>())
}

/// The bytes of a text in lower case, if its checksum fits.
pub(super) fn decode(prefix: &str, text: &str) -> Option<[u8; 32]> {
    let letters = text.strip_prefix(prefix)?.strip_prefix('1')?;
    let value = |letter| ALPHABET.iter().position(|known| *known == letter).map(|at| at as u8);
    let values: Vec<u8> = letters.bytes().map(value).collect::<Option<_>>()?;
    if polymod(&[expanded(prefix), values.clone()].concat()) != 1 {
        return None;
    }
    let (values, _) = values.split_at_checked(values.len().checked_sub(CHECKSUM)?)?;
    regroup(values, 5, 8, false)?.try_into().ok()
}

fn expanded(prefix: &str) -> Vec<u8> {
    let high = prefix.bytes().map(|byte| byte >> 5);
    high.chain([0]).chain(prefix.bytes().map(|byte| byte & 31)).collect()
}

fn polymod(values: &[u8]) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    values.iter().fold(1, |sum, value| {
        let top = sum >> 25;
        let sum = (sum & 0x01ff_ffff) << 5 ^ u32::from(*value);
        let picked = GENERATOR.iter().enumerate().filter(|(n, _)| top >> n & 1 == 1);
        picked.fold(sum, |sum, (_, generator)| sum ^ generator)
    })
}

/// Bits in groups of another size; what is left over is filled with zeros, or must be zeros.
fn regroup(values: &[u8], from: u32, to: u32, fill: bool) -> Option<Vec<u8>> {
    let (mut out, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for value in values {
        held = (held << from | u32::from(*value)) & 0xffff;
        bits += from;
        while bits >= to {
            bits -= to;
            out.push((held >> bits & ((1 << to) - 1)) as u8);
        }
    }
    let left = held & ((1 << bits) - 1);
    match (bits, fill) {
        (0, _) => {}
        (_, true) => out.push((left << (to - bits)) as u8),
        (_, false) if left == 0 && bits < from => {}
        _ => return None,
    }
    Some(out)
}
