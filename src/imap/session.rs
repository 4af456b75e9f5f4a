//! A session: its state, and which command is which handler's.

use std::sync::Arc;
use std::time::Duration;

use crate::imap::client::{Client, LoggedIn, Selected, User};
use crate::imap::command::append::{self, Appended};
use crate::imap::command::{
    authenticate, copy, create, delete, enable, expunge, fetch, id, idle, list, login, rename, search,
    select, starttls, status, store, subscribe,
};
use crate::imap::connection::{Connection, Input};
use crate::imap::fair_turn::give_way;
use crate::imap::news::{self, Expunges};
use crate::imap::outcome::Done;
use crate::imap::refusal::{Refusal, Stop};
use crate::imap::session_limits::Seat;
use crate::imap::shared::Shared;
use crate::imap::shutdown::Shutdown;
use crate::imap::view::View;
use crate::protocol::command::{
    self, Any, Auth, Command, NonAuth, ParseError, Selected as InSelected, Tag, Tagged,
};
use crate::protocol::framed::Framed;
use crate::protocol::framing::{Event, LiteralHead};
use crate::protocol::response;
use crate::protocol::response::code::Code;

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

/// The states of RFC 9051 §3; each owns what it has. The last of them, logout, is the client's.
enum State {
    /// Not logged in: a stranger's seat.
    NotAuthenticated(Seat),
    /// Logged in, with a mailbox open or without.
    LoggedIn {
        user: User,
        /// The open mailbox.
        open: Option<Box<View>>,
    },
}

/// One client's session.
pub struct Session {
    client: Client,
    state: State,
    bad_in_a_row: u32,
}

impl Session {
    /// A session that has said nothing yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, io: Connection, seat: Seat, shutdown: Shutdown) -> Self {
        let client = Client::new(shared, io, shutdown);
        Session { client, state: State::NotAuthenticated(seat), bad_in_a_row: 0 }
    }

    /// Greets, then serves commands until the end.
    pub async fn run(mut self) {
        self.client.io.framer.set_limit(ID_BEFORE_LOGIN);
        let capabilities = self.client.capabilities(false);
        self.client.untagged("OK", Some(Code::Capability(capabilities)), "Postern is ready");
        while !self.client.has_ended() {
            let (timeout, bell) = match &self.state {
                State::NotAuthenticated(_) => (self.client.time_to_log_in(), None),
                State::LoggedIn { user, .. } => (self.client.shared.timeouts.logged_in, Some(&*user.bell)),
            };
            match self.client.next_or_end(timeout, bell).await {
                // Whoever goes on talking is never waited for, but has had its time too.
                Input::Event(_) if self.has_had_its_time() => {
                    self.client.bye(None, "It took too long to log in");
                }
                Input::Event(event) => {
                    self.on_event(event).await;
                    // A client that always has more to say would never wait for anything, and two of them would
                    // hold both threads that serve all.
                    give_way().await;
                }
                Input::Closed => break,
                Input::TimedOut => self.client.bye(None, "Nothing was heard for too long"),
                Input::Woken(end) => self.client.leave(end),
            }
        }
        self.client.io.close().await;
    }

    fn has_had_its_time(&self) -> bool {
        matches!(self.state, State::NotAuthenticated(_)) && self.client.time_to_log_in() == Duration::ZERO
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
                    self.client.bye(None, "The stream cannot be followed any more");
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
        let dialect = self.client.enabled.command_dialect();
        if framed.held() <= PARSED_HERE {
            return command::parse_framed(&framed, dialect);
        }
        smol::unblock(move || command::parse_framed(&framed, dialect)).await
    }

    /// A literal begins: APPEND's is streamed, any other is collected if it is small enough.
    async fn on_literal(&mut self, head: LiteralHead) {
        let client = &mut self.client;
        let logged_in = match &mut self.state {
            State::LoggedIn { user, open } if command::append::is_append(&head.so_far) => {
                let mut session = LoggedIn { client, user, open };
                let appended = Box::pin(append::run(&mut session, head)).await;
                return self.appended(appended).await;
            }
            State::LoggedIn { .. } => true,
            State::NotAuthenticated(_) => false,
        };
        let tag = command::tag_of(&head.so_far);
        let length = head.len.saturating_add(head.so_far.len() as u64);
        let fits = logged_in || length <= COMMAND_BEFORE_LOGIN as u64 || command::id::is_id(&head.so_far);
        if tag.is_some() && fits && client.io.framer.accept() {
            if !head.non_sync {
                response::continuation(&mut client.writer(), "Go on");
            }
            return;
        }
        if !client.io.framer.refuse() {
            return client.bye(Some(Code::TooBig), "The literal is far too long");
        }
        match tag {
            Some(tag) => {
                let text = "The literal is longer than a command may be";
                self.refuse_bad(Some(&tag), Some(Code::TooBig), text);
            }
            None => self.refuse_bad(None, None, "A command begins with a tag"),
        }
    }

    async fn appended(&mut self, appended: Appended) {
        match appended {
            Appended::Begun => {}
            Appended::Wrong(tag, code, text) => {
                self.refuse_bad(tag.as_ref(), code, &text);
                append::discard_rest(&mut self.client);
            }
            Appended::Ended(tag, outcome) => {
                let failed = outcome.is_err();
                self.answer(&tag, Expunges::Told, outcome, false).await;
                if failed {
                    append::discard_rest(&mut self.client);
                }
            }
        }
    }

    /// Answers BAD, and ends a session that sends nothing else.
    fn refuse_bad(&mut self, tag: Option<&Tag>, code: Option<Code>, text: &str) {
        let client = &mut self.client;
        match tag {
            Some(tag) if code.as_ref().is_some_and(|code| matches!(code, Code::BadCharset(_))) => {
                client.tagged(tag, "NO", code.as_ref(), text);
            }
            Some(tag) => client.tagged(tag, "BAD", code.as_ref(), text),
            None => client.untagged("BAD", code, text),
        }
        self.bad_in_a_row += 1;
        if self.bad_in_a_row >= BAD_IN_A_ROW {
            client.bye(None, "Too many commands in a row were not understood");
        }
    }

    async fn execute(&mut self, tagged: Tagged) {
        let Tagged { tag, command } = tagged;
        let expunges = news::may_expunge(&command);
        let tells_modseq = self.client.enabled.condstore || matches!(command, Command::Auth(Auth::Select(_)));
        let outcome = self.dispatch(&tag, command).await;
        let begins_condstore = self.client.enabled.condstore && !tells_modseq;
        self.answer(&tag, expunges, outcome, begins_condstore).await;
    }

    /// Sends the news and then the tagged reply. Where CONDSTORE was enabled with a mailbox open, HIGHESTMODSEQ as an
    /// untagged OK precedes it (RFC 7162 §3.1, §3.1.2.1), for that is where clients look for it.
    async fn answer(
        &mut self,
        tag: &Tag,
        expunges: Expunges,
        outcome: Result<Done, Stop>,
        begins_condstore: bool,
    ) {
        let outcome = match outcome {
            Ok(Done::Answered) => return,
            Ok(Done::Ok { code, text }) => Ok((code, text)),
            Err(_) if self.client.has_ended() => return,
            Err(Stop::Hangup(_)) => return self.client.hang_up(),
            // The one place where an error becomes what a client is told.
            Err(Stop::Failed(error)) => Err(Refusal::from(error)),
            Err(Stop::Refused(refusal)) => Err(refusal),
        };
        let mut modseq = None;
        if let State::LoggedIn { user, open } = &mut self.state {
            let mut session = LoggedIn { client: &mut self.client, user, open };
            match Box::pin(news::sync(&mut session, expunges)).await {
                Err(Stop::Hangup(_)) => return self.client.hang_up(),
                Err(error) => tracing::warn!(%error, "news of a mailbox could not be read"),
                Ok(()) => {}
            }
            let owed = std::mem::take(&mut session.client.owes_modseq);
            if let Some(selected) = session.selected() {
                if begins_condstore {
                    let reached = highest_modseq(selected.view);
                    tell_modseq(selected.client, Some(reached));
                }
                modseq = owed_modseq(&selected, owed);
            }
        }
        let client = &mut self.client;
        match outcome {
            Ok((None, text)) => client.tagged(tag, "OK", modseq.as_ref(), text),
            Ok((code, text)) => {
                tell_modseq(client, modseq);
                client.tagged(tag, "OK", code.as_ref(), text);
            }
            Err(refusal) => {
                tell_modseq(client, modseq);
                client.tagged(tag, refusal.condition.as_str(), refusal.code.as_ref(), &refusal.text);
            }
        }
        if client.io.flush_if_large().await.is_err() {
            client.hang_up();
        }
    }

    async fn dispatch(&mut self, tag: &Tag, command: Command) -> Result<Done, Stop> {
        let client = &mut self.client;
        match (command, &mut self.state) {
            (Command::Any(command), state) => Ok(any(client, state, command).await),
            (Command::NonAuth(NonAuth::StartTls), State::NotAuthenticated(_)) => {
                Box::pin(starttls::run(client, tag)).await
            }
            (Command::NonAuth(NonAuth::Authenticate(command)), State::NotAuthenticated(_)) => {
                let user = Box::pin(authenticate::run(client, command)).await?;
                Ok(self.log_in(user))
            }
            (Command::NonAuth(NonAuth::Login(command)), State::NotAuthenticated(_)) => {
                let user = Box::pin(login::run(client, command)).await?;
                Ok(self.log_in(user))
            }
            (Command::NonAuth(_), State::LoggedIn { .. }) => Err(Stop::bad("You are logged in already")),
            (_, State::NotAuthenticated(_)) => Err(Stop::bad("Log in first")),
            (Command::Auth(command), State::LoggedIn { user, open }) => {
                auth(&mut LoggedIn { client, user, open }, command).await
            }
            (Command::Select(command), State::LoggedIn { user, open }) => {
                select(&mut LoggedIn { client, user, open }, tag, command).await
            }
        }
    }

    /// After login the limits are wider.
    fn log_in(&mut self, mut user: User) -> Done {
        self.client.io.framer.set_limit(COMMAND);
        if let State::NotAuthenticated(stranger) = &mut self.state {
            user.seat.take_over(stranger);
        }
        self.state = State::LoggedIn { user, open: None };
        Done::with(Code::Capability(self.client.capabilities(true)), "Welcome")
    }
}

async fn any(client: &mut Client, state: &mut State, command: Any) -> Done {
    let user = match state {
        State::LoggedIn { user, .. } => Some(user),
        State::NotAuthenticated(_) => None,
    };
    match command {
        Any::Capability => {
            let capabilities = client.capabilities(user.is_some());
            response::capability(&mut client.writer(), &capabilities);
            Done::ok("CAPABILITY completed")
        }
        Any::Noop => Done::ok("NOOP completed"),
        Any::Id(parameters) => Box::pin(id::run(client, user, &parameters)).await,
        Any::Logout => {
            client.bye(None, "See you soon");
            Done::ok("LOGOUT completed")
        }
    }
}

/// What commands need while they run lies in a box, but for IDLE: a session that waits holds none of it.
async fn auth(session: &mut LoggedIn<'_>, command: Auth) -> Result<Done, Stop> {
    match command {
        Auth::Enable(command) => Ok(enable::run(session.client, &command)),
        Auth::Select(command) => Box::pin(select::run(session, command)).await,
        Auth::Create(command) => Box::pin(create::run(session, command)).await,
        Auth::Delete(command) => Box::pin(delete::run(session, command)).await,
        Auth::Rename(command) => Box::pin(rename::run(session, command)).await,
        Auth::Subscribe(command) => Box::pin(subscribe::subscribe(session, command)).await,
        Auth::Unsubscribe(command) => Box::pin(subscribe::unsubscribe(session, command)).await,
        Auth::List(command) => Box::pin(list::run(session, command)).await,
        Auth::Lsub(command) => Box::pin(list::lsub(session, command)).await,
        Auth::Namespace => {
            response::list::namespace(&mut session.client.writer());
            Ok(Done::ok("NAMESPACE completed"))
        }
        Auth::Status(command) => Box::pin(status::run(session, command)).await,
        Auth::Idle => idle::run(session).await,
        Auth::Append => Err(Stop::bad("APPEND needs a message as a literal")),
    }
}

async fn select(session: &mut LoggedIn<'_>, tag: &Tag, command: InSelected) -> Result<Done, Stop> {
    let leaves = matches!(command, InSelected::Close | InSelected::Unselect);
    let Some(mut selected) = session.selected() else {
        return Err(Stop::bad("Select a mailbox first"));
    };
    let done = in_selected(&mut selected, tag, command).await?;
    if leaves {
        session.deselect();
    }
    Ok(done)
}

async fn in_selected(session: &mut Selected<'_>, tag: &Tag, command: InSelected) -> Result<Done, Stop> {
    match command {
        InSelected::Check => Ok(Done::ok("CHECK completed")),
        InSelected::Close => Box::pin(expunge::close(session)).await,
        InSelected::Unselect => Ok(Done::ok("UNSELECT completed")),
        InSelected::Expunge(command) => Box::pin(expunge::run(session, command)).await,
        InSelected::Search(command) => Box::pin(search::run(session, tag, command)).await,
        InSelected::Fetch(command) => Box::pin(fetch::run(session, command)).await,
        InSelected::Store(command) => Box::pin(store::run(session, command)).await,
        InSelected::Copy(command) => Box::pin(copy::copy(session, command)).await,
        InSelected::Move(command) => Box::pin(copy::move_(session, command)).await,
    }
}

/// HIGHESTMODSEQ where the client must hear it: it was told VANISHED, or it saw a MODSEQ above what it may
/// take for HIGHESTMODSEQ, since an expunge below that could not be told yet (RFC 7162 §3.2, §6).
fn owed_modseq(session: &Selected<'_>, owed: bool) -> Option<Code> {
    let owes = session.client.enabled.condstore && (owed || session.view.correction().is_some());
    owes.then(|| highest_modseq(session.view))
}

/// As an untagged OK: where the tagged reply has a code of its own (RFC 7162 §6, the example), and where CONDSTORE
/// begins.
fn tell_modseq(client: &mut Client, code: Option<Code>) {
    if code.is_some() {
        client.untagged("OK", code, "What has been told so far");
    }
}

/// HIGHESTMODSEQ as far as the client has been told.
fn highest_modseq(view: &View) -> Code {
    Code::HighestModSeq(view.told().0.max(1))
}
