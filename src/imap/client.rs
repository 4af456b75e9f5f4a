//! What a handler is given: the client, who is logged in, and the mailbox that is open. A handler says by its first
//! argument what it needs, so that none can be called in the wrong state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::FutureExt;

use crate::credential::Login;
use crate::imap::change_bell::{Bell, Heard, Interest};
use crate::imap::connection::{Connection, Input};
use crate::imap::refusal::Stop;
use crate::imap::session_limits::{CROWDED_PATIENCE, Seat};
use crate::imap::shared::Shared;
use crate::imap::shutdown::Shutdown;
use crate::imap::view::View;
use crate::model::{AccountId, UidList};
use crate::protocol::capability;
use crate::protocol::command::{self, Messages, Tag};
use crate::protocol::response::code::Code;
use crate::protocol::response::{self, Dialect, Writer};

/// What the client has enabled (RFC 9051 §6.3.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct Enabled {
    /// IMAP4rev2: ESEARCH, no RECENT, UTF-8 names.
    pub rev2: bool,
    /// UTF8=ACCEPT (RFC 9755).
    pub utf8: bool,
    /// CONDSTORE (RFC 7162 §3.1): FETCH responses carry MODSEQ.
    pub condstore: bool,
    /// QRESYNC (RFC 7162 §3.2): VANISHED in place of EXPUNGE.
    pub qresync: bool,
}

impl Enabled {
    /// How strings are written to this client.
    #[must_use]
    pub fn dialect(self) -> Dialect {
        Dialect { utf8: self.utf8, rev2: self.rev2 }
    }

    /// How the client writes mailbox names.
    #[must_use]
    pub fn command_dialect(self) -> command::Dialect {
        command::Dialect { utf8: self.utf8 || self.rev2 }
    }
}

/// A client, whoever is logged in.
pub struct Client {
    /// What all sessions share.
    pub shared: Arc<Shared>,
    /// The bytes.
    pub io: Connection,
    /// What the client has enabled.
    pub enabled: Enabled,
    /// What the client said of itself (ID), for the device list.
    pub program: String,
    /// The tagged reply owes the client HIGHESTMODSEQ: VANISHED was told (RFC 7162 §3.2.7).
    pub owes_modseq: bool,
    shutdown: Shutdown,
    begun: Instant,
    ended: bool,
}

/// Who is logged in.
pub struct User {
    /// The account.
    pub account: AccountId,
    /// Its name, for the log.
    pub name: String,
    /// Whose password was used.
    pub login: Login,
    /// This login was noted as the device's last use; what the client says of itself may be noted with it.
    pub noted: bool,
    /// Rings when something changes.
    pub bell: Arc<Bell>,
    /// Its place among all sessions.
    pub seat: Seat,
}

/// A session in which somebody is logged in, with or without an open mailbox (RFC 9051 §3.2, §3.3).
pub struct LoggedIn<'a> {
    /// The client.
    pub client: &'a mut Client,
    /// Who it is.
    pub user: &'a mut User,
    /// The open mailbox.
    pub open: &'a mut Option<Box<View>>,
}

/// A session with an open mailbox (RFC 9051 §3.3).
pub struct Selected<'a> {
    /// The client.
    pub client: &'a mut Client,
    /// Who it is.
    pub user: &'a mut User,
    /// The open mailbox.
    pub view: &'a mut View,
}

/// Why a session ends though its client has not said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its device or its password is gone, in words for the client.
    Dismissed(&'static str),
    /// The server ends.
    Shutdown,
}

/// What wakes a session that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Something changed.
    News,
    /// It has to end.
    End(End),
}

impl Client {
    /// A client that has said nothing yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, io: Connection, shutdown: Shutdown) -> Self {
        let (begun, enabled) = (Instant::now(), Enabled::default());
        let program = String::new();
        Client { shared, io, enabled, program, owes_modseq: false, shutdown, begun, ended: false }
    }

    /// The writer for responses, in the client's dialect.
    pub fn writer(&mut self) -> Writer<'_> {
        Writer::new(self.io.out(), self.enabled.dialect())
    }

    /// The capabilities, before or after login.
    #[must_use]
    pub fn capabilities(&self, is_logged_in: bool) -> Vec<String> {
        let phase = match (is_logged_in, self.io.is_encrypted()) {
            (true, _) => capability::Phase::Authenticated,
            (false, true) => capability::Phase::Encrypted,
            (false, false) if self.may_send_password() => capability::Phase::PlainLoopback,
            (false, false) => capability::Phase::Plain,
        };
        capability::list(phase, self.shared.message_limit)
    }

    /// Whether a password may come: never in the clear, but from this machine itself.
    #[must_use]
    pub fn may_send_password(&self) -> bool {
        self.io.is_encrypted() || self.io.peer().ip().to_canonical().is_loopback()
    }

    /// How long a client that has not logged in is waited for now.
    #[must_use]
    pub fn time_to_log_in(&self) -> Duration {
        let timeouts = self.shared.timeouts;
        let in_all = match self.shared.limits.is_crowded() {
            true => timeouts.to_log_in.min(CROWDED_PATIENCE),
            false => timeouts.to_log_in,
        };
        timeouts.before_login.min(in_all.saturating_sub(self.begun.elapsed()))
    }

    /// The next thing that the client sends, unless the session has to end before.
    pub async fn next_or_end(&mut self, timeout: Duration, bell: Option<&Bell>) -> Input<End> {
        let end = end(&self.shutdown, bell);
        self.io.next_or(timeout, end).await
    }

    /// The next thing that the client sends, unless there are news before that, heard of since `heard` was made.
    pub async fn next_or_news(&mut self, timeout: Duration, bell: &Bell, heard: Heard) -> Input<Wake> {
        let end = async { Wake::End(end(&self.shutdown, Some(bell)).await) };
        let news = async {
            heard.await;
            Wake::News
        };
        self.io.next_or(timeout, end.or(news)).await
    }

    /// Ends the session with `* BYE`.
    pub fn bye(&mut self, code: Option<Code>, text: &str) {
        self.untagged("BYE", code, text);
        self.ended = true;
    }

    /// Ends the session with the reason.
    pub fn leave(&mut self, end: End) {
        match end {
            End::Dismissed(why) => self.bye(None, why),
            End::Shutdown => self.bye(Some(Code::Unavailable), "The server is restarting; come back soon"),
        }
    }

    /// Ends the session without a word: nothing can be said any more.
    pub fn hang_up(&mut self) {
        self.ended = true;
    }

    /// Whether the session has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// An untagged status response.
    pub fn untagged(&mut self, condition: &str, code: Option<Code>, text: &str) {
        response::status_line(&mut self.writer(), None, condition, code.as_ref(), text);
    }

    /// A tagged status response.
    pub fn tagged(&mut self, tag: &Tag, condition: &str, code: Option<&Code>, text: &str) {
        response::status_line(&mut self.writer(), Some(tag.as_str()), condition, code, text);
    }
}

/// Ends when the session has to.
async fn end(shutdown: &Shutdown, bell: Option<&Bell>) -> End {
    let stopped = async {
        shutdown.wait().await;
        End::Shutdown
    };
    let dismissed = async {
        match bell {
            Some(bell) => End::Dismissed(bell.dismissal().await),
            None => std::future::pending().await,
        }
    };
    stopped.or(dismissed).await
}

impl Selected<'_> {
    /// The UIDs that a command names, by number or by UID.
    ///
    /// # Errors
    /// BAD for a sequence number that does not exist (RFC 9051 §9, `seq-number`).
    pub fn named(&self, uid: bool, messages: &Messages) -> Result<UidList, Stop> {
        let named = self.view.named(uid, messages);
        named.ok_or_else(|| Stop::bad("There is no message with that sequence number"))
    }
}

impl LoggedIn<'_> {
    /// The session with its open mailbox, if one is open.
    pub fn selected(&mut self) -> Option<Selected<'_>> {
        let view = self.open.as_deref_mut()?;
        Some(Selected { client: self.client, user: self.user, view })
    }

    /// Leaves the open mailbox; whether one was open.
    pub fn deselect(&mut self) -> bool {
        self.user.bell.watch(Interest::Account);
        self.open.take().is_some()
    }
}
