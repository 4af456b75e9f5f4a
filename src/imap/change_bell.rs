//! Tells sessions that something changed: never what. What it was is read from the store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use event_listener::{Event, EventListener};

use crate::credential::Login;
use crate::model::{AccountId, MailboxId, ModSeq, locked};
use crate::store::News;

/// Ends at the next news after it was made ([`Bell::listen`]).
pub type Heard = EventListener;

/// The sessions that listen, by account.
#[derive(Debug, Default)]
pub struct ChangeBells {
    accounts: Mutex<HashMap<AccountId, Vec<Weak<Bell>>>>,
    /// For each mailbox the lowest UID that no session has been told of as `\Recent` (RFC 3501 §2.3.2).
    /// Not durable: after a restart what arrived before it is old.
    recent: Mutex<HashMap<MailboxId, u32>>,
}

/// What a session wants to hear of, beside its account and the list of its mailboxes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interest {
    /// Nothing else: no mailbox is open.
    #[default]
    Account,
    /// The mailbox that is open.
    Mailbox(MailboxId),
}

/// What rings for one session.
#[derive(Debug)]
pub struct Bell {
    login: Login,
    dismissed: Mutex<Option<&'static str>>,
    interest: Mutex<Interest>,
    mailbox: AtomicU64,
    account: AtomicU64,
    event: Event,
}

impl Bell {
    fn new(login: Login) -> Self {
        let (dismissed, interest, mailbox, account, event) = Default::default();
        Bell { login, dismissed, interest, mailbox, account, event }
    }

    /// From now on this rings.
    pub fn watch(&self, interest: Interest) {
        *locked(&self.interest) = interest;
        self.mailbox.store(0, Ordering::SeqCst);
    }

    /// A future that ends at the next news. Take it before looking at what has been reached, or news in
    /// between are missed.
    pub fn listen(&self) -> Heard {
        self.event.listen()
    }

    /// The modseq that the watched mailbox has reached, as far as was rung.
    pub fn mailbox_reached(&self) -> ModSeq {
        ModSeq(self.mailbox.load(Ordering::SeqCst))
    }

    /// The modseq that the account's list of mailboxes or the account itself has reached.
    pub fn account_reached(&self) -> ModSeq {
        ModSeq(self.account.load(Ordering::SeqCst))
    }

    /// Why the session has to end, if it has to.
    pub fn dismissed(&self) -> Option<&'static str> {
        *locked(&self.dismissed)
    }

    /// Ends when the session has to, with the reason.
    pub async fn dismissal(&self) -> &'static str {
        loop {
            let heard = self.listen();
            if let Some(why) = self.dismissed() {
                return why;
            }
            heard.await;
        }
    }

    fn ring(&self, news: &News) {
        match news.mailbox {
            Some(mailbox) if *locked(&self.interest) == Interest::Mailbox(mailbox) => {
                self.mailbox.fetch_max(news.modseq.0, Ordering::SeqCst);
            }
            Some(_) => return,
            None => {
                self.account.fetch_max(news.modseq.0, Ordering::SeqCst);
            }
        }
        self.event.notify(usize::MAX);
    }
}

impl ChangeBells {
    /// A bell for a session of this account. It falls silent when it is dropped.
    pub fn join(&self, account: AccountId, login: Login) -> Arc<Bell> {
        let bell = Arc::new(Bell::new(login));
        let mut accounts = locked(&self.accounts);
        let bells = accounts.entry(account).or_default();
        bells.retain(|known| known.strong_count() > 0);
        bells.push(Arc::downgrade(&bell));
        bell
    }

    /// Ends the sessions of an account whose login `whose` names; gives how many.
    pub fn dismiss(&self, account: AccountId, whose: &dyn Fn(Login) -> bool, why: &'static str) -> usize {
        let bells: Vec<Arc<Bell>> = locked(&self.accounts)
            .get(&account)
            .map(|bells| bells.iter().filter_map(Weak::upgrade).collect())
            .unwrap_or_default();
        let ended = bells.iter().filter(|bell| whose(bell.login));
        ended
            .map(|bell| {
                *locked(&bell.dismissed) = Some(why);
                bell.event.notify(usize::MAX);
            })
            .count()
    }

    /// Passes on what the store's writer says. Does not block but for a short lock.
    pub fn ring(&self, news: &News) {
        let bells: Vec<Arc<Bell>> = locked(&self.accounts)
            .get(&news.account)
            .map(|bells| bells.iter().filter_map(Weak::upgrade).collect())
            .unwrap_or_default();
        bells.iter().for_each(|bell| bell.ring(news));
    }

    /// Takes the messages from the lowest untold UID up to `next` as recent for the caller, and returns the
    /// lowest; `first` says which it is when nothing is known yet. With `keep` (EXAMINE, STATUS) they stay
    /// recent for others (RFC 3501 §6.3.2).
    pub fn take_recent(&self, mailbox: MailboxId, next: u32, keep: bool, first: u32) -> u32 {
        let mut recent = locked(&self.recent);
        let mark = recent.entry(mailbox).or_insert(first);
        let lowest = (*mark).min(next);
        // Never back: another session may have been told of more, which is gone now.
        *mark = if keep { *mark } else { next.max(*mark) };
        lowest
    }

    /// The lowest untold UID, if it was ever asked for in this run.
    pub fn recent(&self, mailbox: MailboxId) -> Option<u32> {
        locked(&self.recent).get(&mailbox).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DeviceId;

    #[test]
    fn a_bell_rings_for_its_account_and_mailbox_only() {
        let hub = ChangeBells::default();
        let bell = hub.join(AccountId(1), Login::Own);
        bell.watch(Interest::Mailbox(MailboxId(5)));
        let news =
            |account, mailbox, modseq| News { account: AccountId(account), mailbox, modseq: ModSeq(modseq) };
        hub.ring(&news(1, Some(MailboxId(6)), 7));
        hub.ring(&news(2, Some(MailboxId(5)), 8));
        assert_eq!(bell.mailbox_reached(), ModSeq(0));
        hub.ring(&news(1, Some(MailboxId(5)), 9));
        hub.ring(&news(1, None, 10));
        assert_eq!((bell.mailbox_reached(), bell.account_reached()), (ModSeq(9), ModSeq(10)));
    }

    #[test]
    fn who_is_dismissed() {
        let hub = ChangeBells::default();
        let own = hub.join(AccountId(1), Login::Own);
        let phone = hub.join(AccountId(1), Login::Device(DeviceId(7)));
        let other = hub.join(AccountId(2), Login::Device(DeviceId(7)));
        assert_eq!(hub.dismiss(AccountId(1), &|login| login == Login::Device(DeviceId(7)), "revoked"), 1);
        assert_eq!([&own, &phone, &other].map(|bell| bell.dismissed()), [None, Some("revoked"), None]);
        assert_eq!(smol::block_on(phone.dismissal()), "revoked");
    }

    #[test]
    fn recent_is_told_once() {
        let hub = ChangeBells::default();
        let mailbox = MailboxId(1);
        assert_eq!(hub.take_recent(mailbox, 5, true, 3), 3);
        assert_eq!(hub.take_recent(mailbox, 5, false, 1), 3);
        assert_eq!(hub.take_recent(mailbox, 8, false, 1), 5);
        // A session that is behind, or the last ones went: what was told is not recent again.
        assert_eq!(hub.take_recent(mailbox, 6, false, 1), 6);
        assert_eq!((hub.recent(mailbox), hub.take_recent(mailbox, 9, false, 1)), (Some(8), 8));
    }
}
