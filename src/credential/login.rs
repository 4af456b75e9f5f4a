//! Which of an account's passwords somebody logged in with.

use crate::model::DeviceId;

/// Whose password opened a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Login {
    /// The account's own.
    Own,
    /// A device's.
    Device(DeviceId),
}

impl Login {
    /// The device, if it was one's.
    #[must_use]
    pub fn device(self) -> Option<DeviceId> {
        match self {
            Login::Own => None,
            Login::Device(device) => Some(device),
        }
    }
}
