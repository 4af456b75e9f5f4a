//! Mail through the control socket: `import` sends it in, `export` takes it out.
//!
//! The request is a line as any other. Once it is answered with `ready`, frames follow: from the client for
//! an import, which the server answers with a line whenever it has stored something; from the server for an
//! export. The same is spoken between two threads of a command that opens the store itself.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::client::{self, Error};
use super::frame::{self, Kind};
use super::message::{Answer, LONGEST, Refusal, Reply, Request};
use crate::actions::export::{self, Meta, Outlet, Plan, Summary};
use crate::actions::import::{Filing, Intake, Outcome, Refused, Sink, Stop};
use crate::actions::{Context, Failure, import, undelete};
use crate::model::locked;

/// Bytes that are gathered before they go through the socket.
const BUFFER: usize = 128 * 1024;
/// A client that sends nothing for so long is gone, or waits for somebody at a keyboard.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How long the reason is awaited when the server has closed the connection.
const REASON: Duration = Duration::from_secs(5);

/// Whether a request is followed by frames.
#[must_use]
pub fn is_transfer(request: &Request) -> bool {
    matches!(request, Request::Import { .. } | Request::Export(_) | Request::UndeleteRaw { .. })
}

/// What the server says while it takes messages.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Told {
    outcome: Outcome,
    refused: Vec<Refused>,
    /// All that was sent is stored.
    done: bool,
    failed: Option<String>,
}

/// Serves a transfer to its end, on a thread of its own.
///
/// # Errors
/// Of the connection.
pub fn serve(stream: &UnixStream, context: &Context, request: Request) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    match request {
        Request::Import { account, mailbox } => {
            match import::begin(context, account.as_deref(), mailbox.as_deref()) {
                Ok(intake) => {
                    reply(stream, &Reply::Ok(Answer::Ready))?;
                    serve_import(stream, intake)
                }
                Err(failure) => refuse(stream, &failure),
            }
        }
        Request::Export(choice) => match export::plan(context, choice) {
            Ok(plan) => {
                reply(stream, &Reply::Ok(Answer::Ready))?;
                serve_export(stream, &plan)
            }
            Err(failure) => refuse(stream, &failure),
        },
        Request::UndeleteRaw { id } => match undelete::raw(context, &id) {
            Ok(raw) => {
                reply(stream, &Reply::Ok(Answer::Ready))?;
                serve_raw(stream, &raw)
            }
            Err(failure) => refuse(stream, &failure),
        },
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn refuse(stream: &UnixStream, failure: &Failure) -> io::Result<()> {
    reply(stream, &Reply::Refused(Refusal::from(failure)))
}

fn reply(stream: &UnixStream, reply: &Reply) -> io::Result<()> {
    write_line(stream, reply)
}

fn write_line<T: Serialize>(mut out: impl Write, value: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    out.write_all(&line)
}

fn serve_import(stream: &UnixStream, mut intake: Intake) -> io::Result<()> {
    let mut input = BufReader::with_capacity(BUFFER, stream);
    let (mut content, mut told) = (Vec::new(), Outcome::default());
    loop {
        let kind = match frame::read(&mut input, &mut content) {
            Ok(Some(kind)) => kind,
            // The client went away: what it has sent whole is kept, for it may come again.
            Ok(None) => return stop_early(&mut intake, io::ErrorKind::UnexpectedEof.into()),
            Err(error) => return stop_early(&mut intake, error),
        };
        let done = match kind {
            Kind::Data => intake.write(&content),
            Kind::File => match frame::json::<Filing>(&content) {
                Ok(filing) => intake.file(filing),
                Err(error) => return stop_early(&mut intake, error),
            },
            Kind::Discard => intake.discard(),
            Kind::End => intake.finish(),
            Kind::Mailbox | Kind::Message | Kind::Failed => {
                return stop_early(&mut intake, io::ErrorKind::InvalidData.into());
            }
        };
        if let Err(stop) = done {
            return write_line(stream, &Told { failed: Some(stop.to_string()), ..tell(&mut intake) });
        }
        let finished = kind == Kind::End;
        if finished || intake.outcome() != told {
            told = intake.outcome();
            write_line(stream, &Told { done: finished, ..tell(&mut intake) })?;
        }
        if finished {
            return Ok(());
        }
    }
}

fn tell(intake: &mut Intake) -> Told {
    Told { outcome: intake.outcome(), refused: intake.take_refused(), ..Told::default() }
}

fn stop_early(intake: &mut Intake, error: io::Error) -> io::Result<()> {
    intake.finish().map_err(io::Error::other)?;
    Err(error)
}

/// Asks for a transfer; what follows comes from the reader.
///
/// # Errors
/// See [`Error`].
pub fn begin(stream: UnixStream, request: &Request) -> Result<BufReader<UnixStream>, Error> {
    write_line(&stream, request)?;
    let mut input = BufReader::with_capacity(BUFFER, stream);
    let mut line = Vec::new();
    (&mut input).take(LONGEST).read_until(b'\n', &mut line)?;
    match serde_json::from_slice(&line).map_err(io::Error::from)? {
        Reply::Ok(Answer::Ready) => Ok(input),
        Reply::Ok(_) => Err(Error::Broken(io::ErrorKind::InvalidData.into())),
        Reply::Refused(refusal) => Err(Error::Refused(refusal)),
        Reply::NotServing(_) => Err(Error::NotRunning),
    }
}

/// The other end of [`serve`] that a command runs when it opens the store itself: reads the request, too.
///
/// # Errors
/// Of the connection.
pub fn serve_pair(stream: &UnixStream, context: &Context) -> io::Result<()> {
    let mut line = Vec::new();
    // The client sends nothing behind its line until it is answered.
    BufReader::new(stream.take(LONGEST)).read_until(b'\n', &mut line)?;
    serve(stream, context, serde_json::from_slice(&line)?)
}

/// Sends messages through the socket.
pub struct Sender {
    out: BufWriter<UnixStream>,
    heard: Arc<Mutex<Heard>>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Heard {
    outcome: Outcome,
    refused: Vec<Refused>,
    done: bool,
    failed: Option<String>,
}

impl Sender {
    /// On a connection where [`begin`] asked for an import.
    ///
    /// # Errors
    /// If no thread can be had.
    pub fn new(input: BufReader<UnixStream>) -> io::Result<Sender> {
        let out = BufWriter::with_capacity(BUFFER, input.get_ref().try_clone()?);
        let heard = Arc::<Mutex<Heard>>::default();
        let to = Arc::clone(&heard);
        // What the server says is read all the time, or it could not go on.
        let listener = std::thread::Builder::new().name("import-answers".to_owned());
        let listener = Some(listener.spawn(move || listen(input, &to))?);
        Ok(Sender { out, heard, listener })
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        locked(&self.heard)
    }

    /// Why a write failed: what the server said last, if it said anything.
    fn stop(&mut self, error: &io::Error) -> Stop {
        let deadline = std::time::Instant::now() + REASON;
        while self.listener.as_ref().is_some_and(|listener| !listener.is_finished())
            && std::time::Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(10));
        }
        let failed = self.heard().failed.clone();
        Stop::Server(failed.unwrap_or_else(|| format!("the server has closed the connection: {error}")))
    }

    fn send(&mut self, done: io::Result<()>) -> Result<(), Stop> {
        done.map_err(|error| self.stop(&error))?;
        let failed = self.heard().failed.clone();
        failed.map_or(Ok(()), |why| Err(Stop::Server(why)))
    }
}

fn listen(mut input: BufReader<UnixStream>, heard: &Mutex<Heard>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut input).take(LONGEST).read_until(b'\n', &mut line);
        let told = read.ok().and_then(|_| serde_json::from_slice::<Told>(&line).ok());
        let Some(told) = told else { return };
        let mut heard = locked(heard);
        heard.outcome = told.outcome;
        heard.refused.extend(told.refused);
        (heard.done, heard.failed) = (told.done, told.failed);
    }
}

impl Sink for Sender {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let done = frame::write_data(&mut self.out, bytes);
        self.send(done)
    }

    fn file(&mut self, filing: Filing) -> Result<(), Stop> {
        let done = frame::write_json(&mut self.out, Kind::File, &filing);
        self.send(done)
    }

    fn discard(&mut self) -> Result<(), Stop> {
        let done = frame::write(&mut self.out, Kind::Discard, b"");
        self.send(done)
    }

    fn finish(&mut self) -> Result<(), Stop> {
        let done = frame::write(&mut self.out, Kind::End, b"").and_then(|()| self.out.flush());
        self.send(done)?;
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        let heard = self.heard();
        match (&heard.failed, heard.done) {
            (Some(why), _) => Err(Stop::Server(why.clone())),
            (None, true) => Ok(()),
            (None, false) => Err(Stop::Server("the server went away before all was stored".to_owned())),
        }
    }

    fn outcome(&self) -> Outcome {
        self.heard().outcome.clone()
    }

    fn take_refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.heard().refused)
    }
}

/// Connects to the server that listens at `path`, for a transfer.
///
/// # Errors
/// See [`Error`].
pub fn connect(path: &std::path::Path) -> Result<UnixStream, Error> {
    client::connect(path)
}

/// Writes what is taken out as frames.
struct Frames<'a> {
    out: BufWriter<&'a UnixStream>,
}

impl Outlet for Frames<'_> {
    fn mailbox(&mut self, name: &str) -> io::Result<()> {
        frame::write_json(&mut self.out, Kind::Mailbox, &name)
    }

    fn message(&mut self, meta: &Meta) -> io::Result<()> {
        frame::write_json(&mut self.out, Kind::Message, meta)
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        frame::write_data(&mut self.out, bytes)
    }

    fn end(&mut self) -> io::Result<()> {
        frame::write(&mut self.out, Kind::File, b"")
    }

    fn broken(&mut self) -> io::Result<()> {
        frame::write(&mut self.out, Kind::Discard, b"")
    }
}

fn serve_export(stream: &UnixStream, plan: &Plan) -> io::Result<()> {
    let mut frames = Frames { out: BufWriter::with_capacity(BUFFER, stream) };
    match plan.run(&mut frames) {
        Ok(summary) => frame::write_json(&mut frames.out, Kind::End, &summary)?,
        Err(export::Stop::Outlet(error)) => return Err(error),
        Err(stop) => frame::write_json(&mut frames.out, Kind::Failed, &stop.to_string())?,
    }
    frames.out.flush()
}

fn serve_raw(stream: &UnixStream, raw: &undelete::Raw) -> io::Result<()> {
    let (mut out, mut at) = (BufWriter::with_capacity(BUFFER, stream), 0);
    while at < raw.size() {
        match raw.read(at) {
            Ok(bytes) => {
                frame::write_data(&mut out, &bytes)?;
                at += bytes.len() as u64;
            }
            Err(error) => {
                frame::write_json(&mut out, Kind::Failed, &error.to_string())?;
                return out.flush();
            }
        }
    }
    frame::write(&mut out, Kind::End, b"")?;
    out.flush()
}

/// Writes the one message that the server sends.
///
/// # Errors
/// What the server says, or why it cannot be written, in words.
pub fn receive_raw(input: &mut dyn Read, out: &mut dyn Write) -> Result<(), String> {
    let mut content = Vec::new();
    loop {
        match frame::read(input, &mut content).map_err(|error| error.to_string())? {
            Some(Kind::Data) => out.write_all(&content).map_err(|error| error.to_string())?,
            Some(Kind::End) => return out.flush().map_err(|error| error.to_string()),
            Some(Kind::Failed) => return Err(frame::json(&content).map_err(|error| error.to_string())?),
            _ => return Err("the server went away before all was sent".to_owned()),
        }
    }
}

/// Gives what an export sends to an outlet.
///
/// # Errors
/// What the server says, or why it cannot be written, in words.
pub fn receive(input: &mut dyn Read, outlet: &mut dyn Outlet) -> Result<Summary, String> {
    let mut content = Vec::new();
    loop {
        let kind = frame::read(input, &mut content).map_err(|error| error.to_string())?;
        let done = match kind {
            Some(Kind::Data) => outlet.data(&content),
            Some(Kind::Mailbox) => frame::json::<String>(&content).and_then(|name| outlet.mailbox(&name)),
            Some(Kind::Message) => frame::json::<Meta>(&content).and_then(|meta| outlet.message(&meta)),
            Some(Kind::File) => outlet.end(),
            Some(Kind::Discard) => outlet.broken(),
            Some(Kind::End) => return frame::json(&content).map_err(|error| error.to_string()),
            Some(Kind::Failed) => return Err(frame::json(&content).map_err(|error| error.to_string())?),
            None => return Err("the server went away before all was sent".to_owned()),
        };
        done.map_err(|error| error.to_string())?;
    }
}
