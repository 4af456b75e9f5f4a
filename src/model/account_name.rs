//! The name of an account: what its owner types as the user name.

use std::fmt;

/// The longest name, in bytes.
const LONGEST: usize = 255;

/// In lower case; letters, digits and `._-+@`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(String);

/// Why a text is no name of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.describe())]
pub enum AccountNameError {
    /// Empty, too long, or with other characters.
    Characters,
    /// A folder of that name is another.
    Dots,
}

impl AccountNameError {
    /// What a name may be.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            AccountNameError::Characters => {
                "an account's name has 1 to 255 bytes: letters, digits and any of . _ - + @"
            }
            AccountNameError::Dots => "an account cannot be called . or ..: a folder of that name is another",
        }
    }
}

impl AccountName {
    /// The name, with its letters made small: programs capitalise what is typed.
    ///
    /// # Errors
    /// If it cannot be one.
    pub fn new(typed: &str) -> Result<Self, AccountNameError> {
        let name = typed.to_lowercase();
        let allowed = |c: char| c.is_alphanumeric() || "._-+@".contains(c);
        if name.is_empty() || name.len() > LONGEST || !name.chars().all(allowed) {
            return Err(AccountNameError::Characters);
        }
        if matches!(name.as_str(), "." | "..") {
            return Err(AccountNameError::Dots);
        }
        Ok(AccountName(name))
    }

    /// As it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (typed, name) in
            [("Anna", "anna"), ("anna@Example.ORG", "anna@example.org"), ("Ünal-1", "ünal-1")]
        {
            assert_eq!(AccountName::new(typed).unwrap().as_str(), name);
        }
        for typed in ["", "an na", "a/b", "a\u{202e}b", "a\0", ".", "..", &"x".repeat(256)] {
            assert!(AccountName::new(typed).is_err(), "{typed:?}");
        }
    }
}
