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
