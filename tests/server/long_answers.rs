//! Answers that are written in several pieces are the same as those that are written in one.

use std::collections::BTreeSet;

use crate::harness::{Client, Server};

/// Sends commands that must all be answered OK, without waiting for each.
fn all_ok(client: &mut Client, commands: impl Iterator<Item = String>) {
    let mut sent = Vec::new();
    for (n, command) in commands.enumerate() {
        client.send(format!("c{n} {command}\r\n").as_bytes());
        sent.push(n);
    }
    for n in sent {
        let status = client.finish(&format!("c{n}")).1;
        assert!(status.starts_with("OK"), "{status}");
    }
}

/// What one SEARCH response lists.
fn searched(lines: &[String]) -> Vec<u32> {
    let [line] = lines else { panic!("{} lines", lines.len()) };
    line.strip_prefix("* SEARCH").unwrap().split_whitespace().map(|word| word.parse().unwrap()).collect()
}

/// The name that ends each response, and the attributes.
fn told(lines: &[String]) -> Vec<(String, String)> {
    lines
        .iter()
        .map(|line| {
            let (attributes, rest) = line.split_once(") \"/\" ").unwrap_or_else(|| panic!("{line}"));
            let name = rest.split(' ').next().unwrap().trim_matches('"');
            (name.to_owned(), attributes.split_once('(').unwrap().1.to_owned())
        })
        .collect()
}

#[test]
fn every_name_is_told_once_however_many_there_are() {
    let server = Server::start(&["alice"]);
    let mut client = server.login("alice");
    let before: BTreeSet<String> =
        told(&client.ok("LIST \"\" *")).into_iter().map(|(name, _)| name).collect();
    let names: Vec<String> = (0..300).flat_map(|n| [format!("m{n:03}"), format!("m{n:03}/x")]).collect();
    all_ok(&mut client, (0..300).map(|n| format!("CREATE m{n:03}/x")));
    // A name between one and those below it.
    all_ok(&mut client, (0..300).map(|n| format!("CREATE m{n:03}-")));
    // Every third has only a name below it, and every fifth of those below is subscribed to.
    let gone = |n: usize| n.is_multiple_of(3);
    all_ok(&mut client, (0..300).step_by(5).map(|n| format!("SUBSCRIBE m{n:03}/x")));
    let outlived =
        |n: usize| ["CREATE", "SUBSCRIBE", "DELETE"].map(|command| format!("{command} m{n:03}/gone"));
    all_ok(&mut client, (0..300).step_by(7).flat_map(outlived));
    all_ok(&mut client, (0..300).filter(|n| gone(*n)).map(|n| format!("DELETE m{n:03}")));

    let list = told(&client.ok("LIST \"\" *"));
    assert_eq!(list[0].0, "INBOX");
    let known: BTreeSet<String> = list.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(known.len(), list.len(), "a name is told twice");
    let mut wanted = before.clone();
    wanted.extend(names);
    wanted.extend((0..300).map(|n| format!("m{n:03}-")));
    assert_eq!(known, wanted);
    for (name, attributes) in list.iter().filter(|(name, _)| name.starts_with('m')) {
        let n: usize = name[1..4].parse().unwrap();
        let top = name.len() == 4;
        assert_eq!(attributes.contains("\\HasChildren"), top, "{name}: {attributes}");
        assert_eq!(attributes.contains("\\Noselect"), top && gone(n), "{name}: {attributes}");
    }

    let top: Vec<(String, String)> = told(&client.ok("LIST \"\" m%"));
    assert_eq!(top.len(), 600);
    let lsub = told(&client.ok("LSUB \"\" *"));
    let subscribed: BTreeSet<String> = lsub.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(subscribed.len(), lsub.len());
    for n in 0..300_usize {
        assert_eq!(subscribed.contains(&format!("m{n:03}/x")), n.is_multiple_of(5), "{n}");
        assert_eq!(subscribed.contains(&format!("m{n:03}/gone")), n.is_multiple_of(7), "{n}");
    }
    let above = told(&client.ok("LSUB \"\" m%"));
    let wanted: Vec<String> = (0..300)
        .filter(|n: &usize| n.is_multiple_of(5) || n.is_multiple_of(7))
        .map(|n| format!("m{n:03}"))
        .collect();
    assert!(above.iter().all(|(_, attributes)| attributes.contains("\\Noselect")));
    assert!(above.iter().map(|(name, _)| name).eq(&wanted));
    let recursive = client.ok("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" m%");
    assert!(recursive.iter().all(|line| line.ends_with("(\"CHILDINFO\" (\"SUBSCRIBED\"))")));
    assert!(told(&recursive).iter().map(|(name, _)| name).eq(&wanted));
    let status = client.ok("LIST \"\" m%- RETURN (STATUS (MESSAGES))");
    assert_eq!(status.len(), 600);
    assert!(status[1].starts_with("* STATUS \"m000-\" (MESSAGES 0)"), "{}", status[1]);
}

/// A mailbox of 2^15 messages, every second of which is marked as deleted.
fn every_second(client: &mut Client, mailbox: &str) -> u32 {
    client.ok(&format!("CREATE {mailbox}"));
    client.append(mailbox, "\\Deleted", b"Subject: a\r\n\r\na\r\n");
    client.append(mailbox, "", b"Subject: b\r\n\r\nb\r\n");
    client.ok(&format!("SELECT {mailbox}"));
    (0..14).for_each(|_| drop(client.ok(&format!("COPY 1:* {mailbox}"))));
    1 << 15
}

#[test]
fn thousands_of_expunges_are_told_in_pieces_that_add_up() {
    let server = Server::start(&["alice"]);
    let mut client = server.login("alice");
    let all = every_second(&mut client, "many");
    let mut old = server.login("alice");
    old.ok("SELECT many");
    let mut new = server.login("alice");
    new.ok("ENABLE QRESYNC");
    new.ok("SELECT many");
    client.ok("EXPUNGE");
    let (untagged, _) = old.command("NOOP");
    let mut left: Vec<u32> = (1..=all).collect();
    for line in &untagged {
        let number: usize =
            line.strip_prefix("* ").unwrap().strip_suffix(" EXPUNGE").unwrap().parse().unwrap();
        left.remove(number - 1);
    }
    assert!(left.iter().copied().eq((1..=all).filter(|uid| uid % 2 == 0)));
    let (untagged, status) = new.command("NOOP");
    assert!(status.starts_with("OK [HIGHESTMODSEQ "), "{status}");
    let mut gone = BTreeSet::new();
    for line in &untagged {
        let set = line.strip_prefix("* VANISHED ").unwrap();
        gone.extend(set.split(',').map(|uid| uid.parse::<u32>().unwrap()));
    }
    assert!(gone.iter().copied().eq((1..=all).filter(|uid| uid % 2 == 1)));
    for client in [&mut old, &mut new] {
        let half = all / 2;
        assert_eq!(client.ok(&format!("FETCH {half} UID")), [format!("* {half} FETCH (UID {all})")]);
        assert!(client.command(&format!("FETCH {} UID", half + 1)).1.starts_with("BAD"));
    }
}

/// More than is taken up at once: every second message goes, and of the others half get a flag, and some come.
#[test]
fn more_news_than_are_kept_are_told_part_by_part() {
    let server = Server::start(&["alice"]);
    let mut client = server.login("alice");
    let half = every_second(&mut client, "many");
    client.ok("COPY 1:* many");
    let all = half * 2;
    let mut old = server.login("alice");
    old.ok("SELECT many");
    let mut new = server.login("alice");
    new.ok("ENABLE QRESYNC");
    let selected = new.ok("SELECT many");
    let code = |name: &str| -> u64 {
        let line = selected.iter().find_map(|line| line.split_once(&format!("[{name} ")));
        line.unwrap().1.split_once(']').unwrap().0.parse().unwrap()
    };
    let (uid_validity, modseq) = (code("UIDVALIDITY"), code("HIGHESTMODSEQ"));
    client.ok("NOOP");
    client.ok("EXPUNGE");
    client.ok(&format!("STORE 1:{} +FLAGS.SILENT (\\Flagged)", half / 2));
    client.ok("COPY 1:3 many");
    // What a client that knows nothing of all that must hear.
    let left: Vec<u32> = (1..=all).filter(|uid| uid % 2 == 0).chain(all + 1..=all + 3).collect();
    let flagged = &left[..half as usize / 2];
    // By number, while nothing may be said of those that are gone.
    let (held, status) = old.command(&format!("FETCH {all} FLAGS"));
    assert!(status.starts_with("OK"), "{status}");
    assert!(
        held.iter()
            .all(|line| line.contains(" FETCH ") || line.contains(" EXISTS") || line.contains(" RECENT"))
    );
    let told = held.iter().filter(|line| line.contains("\\Flagged"));
    assert_eq!(told.count(), flagged.len());
    let (gone, _) = old.command("NOOP");
    assert_eq!(gone.len() as u32, half, "an EXPUNGE for each");
    assert!(gone.iter().all(|line| line.ends_with(" EXPUNGE")));
    assert_eq!(searched(&old.ok("UID SEARCH ALL")), left);

    let vanished = |lines: &[String], prefix: &str| -> Vec<u32> {
        let sets = lines.iter().filter_map(|line| line.strip_prefix(prefix));
        let mut gone: Vec<u32> = Vec::new();
        for word in sets.flat_map(|set| set.split(',')) {
            let (low, high) = word.split_once(':').unwrap_or((word, word));
            gone.extend(low.parse::<u32>().unwrap()..=high.parse().unwrap());
        }
        gone.sort_unstable();
        gone
    };
    let odd: Vec<u32> = (1..=all).filter(|uid| uid % 2 == 1).collect();
    let (news, status) = new.command("NOOP");
    assert!(status.starts_with("OK [HIGHESTMODSEQ "), "{status}");
    assert_eq!(vanished(&news, "* VANISHED "), odd);
    assert_eq!(news.iter().filter(|line| line.contains("\\Flagged")).count(), flagged.len());
    assert!(news.contains(&format!("* {} EXISTS", left.len())));
    assert_eq!(searched(&new.ok("UID SEARCH ALL")), left);
    // Nothing is told twice.
    assert!(new.ok("NOOP").is_empty());
    assert!(old.ok("NOOP").is_empty());

    let mut back = server.login("alice");
    back.ok("ENABLE QRESYNC");
    let lines = back.ok(&format!("SELECT many (QRESYNC ({uid_validity} {modseq} 1:{all}))"));
    assert_eq!(vanished(&lines, "* VANISHED (EARLIER) "), odd);
    let fetched: Vec<&String> = lines.iter().filter(|line| line.contains(" FETCH ")).collect();
    assert_eq!(fetched.len(), flagged.len());
    assert!(fetched.iter().all(|line| line.contains("\\Flagged")));
    assert!(lines.contains(&format!("* {} EXISTS", left.len())));
}

#[test]
fn thousands_that_are_found_are_one_answer() {
    let server = Server::start(&["alice"]);
    let mut client = server.login("alice");
    let all = every_second(&mut client, "many");
    client.ok("SELECT many");
    assert!(searched(&client.ok("SEARCH ALL")).into_iter().eq(1..=all));
    assert!(searched(&client.ok("UID SEARCH DELETED")).into_iter().eq((1..=all).filter(|uid| uid % 2 == 1)));
    let found = client.ok("SEARCH RETURN (MIN MAX COUNT ALL) ALL");
    assert!(found[0].ends_with(&format!(") MIN 1 MAX {all} COUNT {all} ALL 1:{all}")), "{}", found[0]);
    client.ok("EXPUNGE");
    let half = all / 2;
    let found = client.ok("SEARCH RETURN (SAVE COUNT ALL) UNDELETED");
    assert!(found[0].ends_with(&format!(") COUNT {half} ALL 1:{half}")), "{}", found[0]);
    let found = client.ok("UID SEARCH RETURN (ALL) $");
    let wanted: Vec<String> = (1..=all).filter(|uid| uid % 2 == 0).map(|uid| uid.to_string()).collect();
    assert!(found[0].ends_with(&format!(" UID ALL {}", wanted.join(","))));
    assert_eq!(client.ok("FETCH $ UID").len() as u32, half);
}
