//! What documents say of the code, held against it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The last column of SECURITY.md's table of limits names a file and a constant with its value.
#[test]
fn limits_are_those_of_the_code() {
    let text = read("SECURITY.md");
    let mut rows = 0;
    for line in text.lines().filter(|line| line.starts_with("| ") && line.contains(".rs` `")) {
        let spans: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        let [.., file, constant] = spans.as_slice() else { panic!("{line}") };
        let (name, value) = constant.split_once(" = ").unwrap();
        let code = read(&format!("src/{file}"));
        let found = code.lines().find(|code| code.contains(&format!("const {name}: ")));
        let found = found.unwrap_or_else(|| panic!("src/{file} has no {name}"));
        assert!(found.ends_with(&format!(" = {value};")), "src/{file}: {found} is not {value}");
        rows += 1;
    }
    assert!(rows > 15, "{rows} rows were read");
}

/// Files that the text on the code names are there.
#[test]
fn the_architecture_names_files_that_are_there() {
    let text = read("src/ARCHITECTURE.md");
    let mut named = 0;
    for span in text.split('`').skip(1).step_by(2).filter(|span| span.ends_with(".rs") && span.contains('/'))
    {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let places = ["", "src", "src/store"].map(|folder| root.join(folder).join(span));
        assert!(places.iter().any(|path| path.is_file()), "{span} is not there");
        named += 1;
    }
    assert!(named > 10, "{named}");
}

/// Documents of the project that people read.
fn documents() -> Vec<String> {
    let pages = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/doc")).unwrap();
    let pages = pages.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages = pages.filter(|name| name.ends_with(".md")).map(|name| format!("packaging/doc/{name}"));
    let others = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "src/imap/CLIENTS.md"];
    others.map(str::to_owned).into_iter().chain(pages).collect()
}

/// Nothing but these two is needed to try it and to test it, and the second is what CI runs.
#[test]
fn the_two_commands_are_those_of_the_readme() {
    let text = read("README.md");
    let section = text.split("\n## Two commands\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks: Vec<&str> =
        section.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).map(str::trim).collect();
    assert_eq!(blocks, ["cargo run --release -- demo", "tests/run"]);
    assert!(read(".ci/run").lines().any(|line| line == "exec tests/run"));
    let manifest = read("Cargo.toml");
    let rust = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    assert!(section.contains(&format!("{} or newer", rust.trim_matches('"'))), "Rust {rust}");
}

/// The parts that CONTRIBUTING.md lists are those of `tests/run`.
#[test]
fn the_parts_of_the_tests_are_those_of_the_table() {
    let text = read("CONTRIBUTING.md");
    let table = text.split("| part of `tests/run`").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut told: Vec<&str> =
        table.lines().skip(2).filter_map(|line| line.split('|').nth(1)).map(str::trim).collect();
    let run = read("tests/run");
    let mut there: Vec<&str> =
        run.lines().filter_map(|line| line.strip_prefix("part_")?.strip_suffix("() {")).collect();
    told.sort_unstable();
    there.sort_unstable();
    assert_eq!(told, there);
}

/// What a document links to is there, and README leads to every page that the package installs.
#[test]
fn links_lead_somewhere() {
    let mut followed = 0;
    for document in documents() {
        let text = read(&document);
        let folder = Path::new(&document).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") || target.starts_with('#') {
                continue;
            }
            let path = target.split('#').next().unwrap();
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder).join(path);
            assert!(path.is_file(), "{document}: {target}");
            followed += 1;
        }
    }
    assert!(followed > 20, "{followed}");
    let readme = read("README.md");
    for page in documents().iter().filter(|name| name.starts_with("packaging/")) {
        assert!(readme.contains(&format!("({page})")), "README.md does not name {page}");
    }
}

/// A clone has what its comments name: no document that is somewhere else is named by its file.
#[test]
fn documents_that_are_named_are_in_the_project() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut read_files, mut wrong) = (vec![], 0, Vec::new());
    folders.extend(["src", "tests", "packaging", "templates"].map(|name| root.join(name)));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir()
                && !name.starts_with('.')
                && !["target", "corpus", "messages"].contains(&name.as_str())
            {
                folders.push(path);
                continue;
            }
            let Ok(text) = fs::read_to_string(&path) else { continue };
            read_files += 1;
            for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || "._/-".contains(c))) {
                let name = word.rsplit('/').next().unwrap_or_default();
                let stem = name.strip_suffix(".md");
                let is_document =
                    stem.is_some_and(|stem| stem.len() > 1 && stem.chars().all(|c| c.is_ascii_uppercase()));
                let places = ["", "src", "src/store", "src/imap"].map(|place| root.join(place).join(name));
                if is_document && !places.iter().any(|place| place.is_file()) {
                    wrong.push(format!("{}: {word}", path.display()));
                }
            }
        }
    }
    assert!(read_files > 400, "{read_files}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// CLIENTS.md says nothing that is not shown: each file that it names is there.
#[test]
fn what_clients_need_is_shown_by_files_that_are_there() {
    let text = read("src/imap/CLIENTS.md");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut rows, mut named) = (0, 0);
    for line in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what")) {
        rows += 1;
        let shown = line.trim_matches('|').split('|').next_back().unwrap();
        let files: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!files.is_empty(), "nothing shows: {line}");
        for file in files {
            let places = ["src", "tests", "tests/server", "tests/server/transcripts"];
            let is_there = places.iter().any(|place| root.join(place).join(file).exists());
            assert!(is_there, "{file} is not there: {line}");
            named += 1;
        }
    }
    assert!(rows > 40 && named >= rows, "{rows} rows, {named} files");
}
