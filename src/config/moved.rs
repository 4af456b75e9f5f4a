//! The configuration file told of another data folder: one line is changed, all others stay as they are.

use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::{Config, Error, Overrides};

/// The text with another data folder.
fn edited(text: &str, data: &str) -> String {
    let line = format!("data = {}", toml_string(data));
    let is_data = |line: &str| {
        let key = line.trim_start().strip_prefix("data").map(str::trim_start);
        key.is_some_and(|rest| rest.starts_with('='))
    };
    if !text.lines().any(is_data) {
        return format!("{line}\n{text}");
    }
    let lines: Vec<&str> = text.lines().map(|old| if is_data(old) { line.as_str() } else { old }).collect();
    lines.join("\n") + "\n"
}

/// A basic string (TOML 1.0).
fn toml_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out + "\""
}

/// Lets a configuration file name another data folder. The file is replaced whole, with its owner and mode; what
/// was written is read back first.
///
/// # Errors
/// If it cannot be read or written, or would not say so afterwards.
pub fn name_data(file: &Path, data: &Path) -> Result<(), Error> {
    let failed = |error: io::Error| Error::Unreadable { path: file.to_owned(), error };
    let text = std::fs::read_to_string(file).map_err(failed)?;
    let name = data.to_str().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let new = file.with_extension("toml.new");
    write_beside(file, &new, &edited(&text, name)).map_err(failed)?;
    let read = Config::load(Overrides { file: Some(new.clone()), ..Overrides::default() });
    match read {
        Ok(config) if config.data == data => {}
        other => {
            let _ = std::fs::remove_file(&new);
            other?;
            return Err(failed(io::Error::other("its line `data` cannot be changed; change it by hand")));
        }
    }
    std::fs::rename(&new, file).map_err(failed)?;
    let folder = file.parent().unwrap_or(file);
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn write_beside(file: &Path, new: &Path, text: &str) -> io::Result<()> {
    let about = std::fs::metadata(file)?;
    let mut out = std::fs::File::create(new)?;
    out.write_all(text.as_bytes())?;
    std::fs::set_permissions(new, std::fs::Permissions::from_mode(about.mode()))?;
    std::os::unix::fs::chown(new, Some(about.uid()), Some(about.gid()))?;
    out.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_changed() {
        let text = "# data = here\nimaps = []\n data= \"/var/lib/postern\"\nlog_level = \"info\"\n";
        let expected = "# data = here\nimaps = []\ndata = \"/mnt/a \\\"b\\\"\"\nlog_level = \"info\"\n";
        assert_eq!(edited(text, "/mnt/a \"b\""), expected);
        assert_eq!(edited("imap = []\n", "/x"), "data = \"/x\"\nimap = []\n");
    }

    #[test]
    fn the_file_names_the_new_folder_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("postern.toml");
        std::fs::write(&file, "log_level = \"warn\"\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        for data in ["/mnt/disk/postern", "/mnt/ü \\ x"] {
            name_data(&file, Path::new(data)).unwrap();
            let config =
                Config::load(Overrides { file: Some(file.clone()), ..Overrides::default() }).unwrap();
            assert_eq!(config.data, Path::new(data));
            assert_eq!(config.log_level, super::super::LogLevel::Warn);
        }
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
