//! CAPABILITY (RFC 9051 §7.2.2): what is offered, and when.

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Port 143, in the clear: no password may be sent.
    Plain,
    /// The same from this machine itself: a password may.
    PlainLoopback,
    /// Before login, with TLS.
    Encrypted,
    /// After login.
    Authenticated,
}

/// What every session is told.
const ALWAYS: [&str; 8] =
    ["IMAP4rev1", "IMAP4rev2", "LITERAL+", "ID", "ENABLE", "SASL-IR", "IDLE", "CHILDREN"];

/// What is told after login: each with the document that says what it is.
const AUTHENTICATED: &[(&str, &str)] = &[
    ("BINARY", "RFC 3516"),
    ("CONDSTORE", "RFC 7162"),
    ("CREATE-SPECIAL-USE", "RFC 6154"),
    ("ESEARCH", "RFC 4731"),
    ("LIST-EXTENDED", "RFC 5258"),
    ("LIST-STATUS", "RFC 5819"),
    ("MOVE", "RFC 6851"),
    ("MULTIAPPEND", "RFC 3502"),
    ("NAMESPACE", "RFC 2342"),
    ("OBJECTID", "RFC 8474"),
    ("PREVIEW", "RFC 8970"),
    ("QRESYNC", "RFC 7162"),
    ("SAVEDATE", "RFC 8514"),
    ("SEARCHRES", "RFC 5182"),
    ("SPECIAL-USE", "RFC 6154"),
    ("STATUS=SIZE", "RFC 8438"),
    ("UIDPLUS", "RFC 4315"),
    ("UNSELECT", "RFC 3691"),
    ("UTF8=ACCEPT", "RFC 9755"),
    ("WITHIN", "RFC 5032"),
    // Outlook 2013 finds Sent, Drafts and Trash by nothing else, and asks only where it is offered.
    ("XLIST", "Gmail's forerunner of RFC 6154"),
];

/// The capabilities of a phase; `message_limit` is APPENDLIMIT's (RFC 7889), in bytes.
#[must_use]
pub fn list(phase: Phase, message_limit: u64) -> Vec<String> {
    let mut found: Vec<String> = ALWAYS.iter().map(|name| (*name).to_owned()).collect();
    let more: &[&str] = match phase {
        Phase::Plain => &["STARTTLS", "LOGINDISABLED"],
        Phase::PlainLoopback => &["STARTTLS", "AUTH=PLAIN"],
        Phase::Encrypted => &["AUTH=PLAIN"],
        Phase::Authenticated => {
            found.extend(AUTHENTICATED.iter().map(|(name, _)| (*name).to_owned()));
            found.push(format!("APPENDLIMIT={message_limit}"));
            &[]
        }
    };
    found.extend(more.iter().map(|name| (*name).to_owned()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_its_own() {
        assert!(AUTHENTICATED.is_sorted());
        assert!(AUTHENTICATED.windows(2).all(|two| two[0].0 != two[1].0));
        let has = |phase, name: &str| list(phase, 5).iter().any(|known| known == name);
        assert!(has(Phase::Plain, "LOGINDISABLED") && !has(Phase::Plain, "AUTH=PLAIN"));
        assert!(has(Phase::PlainLoopback, "STARTTLS") && has(Phase::PlainLoopback, "AUTH=PLAIN"));
        assert!(!has(Phase::Encrypted, "STARTTLS") && has(Phase::Encrypted, "AUTH=PLAIN"));
        assert!(has(Phase::Authenticated, "APPENDLIMIT=5") && !has(Phase::Authenticated, "AUTH=PLAIN"));
    }
}
