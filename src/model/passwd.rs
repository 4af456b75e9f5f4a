//! The users of a machine, as passwd(5) lists them.

/// The number of the user of this name.
#[must_use]
pub fn uid_of(name: &str, passwd: &str) -> Option<u32> {
    let entries = passwd.lines().map(|line| line.split(':'));
    let mut named = entries.filter_map(|mut fields| (fields.next() == Some(name)).then_some(fields));
    named.find_map(|mut fields| fields.nth(1)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_a_whole() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbroken\nanna:x:none\nanna:x:1000:1000::/home/anna:/bin/sh\n";
        assert_eq!(
            ["root", "anna", "ann", "x", "1000", ""].map(|name| uid_of(name, passwd)),
            [Some(0), Some(1000), None, None, None, None]
        );
    }
}
