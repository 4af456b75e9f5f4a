//! Google Takeout: one mbox with everything, and the field `X-Gmail-Labels` that tells where each message
//! lay and what was done with it, in the language of the account. Pure.
//!
//! A message goes to the mailbox of each label, as Gmail's own IMAP shows it. Where Takeout's names are
//! not known, they become mailboxes, and nothing is lost.

use crate::import::maildir::folder_name;
use crate::import::maildir::roles;
use crate::model::{Flag, FlagSet, Keyword, SpecialUse, SystemFlags};

/// Labels of a message beyond this number are left out; it is in enough mailboxes then.
const MAX_PLACES: usize = 16;
/// How the labels begin that Gmail made of keywords which a client had set.
const KEYWORD: &str = "IMAP_";

/// What labels mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    /// Mailboxes by their levels; at least one.
    pub(crate) places: Vec<Vec<String>>,
    /// Flags.
    pub(crate) flags: FlagSet,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Inbox,
    Unread,
    Starred,
    Important,
    Archived,
    /// What Gmail notes for itself: opened, a category.
    Nothing,
}

/// Reads the labels of a message: decoded, separated by commas, in quotes where they hold one.
#[must_use]
pub(crate) fn labels(text: &str) -> Labels {
    let mut found = Labels { places: Vec::new(), flags: FlagSet::from(SystemFlags::SEEN) };
    let (mut inbox, mut kept_apart) = (false, false);
    for label in split(text) {
        match meaning(&label) {
            Some(Meaning::Inbox) => inbox = true,
            Some(Meaning::Unread) => {
                found.flags.system = found.flags.system.without(SystemFlags::SEEN);
            }
            Some(Meaning::Starred) => found.flags.insert(Flag::System(SystemFlags::FLAGGED)),
            Some(Meaning::Important) => {
                // RFC 8457
                Keyword::new("$Important")
                    .into_iter()
                    .for_each(|word| found.flags.insert(Flag::Keyword(word)));
            }
            Some(Meaning::Archived | Meaning::Nothing) => {}
            None => other(&label, &mut found, &mut kept_apart),
        }
    }
    if inbox && !kept_apart {
        found.places.insert(0, vec!["INBOX".to_owned()]);
    }
    if found.places.is_empty() {
        found.places.push(vec!["Archive".to_owned()]);
    }
    found.places.truncate(MAX_PLACES);
    found
}

/// A keyword, a mailbox with a role, or a label that somebody made.
fn other(label: &str, found: &mut Labels, kept_apart: &mut bool) {
    if let Some(word) = label.strip_prefix(KEYWORD).and_then(Keyword::new) {
        found.flags.insert(Flag::Keyword(word));
        return;
    }
    let role = roles::by_name(label);
    if role == Some(SpecialUse::Drafts) {
        found.flags.insert(Flag::System(SystemFlags::DRAFT));
    }
    *kept_apart |= matches!(role, Some(SpecialUse::Trash | SpecialUse::Junk));
    let levels: Vec<String> = match role {
        Some(role) => SpecialUse::DEFAULTS
            .into_iter()
            .filter(|(known, _)| *known == role)
            .map(|(_, name)| name.to_owned())
            .collect(),
        None => label
            .split('/')
            .map(str::trim)
            .filter(|level| !level.is_empty())
            .map(|level| folder_name::plain(level).text)
            .collect(),
    };
    if !levels.is_empty() && !found.places.contains(&levels) {
        found.places.push(levels);
    }
}

/// As CSV has it: a label with a comma stands in quotes, a quote in it twice.
fn split(text: &str) -> Vec<String> {
    let (mut labels, mut label, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                label.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => labels.push(std::mem::take(&mut label)),
            c => label.push(c),
        }
    }
    labels.push(label);
    labels.iter().map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()).collect()
}

fn meaning(label: &str) -> Option<Meaning> {
    let name = roles::canonical(label);
    let is = |names: &[&str]| names.iter().any(|known| roles::canonical(known) == name);
    if is(INBOX) {
        Some(Meaning::Inbox)
    } else if is(UNREAD) {
        Some(Meaning::Unread)
    } else if is(STARRED) {
        Some(Meaning::Starred)
    } else if is(IMPORTANT) {
        Some(Meaning::Important)
    } else if is(ARCHIVED) {
        Some(Meaning::Archived)
    } else if is(OPENED) || is_category(label) {
        Some(Meaning::Nothing)
    } else {
        None
    }
}

/// `Category Updates` in English, with a colon in every other language: a label of one's own may well
/// begin with that word.
fn is_category(label: &str) -> bool {
    if label.strip_prefix("Category ").is_some_and(|name| CATEGORIES.contains(&name)) {
        return true;
    }
    let Some((word, _)) = label.split_once([':', '：']) else { return false };
    let word = roles::canonical(word);
    CATEGORY.iter().any(|known| roles::canonical(known) == word)
}

const CATEGORIES: [&str; 8] =
    ["Personal", "Social", "Promotions", "Updates", "Forums", "Purchases", "Reservations", "Travel"];

// Packed by hand, in one order: en de fr es ca pt gl it ro nl sv da no fi is pl cs sk hu sl hr sr bg ru uk
// et lv lt tr el he ar fa zh ja ko vi id th hi.
#[rustfmt::skip]
const CATEGORY: &[&str] = &[
    "Category", "Kategorie", "Catégorie", "Categoría", "Categoria", "Categorie", "Kategori", "Luokka",
    "Flokkur", "Kategoria", "Kategória", "Kategorija", "Категорија", "Категория", "Категорія", "Kategooria",
    "Kategorija", "Κατηγορία", "קטגוריה", "الفئة", "دسته", "类别", "類別", "カテゴリ", "카테고리", "Danh mục",
    "หมวดหมู่", "श्रेणी",
];
#[rustfmt::skip]
const INBOX: &[&str] = &[
    "Inbox", "Posteingang", "Boîte de réception", "Recibidos", "Bandeja de entrada", "Safata d'entrada",
    "Caixa de entrada", "Entrada", "Posta in arrivo", "Mesaje primite", "Postvak IN", "Inkorg", "Inkorgen",
    "Indbakke", "Innboks", "Postilaatikko", "Saapuneet", "Pósthólf", "Odebrane", "Doručená pošta", "Doručené",
    "Beérkező levelek", "Prejeto", "Primljeno", "Pristigla pošta", "Примљено", "Входящи", "Входящие", "Вхідні",
    "Postkast", "Iesūtne", "Gautieji", "Gelen Kutusu", "Εισερχόμενα", "דואר נכנס", "البريد الوارد",
    "صندوق دریافت", "收件箱", "收件匣", "受信トレイ", "받은편지함", "Hộp thư đến", "Kotak Masuk", "กล่องจดหมาย", "इनबॉक्स",
];
#[rustfmt::skip]
const UNREAD: &[&str] = &[
    "Unread", "Ungelesen", "Non lus", "Non lu", "No leídos", "No leído", "No llegits", "Não lidos",
    "Não lidas", "Non lidos", "Da leggere", "Non letti", "Necitite", "Ongelezen", "Olästa", "Ulæste", "Uleste",
    "Lukemattomat", "Ólesið", "Nieprzeczytane", "Nepřečtené", "Neprečítané", "Olvasatlan", "Olvasatlanok",
    "Neprebrano", "Nepročitano", "Непрочитано", "Непрочетени", "Непрочитанные", "Непрочитані", "Lugemata",
    "Neizlasītās", "Neskaityti", "Okunmamış", "Okunmayanlar", "Μη αναγνωσμένα", "לא נקראו", "غير مقروءة",
    "خوانده نشده", "未读", "未讀", "未読", "안 읽음", "읽지않음", "Chưa đọc", "Belum dibaca", "ยังไม่ได้อ่าน", "बिना पढ़े",
    "नहीं पढ़ा गया", "Irakurri gabeak", "Ongelees", "Непрочитано",
];
#[rustfmt::skip]
const STARRED: &[&str] = &[
    "Starred", "Markiert", "Suivis", "Messages suivis", "Favoris", "Destacados", "Destacats", "Com estrela",
    "Marcados com estrela", "Speciali", "Cu stea", "Met ster", "Stjärnmärkt", "Stjernemarkerede", "Stjernemerket",
    "Tähdellä merkityt", "Stjörnumerkt", "Oznaczone gwiazdką", "S hvězdičkou", "S hviezdičkou", "Csillagozott",
    "Z zvezdico", "Sa zvjezdicom", "Са звездицом", "Със звезда", "Помеченные", "Із зірочкою", "Tärniga",
    "Atzīmēts ar zvaigznīti", "Su žvaigždute", "Yıldızlı", "Με αστέρι", "מסומן בכוכב", "מסומנים בכוכב",
    "مميزة بنجمة", "ستاره‌دار", "已加星标", "已加星號", "スター付き", "별표편지함", "중요편지함", "Có gắn dấu sao", "Berbintang",
    "ติดดาว", "तारांकित",
];
#[rustfmt::skip]
const IMPORTANT: &[&str] = &[
    "Important", "Wichtig", "Importants", "Importante", "Importantes", "Importanti", "Belangrijk", "Viktigt",
    "Viktig", "Vigtigt", "Vigtige", "Tärkeät", "Mikilvægt", "Ważne", "Důležité", "Dôležité", "Fontos",
    "Pomembno", "Važno", "Важно", "Важное", "Важливе", "Oluline", "Svarīgi", "Svarbu", "Önemli", "Σημαντικά",
    "חשוב", "مهم", "重要", "重要邮件", "重要郵件", "중요", "Quan trọng", "Penting", "สำคัญ", "महत्वपूर्ण",
];
#[rustfmt::skip]
const ARCHIVED: &[&str] = &[
    "Archived", "Archiviert", "Archivés", "Archivé", "Messages archivés", "Archivado", "Archivados",
    "Arxivat", "Arxivats", "Arquivado", "Arquivados", "Archiviati", "Archiviato", "Arhivate", "Gearchiveerd",
    "Arkiverade", "Arkiverat", "Arkiveret", "Arkivert", "Arkistoitu", "Arkistoidut", "Zarchiwizowane",
    "Archivované", "Archivováno", "Archiválva", "Archivált", "Arhivirano", "Архивирано", "Архивировано",
    "Заархивировано", "Заархівовано", "Архівовано", "Arhiivitud", "Arhivēts", "Archyvuota", "Arşivlendi",
    "Arşivlenenler", "Αρχειοθετημένα", "בארכיון", "مؤرشفة", "已归档", "已封存", "アーカイブ済み", "보관됨", "Đã lưu trữ",
    "Diarsipkan", "เก็บแล้ว",
];
#[rustfmt::skip]
const OPENED: &[&str] = &[
    "Opened", "Geöffnet", "Ouvert", "Ouverts", "Abierto", "Abiertos", "Oberts", "Obert", "Aberto", "Abertos",
    "Aperto", "Aperti", "Deschise", "Deschis", "Geopend", "Öppnade", "Öppnat", "Öppnad", "Åbnet", "Åpnet",
    "Avattu", "Avatut", "Otwarte", "Otevřené", "Otevřeno", "Otvorené", "Megnyitott", "Megnyitva", "Odprto",
    "Otvoreno", "Отворено", "Отворени", "Открытые", "Открыто", "Прочитанные", "Відкриті", "Відкрито", "Avatud",
    "Atvērts", "Atidaryta", "Açıldı", "Açılanlar", "Ανοιγμένα", "נפתח", "נפתחו", "مفتوحة", "已打开", "已開啟", "開封済み",
    "열림", "읽음", "Đã mở", "Dibuka", "เปิดแล้ว",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let found = labels(text);
        let places: Vec<_> = found.places.iter().map(|levels| levels.join("/")).collect();
        let words = found.flags.keywords.iter().map(|word| word.as_str().to_owned());
        let flags: Vec<_> = found.flags.system.names().map(str::to_owned).chain(words).collect();
        format!("{} | {}", places.join(", "), flags.join(" "))
    }

    #[test]
    fn labels_of_real_takeouts() {
        for (text, wanted) in [
            ("Inbox,Important,Opened,Category Personal", "INBOX | \\Seen $Important"),
            ("Inbox,Unread,Category Updates", "INBOX | "),
            ("Archived,Opened", "Archive | \\Seen"),
            ("Sent,Opened", "Sent | \\Seen"),
            ("Drafts,Opened", "Drafts | \\Seen \\Draft"),
            ("Trash,Inbox,Opened", "Trash | \\Seen"),
            ("Spam,Unread", "Junk | "),
            ("Archived,Work/Projects,\"Plans, old\",Starred", "Work/Projects, Plans, old | \\Flagged \\Seen"),
            ("Inbox,IMAP_$Forwarded,IMAP_NonJunk", "INBOX | \\Seen $Forwarded NonJunk"),
            ("Posteingang,Wichtig,Geöffnet,Kategorie: Werbung", "INBOX | \\Seen $Important"),
            ("Archiviert,Ungelesen,Arbeit", "Arbeit | "),
            ("Gesendet,Markiert", "Sent | \\Flagged \\Seen"),
            (
                "Messages archivés,Ouvert,Catégorie\u{a0}: E-mails personnels,\"Culture, associations\"",
                "Culture, associations | \\Seen",
            ),
            ("Forward to x@live.fr,Boîte de réception,Non lus", "INBOX, Forward to x@live.fr | "),
            ("Archivés,Envoyé", "Sent | \\Seen"),
            ("Odesláno,Nepřečtené", "Sent | "),
            ("受信トレイ,未読", "INBOX | "),
            ("Category theory,a%b/ /c*", "Category theory, a=25b/c=2A | \\Seen"),
            ("", "Archive | \\Seen"),
            ("\"open quote, ,", "open quote, , | \\Seen"),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
        }
    }

    #[test]
    fn no_name_means_two_things() {
        let tables = [INBOX, UNREAD, STARRED, IMPORTANT, ARCHIVED, OPENED];
        let mut known = std::collections::HashMap::new();
        for (n, table) in tables.into_iter().enumerate() {
            for name in table {
                let other = known.insert(roles::canonical(name), n);
                assert!(other.is_none_or(|other| other == n), "{name} means two things");
                let role = roles::by_name(name);
                assert!(
                    role.is_none() || n == 4 && role == Some(SpecialUse::Archive),
                    "{name} is a role's name too"
                );
            }
        }
    }
}
