//! Who imports whom: the files under `src` and the paths that they name, read as the compiler would, without what
//! is there for tests only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A file by its place under `src`, without `.rs` and `/mod.rs`: `store/engine/writer`.
pub type File = String;

/// Each file with the files that it imports.
pub type Graph = BTreeMap<File, BTreeSet<File>>;

/// The text of each file under a folder, without comments and tests.
pub fn sources(root: &Path) -> BTreeMap<File, String> {
    let mut found = BTreeMap::new();
    gather(root, root, &mut found);
    found
}

fn gather(root: &Path, folder: &Path, found: &mut BTreeMap<File, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        // As the files that are there for tests are called.
        if name == "tests" || name.ends_with("_test") {
            continue;
        }
        if path.is_dir() {
            gather(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let place = path.strip_prefix(root).unwrap().with_extension("");
            let place = if name == "mod" { place.parent().unwrap() } else { &place };
            found.insert(place.to_string_lossy().into_owned(), code(&fs::read_to_string(&path).unwrap()));
        }
    }
}

/// A source without comments and without the tests at its end.
pub fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// Every path in a source that begins with `crate` or `super`, its lists taken apart: `crate::a::{b, c::d}` is
/// `crate::a::b` and `crate::a::c::d`.
pub fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            // The rest of a path, `super::super::x`, was read with its beginning; `pub(in crate::x)` imports nothing.
            let before = &code[..at];
            let goes_on = before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if !goes_on && !before.ends_with("(in ") {
                tree(&mut code[at..].chars().peekable(), &[], &mut found);
            }
        }
    }
    found
}

type Letters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn tree(letters: &mut Letters<'_>, before: &[String], found: &mut Vec<Vec<String>>) {
    let mut path = before.to_vec();
    loop {
        while letters.next_if(|c| c.is_whitespace()).is_some() {}
        if letters.next_if_eq(&'{').is_some() {
            loop {
                tree(letters, &path, found);
                // A name given anew: `a as b`.
                while letters.next_if(|c| !matches!(c, ',' | '}')).is_some() {}
                if letters.next() != Some(',') {
                    return;
                }
            }
        }
        let mut name = String::new();
        while let Some(c) = letters.next_if(|c| c.is_alphanumeric() || *c == '_') {
            name.push(c);
        }
        if name.is_empty() {
            break;
        }
        path.push(name);
        if letters.next_if_eq(&':').is_none() || letters.next_if_eq(&':').is_none() {
            break;
        }
    }
    if path.len() > before.len() {
        found.push(path);
    }
}

/// The file that a path in `file` leads to: the last of its names that is one.
fn target(file: &str, path: &[String], files: &BTreeMap<File, String>) -> Option<File> {
    let mut at: Vec<&str> = match path.first()?.as_str() {
        "crate" => Vec::new(),
        _ => file.split('/').collect(),
    };
    let mut best = None;
    for name in path {
        match name.as_str() {
            "crate" => continue,
            "super" => drop(at.pop()),
            name => at.push(name),
        }
        let place = at.join("/");
        if files.contains_key(&place) {
            best = Some(place);
        } else if name != "super" {
            break;
        }
    }
    best.filter(|best| best != file)
}

/// Who imports whom.
pub fn graph(files: &BTreeMap<File, String>) -> Graph {
    let imports = |file: &File, code: &String| {
        paths(code).iter().filter_map(|path| target(file, path, files)).collect::<BTreeSet<File>>()
    };
    files.iter().map(|(file, code)| (file.clone(), imports(file, code))).collect()
}

/// The circles: files that lead to each other. (Of some hundred files, so the plain way is quick enough.)
pub fn circles(graph: &Graph) -> Vec<BTreeSet<File>> {
    let reached: BTreeMap<&File, BTreeSet<&File>> =
        graph.keys().map(|file| (file, reach(graph, file))).collect();
    let mut circles: Vec<BTreeSet<File>> = Vec::new();
    for (file, to) in &reached {
        if !to.contains(file) || circles.iter().any(|circle| circle.contains(*file)) {
            continue;
        }
        let back = to.iter().filter(|other| reached[**other].contains(file));
        circles.push(back.map(|other| (*other).clone()).collect());
    }
    circles
}

fn reach<'a>(graph: &'a Graph, from: &File) -> BTreeSet<&'a File> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(file) = next.pop() {
        for to in graph.get(file).into_iter().flatten() {
            if reached.insert(to) {
                next.push(to);
            }
        }
    }
    reached
}
