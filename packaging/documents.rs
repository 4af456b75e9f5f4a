//! Writes the manual and the shells' completions into a folder: `cargo run --example documents -- DIR`.
//!
//! `postern.8` and the completions come from the definition of the command line, as `--help` does, with the
//! sections of `packaging/manual.txt` behind; `postern.toml.5` comes from the packaged configuration file.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs;
use std::path::Path;

use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

const CONFIGURATION: &str = include_str!("postern.toml");
const SECTIONS: &str = include_str!("manual.txt");

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("documents: which folder?")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    fs::write(folder.join("postern.8"), manual()?)?;
    fs::write(folder.join("postern.toml.5"), configuration()?)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let path = clap_complete::generate_to(shell, &mut postern::cli::command(), "postern", folder)?;
        println!("{}", path.display());
    }
    Ok(())
}

/// `postern.8`: what it is, every command with its options, then the sections.
fn manual() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut command = postern::cli::command();
    command.build();
    let man = Man::new(command.clone()).section("8").manual("Postern").source(version());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for subcommand in command.get_subcommands() {
        describe(&mut roff, "postern", subcommand);
    }
    sections(&mut roff, SECTIONS);
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// A command with its options, or each of the commands in it.
fn describe(roff: &mut Roff, before: &str, command: &clap::Command) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let name = format!("{before} {}", command.get_name());
    if command.has_subcommands() {
        command.get_subcommands().for_each(|subcommand| describe(roff, &name, subcommand));
        return;
    }
    let arguments: Vec<_> = command.get_arguments().filter(|argument| is_own(argument)).collect();
    let mut usage = vec![bold(&name)];
    for argument in arguments.iter().filter(|argument| argument.is_positional()) {
        usage.extend([roman(" "), italic(value(argument))]);
    }
    if arguments.iter().any(|argument| !argument.is_positional()) {
        usage.push(roman(" [options]"));
    }
    roff.control("SS", [name.as_str()]);
    roff.text(usage);
    roff.control("br", []);
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string);
    paragraphs(roff, &about.unwrap_or_default());
    for argument in arguments {
        roff.control("TP", []);
        roff.text(match argument.get_long() {
            Some(long) if argument.get_action().takes_values() => {
                vec![bold(format!("--{long}")), roman(" "), italic(value(argument))]
            }
            Some(long) => vec![bold(format!("--{long}"))],
            None => vec![italic(value(argument))],
        });
        let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string);
        roff.text([roman(one_line(&help.unwrap_or_default()))]);
    }
}

/// Not one that every command takes: those stand under OPTIONS.
fn is_own(argument: &clap::Arg) -> bool {
    !argument.is_global_set() && !argument.is_hide_set() && argument.get_id() != "help"
}

fn value(argument: &clap::Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Text of the form `NAME OF THE SECTION` on a line of its own, then paragraphs; two spaces before a line
/// keep it as it is.
fn sections(roff: &mut Roff, text: &str) {
    for block in text.split("\n\n").map(|block| block.trim_matches('\n')).filter(|block| !block.is_empty()) {
        let is_title = !block.contains('\n') && block.chars().all(|c| c.is_uppercase() || c == ' ');
        if is_title {
            roff.control("SH", [block]);
        } else if block.lines().all(|line| line.starts_with("  ")) {
            roff.control("PP", []).control("nf", []);
            block.lines().for_each(|line| {
                roff.text([bold(line)]);
            });
            roff.control("fi", []);
        } else {
            paragraphs(roff, block);
        }
    }
}

fn paragraphs(roff: &mut Roff, text: &str) {
    for paragraph in text.split("\n\n") {
        roff.text([roman(one_line(paragraph))]);
        roff.control("PP", []);
    }
}

/// `postern.toml.5`: each line that sets something, with the comment above it.
fn configuration() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut roff = Roff::new();
    roff.control("TH", ["postern.toml", "5", "", &version(), "Postern"]);
    roff.control("SH", ["NAME"]).text([roman("postern.toml - configuration of the mail server postern")]);
    roff.control("SH", ["SYNOPSIS"]).text([bold("/etc/postern/postern.toml")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(
        "The file is TOML. Every line may be left out; a name that is not known is a mistake, which is told \
         with its line. What is given on the command line goes before it.",
    )]);
    let mut blocks = CONFIGURATION.split("\n\n");
    let about = comment(blocks.next().ok_or("the configuration file is empty")?);
    roff.control("PP", []).text([roman(about)]);
    roff.control("SH", ["SETTINGS"]);
    for block in blocks {
        let setting = block.lines().find(|line| !line.starts_with('#')).ok_or("a comment sets nothing")?;
        let (name, packaged) = setting.split_once(" = ").ok_or("a setting without a value")?;
        roff.control("TP", []).text([bold(name)]);
        roff.text([roman(comment(block))]);
        roff.control("br", []).text([roman("As it is packaged: "), bold(packaged.trim())]);
    }
    roff.control("SH", ["FILES"]);
    roff.control("TP", []).text([bold("/etc/postern/postern.store")]);
    roff.text([roman(
        "Which store belongs into the data folder, so that none is begun where a disk is not mounted. If the \
         store was taken away on purpose, remove its line there.",
    )]);
    roff.control("SH", ["SEE ALSO"]).text([bold("postern"), roman("(8)")]);
    Ok(roff.to_roff().into_bytes())
}

fn comment(block: &str) -> String {
    let lines = block.lines().filter_map(|line| line.strip_prefix('#')).map(str::trim);
    lines.collect::<Vec<_>>().join(" ")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn version() -> String {
    format!("postern {}", env!("CARGO_PKG_VERSION"))
}
