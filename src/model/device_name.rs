//! The name of a device: what its owner calls it.

use std::fmt;

use super::printable;

/// The longest name, in letters: in UTF-8 as many bytes as the store has room for.
const LONGEST: usize = 60;

/// 1 to 60 letters, none of which does something else than be shown, and no space around them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName(String);

/// Why a text is no name of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.describe())]
pub enum DeviceNameError {
    /// Nothing, or too much.
    Length,
    /// Control characters and marks of direction: two names could look the same.
    Unseen,
}

impl DeviceNameError {
    /// What a name may be.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            DeviceNameError::Length => "a device has a name of 1 to 60 letters, such as “Anna's phone”",
            DeviceNameError::Unseen => "a device's name has no characters that are not seen",
        }
    }
}

impl DeviceName {
    /// The name, without the spaces around it.
    ///
    /// # Errors
    /// If it cannot be one.
    pub fn new(typed: &str) -> Result<Self, DeviceNameError> {
        let name = typed.trim();
        if name.is_empty() || name.chars().nth(LONGEST).is_some() {
            return Err(DeviceNameError::Length);
        }
        if !printable::is_plain(name) {
            return Err(DeviceNameError::Unseen);
        }
        Ok(DeviceName(name.to_owned()))
    }

    /// As it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (typed, name) in [(" Anna's phone ", "Anna's phone"), ("📱", "📱"), ("طاولة", "طاولة")]
        {
            assert_eq!(DeviceName::new(typed).unwrap().as_str(), name);
        }
        assert!(DeviceName::new(&"💌".repeat(60)).is_ok_and(|name| name.as_str().len() <= 255));
        for typed in ["", "  ", &"x".repeat(61), "a\nb", "a\u{202e}b", "a\u{0}", "a\u{feff}b"] {
            assert!(DeviceName::new(typed).is_err(), "{typed:?}");
        }
    }
}
