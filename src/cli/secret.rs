//! Passwords that a person types: not shown, and asked for twice.

use std::io::{BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::Failure;

/// A line that is typed has no more bytes.
const LONGEST: u64 = 64 * 1024;

/// Reads a new password: one line of stdin if `from_stdin`, else twice from the terminal.
pub(super) fn new_password(from_stdin: bool) -> Result<String, Failure> {
    if from_stdin {
        return line();
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("no terminal to ask for the password: use --password-stdin".to_owned()));
    }
    let first = ask("Password: ")?;
    if ask("The same again: ")? != first {
        return Err(Failure::new("the two are not the same"));
    }
    Ok(first)
}

/// Reads a password that is known: one line of stdin if `from_stdin`, else once from the terminal.
pub(super) fn password(prompt: &str, from_stdin: bool) -> Result<String, Failure> {
    if from_stdin {
        return line();
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "no terminal to ask for the passphrase: use --passphrase-stdin".to_owned(),
        ));
    }
    ask(prompt)
}

/// Asks for the name again before something is gone for good.
pub(super) fn confirm(what: &str, name: &str) -> Result<(), Failure> {
    typed(&format!("{what} Type the name {name:?} to go on: "), name, "not the name; nothing was done")
}

/// Asks whether it is meant so.
pub(super) fn agree(what: &str) -> Result<(), Failure> {
    typed(&format!("{what} Type \"yes\" to go on: "), "yes", "nothing was done")
}

fn typed(question: &str, wanted: &str, otherwise: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("no terminal to ask on: use --yes".to_owned()));
    }
    say(question)?;
    if line()? == wanted { Ok(()) } else { Err(Failure::new(otherwise)) }
}

fn ask(prompt: &str) -> Result<String, Failure> {
    say(prompt)?;
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).map_err(std::io::Error::from)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(std::io::Error::from)?;
    let typed = line();
    tcsetattr(&stdin, OptionalActions::Flush, &before).map_err(std::io::Error::from)?;
    say("\n")?;
    typed
}

fn say(text: &str) -> Result<(), Failure> {
    let mut err = std::io::stderr().lock();
    Ok(err.write_all(text.as_bytes()).and_then(|()| err.flush())?)
}

fn line() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin().lock().take(LONGEST).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
