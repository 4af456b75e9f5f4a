//! A session: its state, what was enabled, and which command is which handler's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::imap::change_bell::Bell;
use crate::imap::command::{
    append, copy, enable, expunge, fetch, id, idle, list, login, search, select, status, store,
};
use crate::imap::connection::{Connection, Input};
use crate::imap::fair_turn::give_way;
use crate::imap::names;
use crate::imap::news::{self, Expunges};
use crate::imap::refusal::{Condition, Refusal};
use crate::imap::session_limits::{CROWDED_PATIENCE, Seat};
use crate::imap::shared::Shared;
use crate::imap::shutdown::Shutdown;
use crate::imap::view::View;
use crate::model::{AccountId, DeviceId};
use crate::protocol::capability;
use crate::protocol::command::{self, Any, Auth, Command, NonAuth, ParseError, Selected, Tag, Tagged};
use crate::protocol::framed::Framed;
use crate::protocol::framing::{Event, LiteralHead};
use crate::protocol::response::code::Code;
use crate::protocol::response::{self, Dialect, Writer};

/// The longest command before login: a name, a password and a mechanism.
const COMMAND_BEFORE_LOGIN: usize = 8 * 1024;
/// But ID may have 30 fields of 30 and 1,024 bytes (RFC 2971 §3.3).
const ID_BEFORE_LOGIN: usize = 34 * 1024;
/// The longest command after login: UID sets of large mailboxes (CLIENTS.md, Outlook, Apple Mail).
const COMMAND: usize = 2 * 1024 * 1024;
/// A longer command is read on a thread that serves nobody else: 2 MiB take some 20 ms.
const PARSED_HERE: usize = 64 * 1024;
/// A client that sends so many wrong commands in a row is not a mail client.
const BAD_IN_A_ROW: u32 = 50;

/// Who is logged in.
pub struct User {
    /// The account.
    pub account: AccountId,
    /// Its name, for the log.
    pub name: String,
    /// The device whose password was used.
    pub device: Option<DeviceId>,
    /// This login was noted as the device's last use; what the client says of itself may be noted with it.
    pub noted: bool,
    /// Rings when something changes.
    pub bell: Arc<Bell>,
    /// Its place among all sessions.
    pub seat: Seat,
}

/// The states of RFC 9051 §3; each owns what it has.
pub enum State {
    /// Not logged in: a stranger's seat.
    NotAuthenticated(Seat),
    /// Logged in.
    Authenticated(User),
    /// A mailbox is open.
    Selected(User, Box<View>),
    /// The connection ends.
    Logout,
}

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
}

/// How a command that was done is answered.
#[derive(Debug, Default)]
pub struct Done {
    /// The response code of the OK.
    pub code: Option<Code>,
    /// Its text.
    pub text: &'static str,
}

impl Done {
    /// OK with this text.
    #[must_use]
    pub fn ok(text: &'static str) -> Done {
        Done { code: None, text }
    }

    /// OK with a code.
    #[must_use]
    pub fn with(code: Code, text: &'static str) -> Done {
        Done { code: Some(code), text }
    }
}

/// One client's session.
pub struct Session {
    /// What all sessions share.
    pub shared: Arc<Shared>,
    /// The bytes.
    pub io: Connection,
    /// The state.
    pub state: State,
    /// What the client has enabled.
    pub enabled: Enabled,
    /// What the client said of itself (ID), for the device list.
    pub client: String,
    /// The tagged reply owes the client HIGHESTMODSEQ: VANISHED was told (RFC 7162 §3.2.7).
    pub owes_modseq: bool,
    /// CONDSTORE was enabled with a mailbox open: HIGHESTMODSEQ as an untagged OK precedes the tagged reply (RFC
    /// 7162 §3.1, §3.1.2.1), for that is where clients look for it.
    begins_condstore: bool,
    shutdown: Shutdown,
    begun: Instant,
    bad_in_a_row: u32,
}

impl Session {
    /// A session that has said nothing yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, io: Connection, seat: Seat, shutdown: Shutdown) -> Self {
        Session {
            shared,
            io,
            state: State::NotAuthenticated(seat),
            enabled: Enabled::default(),
            client: String::new(),
            owes_modseq: false,
            begins_condstore: false,
            shutdown,
            begun: Instant::now(),
            bad_in_a_row: 0,
        }
    }

    /// Greets, then serves commands until the end.
    pub async fn run(mut self) {
        self.io.framer.set_limit(ID_BEFORE_LOGIN);
        let capabilities = self.capabilities();
        self.untagged("OK", Some(Code::Capability(capabilities)), "Postern is ready");
        while !matches!(self.state, State::Logout) {
            let (shutdown, bell) =
                (self.shutdown.clone(), self.user().ok().map(|user| Arc::clone(&user.bell)));
            let dismissal = async {
                match &bell {
                    Some(bell) => bell.dismissal().await,
                    None => std::future::pending().await,
                }
            };
            let interrupt = futures_lite::FutureExt::or(shutdown.wait(), dismissal);
            match self.io.next_or(self.patience(), interrupt).await {
                // Whoever goes on talking is never waited for, but has had its time too.
                Input::Event(_) if self.patience().is_zero() => self.bye(None, "It took too long to log in"),
                Input::Event(event) => {
                    self.on_event(event).await;
                    // A client that always has more to say would never wait for anything, and two of them would
                    // hold both threads that serve all.
                    give_way().await;
                }
                Input::Closed => break,
                Input::TimedOut => {
                    self.bye(None, "Nothing was heard for too long");
                }
                Input::Interrupted if !shutdown.is_triggered() => {
                    let why = bell.as_ref().and_then(|bell| bell.dismissed());
                    self.bye(None, why.unwrap_or_default());
                }
                Input::Interrupted => {
                    self.bye(Some(Code::Unavailable), "The server is restarting; come back soon")
                }
            }
        }
        self.io.close().await;
    }

    /// The writer for responses, in the client's dialect.
    pub fn writer(&mut self) -> Writer<'_> {
        Writer::new(self.io.out(), self.enabled.dialect())
    }

    /// The capabilities in the present state.
    #[must_use]
    pub fn capabilities(&self) -> Vec<String> {
        let phase = match self.state {
            State::NotAuthenticated(_) if self.may_send_password() && !self.io.is_encrypted() => {
                capability::Phase::PlainLoopback
            }
            State::NotAuthenticated(_) if self.io.is_encrypted() => capability::Phase::Encrypted,
            State::NotAuthenticated(_) => capability::Phase::Plain,
            _ => capability::Phase::Authenticated,
        };
        capability::list(phase, self.shared.message_limit)
    }

    /// Whether a password may come: never in the clear, but from this machine itself.
    #[must_use]
    pub fn may_send_password(&self) -> bool {
        self.io.is_encrypted() || self.io.peer().ip().to_canonical().is_loopback()
    }

    /// The account that is logged in.
    ///
    /// # Errors
    /// Refused when nobody is.
    pub fn user(&self) -> Result<&User, Refusal> {
        match &self.state {
            State::Authenticated(user) | State::Selected(user, _) => Ok(user),
            _ => Err(Refusal::bad("Log in first")),
        }
    }

    /// The account's id.
    ///
    /// # Errors
    /// Refused when nobody is logged in.
    pub fn account(&self) -> Result<AccountId, Refusal> {
        self.user().map(|user| user.account)
    }

    /// The open mailbox.
    ///
    /// # Errors
    /// Refused when none is open.
    pub fn view(&self) -> Result<&View, Refusal> {
        match &self.state {
            State::Selected(_, view) => Ok(view),
            _ => Err(Refusal::bad("Select a mailbox first")),
        }
    }

    /// The open mailbox, to change what the client has been told.
    ///
    /// # Errors
    /// Refused when none is open.
    pub fn view_mut(&mut self) -> Result<&mut View, Refusal> {
        match &mut self.state {
            State::Selected(_, view) => Ok(view),
            _ => Err(Refusal::bad("Select a mailbox first")),
        }
    }

    /// Leaves the open mailbox, if one is open.
    pub fn deselect(&mut self) -> Option<View> {
        match std::mem::replace(&mut self.state, State::Logout) {
            State::Selected(user, view) => {
                user.bell.watch(None);
                self.state = State::Authenticated(user);
                Some(*view)
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Opens a mailbox in place of what was open.
    pub fn open(&mut self, view: View) {
        match std::mem::replace(&mut self.state, State::Logout) {
            State::Authenticated(user) | State::Selected(user, _) => {
                self.state = State::Selected(user, Box::new(view));
            }
            other => self.state = other,
        }
    }

    /// After login the limits are wider.
    pub fn log_in(&mut self, mut user: User) {
        self.io.framer.set_limit(COMMAND);
        if let State::NotAuthenticated(stranger) = std::mem::replace(&mut self.state, State::Logout) {
            user.seat.take_over(stranger);
        }
        self.state = State::Authenticated(user);
    }

    /// Ends the session with `* BYE`.
    pub fn bye(&mut self, code: Option<Code>, text: &str) {
        self.untagged("BYE", code, text);
        self.state = State::Logout;
    }

    /// An untagged status response.
    pub fn untagged(&mut self, condition: &str, code: Option<Code>, text: &str) {
        response::status_line(&mut self.writer(), None, condition, code.as_ref(), text);
    }

    /// A tagged status response.
    pub fn tagged(&mut self, tag: &Tag, condition: &str, code: Option<&Code>, text: &str) {
        response::status_line(&mut self.writer(), Some(tag.as_str()), condition, code, text);
    }

    /// Whether the server ends.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// How long the client is waited for now.
    #[must_use]
    pub fn patience(&self) -> Duration {
        let patience = self.shared.timeouts;
        if matches!(self.state, State::NotAuthenticated(_)) {
            let in_all = match self.shared.limits.is_crowded() {
                true => patience.to_log_in.min(CROWDED_PATIENCE),
                false => patience.to_log_in,
            };
            patience.before_login.min(in_all.saturating_sub(self.begun.elapsed()))
        } else {
            patience.logged_in
        }
    }

    async fn on_event(&mut self, event: Event) {
        match event {
            Event::Command(framed) => match self.parse(framed).await {
                Ok(tagged) => {
                    self.bad_in_a_row = 0;
                    self.execute(tagged).await;
                }
                Err(error) => self.refuse_bad(error.tag.as_ref(), error.code(), &error.text),
            },
            Event::Literal(head) => self.on_literal(head).await,
            // Only a handler that asked for a line is given one; here it would be an answer to nothing.
            Event::Line(_) => self.refuse_bad(None, None, "This is no command"),
            Event::Invalid(problem) => {
                let tag = problem.tag();
                self.refuse_bad(tag.as_ref(), None, problem.text());
                if problem.is_fatal() {
                    self.bye(None, "The stream cannot be followed any more");
                }
            }
        }
    }

    async fn parse(&self, framed: Framed) -> Result<Tagged, ParseError> {
        if matches!(self.state, State::NotAuthenticated(_)) {
            if framed.held() > COMMAND_BEFORE_LOGIN && !command::id::is_id(framed.text()) {
                let (tag, text) = (command::tag_of(framed.text()), "The command is too long".to_owned());
                return Err(ParseError { tag, text });
            }
            return command::parse_before_login(&framed);
        }
        let dialect = self.command_dialect();
        if framed.held() <= PARSED_HERE {
            return command::parse_framed(&framed, dialect);
        }
        smol::unblock(move || command::parse_framed(&framed, dialect)).await
    }

    /// A literal begins: APPEND's is streamed, any other is collected if it is small enough.
    async fn on_literal(&mut self, head: LiteralHead) {
        let logged_in = !matches!(self.state, State::NotAuthenticated(_));
        if logged_in && append::is_append(&head.so_far) {
            return Box::pin(append::run(self, head)).await;
        }
        let tag = command::tag_of(&head.so_far);
        let length = head.len.saturating_add(head.so_far.len() as u64);
        let fits = logged_in || length <= COMMAND_BEFORE_LOGIN as u64 || command::id::is_id(&head.so_far);
        if tag.is_some() && fits && self.io.framer.accept() {
            if !head.non_sync {
                response::continuation(&mut self.writer(), "Go on");
            }
            return;
        }
        if !self.io.framer.refuse() {
            return self.bye(Some(Code::TooBig), "The literal is far too long");
        }
        match tag {
            Some(tag) => {
                let text = "The literal is longer than a command may be";
                self.refuse_bad(Some(&tag), Some(Code::TooBig), text);
            }
            None => self.refuse_bad(None, None, "A command begins with a tag"),
        }
    }

    /// Answers BAD, and ends a session that sends nothing else.
    pub fn refuse_bad(&mut self, tag: Option<&Tag>, code: Option<Code>, text: &str) {
        match tag {
            Some(tag) if code.as_ref().is_some_and(|code| matches!(code, Code::BadCharset(_))) => {
                self.tagged(tag, "NO", code.as_ref(), text);
            }
            Some(tag) => self.tagged(tag, "BAD", code.as_ref(), text),
            None => self.untagged("BAD", code, text),
        }
        self.bad_in_a_row += 1;
        if self.bad_in_a_row >= BAD_IN_A_ROW {
            self.bye(None, "Too many commands in a row were not understood");
        }
    }

    /// How the client writes mailbox names.
    #[must_use]
    pub fn command_dialect(&self) -> command::Dialect {
        command::Dialect { utf8: self.enabled.utf8 || self.enabled.rev2 }
    }

    async fn execute(&mut self, tagged: Tagged) {
        let Tagged { tag, command } = tagged;
        let expunges = news::may_expunge(&command);
        let tells_modseq = self.enabled.condstore || matches!(command, Command::Auth(Auth::Select(_)));
        let outcome = self.dispatch(&tag, command).await;
        self.begins_condstore = self.enabled.condstore && !tells_modseq;
        self.answer(&tag, expunges, outcome).await;
    }

    /// Sends the news and then the tagged reply.
    pub async fn answer(&mut self, tag: &Tag, expunges: Expunges, outcome: Result<Done, Refusal>) {
        if matches!(&outcome, Err(refusal) if refusal.condition == Condition::Answered) {
            return;
        }
        let hung_up = matches!(&outcome, Err(refusal) if refusal.condition == Condition::Hangup);
        if hung_up || matches!(self.state, State::Logout) && outcome.is_err() {
            self.state = State::Logout;
            return;
        }
        if let Err(refusal) = Box::pin(news::sync(self, expunges)).await {
            if refusal.condition == Condition::Hangup {
                self.state = State::Logout;
                return;
            }
            tracing::warn!(text = %refusal.text, "news of a mailbox could not be read");
        }
        if std::mem::take(&mut self.begins_condstore) {
            let reached = self.view().ok().map(highest_modseq);
            self.tell_modseq(reached);
        }
        let modseq = self.owed_modseq();
        match outcome {
            Ok(Done { code: None, text }) => self.tagged(tag, "OK", modseq.as_ref(), text),
            Ok(Done { code, text }) => {
                self.tell_modseq(modseq);
                self.tagged(tag, "OK", code.as_ref(), text);
            }
            Err(refusal) => {
                self.tell_modseq(modseq);
                let condition = if refusal.condition == Condition::Bad { "BAD" } else { "NO" };
                self.tagged(tag, condition, refusal.code.as_ref(), &refusal.text);
            }
        }
        if self.io.flush_if_large().await.is_err() {
            self.state = State::Logout;
        }
    }

    /// HIGHESTMODSEQ where the client must hear it: it was told VANISHED, or it saw a MODSEQ above what it may
    /// take for HIGHESTMODSEQ, since an expunge below that could not be told yet (RFC 7162 §3.2, §6).
    fn owed_modseq(&mut self) -> Option<Code> {
        let owed = std::mem::take(&mut self.owes_modseq);
        let condstore = self.enabled.condstore;
        let view = self.view().ok().filter(|view| condstore && (owed || view.correction().is_some()))?;
        Some(highest_modseq(view))
    }

    /// As an untagged OK: where the tagged reply has a code of its own (RFC 7162 §6, the example), and where CONDSTORE
    /// begins.
    fn tell_modseq(&mut self, code: Option<Code>) {
        if code.is_some() {
            self.untagged("OK", code, "What has been told so far");
        }
    }

    async fn dispatch(&mut self, tag: &Tag, command: Command) -> Result<Done, Refusal> {
        match (command, &self.state) {
            (Command::Any(any), _) => self.any(any).await,
            (Command::NonAuth(command), State::NotAuthenticated(_)) => match command {
                NonAuth::StartTls => Box::pin(login::start_tls(self, tag)).await,
                NonAuth::Authenticate(command) => Box::pin(login::authenticate(self, command)).await,
                NonAuth::Login(login) => Box::pin(login::login(self, login)).await,
            },
            (Command::NonAuth(_), _) => Err(Refusal::bad("You are logged in already")),
            (_, State::NotAuthenticated(_)) => Err(Refusal::bad("Log in first")),
            (Command::Auth(command), _) => self.auth(command).await,
            (Command::Select(command), State::Selected(..)) => self.selected(tag, command).await,
            (Command::Select(_), _) => Err(Refusal::bad("Select a mailbox first")),
        }
    }

    async fn any(&mut self, command: Any) -> Result<Done, Refusal> {
        match command {
            Any::Capability => {
                let capabilities = self.capabilities();
                response::capability(&mut self.writer(), &capabilities);
                Ok(Done::ok("CAPABILITY completed"))
            }
            Any::Noop => Ok(Done::ok("NOOP completed")),
            Any::Id(parameters) => Ok(Box::pin(id::run(self, &parameters)).await),
            Any::Logout => {
                self.bye(None, "See you soon");
                Ok(Done::ok("LOGOUT completed"))
            }
        }
    }

    /// What commands need while they run lies in a box, but for IDLE: a session that waits holds none of it.
    async fn auth(&mut self, command: Auth) -> Result<Done, Refusal> {
        match command {
            Auth::Enable(enable) => Box::pin(enable::run(self, &enable)).await,
            Auth::Select(command) => Box::pin(select::run(self, command)).await,
            Auth::Create(command) => Box::pin(names::create(self, command)).await,
            Auth::Delete(command) => Box::pin(names::delete(self, command)).await,
            Auth::Rename(command) => Box::pin(names::rename(self, command)).await,
            Auth::Subscribe(command) => Box::pin(names::subscribe(self, command)).await,
            Auth::Unsubscribe(command) => Box::pin(names::unsubscribe(self, command)).await,
            Auth::List(command) => Box::pin(list::run(self, command)).await,
            Auth::Lsub(command) => Box::pin(list::lsub(self, command)).await,
            Auth::Namespace => {
                response::list::namespace(&mut self.writer());
                Ok(Done::ok("NAMESPACE completed"))
            }
            Auth::Status(command) => Box::pin(status::run(self, command)).await,
            Auth::Idle => idle::run(self).await,
            Auth::Append => Err(Refusal::bad("APPEND needs a message as a literal")),
        }
    }

    async fn selected(&mut self, tag: &Tag, command: Selected) -> Result<Done, Refusal> {
        match command {
            Selected::Check => Ok(Done::ok("CHECK completed")),
            Selected::Close => Box::pin(expunge::close(self)).await,
            Selected::Unselect => {
                self.deselect();
                Ok(Done::ok("UNSELECT completed"))
            }
            Selected::Expunge(command) => Box::pin(expunge::run(self, command)).await,
            Selected::Search(command) => Box::pin(search::run(self, tag, command)).await,
            Selected::Fetch(command) => Box::pin(fetch::run(self, command)).await,
            Selected::Store(command) => Box::pin(store::run(self, command)).await,
            Selected::Copy(command) => Box::pin(copy::copy(self, command)).await,
            Selected::Move(command) => Box::pin(copy::move_(self, command)).await,
        }
    }
}

/// HIGHESTMODSEQ as far as the client has been told.
fn highest_modseq(view: &View) -> Code {
    Code::HighestModSeq(view.told().0.max(1))
}
