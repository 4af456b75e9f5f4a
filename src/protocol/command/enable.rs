//! ENABLE (RFC 9051 §6.3.1).

use crate::protocol::cursor::{Cursor, Parsed};

/// Capabilities to enable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enable {
    /// As the client wrote them.
    pub capabilities: Vec<String>,
}

pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Enable> {
    let mut capabilities = Vec::new();
    while !cursor.at_end() || capabilities.is_empty() {
        cursor.space()?;
        capabilities.push(cursor.atom()?.to_owned());
    }
    Ok(Enable { capabilities })
}
