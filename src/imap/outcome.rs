//! How a command ends that was done.

use crate::protocol::response::code::Code;

/// How a command that was done is answered.
#[derive(Debug)]
pub enum Done {
    /// With a tagged OK.
    Ok {
        /// Its response code.
        code: Option<Code>,
        /// Its text.
        text: &'static str,
    },
    /// It has been: the handler had to send the tagged reply itself.
    Answered,
}

impl Done {
    /// OK with this text.
    #[must_use]
    pub fn ok(text: &'static str) -> Done {
        Done::Ok { code: None, text }
    }

    /// OK with a code.
    #[must_use]
    pub fn with(code: Code, text: &'static str) -> Done {
        Done::Ok { code: Some(code), text }
    }
}
