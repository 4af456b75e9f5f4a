//! Figures as people read them.

/// `24,180`
pub(super) fn figure(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_separators() {
        for (number, shown) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (24_180, "24,180"), (1_234_567, "1,234,567")]
        {
            assert_eq!(figure(number), shown);
        }
    }
}
