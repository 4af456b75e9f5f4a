//! What is printed is what was meant: ENVELOPE and BODYSTRUCTURE are read again by the grammar and compared with
//! the digest, for every message here, each also cut off at every byte and with bytes changed.

use crate::golden::messages;
use crate::told::check;

#[test]
fn what_is_printed_is_read_again() {
    for (name, message) in messages() {
        check(&name, &message);
    }
}

#[test]
fn cut_off_anywhere() {
    for (name, message) in messages() {
        (0..message.len()).for_each(|end| check(&name, &message[..end]));
    }
}

#[test]
fn with_bytes_changed() {
    let mut seed = 11_u32;
    let mut roll = move |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below
    };
    for (name, message) in messages() {
        for _ in 0..200 {
            let mut changed = message.clone();
            for _ in 0..=roll(4) {
                let at = roll(changed.len());
                changed[at] = b"\0\r\n\"\\(){}<>,;:=*'% \xff-ab"[roll(23)];
            }
            check(&name, &changed);
        }
    }
}
