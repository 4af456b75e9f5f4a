//! The packaged service sees no home folders, and may write nowhere but in its own. What a source needs beyond
//! that is a drop-in file for its unit, one a Maildir, which names just that Maildir: systemd.exec(5),
//! `BindPaths=` and `ReadWritePaths=`.

use std::path::{Path, PathBuf};

use crate::store::sources::After;

/// Where the unit's drop-ins lie.
pub(crate) const FOLDER: &str = "/etc/systemd/system/postern.service.d";
/// What `ProtectHome=` hides.
const HIDDEN: [&str; 3] = ["/home", "/root", "/run/user"];

/// A file that opens a Maildir to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DropIn {
    /// Where it belongs.
    pub(crate) file: PathBuf,
    /// What belongs into it.
    pub(crate) text: String,
}

impl DropIn {
    /// What the packaged service needs for a source; nothing for most that lie outside of homes.
    #[must_use]
    pub(crate) fn for_source(path: &Path, after: &After) -> Option<Self> {
        // A unit's file has no way to write these.
        let unwritable = |path: &Path| path.to_string_lossy().contains(char::is_control);
        if unwritable(path) || matches!(after, After::Move(target) if unwritable(target)) {
            return None;
        }
        let writes = !matches!(after, After::Keep);
        let mut lines = line(path, writes);
        if let After::Move(target) = after
            && !target.starts_with(path)
        {
            lines.push_str(&line(target, true));
        }
        (!lines.is_empty()).then(|| DropIn { file: file(path), text: format!("[Service]\n{lines}") })
    }

    /// What the packaged service needs for its data in another folder: it may write there, and starts once that disk is
    /// mounted, or could not be: then its page says so.
    #[must_use]
    pub(crate) fn for_data(path: &Path, mount: Option<&Path>) -> Self {
        let unit = mount.map(|mount| format!("[Unit]\nWants={0}.mount\nAfter={0}.mount\n", escaped(mount)));
        let text = format!("{}[Service]\n{}", unit.unwrap_or_default(), line(path, true));
        DropIn { file: Path::new(FOLDER).join("data.conf"), text }
    }

    /// What the packaged service needs to write backups to a folder.
    #[must_use]
    pub(crate) fn for_backup(path: &Path) -> Option<Self> {
        if path.to_string_lossy().contains(char::is_control) {
            return None;
        }
        Some(DropIn { file: named("backup", path), text: format!("[Service]\n{}", line(path, true)) })
    }

    /// Lines for a root shell that put it there.
    pub(super) fn advice(&self) -> Vec<String> {
        let text = self.text.replace('\\', r"\\").replace('%', "%%").replace('\n', r"\n");
        let text = quote(Path::new(&text));
        vec![
            format!("mkdir -p {FOLDER}"),
            format!("printf {text} > {}", quote(&self.file)),
            "systemctl daemon-reload".to_owned(),
            "systemctl restart postern".to_owned(),
        ]
    }
}

/// The file of a Maildir: its path as a name.
#[must_use]
pub(crate) fn file(path: &Path) -> PathBuf {
    named("source", path)
}

fn named(what: &str, path: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let mut name = String::from(what);
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' => name.push('-'),
            b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => name.push(char::from(*byte)),
            other => name.push_str(&format!("_{other:02x}")),
        }
    }
    Path::new(FOLDER).join(name + ".conf")
}

/// Where the disk is mounted that a folder lies on; none of the one that is there from the start.
#[must_use]
pub(crate) fn mount_of(path: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let disk = |path: &Path| path.metadata().map(|about| about.dev()).ok();
    let own = disk(path)?;
    let mount = path.ancestors().take_while(|folder| disk(folder) == Some(own)).last()?;
    mount.parent().map(|_| mount.to_owned())
}

/// The unit that runs `postern source share` for a Maildir.
#[must_use]
pub(crate) fn share_unit(path: &Path) -> String {
    format!("postern-share@{}.service", escaped(path))
}

/// A path in the name of a unit: systemd.unit(5), on escaping a path.
fn escaped(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let parts = path.iter().map(OsStrExt::as_bytes).filter(|part| *part != b"/");
    let mut name = String::new();
    for byte in parts.collect::<Vec<_>>().join(&b'/') {
        match byte {
            b'/' => name.push('-'),
            b'.' if name.is_empty() => name.push_str(r"\x2e"),
            b':' | b'_' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => name.push(char::from(byte)),
            other => name.push_str(&format!(r"\x{other:02x}")),
        }
    }
    name
}

/// A line for a root shell that has new files of a Maildir made readable to this process, if it is the service.
pub(super) fn share_advice(path: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    is_sandboxed(&mounts).then(|| format!("systemctl enable --now {}", quote(Path::new(&share_unit(path)))))
}

/// What keeps this process from a source, if it is the service and its sandbox is what does.
pub(super) fn missing(path: &Path, after: &After) -> Option<DropIn> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if !is_sandboxed(&mounts) {
        return None;
    }
    let writes = !matches!(after, After::Keep);
    let hidden = is_hidden(path) && path.symlink_metadata().is_err();
    if hidden || (writes && is_read_only(path)) { DropIn::for_source(path, after) } else { None }
}

/// `ProtectHome=tmpfs` puts an empty file system over the homes.
fn is_sandboxed(mountinfo: &str) -> bool {
    mountinfo.lines().any(|line| {
        let point = line.split(' ').nth(4);
        let kind = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next());
        point == Some("/home") && kind == Some("tmpfs")
    })
}

fn is_hidden(path: &Path) -> bool {
    HIDDEN.iter().any(|hidden| path.starts_with(hidden))
}

fn is_read_only(path: &Path) -> bool {
    use rustix::fs::StatVfsMountFlags;
    rustix::fs::statvfs(path).is_ok_and(|about| about.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// A missing Maildir must not keep the service from starting: hence the minus.
fn line(path: &Path, writes: bool) -> String {
    let setting = match (is_hidden(path), writes) {
        (true, true) => "BindPaths",
        (true, false) => "BindReadOnlyPaths",
        (false, true) => "ReadWritePaths",
        (false, false) => return String::new(),
    };
    format!("{setting}={}\n", for_unit(path))
}

/// A path in a unit's list of paths: systemd.syntax(7), and `:` separates source and destination.
fn for_unit(path: &Path) -> String {
    let mut text = String::from("-");
    for c in path.to_string_lossy().chars() {
        match c {
            '%' => text.push_str("%%"),
            '"' => text.push_str("\\\""),
            '\\' => text.push_str(r"\\\\"),
            ':' => text.push_str(r"\\:"),
            other => text.push(other),
        }
    }
    if text.chars().any(|c| c.is_whitespace() || "\"\\'".contains(c)) { format!("\"{text}\"") } else { text }
}

/// For a shell: as it is where nothing in it is special, in single quotes otherwise.
pub(super) fn quote(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "/._-+@,:".contains(c);
    if text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str, after: &After) -> Option<String> {
        DropIn::for_source(Path::new(path), after).map(|found| found.text)
    }

    #[test]
    fn a_maildir_is_opened_as_far_as_it_must_be() {
        let maildir = "/home/anna/Maildir";
        let service = |lines: &str| Some(format!("[Service]\n{lines}"));
        assert_eq!(text(maildir, &After::Keep), service("BindReadOnlyPaths=-/home/anna/Maildir\n"));
        assert_eq!(text(maildir, &After::Delete), service("BindPaths=-/home/anna/Maildir\n"));
        let elsewhere = After::Move("/home/anna/done".into());
        let both = "BindPaths=-/home/anna/Maildir\nBindPaths=-/home/anna/done\n";
        assert_eq!(text(maildir, &elsewhere), service(both));
        let inside = After::Move("/home/anna/Maildir/.Done".into());
        assert_eq!(text(maildir, &inside), service("BindPaths=-/home/anna/Maildir\n"));
        assert_eq!(text("/srv/mail", &After::Keep), None);
        assert_eq!(text("/srv/mail", &After::Delete), service("ReadWritePaths=-/srv/mail\n"));
        assert_eq!(text("/homes/anna", &After::Keep), None);
        assert_eq!(text("/home/a\nExecStart=/x", &After::Keep), None);
        let stick = DropIn::for_backup(Path::new("/media/stick/mail")).unwrap();
        assert_eq!(Some(stick.text), service("ReadWritePaths=-/media/stick/mail\n"));
        assert!(stick.file.ends_with("backup-media-stick-mail.conf"));
        let odd = text("/home/al ice/50%", &After::Keep);
        assert_eq!(odd, service("BindReadOnlyPaths=\"-/home/al ice/50%%\"\n"));
    }

    #[test]
    fn data_in_another_folder_waits_for_its_disk() {
        let text =
            |path: &str, mount: Option<&str>| DropIn::for_data(Path::new(path), mount.map(Path::new)).text;
        let unit = "[Unit]\nWants=mnt-a\\x2ddisk.mount\nAfter=mnt-a\\x2ddisk.mount\n";
        let service = "[Service]\nReadWritePaths=-/mnt/a-disk/mail\n";
        assert_eq!(text("/mnt/a-disk/mail", Some("/mnt/a-disk")), format!("{unit}{service}"));
        assert_eq!(text("/mnt/a-disk/mail", None), service);
        assert_eq!(text("/home/mail", None), "[Service]\nBindPaths=-/home/mail\n");
        assert_eq!(mount_of(Path::new("/proc/self")), Some("/proc".into()));
        assert_eq!(mount_of(Path::new("/")), None);
    }

    #[test]
    fn each_maildir_has_a_file_of_its_own() {
        let name = |path: &str| file(Path::new(path)).file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(name("/home/anna/Maildir"), "source-home-anna-Maildir.conf");
        assert_eq!(name("/home/anna-Maildir"), "source-home-anna_2dMaildir.conf");
        assert_eq!(name("/home/al ice/ü"), "source-home-al_20ice-_c3_bc.conf");
    }

    #[test]
    fn units_are_named_as_systemd_escape_does() {
        let unit = |path: &str| share_unit(Path::new(path));
        assert_eq!(unit("/home/anna/Maildir/"), "postern-share@home-anna-Maildir.service");
        assert_eq!(unit("/.m/a-b c%:_ü"), r"postern-share@\x2em-a\x2db\x20c\x25:_\xc3\xbc.service");
    }

    #[test]
    fn advice_writes_the_file_with_a_shell() {
        let folder = tempfile::tempdir().unwrap();
        let mut drop_in = DropIn::for_source(Path::new("/home/al 'ice/50%:"), &After::Keep).unwrap();
        drop_in.file = folder.path().join("out");
        let line = &drop_in.advice()[1];
        let status = std::process::Command::new("sh").arg("-c").arg(line).status().unwrap();
        assert!(status.success(), "{line}");
        assert_eq!(std::fs::read_to_string(&drop_in.file).unwrap(), drop_in.text);
    }

    #[test]
    fn the_sandbox_shows_in_the_mounts() {
        let line = "742 701 0:58 / /home ro,nosuid,nodev,noexec - tmpfs tmpfs ro,size=0k,mode=755\n";
        assert!(is_sandboxed(line));
        assert!(!is_sandboxed("28 1 254:2 / /home rw,relatime shared:2 - ext4 /dev/vda2 rw\n"));
        assert!(!is_sandboxed("28 1 0:9 / /tmp rw - tmpfs tmpfs rw\n"));
    }
}
