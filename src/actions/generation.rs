//! A new generation of the store: for who has put back an image of the whole machine.

use super::{Context, Failure};

/// Lets everything go on above what devices may have seen before the machine was put back. They compare what they
/// have, and fetch no message twice.
///
/// # Errors
/// Of reading and writing.
pub fn begin(context: &Context) -> Result<(), Failure> {
    Ok(context.store.new_generation()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MailboxName;
    use crate::store::{Error, accounts, mailboxes};

    #[test]
    fn mailboxes_go_on_above_what_was_seen_and_keep_their_uid_validity() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::in_folder(folder.path());
        let anna = context.store.write(|tx| accounts::create(tx, "anna", None)).unwrap();
        let inbox = |context: &Context| {
            let rows = context.store.snapshot().unwrap();
            mailboxes::by_name(&rows, anna, &MailboxName::inbox()).unwrap().unwrap()
        };
        let before = inbox(&context);
        begin(&context).unwrap();
        let after = inbox(&context);
        assert_eq!(after.uid_validity, before.uid_validity);
        assert!(after.uid_next >= before.uid_next + 65_536);
        assert!(after.highest_modseq.0 > u64::from(u32::MAX) && after.floor == after.highest_modseq);
        let given = context.store.write(|tx| -> Result<_, Error> { tx.modseq() }).unwrap();
        assert!(given > after.highest_modseq);
        // The files of the generation before are known again.
        drop(context);
        let again = Context::in_folder(folder.path());
        assert!(inbox(&again) == after && again.store.condition().is_well());
    }
}
