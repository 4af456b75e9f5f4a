//! Deleted mail dropped for good: what was asked for and nothing else, however young it is.

use std::ops::ControlFlow;

use super::tests::{World, titles, words};
use super::*;
use crate::actions::account;
use crate::store::check::CheckOptions;

impl World {
    fn discard(&self, order: &Discard) -> Discarded {
        let would = weigh(&self.context, order).unwrap();
        let done = discard(&self.context, order).unwrap();
        assert_eq!(would, done, "what was announced was done");
        done
    }

    fn discard_items(&self, items: &[Item]) -> Discarded {
        self.discard(&Discard { ids: items.iter().map(|item| item.id.clone()).collect(), all: None })
    }

    fn discard_all(&self, filter: Filter) -> Discarded {
        self.discard(&Discard { ids: Vec::new(), all: Some(filter) })
    }

    /// Contents that the store has.
    fn contents(&self) -> u64 {
        let report =
            self.context.store.check(&CheckOptions::default(), &mut |_| ControlFlow::Continue(())).unwrap();
        assert!(report.is_clean(), "{report}");
        report.looked.contents
    }
}

#[test]
fn one_message_goes_and_those_beside_it_stay() {
    let world = World::new();
    let uids = (0..70).map(|n| world.file("INBOX", &format!("Subject: n{n}\r\n\r\nx{n}")).first().unwrap());
    let uids = uids.collect();
    world.expunge("INBOX", uids);
    assert_eq!(world.contents(), 70);
    let chosen: Vec<Item> = world.list(Filter::default()).into_iter().skip(3).step_by(30).collect();
    let done = world.discard_items(&chosen);
    assert_eq!((done.messages, done.mailboxes, done.is_whole()), (3, 0, true), "{done:?}");
    let left = world.list(Filter::default());
    assert!(left.len() == 67 && chosen.iter().all(|gone| !left.contains(gone)));
    assert_eq!(world.contents(), 67, "their bytes went, too");
    // Twice does nothing, and says so.
    let again = world.discard_items(&chosen[..1]);
    assert!(again.messages == 0 && again.missing == [chosen[0].id.clone()], "{again:?}");
    let back = world.restore(Order { all: Some(Filter::default()), ..Order::default() });
    assert_eq!((back.messages, world.count("INBOX")), (67, 67));
}

#[test]
fn what_a_mailbox_still_shows_stays() {
    let world = World::new();
    world.binned("INBOX", "twice", "ben@example.org");
    world.file("Work", "From: ben@example.org\r\nSubject: twice\r\n\r\nText of twice\r\n");
    assert_eq!(world.contents(), 1);
    let done = world.discard_items(&world.list(Filter::default()));
    assert_eq!(done.messages, 1);
    assert!(world.list(Filter::default()).is_empty());
    assert_eq!((world.contents(), world.count("Work")), (1, 1));
}

#[test]
fn mailboxes_go_whole_or_in_part() {
    let world = World::new();
    for mailbox in ["Work", "Shop"] {
        for n in 0..3 {
            world.file(mailbox, &format!("Subject: {mailbox} {n}\r\n\r\nx"));
        }
        world.delete(mailbox);
    }
    // One message of a deleted mailbox, found by its words.
    let done = world.discard_items(&world.list(words("Work 1")));
    assert_eq!((done.messages, done.mailboxes), (1, 0));
    assert_eq!(titles(&world.list(Filter::default())), ["[Shop of 3]", "[Work of 2]"]);
    // A message that is named beside its mailbox is counted once.
    let of_shop = world.list(Filter { mailbox: Some("Shop".to_owned()), ..Filter::default() });
    assert_eq!(of_shop.len(), 4, "{of_shop:?}");
    let done = world.discard_items(&of_shop);
    assert_eq!((done.messages, done.mailboxes), (3, 1));
    let left = world.list(Filter::default());
    assert_eq!(titles(&left), ["[Work of 2]"]);
    assert_eq!(world.contents(), 2);
    world.restore_one(&left[0]);
    assert_eq!(world.count("Work"), 2);
}

#[test]
fn all_that_fits_goes_and_nothing_else() {
    let world = World::new();
    for n in 0..6 {
        world.binned(
            ["INBOX", "Work"][n % 2],
            &format!("{n}"),
            ["shop@example.org", "ben@example.org"][n / 3],
        );
    }
    world.delete("Work");
    let done = world.discard_all(words("shop"));
    assert_eq!((done.messages, done.mailboxes), (3, 0), "{done:?}");
    let done = world.discard_all(Filter { mailbox: Some("Work".to_owned()), ..Filter::default() });
    assert_eq!((done.messages, done.mailboxes), (2, 1), "{done:?}");
    assert_eq!(titles(&world.list(Filter::default())), ["4"]);
    let none = world.discard_all(words("nobody"));
    assert_eq!(none.describe(), ["Nothing fits: nothing was deleted."]);
}

#[test]
fn an_account_goes_only_if_it_is_named_and_with_all_of_it() {
    let world = World::new();
    world.binned("INBOX", "earlier", "ben@example.org");
    world.file("Work", "Subject: kept\r\n\r\nx");
    account::remove(&world.context, "anna").unwrap();
    account::add(&world.context, &crate::model::AccountName::new("carl").unwrap(), None).unwrap();
    let all = world.discard_all(words("kept"));
    assert_eq!(all.accounts, Vec::<String>::new());
    let item =
        world.list(Filter::default()).into_iter().find(|item| matches!(item.what, What::Account { .. }));
    let item = item.unwrap();
    let spared = world.discard_all(Filter::default());
    assert!(spared.accounts.is_empty() && spared.left.len() == 1, "{spared:?}");
    let done = world.discard_items(std::slice::from_ref(&item));
    assert_eq!(done.accounts, ["anna"]);
    assert!(world.list(Filter::default()).is_empty());
    assert_eq!(world.contents(), 0);
    let again = restore(&world.context, &Order { ids: vec![item.id], ..Order::default() }).unwrap();
    assert_eq!(again.missing.len(), 1, "{again:?}");
    // Its name may be used again, by somebody else.
    account::add(&world.context, &crate::model::AccountName::new("anna").unwrap(), None).unwrap();
    assert_eq!(world.count("INBOX"), 0);
}
