//! What src/ARCHITECTURE.md says as a test: imports point down only, from layer to layer and from room to room, and no files import
//! each other in a circle.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod layers {
    pub mod imports;
}

use std::collections::BTreeSet;
use std::path::Path;

use layers::imports::{File, circles, code, graph, paths, sources};

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
    ("backup", &["store", "mail", "model"]),
    ("actions", &["import", "export", "backup", "tls", "store", "credential", "mail", "model"]),
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
            "backup",
            "tls",
            "store",
            "credential",
            "mail",
            "model",
            "config",
        ],
    ),
];

/// The rooms of a layer, in their order: each uses only itself and those before it, and none the layer's face.
const ROOMS: &[(&str, &[&str])] = &[
    ("store", &["base", "engine", "content", "mailbox", "household", "check"]),
    ("import", &["disk", "maildir", "destination", "access", "old", "watch"]),
];

/// Circles of files that are there yet. This list may only become shorter: what is opened goes from it.
const CIRCLES: &[&[&str]] = &[
    &["actions/account", "actions/source"],
    &["protocol/cursor", "protocol/framed", "protocol/set_reader"],
    &["protocol/command/list", "protocol/command/status"],
    &["protocol/command/search", "protocol/command/search_key"],
];

fn under_src() -> std::collections::BTreeMap<File, String> {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(files.len() > 100, "the sources were not found");
    files
}

#[test]
fn imports_point_down_only() {
    let mut wrong = Vec::new();
    for (file, code) in under_src() {
        let layer = file.split('/').next().unwrap();
        if layer == "lib" || layer == "main" {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            wrong.push(format!("{file}: {layer} is no layer of src/ARCHITECTURE.md"));
            continue;
        };
        for path in paths(&code).into_iter().filter(|path| path[0] == "crate") {
            let Some(name) = path.get(1) else { continue };
            let is_layer = LAYERS.iter().any(|(known, _)| known == name);
            if is_layer && name != layer && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{file}: {layer} may not use {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that point up:\n{}", wrong.join("\n"));
}

#[test]
fn rooms_import_those_before_them_only() {
    let mut wrong = Vec::new();
    for (file, code) in under_src() {
        let mut parts = file.split('/');
        let (layer, room) = (parts.next().unwrap(), parts.next());
        let Some((_, rooms)) = ROOMS.iter().find(|(name, _)| *name == layer) else { continue };
        // What lies in the layer's own folder is its face, and names them all.
        let Some(room) = room else { continue };
        let Some(own) = rooms.iter().position(|name| *name == room) else {
            if parts.next().is_none() {
                continue;
            }
            wrong.push(format!("{file}: {room} is not in the table of rooms of {layer}"));
            continue;
        };
        for path in paths(&code).into_iter().filter(|path| path[0] == "crate" && path[1] == layer) {
            match rooms.iter().position(|name| Some(*name) == path.get(2).map(String::as_str)) {
                Some(other) if other <= own => {}
                Some(other) => wrong.push(format!("{file}: {room} may not use {}", rooms[other])),
                None => wrong.push(format!("{file}: {} names the face, not the room", path.join("::"))),
            }
        }
    }
    assert!(wrong.is_empty(), "rooms out of their order:\n{}", wrong.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let known: Vec<BTreeSet<File>> =
        CIRCLES.iter().map(|circle| circle.iter().map(|file| (*file).to_owned()).collect()).collect();
    let found = circles(&graph(&under_src()));
    let shown = |circle: &BTreeSet<File>| circle.iter().cloned().collect::<Vec<_>>().join(", ");
    for circle in &found {
        assert!(known.iter().any(|known| circle.is_subset(known)), "a new circle: {}", shown(circle));
    }
    for known in known {
        let open = !found.iter().any(|circle| circle.is_subset(&known));
        assert!(!open, "a circle is open, so take it from the list: {}", shown(&known));
    }
}

/// Files of a source are reached through `import/disk/beneath.rs`: by a path alone a link leads anywhere. What is listed here
/// looks at what its administrator has named, or at no file of a source.
#[test]
fn sources_are_reached_by_handles_only() {
    const OTHERS: &[&str] = &[
        "import/access/acl",
        "import/access/check",
        "import/access/overlap",
        "import/access/sandbox",
        "import/disk/beneath",
        "import/disk/filesystem",
        "import/old/archive",
        "import/old/old_mail",
        "import/watch/changes",
        "import/watch/share",
    ];
    const BY_PATH: &[&str] = &[
        "fs::read",
        "fs::metadata",
        "fs::symlink_metadata",
        "fs::rename",
        "fs::remove",
        "fs::hard_link",
        "fs::copy",
        "File::open",
        "File::create",
        "OpenOptions",
        ".symlink_metadata()",
        ".read_dir()",
        ".is_dir()",
        ".is_file()",
        "CWD",
    ];
    let mut looked = 0;
    for (file, text) in under_src().into_iter().filter(|(file, _)| file.starts_with("import/")) {
        if OTHERS.contains(&file.as_str()) {
            continue;
        }
        looked += 1;
        let text = text
            .replace("metadata.is_dir()", "")
            .replace("metadata.is_file()", "")
            .replace("it.is_dir()", "");
        for way in BY_PATH {
            assert!(!text.contains(way), "src/{file}.rs: {way} follows links: use `Beneath`");
        }
    }
    assert!(looked > 20, "{looked}");
}

/// Mail comes into a mailbox by `store/mailbox/filing.rs`, whoever brings it: what refuses it, or is to know of it, is asked
/// there and nowhere else.
#[test]
fn mail_comes_in_by_one_way() {
    let mut ways = 0;
    for (file, text) in under_src() {
        if file.starts_with("store/") {
            continue;
        }
        ways += usize::from(text.contains("filing::file"));
        for way in ["messages::append", "NewMessage", "emails::put"] {
            assert!(!text.contains(way), "src/{file}.rs: {way} goes past `store::filing`");
        }
    }
    assert!(ways >= 5, "{ways}");
}

#[test]
fn the_reader_of_imports_sees_them() {
    let text = code(
        "use crate::store::x as y; // crate::imap\nuse crate::{mail::{a, b as c}, model};\n\
         fn f() { crate::tls::g(super::super::h); }\n#[cfg(test)]\nmod tests {\nuse crate::cli;\n}",
    );
    let mut found: Vec<String> = paths(&text).iter().map(|path| path.join("::")).collect();
    found.sort();
    let expected = [
        "crate::mail::a",
        "crate::mail::b",
        "crate::model",
        "crate::store::x",
        "crate::tls::g",
        "super::super::h",
    ];
    assert_eq!(found, expected);
    let file = |name: &str, imports: &[&str]| {
        (name.to_owned(), imports.iter().map(|name| (*name).to_owned()).collect())
    };
    let graph =
        [file("a", &["b"]), file("b", &["c"]), file("c", &["b"]), file("d", &["a"])].into_iter().collect();
    assert_eq!(circles(&graph), [BTreeSet::from(["b".to_owned(), "c".to_owned()])]);
}

/// The table that people read is this one: the same layers, each with what it may use.
#[test]
fn the_architecture_has_this_table() {
    let text = include_str!("../src/ARCHITECTURE.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let told: Vec<(String, String)> = rows
        .iter()
        .map(|row| (row[0].to_owned(), row.get(1).copied().unwrap_or_default().to_owned()))
        .collect();
    let wanted: Vec<(String, String)> = LAYERS
        .iter()
        .rev()
        .map(|(name, allowed)| match allowed {
            [] => (format!("`{name}/`"), "–".to_owned()),
            allowed => (format!("`{name}/`"), allowed.join(", ")),
        })
        .collect();
    assert_eq!(told, wanted);
    assert!(include_str!("../src/lib.rs").contains("#![doc = include_str!(\"ARCHITECTURE.md\")]"));
}
