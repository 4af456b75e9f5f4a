//! Run as root, a command becomes the owner of the data folder (or of a Maildir) first, so that nothing in it
//! ever belongs to root.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use super::Failure;
use crate::model::passwd;

/// Gives up root for the folder's owner, with the groups that this user has: a Maildir may be readable through
/// one of them. Call it before any thread is started: the system's calls behind it are a thread's, and later
/// threads inherit what it has.
pub(super) fn become_owner(folder: &Path) -> Result<(), Failure> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let Ok(metadata) = std::fs::metadata(folder) else { return Ok(()) };
    if metadata.uid() == 0 {
        return Ok(());
    }
    let failed = |error: rustix::io::Errno| {
        Failure::new(format!("cannot become the owner of {}: {error}", folder.display()))
    };
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut groups = vec![Gid::from_raw(metadata.gid())];
    groups.extend(groups_of(metadata.uid(), &read("/etc/passwd"), &read("/etc/group")).map(Gid::from_raw));
    set_thread_groups(&groups).map_err(failed)?;
    set_thread_gid(Gid::from_raw(metadata.gid())).map_err(failed)?;
    set_thread_uid(Uid::from_raw(metadata.uid())).map_err(failed)
}

/// A user's number, by passwd(5); a number is one.
pub(super) fn id_of(name: &str, passwd: &str) -> Option<u32> {
    passwd::uid_of(name, passwd).or_else(|| name.parse().ok())
}

/// The groups that passwd(5) and group(5) give a user: its own, and those that name it as a member.
fn groups_of(uid: u32, passwd: &str, group: &str) -> impl Iterator<Item = u32> {
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = entry.filter(|fields| fields.len() > 3).find(|fields| fields[2] == uid.to_string());
    let (name, own) =
        user.map_or((String::new(), None), |fields| (fields[0].to_owned(), fields[3].parse().ok()));
    let others = group.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let member = !name.is_empty() && fields.get(3)?.split(',').any(|member| member == name);
        if member { fields.get(2)?.parse().ok() } else { None }
    });
    own.into_iter().chain(others).collect::<Vec<u32>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_a_user() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostern:x:995:990::/var/lib/postern:/bin/false\nbroken\n";
        let group = "root:x:0:\nmail:x:8:anna,postern\nmails:x:9:posternx\npostern:x:990:\nbroken:x\n";
        assert_eq!(groups_of(995, passwd, group).collect::<Vec<_>>(), [990, 8]);
        assert_eq!(groups_of(1234, passwd, group).count(), 0);
        let ids = ["postern", "1234", "x"].map(|name| id_of(name, passwd));
        assert_eq!(ids, [Some(995), Some(1234), None]);
    }
}
