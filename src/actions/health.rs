//! Whether all is well, and what to do where it is not.

use super::human;
use super::setup::Step;
use super::status::Info;

/// Less free disk than this is worth a word, in bytes.
const LOW_DISK: u64 = 1_000_000_000;
/// A certificate that expires within this should have been renewed by itself, in seconds.
const RENEWED_BEFORE: i64 = 14 * 86_400;

/// A revoked device that tried longer ago than this has stopped, in seconds.
const TRIED_LATELY: i64 = 2 * 86_400;

/// Deleted mail that went early is worth a word for so long, in seconds.
const EARLY_LATELY: i64 = 7 * 86_400;

/// A daily backup that is older than this was missed, in seconds.
const BACKUP_AGE: i64 = 2 * 86_400;

/// The page that goes on with the set-up.
pub const SETUP: &str = "/setup/next";

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something is left to do.
    Hint,
    /// It will be bad.
    Warning,
    /// It is bad now.
    Error,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concern {
    /// How bad.
    pub severity: Severity,
    /// What.
    pub what: String,
    /// What to do about it.
    pub help: String,
    /// Lines for a root shell, where there are any that help.
    pub advice: Vec<String>,
    /// The page where it is mended, if there is one.
    pub page: Option<&'static str>,
}

/// All concerns, the worst first.
#[must_use]
pub fn concerns(info: &Info, now: i64) -> Vec<Concern> {
    let mut found = storage(info);
    found.extend(sources(info));
    found.extend(revoked(info, now));
    found.extend(backup(info, now));
    found.extend(certificate(info, now));
    found.extend(installed(info));
    found.extend(deleted(info, now));
    found.extend(beginnings(info));
    found.sort_by_key(|concern| std::cmp::Reverse(concern.severity));
    found
}

fn concern(severity: Severity, what: String, help: &str, page: Option<&'static str>) -> Concern {
    Concern { severity, what, help: help.to_owned(), advice: Vec::new(), page }
}

fn storage(info: &Info) -> Vec<Concern> {
    let storage = &info.storage;
    let problems = info.problems.iter();
    let mut found: Vec<Concern> = problems
        .map(|known| concern(Severity::Error, known.what.clone(), &known.help, Some("/storage")))
        .collect();
    if storage.full {
        let what = format!("New mail is not accepted: the disk is full, {} left", human::bytes(storage.free));
        let help = "Delete mail that is not needed. It stays in the bin for at least two days: to have its space \
                    at once, empty the bin on this page, or use a larger disk. Senders try again for days meanwhile.";
        found.push(concern(Severity::Error, what, help, Some("/storage")));
    } else if storage.free < LOW_DISK {
        let what = format!("The disk is nearly full: {} left", human::bytes(storage.free));
        let help = "Delete mail that is not needed and press “Give space back”, or use a larger disk.";
        found.push(concern(Severity::Warning, what, help, Some("/storage")));
    }
    found
}

fn sources(info: &Info) -> Vec<Concern> {
    let problems = info.sources.iter().filter_map(|source| {
        let watch = source.watch.as_ref()?;
        let problem = watch.problem.as_ref()?.trim_end_matches('.');
        Some(Concern {
            severity: Severity::Error,
            what: format!("{}'s mail does not come in", source.account),
            help: if watch.advice.is_empty() {
                format!(
                    "{}: {problem}. Postern tries again by itself every half minute.",
                    source.path.display()
                )
            } else {
                format!("{}: {problem}. As root, this allows it:", source.path.display())
            },
            advice: watch.advice.clone(),
            page: Some("/incoming"),
        })
    });
    let silent = info.sources.iter().filter_map(|source| {
        let seconds = u64::try_from(source.silent?).ok()?;
        let (path, silent) = (source.path.display(), human::duration(seconds));
        let what = format!("{}'s mail has gone quiet", source.account);
        let help = format!(
            "Nothing new in {path} for {silent}, and it usually comes more often: does the program that fills it \
             still run, and can it log in?"
        );
        Some(concern(Severity::Warning, what, &help, Some("/incoming")))
    });
    problems.chain(silent).collect()
}

fn revoked(info: &Info, now: i64) -> Vec<Concern> {
    let lately = info.revoked.iter().filter(|device| now.saturating_sub(device.tried) < TRIED_LATELY);
    let concerns = lately.map(|device| {
        let what = format!("“{}” of {} tries to log in with a password that was revoked", device.name, device.account);
        let help = "Remove the account from that device, or add the device again to give it a new password. If it \
                    was lost or stolen, whoever has it is kept out.";
        concern(Severity::Warning, what, help, Some("/accounts"))
    });
    concerns.collect()
}

fn certificate(info: &Info, now: i64) -> Option<Concern> {
    let left = info.certificate.not_after.saturating_sub(now);
    (left < RENEWED_BEFORE).then(|| {
        let what = format!("The certificate expires on {}", human::day(info.certificate.not_after));
        concern(
            Severity::Warning,
            what,
            "It should have been renewed by itself: see the log.",
            Some("/certificate"),
        )
    })
}

/// One that somebody else keeps, and of which something is wrong.
fn installed(info: &Info) -> Option<Concern> {
    let installed = info.certificate.installed.as_ref()?;
    let problem = installed.problem.as_ref()?;
    let name = installed.names.first().map_or("another program", String::as_str);
    let what = format!("The certificate for {name} is not kept fresh");
    let help = format!("{}: look at the program that renews it.", human::sentence(problem));
    Some(concern(Severity::Warning, what, &help, Some("/certificate")))
}

/// Deleted mail that was promised for longer.
fn deleted(info: &Info, now: i64) -> Option<Concern> {
    let early = info.deleted.early.as_ref().filter(|early| now.saturating_sub(early.at) < EARLY_LATELY)?;
    let what = format!("Deleted mail went before its {} days were over", info.deleted.days);
    let help = format!("{} Free some room, or use a larger disk.", early.describe());
    Some(concern(Severity::Warning, what, &help, Some("/deleted")))
}

/// A backup that is made every day and did not work, or has not worked for too long.
fn backup(info: &Info, now: i64) -> Option<Concern> {
    let (daily, page) = (info.backup.daily.as_ref()?, Some("/backups"));
    let last = info.backup.last.as_ref()?;
    let folder = daily.folder.display();
    if let Some(why) = &last.failed {
        let what = format!("The backup to {folder} did not work");
        let why = human::sentence(why);
        let end = if why.ends_with(['.', '?', '!']) { "" } else { "." };
        let help =
            &format!("{why}{end} It is tried again every hour. Is the stick plugged in, and is there room?");
        return Some(concern(Severity::Error, what, help, page));
    }
    let age = now.saturating_sub(last.worked.unwrap_or(last.ended));
    if age > BACKUP_AGE {
        let age = human::duration(u64::try_from(age).unwrap_or(0));
        let what = format!("The last backup to {folder} is {age} old");
        return Some(concern(Severity::Error, what, "One is made every day: see the log.", page));
    }
    let skipped = last.report.as_ref().map_or(0, |report| report.skipped_count);
    (skipped > 0).then(|| {
        let what = format!("{} could not be backed up", human::count(skipped, "message", "messages"));
        concern(Severity::Warning, what, "They cannot be read: the page of backups names them.", page)
    })
}

/// What the set-up still asks for.
fn beginnings(info: &Info) -> Option<Concern> {
    let (what, help) = match info.setup.next() {
        Step::Account => ("There is no account yet", "Add one for each person who has mail here."),
        Step::Mail => {
            ("No mail is brought in yet", "Add the Maildir that your mail arrives in, or old mail.")
        }
        Step::Device => ("No device can log in yet", "Add a device to get a password for it."),
        // It was put off; but as long as nobody can read mail, not all is well.
        Step::Ready if !info.can_log_in() => {
            ("Nobody can read mail yet", "No account has a password, nor a device that has one.")
        }
        // Without the administrator's password nobody sees this.
        Step::Password | Step::Ready => return None,
    };
    Some(concern(Severity::Hint, what.to_owned(), help, Some(SETUP)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::{Context, status};
    use crate::model::AccountName;

    #[test]
    fn a_deleted_volume_is_the_worst_concern_of_all() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::in_folder(folder.path());
        crate::actions::account::add(&context, &AccountName::new("anna").unwrap(), None).unwrap();
        let terms = crate::actions::deliver::Terms { limit: 1 << 20, may_create: &|_| true };
        let mut delivery = crate::actions::deliver::begin(&context, None, None, &terms).unwrap();
        delivery.write(b"Subject: x\n\nx\n").unwrap();
        delivery.finish().unwrap();
        let worst = |context: &Context| concerns(&status::read(context).unwrap(), 0).into_iter().next();
        assert_ne!(worst(&context).map(|concern| concern.severity), Some(Severity::Error));
        drop(context);
        std::fs::remove_file(folder.path().join("mail/000001.redb")).unwrap();
        let found = worst(&Context::in_folder(folder.path())).unwrap();
        assert_eq!(found.severity, Severity::Error);
        assert!(
            found.what.contains("000001.redb") && found.help.contains("postern check --repair"),
            "{found:?}"
        );
    }
}
