//! `postern setup-link`

use super::{Failure, Global, perform};
use crate::actions::administrator::SetupLink;
use crate::control::message::{Answer, Request};

/// Prints a one-time link.
pub(super) fn run(global: &Global) -> Result<(), Failure> {
    match perform::perform(global, Request::SetupLink)? {
        Answer::SetupLink(link) => global.output().value(&link, text),
        other => Err(perform::unexpected(&other)),
    }
}

fn text(link: &SetupLink) -> String {
    match link.links.split_first() {
        Some((first, others)) => {
            let mut text = format!(
                "Open this in a browser, once; it sets a new password for the admin site:\n{first}\n"
            );
            if !others.is_empty() {
                text.push_str("or, if that name is not found:\n");
            }
            for other in others {
                text.push_str(&format!("{other}\n"));
            }
            text
        }
        None => format!(
            "The server does not run. Once it does, open its admin site's page /setup and type:\n{}\n",
            link.code
        ),
    }
}
