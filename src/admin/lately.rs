//! What happened lately, as sentences: read from what there is, the newest first.

use super::place;
use crate::actions::undelete::{self, Filter, Item, Search, What};
use crate::actions::{Context, Failure, device, human, status};

/// Events that are shown.
const SHOWN: usize = 6;

/// Something that happened.
pub(super) struct Event {
    at: i64,
    /// How long ago.
    pub(super) when: String,
    pub(super) what: String,
    /// Where one can look at it, or take it back.
    pub(super) page: String,
    /// What the link says.
    pub(super) link: &'static str,
}

/// The last events.
pub(super) fn read(
    context: &Context,
    info: &status::Info,
    devices: &[device::Info],
    now: i64,
) -> Result<Vec<Event>, Failure> {
    let search = Search { filter: Filter::default(), after: None, limit: SHOWN };
    let deleted = undelete::list(context, &search)?.items;
    let mut events: Vec<Event> = deleted.iter().map(|item| self::deleted(item, now)).collect();
    events.extend(devices.iter().flat_map(|device| of_device(device, now)));
    events.extend(info.accounts.iter().map(|account| {
        let what = format!("The account {} was added", account.name);
        Event::new(account.created, now, what, place::account(&account.name), "Look")
    }));
    events.extend(info.sources.iter().filter_map(|source| {
        let what = format!("Mail came for {} in {}", source.account, source.path.display());
        Some(Event::new(source.last_mail?, now, what, "/incoming".to_owned(), "Look"))
    }));
    events.extend(info.backup.last.iter().map(|last| {
        let what = match &last.failed {
            Some(_) => format!("The backup to {} did not work", last.folder.display()),
            None => format!("A backup was made to {}", last.folder.display()),
        };
        Event::new(last.ended, now, what, "/backups".to_owned(), "Look")
    }));
    events.sort_by_key(|event| std::cmp::Reverse(event.at));
    events.truncate(SHOWN);
    Ok(events)
}

impl Event {
    fn new(at: i64, now: i64, what: String, page: String, link: &'static str) -> Self {
        Event { at, when: human::when(Some(at), now), what, page, link }
    }
}

fn of_device(device: &device::Info, now: i64) -> Vec<Event> {
    let page = place::device(&device.account, device.id);
    let what = format!("{} was added for {}", device.name, device.account);
    let added = Event::new(device.created, now, what, page.clone(), "Look");
    let used = device.last_used.map(|used| {
        let from =
            if device.address.is_empty() { String::new() } else { format!(" from {}", device.address) };
        Event::new(used, now, format!("{} of {} was here{from}", device.name, device.account), page, "Look")
    });
    std::iter::once(added).chain(used).collect()
}

fn deleted(item: &Item, now: i64) -> Event {
    let what = match &item.what {
        What::Message { subject, .. } if subject.is_empty() => {
            format!("A message was deleted from {} of {}", item.mailbox, item.account)
        }
        What::Message { subject, .. } => {
            format!("“{subject}” was deleted from {} of {}", item.mailbox, item.account)
        }
        What::Mailbox { .. } => format!("The mailbox {} of {} was deleted", item.mailbox, item.account),
        What::Account { .. } => format!("The account {} was removed", item.account),
    };
    Event::new(item.deleted, now, what, "/deleted".to_owned(), "Restore")
}
