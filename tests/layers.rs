//! DESIGN.md §2 as a test: imports point down only.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

/// Layer, and what it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("mail", &["model"]),
    ("credential", &["model"]),
    ("store", &["mail", "model"]),
    ("protocol", &["mail", "model"]),
    ("tls", &["store", "model"]),
    ("import", &["store", "mail", "model"]),
    ("export", &["mail", "model"]),
    ("actions", &["import", "export", "tls", "store", "credential", "mail", "model"]),
    ("imap", &["protocol", "store", "credential", "mail", "model"]),
    ("control", &["actions", "store", "credential", "mail", "model"]),
    ("admin", &["actions", "store", "credential", "mail", "model"]),
    ("config", &["model"]),
    (
        "server",
        &["imap", "control", "admin", "actions", "import", "store", "tls", "credential", "config", "model"],
    ),
    (
        "cli",
        &[
            "server",
            "imap",
            "control",
            "admin",
            "actions",
            "import",
            "export",
            "tls",
            "store",
            "credential",
            "mail",
            "model",
            "config",
        ],
    ),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The layers that a source names in `crate::layer…` outside of comments, and in `crate::{a, b}` lists.
fn used(text: &str) -> Vec<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
    let mut layers = Vec::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(list) = rest.strip_prefix('{') {
            let (mut depth, mut name) = (0, String::new());
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => layers.push(std::mem::take(&mut name)),
                    c if depth == 0 => name.push(c),
                    _ => {}
                }
            }
            layers.push(name);
        } else {
            layers.push(rest.to_owned());
        }
    }
    layers
        .iter()
        .map(|name| name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn imports_point_down_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20, "the sources were not found under {}", root.display());
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&root).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let layer = first.trim_end_matches(".rs");
        if layer == "lib" || layer == "main" {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            wrong.push(format!("{}: {layer} is no layer of DESIGN.md §2", relative.display()));
            continue;
        };
        for name in used(&fs::read_to_string(&file).unwrap()) {
            let is_layer = LAYERS.iter().any(|(known, _)| *known == name);
            if is_layer && name != layer && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{}: {layer} may not use {name}", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that point up:\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_them() {
    let text =
        "use crate::store::x; // crate::imap\nuse crate::{mail::{a, b}, model};\nfn f() { crate::tls::g(); }";
    assert_eq!(used(text), ["store", "mail", "model", "tls"]);
}
