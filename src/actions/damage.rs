//! What is known to be wrong with the store, in words for whoever looks after it: red on the overview, in `postern
//! status`, and in the log. Each says what to do.

use serde::{Deserialize, Serialize};

use super::human;
use crate::store::Condition;

/// Volumes that are named; of more the number is told.
const NAMED: usize = 10;

/// Something that is wrong with the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

/// All that is known to be wrong.
#[must_use]
pub fn problems(condition: &Condition) -> Vec<Problem> {
    let Condition { read_only, journal, damaged_volumes, missing_volumes, mixed, index, damaged_contents } =
        condition;
    let mut found = Vec::new();
    if let Some(why) = read_only {
        found.push(bad(
            format!("New mail cannot be stored: {why}"),
            "Check the disk, then restart Postern. Mail that is stored already can be read.",
        ));
    }
    if let Some(what) = index {
        found.push(bad(
            format!("The index is damaged: {what}"),
            "Copy the data folder to another disk first, as it is. Then `postern check --repair` makes a new index; \
             with the folder of a backup behind it nothing that is in that is missing.",
        ));
    }
    if !missing_volumes.is_empty() {
        found.push(bad(
            format!("Mail is missing: {} in mail/ {} not there", volumes(missing_volumes), is(missing_volumes)),
            "What was in it is listed still, but cannot be read. If the file is elsewhere, put it back and restart \
             Postern; if not, `postern check --repair BACKUP` takes its messages from the backup in that folder.",
        ));
    }
    if !damaged_volumes.is_empty() {
        found.push(bad(
            format!("Mail is damaged: something in {} cannot be read", volumes(damaged_volumes)),
            "The disk may be failing: make a backup now with `postern backup`, which gets past what cannot be read. \
             `postern check` tells which messages are damaged, and `postern check --repair BACKUP` takes them from \
             an earlier backup.",
        ));
    } else if *damaged_contents > 0 {
        found.push(bad(
            format!("Mail is damaged: {damaged_contents} messages could not be read"),
            "The disk may be failing: make a backup now with `postern backup`. `postern check --repair BACKUP` takes \
             them from an earlier backup.",
        ));
    }
    if let Some(what) = journal {
        found.push(bad(
            human::sentence(what),
            "What could be read was kept, the rest set aside in the data folder. The disk may be failing: make a \
             backup with `postern backup`, then run `postern check`.",
        ));
    }
    if let Some(what) = mixed {
        found.push(bad(
            format!("The files of the store are of different moments: {what}"),
            "Nothing is thrown away for 14 days. `postern check` tells what is missing. If you put back the copy of a \
             whole disk, run `postern new-generation`, so that phones and computers do not mix up old and new mail.",
        ));
    }
    found
}

fn bad(what: String, help: &str) -> Problem {
    Problem { what, help: help.to_owned() }
}

fn is(volumes: &[u32]) -> &'static str {
    if volumes.len() == 1 { "is" } else { "are" }
}

/// `volume 000001.redb`, `volumes 000001.redb, 000002.redb`
fn volumes(numbers: &[u32]) -> String {
    let names: Vec<String> = numbers.iter().take(NAMED).map(|number| format!("{number:06}.redb")).collect();
    let more = match numbers.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} {}{more}", if numbers.len() == 1 { "volume" } else { "volumes" }, names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_well_has_none() {
        assert!(problems(&Condition::default()).is_empty());
    }

    #[test]
    fn each_thing_is_told_with_what_helps() {
        let why = || Some("why it is".to_owned());
        let all = Condition {
            read_only: why(),
            journal: why(),
            damaged_volumes: vec![2, 3],
            missing_volumes: vec![1],
            mixed: why(),
            index: why(),
            damaged_contents: 7,
        };
        let found = problems(&all);
        assert_eq!(found.len(), 6);
        for problem in &found {
            assert!(problem.help.contains("postern") || problem.help.contains("restart"), "{problem:?}");
        }
        let what: Vec<&str> = found.iter().map(|problem| problem.what.as_str()).collect();
        assert!(what.contains(&"Mail is missing: volume 000001.redb in mail/ is not there"), "{what:?}");
        assert!(what.iter().any(|what| what.contains("volumes 000002.redb, 000003.redb")), "{what:?}");
        assert!(what.contains(&"Why it is"), "{what:?}");
        let contents = problems(&Condition { damaged_contents: 7, ..Condition::default() });
        assert!(contents[0].what.contains("7 messages"), "{contents:?}");
    }

    #[test]
    fn many_volumes_are_counted() {
        let numbers: Vec<u32> = (1..=12).collect();
        assert!(volumes(&numbers).ends_with("000010.redb and 2 more"));
    }
}
