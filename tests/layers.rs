//! DESIGN.md §2 as a test: imports point down only, from layer to layer and from room to room, and no files import
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
const ROOMS: &[(&str, &[&str])] =
    &[("store", &["base", "engine", "content", "mailbox", "household", "check"])];

/// Circles of files that are there yet. This list may only become shorter: what is opened goes from it.
const CIRCLES: &[&[&str]] = &[
    &["import/check", "import/sandbox"],
    &["actions/account", "actions/source"],
    &[
        "import/books",
        "import/candidates",
        "import/filing",
        "import/leaving",
        "import/notes",
        "import/scan",
        "import/settling",
        "import/take",
    ],
    &["protocol/cursor", "protocol/framed", "protocol/set_reader"],
    &["protocol/command/list", "protocol/command/status"],
    &["protocol/command/search", "protocol/command/search_key"],
    &[
        "imap/append",
        "imap/auth",
        "imap/copy",
        "imap/enable",
        "imap/expunge",
        "imap/fetch",
        "imap/fetch_item",
        "imap/flags",
        "imap/id",
        "imap/idle",
        "imap/list",
        "imap/listener",
        "imap/mailbox",
        "imap/news",
        "imap/search",
        "imap/select",
        "imap/session",
        "imap/status",
        "imap/store",
    ],
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
            wrong.push(format!("{file}: {layer} is no layer of DESIGN.md §2"));
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

/// Files of a source are reached through `import/beneath.rs`: by a path alone a link leads anywhere. What is listed here
/// looks at what its administrator has named, or at no file of a source.
#[test]
fn sources_are_reached_by_handles_only() {
    const OTHERS: &[&str] = &[
        "acl.rs",
        "archive.rs",
        "beneath.rs",
        "changes.rs",
        "check.rs",
        "filesystem.rs",
        "old_mail.rs",
        "overlap.rs",
        "sandbox.rs",
        "share.rs",
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/import");
    let mut looked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if OTHERS.contains(&name.as_str()) || name.ends_with("_test.rs") {
            continue;
        }
        looked += 1;
        let text = code(&std::fs::read_to_string(&path).unwrap());
        let text = text
            .replace("metadata.is_dir()", "")
            .replace("metadata.is_file()", "")
            .replace("it.is_dir()", "");
        for way in BY_PATH {
            assert!(!text.contains(way), "src/import/{name}: {way} follows links: use `Beneath`");
        }
    }
    assert!(looked > 20, "{looked}");
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
