//! `postern new-generation`

use super::{Failure, Global, perform};
use crate::control::message::{Answer, Request};

/// Does it.
pub(super) fn run(global: &Global) -> Result<(), Failure> {
    match perform::perform(global, Request::NewGeneration)? {
        Answer::Done => global.output().value(&serde_json::json!({}), |_| {
            "Done: devices compare what they have with the server.\n".to_owned()
        }),
        other => Err(perform::unexpected(&other)),
    }
}
