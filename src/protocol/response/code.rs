//! Response codes (RFC 9051 §7.1, RFC 5530, RFC 7162, RFC 8474).

use super::Writer;
use crate::model::{ObjectId, Uid, UidSet, UidValidity};

/// A response code.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Code {
    Alert,
    AlreadyExists,
    AppendUid(UidValidity, UidSet),
    AuthenticationFailed,
    AuthorizationFailed,
    BadCharset(Vec<&'static str>),
    Cannot,
    Capability(Vec<String>),
    ClientBug,
    Closed,
    ContactAdmin,
    /// The UIDs in the order of the messages (RFC 4315 §3).
    CopyUid {
        validity: UidValidity,
        from: Vec<Uid>,
        to: Vec<Uid>,
    },
    Corruption,
    Expired,
    ExpungeIssued,
    HighestModSeq(u64),
    InUse,
    Limit,
    MailboxId(ObjectId),
    Modified(UidSet),
    NoModSeq,
    NonExistent,
    NoPerm,
    NotSaved,
    OverQuota,
    Parse,
    PermanentFlags(Vec<String>),
    PrivacyRequired,
    ReadOnly,
    ReadWrite,
    ServerBug,
    TooBig,
    TryCreate,
    UidNext(u32),
    UidNotSticky,
    UidValidity(UidValidity),
    Unavailable,
    UnknownCte,
    Unseen(u32),
    UseAttr,
}

impl Code {
    /// What stands between the brackets.
    pub fn write(&self, w: &mut Writer<'_>) {
        if let Some(word) = self.word() {
            return w.raw(word.as_bytes());
        }
        match self {
            Code::AppendUid(validity, uids) => w.raw(format!("APPENDUID {validity} {uids}").as_bytes()),
            Code::BadCharset(known) => w.raw(format!("BADCHARSET ({})", known.join(" ")).as_bytes()),
            Code::Capability(names) => w.raw(format!("CAPABILITY {}", names.join(" ")).as_bytes()),
            Code::CopyUid { validity, from, to } => {
                w.raw(format!("COPYUID {validity} {} {}", in_order(from), in_order(to)).as_bytes());
            }
            Code::HighestModSeq(modseq) => w.raw(format!("HIGHESTMODSEQ {modseq}").as_bytes()),
            Code::MailboxId(id) => w.raw(format!("MAILBOXID ({id})").as_bytes()),
            Code::Modified(set) => w.raw(format!("MODIFIED {set}").as_bytes()),
            Code::PermanentFlags(flags) => w.raw(format!("PERMANENTFLAGS ({})", flags.join(" ")).as_bytes()),
            Code::UidNext(uid) => w.raw(format!("UIDNEXT {uid}").as_bytes()),
            Code::UidValidity(validity) => w.raw(format!("UIDVALIDITY {validity}").as_bytes()),
            Code::Unseen(number) => w.raw(format!("UNSEEN {number}").as_bytes()),
            _ => {}
        }
    }

    /// Codes that are a word.
    fn word(&self) -> Option<&'static str> {
        Some(match self {
            Code::Alert => "ALERT",
            Code::AlreadyExists => "ALREADYEXISTS",
            Code::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Code::AuthorizationFailed => "AUTHORIZATIONFAILED",
            Code::Cannot => "CANNOT",
            Code::ClientBug => "CLIENTBUG",
            Code::Closed => "CLOSED",
            Code::ContactAdmin => "CONTACTADMIN",
            Code::Corruption => "CORRUPTION",
            Code::Expired => "EXPIRED",
            Code::ExpungeIssued => "EXPUNGEISSUED",
            Code::InUse => "INUSE",
            Code::Limit => "LIMIT",
            Code::NoModSeq => "NOMODSEQ",
            Code::NonExistent => "NONEXISTENT",
            Code::NoPerm => "NOPERM",
            Code::NotSaved => "NOTSAVED",
            Code::OverQuota => "OVERQUOTA",
            Code::Parse => "PARSE",
            Code::PrivacyRequired => "PRIVACYREQUIRED",
            Code::ReadOnly => "READ-ONLY",
            Code::ReadWrite => "READ-WRITE",
            Code::ServerBug => "SERVERBUG",
            Code::TooBig => "TOOBIG",
            Code::TryCreate => "TRYCREATE",
            Code::UidNotSticky => "UIDNOTSTICKY",
            Code::Unavailable => "UNAVAILABLE",
            Code::UnknownCte => "UNKNOWN-CTE",
            Code::UseAttr => "USEATTR",
            _ => return None,
        })
    }
}

/// A set that keeps the order of the UIDs, since two of them tell which became which.
fn in_order(uids: &[Uid]) -> String {
    let mut text = String::new();
    let mut rest = uids;
    while let Some((first, after)) = rest.split_first() {
        let mut last = *first;
        let mut count = 0;
        for uid in after {
            if last.next() != Some(*uid) {
                break;
            }
            last = *uid;
            count += 1;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&first.to_string());
        if last != *first {
            text.push_str(&format!(":{last}"));
        }
        rest = after.get(count..).unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_uids_keep_their_order() {
        let uids = |numbers: &[u32]| -> Vec<Uid> { numbers.iter().copied().filter_map(Uid::new).collect() };
        assert_eq!(in_order(&uids(&[304, 319, 320, 7])), "304,319:320,7");
        assert_eq!(in_order(&uids(&[1])), "1");
        let mut out = Vec::new();
        let validity = UidValidity::new(38505).unwrap();
        let code = Code::CopyUid { validity, from: uids(&[304, 319, 320]), to: uids(&[3956, 3957, 3958]) };
        code.write(&mut Writer::new(&mut out, super::super::Dialect::default()));
        assert_eq!(out, b"COPYUID 38505 304,319:320 3956:3958");
    }
}
