//! Names of folders that mean a role, in the languages that mail programs and providers speak. Pure.
//!
//! Gathered from what mail programs create by themselves. A name that people also give to folders of
//! their own ("Important", "All mail", "Templates", "Outbox") is not here: it becomes a mailbox.

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

use crate::model::SpecialUse;

/// The role that a folder's name means, whatever its case, and however its words are joined.
#[must_use]
pub(crate) fn by_name(name: &str) -> Option<SpecialUse> {
    static NAMES: LazyLock<HashMap<String, SpecialUse>> = LazyLock::new(|| {
        TABLE.iter().flat_map(|(role, names)| names.iter().map(|name| (canonical(name), *role))).collect()
    });
    NAMES.get(&canonical(name)).copied()
}

/// "Junk E-mail", "junk email" and "Junk_EMail" are one name. The dot above of a Turkish İ is dropped, for
/// lower-casing leaves it behind.
pub(crate) fn canonical(name: &str) -> String {
    name.nfkc()
        .flat_map(char::to_lowercase)
        .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '_' | '.' | '\'' | '’' | '\u{307}'))
        .nfc()
        .collect()
}

// Packed by hand: one name a line would hide the table.
#[rustfmt::skip]
const TABLE: [(SpecialUse, &[&str]); 5] = [
    (
        SpecialUse::Sent,
        &[
            // English
            "Sent", "Sent Items", "Sent Messages", "Sent Mail", "Sent Mails", "Sent Email", "Sent Objects",
            // German
            "Gesendet", "Gesendete", "Gesendete Objekte", "Gesendete Elemente", "Gesendete Nachrichten",
            "Gesendete Mails", "Gesendete E-Mails", "Versendet", "Versandt",
            // French
            "Envoyé", "Envoyés", "Envoyes", "Éléments envoyés", "Elements envoyes", "Messages envoyés",
            "Courriers envoyés", "Courrier envoyé", "Objets envoyés", "Mails envoyés",
            // Spanish, Catalan, Portuguese, Galician
            "Enviado", "Enviados", "Elementos enviados", "Mensajes enviados", "Correo enviado",
            "Correos enviados", "Enviats", "Elements enviats", "Missatges enviats", "Itens enviados",
            "Mensagens enviadas", "Enviadas", "E-mails enviados", "Enviada", "Correio enviado",
            // Italian, Romanian
            "Inviata", "Inviate", "Inviati", "Posta inviata", "Messaggi inviati", "Elementi inviati",
            "Trimise", "Elemente trimise", "Mesaje trimise",
            // Dutch
            "Verzonden", "Verzonden items", "Verzonden berichten", "Verzonden objecten", "Verstuurd",
            // Swedish, Danish, Norwegian, Finnish, Icelandic
            "Skickat", "Skickade", "Skickade objekt", "Skickade meddelanden", "Sendt", "Sendt post",
            "Sendte", "Sendte elementer", "Sendte meddelelser", "Sendt e-post", "Sendte meldinger",
            "Lähetetyt", "Lähetetyt viestit", "Sent atriði", "Sendir hlutir",
            // Polish, Czech, Slovak, Hungarian
            "Wysłane", "Wyslane", "Elementy wysłane", "Wiadomości wysłane", "Odeslané", "Odesláno", "Odeslaná pošta",
            "Odeslané položky", "Odeslané zprávy", "Odoslané", "Odoslaná pošta", "Odoslané položky",
            "Odoslané správy", "Elküldött", "Elküldött elemek", "Elküldött üzenetek", "Elküldött levelek",
            // Slovene, Croatian, Serbian, Bulgarian
            "Poslano", "Poslana pošta", "Poslani predmeti", "Poslane stavke", "Poslato", "Послато",
            "Послате поруке", "Изпратени", "Изпратена поща",
            // Russian, Ukrainian, Belarusian
            "Отправленные", "Отправленная почта", "Исходящие отправленные", "Надіслані", "Відправлені",
            "Адпраўленыя",
            // Estonian, Latvian, Lithuanian
            "Saadetud", "Saadetud kirjad", "Nosūtītie", "Nosūtītie vienumi", "Išsiųsta", "Išsiųsti laiškai",
            // Turkish, Greek, Hebrew, Arabic, Persian
            "Gönderilmiş", "Gönderilmiş Öğeler", "Gönderilenler", "Gönderilmiş Postalar", "Απεσταλμένα",
            "Σταλμένα", "נשלח", "פריטים שנשלחו", "דואר יוצא שנשלח", "المرسلة", "العناصر المرسلة",
            "البريد المرسل", "فرستاده‌شده",
            // Chinese, Japanese, Korean, Vietnamese, Indonesian, Thai, Hindi
            "已发送", "已发送邮件", "已发邮件", "已傳送", "寄件備份", "寄件匣備份", "已寄出", "送信済み", "送信済みメール", "送信済みアイテム", "送信済みトレイ",
            "보낸 편지함", "보낸편지함", "보낸 메일함", "보낸메일함", "Thư đã gửi", "Đã gửi", "Terkirim", "Item Terkirim",
            "Pesan Terkirim", "จดหมายที่ส่ง", "ส่งแล้ว", "भेजा गया",
        ],
    ),
    (
        SpecialUse::Trash,
        &[
            // English
            "Trash", "Deleted", "Deleted Items", "Deleted Messages", "Deleted Mail", "Deleted Objects",
            "Bin", "Rubbish", "Wastebasket", "Recycle Bin",
            // German
            "Papierkorb", "Gelöscht", "Geloescht", "Gelöschte", "Gelöschte Objekte", "Gelöschte Elemente",
            "Gelöschte Nachrichten", "Gelöschte Mails", "Müll",
            // French
            "Corbeille", "Supprimés", "Éléments supprimés", "Elements supprimes", "Messages supprimés",
            "Poubelle",
            // Spanish, Catalan, Portuguese, Galician
            "Papelera", "Papelera de reciclaje", "Eliminados", "Elementos eliminados",
            "Mensajes eliminados", "Paperera", "Elements suprimits", "Lixo", "Lixeira", "Itens excluídos",
            "Itens eliminados", "Mensagens excluídas", "Excluídos", "Reciclagem",
            // Italian, Romanian
            "Cestino", "Eliminata", "Posta eliminata", "Messaggi eliminati", "Elementi eliminati",
            "Coș de gunoi", "Elemente șterse", "Gunoi",
            // Dutch
            "Prullenbak", "Prullenmand", "Verwijderd", "Verwijderde items", "Verwijderde berichten",
            // Swedish, Danish, Norwegian, Finnish, Icelandic
            "Papperskorgen", "Papperskorg", "Borttaget", "Borttagna objekt", "Raderat", "Papirkurv",
            "Papirkurven", "Slettet", "Slettet post", "Slettede elementer", "Slettede meldinger", "Søppel",
            "Roskakori", "Poistetut", "Poistetut viestit", "Ruslakarfa",
            // Polish, Czech, Slovak, Hungarian
            "Kosz", "Elementy usunięte", "Usunięte", "Koš", "Odstraněná pošta", "Odstraněné položky",
            "Smazané", "Kôš", "Odstránené položky", "Odstránená pošta", "Kuka", "Lomtár", "Törölt",
            "Törölt elemek", "Törölt üzenetek",
            // Slovene, Croatian, Serbian, Bulgarian
            "Smeti", "Izbrisano", "Izbrisani predmeti", "Smeće", "Izbrisane stavke", "Otpad", "Смеће",
            "Корпа", "Кошче", "Изтрити",
            // Russian, Ukrainian, Belarusian
            "Корзина", "Удаленные", "Удалённые", "Удаленные сообщения", "Кошик", "Видалені", "Сметніца",
            // Estonian, Latvian, Lithuanian
            "Prügikast", "Kustutatud kirjad", "Miskaste", "Izdzēstie vienumi", "Šiukšlinė", "Šiukšliadėžė",
            // Turkish, Greek, Hebrew, Arabic, Persian
            "Çöp", "Çöp Kutusu", "Silinmiş Öğeler", "Silinenler", "Κάδος απορριμμάτων", "Κάδος",
            "Απορρίμματα", "Διαγραμμένα", "אשפה", "פריטים שנמחקו", "المهملات", "سلة المهملات",
            "العناصر المحذوفة", "زباله‌دان",
            // Chinese, Japanese, Korean, Vietnamese, Indonesian, Thai, Hindi
            "垃圾桶", "已删除", "已删除邮件", "废件箱", "已刪除", "刪除的郵件", "刪除郵件匣", "ゴミ箱", "ごみ箱", "削除済みアイテム", "削除済みメール",
            "휴지통", "지운 편지함", "Thùng rác", "Đã xóa", "Sampah", "Tong Sampah", "Item Terhapus", "ถังขยะ",
            "कचरा",
        ],
    ),
    (
        SpecialUse::Drafts,
        &[
            // English
            "Drafts", "Draft", "Draft Messages", "Unsent",
            // German
            "Entwürfe", "Entwuerfe", "Entwurf",
            // French
            "Brouillons", "Brouillon",
            // Spanish, Catalan, Portuguese, Galician
            "Borradores", "Borrador", "Esborranys", "Rascunhos", "Rascunho", "Borradores guardados",
            // Italian, Romanian
            "Bozze", "Bozza", "Ciorne", "Schițe",
            // Dutch
            "Concepten", "Kladjes",
            // Swedish, Danish, Norwegian, Finnish, Icelandic
            "Utkast", "Kladde", "Kladder", "Udkast", "Luonnokset", "Luonnos", "Drög",
            // Polish, Czech, Slovak, Hungarian
            "Szkice", "Kopie robocze", "Wersje robocze", "Robocze", "Koncepty", "Rozepsané", "Rozpracované",
            "Rozpísané", "Piszkozatok", "Vázlatok",
            // Slovene, Croatian, Serbian, Bulgarian
            "Osnutki", "Skice", "Nacrti", "Нацрти", "Чернови",
            // Russian, Ukrainian, Belarusian
            "Черновики", "Чернетки", "Чарнавікі",
            // Estonian, Latvian, Lithuanian
            "Mustandid", "Melnraksti", "Uzmetumi", "Juodraščiai",
            // Turkish, Greek, Hebrew, Arabic, Persian
            "Taslaklar", "Taslak", "Πρόχειρα", "טיוטות", "المسودات", "مسودات", "پیش‌نویس‌ها",
            // Chinese, Japanese, Korean, Vietnamese, Indonesian, Thai, Hindi
            "草稿", "草稿箱", "草稿夹", "草稿匣", "下書き", "임시 보관함", "임시보관함", "Thư nháp", "Bản nháp", "Draf", "Konsep",
            "ร่าง", "จดหมายร่าง", "ड्राफ़्ट",
        ],
    ),
    (
        SpecialUse::Junk,
        &[
            // English
            "Junk", "Junk E-mail", "Junk Mail", "Spam", "Bulk", "Bulk Mail", "Suspected Spam",
            // German
            "Spamverdacht", "Spam-Verdacht", "Unerwünscht", "Unerwünschte Werbung", "Werbung Spam",
            "Junkmail", "Junk-E-Mail-Adresse",
            // French
            "Courrier indésirable", "Courriers indésirables", "Indésirables", "Pourriel", "Pourriels",
            "Messages indésirables",
            // Spanish, Catalan, Portuguese, Galician
            "Correo no deseado", "No deseado", "Correo basura", "Basura", "Correu brossa",
            "Correu no desitjat", "Lixo eletrônico", "Lixo eletrónico", "Lixo electrónico", "Correo lixo",
            // Italian, Romanian
            "Posta indesiderata", "Indesiderata", "Spazzatura", "Email nedorite", "Mesaje nedorite",
            // Dutch
            "Ongewenst", "Ongewenste e-mail", "Ongewenste berichten", "Ongewenste post",
            // Swedish, Danish, Norwegian, Finnish, Icelandic
            "Skräppost", "Uønsket", "Uønsket mail", "Uønsket post", "Uønsket e-post", "Søppelpost",
            "Spampost", "Roskaposti", "Ruslpóstur",
            // Polish, Czech, Slovak, Hungarian
            "Wiadomości-śmieci", "Niechciane", "Nevyžádaná pošta", "Nevyžiadaná pošta", "Levélszemét",
            // Slovene, Croatian, Serbian, Bulgarian
            "Neželena pošta", "Vsiljena pošta", "Neželjena pošta", "Нежељена пошта", "Непожељно", "Спам",
            "Нежелана поща",
            // Russian, Ukrainian, Belarusian
            "Нежелательная почта", "Нежелательные", "Небажана пошта", "Небажані",
            // Estonian, Latvian, Lithuanian
            "Rämpspost", "Mēstules", "Nevēlamais pasts", "Brukalas", "Šlamštas", "Nepageidaujami laiškai",
            // Turkish, Greek, Hebrew, Arabic, Persian
            "Önemsiz", "Önemsiz E-posta", "İstenmeyen", "Gereksiz", "Ανεπιθύμητα",
            "Ανεπιθύμητη αλληλογραφία", "דואר זבל", "זבל", "ספאם", "البريد العشوائي", "البريد غير الهام",
            "بريد غير مرغوب فيه", "هرزنامه",
            // Chinese, Japanese, Korean, Vietnamese, Indonesian, Thai, Hindi
            "垃圾邮件", "垃圾箱", "垃圾郵件", "垃圾郵件匣", "迷惑メール", "スパム", "迷惑メールフォルダ", "스팸", "스팸함", "스팸 메일함", "스팸메일함",
            "정크 메일", "Thư rác", "Thư rác điện tử", "Email Sampah", "Surel Sampah", "จดหมายขยะ", "स्पैम",
        ],
    ),
    (
        SpecialUse::Archive,
        &[
            // English; German; French; Spanish, Catalan, Portuguese; Italian, Romanian; Dutch
            "Archive", "Archives", "Archived", "Archived Mail", "Archiv", "Archive Mail", "Archiviert",
            "Archivo", "Archivos", "Archivados", "Arxiu", "Arquivo", "Arquivos", "Arquivadas", "Archivio",
            "Archivi", "Archiviati", "Arhivă", "Arhiva", "Archief", "Archieven",
            // Swedish, Danish, Norwegian, Finnish, Icelandic
            "Arkiv", "Arkiverat", "Arkiver", "Arkisto", "Arkistot", "Safn",
            // Polish, Czech, Slovak, Hungarian, Slovene, Croatian, Serbian, Bulgarian
            "Archiwum", "Archiwa", "Archivum", "Archívum", "Archív", "Archivy", "Archívy", "Arhiv",
            "Архива", "Архив",
            // Russian, Ukrainian, Belarusian, Estonian, Latvian, Lithuanian
            "Архивы", "Архів", "Архіви", "Архіў", "Arhiiv", "Arhīvs", "Arhīvi", "Archyvas", "Archyvai",
            // Turkish, Greek, Hebrew, Arabic, Persian
            "Arşiv", "Arşivler", "Αρχειοθήκη", "Αρχείο", "ארכיון", "الأرشيف", "أرشيف", "بایگانی",
            // Chinese, Japanese, Korean, Vietnamese, Indonesian, Thai
            "存档", "归档", "封存", "封存郵件", "アーカイブ", "보관함", "보관", "아카이브", "Lưu trữ", "Arsip", "เก็บถาวร",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_have() {
        for (name, role) in [
            ("Sent", SpecialUse::Sent),
            ("Sent Items", SpecialUse::Sent),
            ("SENT MESSAGES", SpecialUse::Sent),
            ("sent-mail", SpecialUse::Sent),
            ("Gesendet", SpecialUse::Sent),
            ("Gesendete Objekte", SpecialUse::Sent),
            ("Éléments envoyés", SpecialUse::Sent),
            ("E\u{301}le\u{301}ments envoye\u{301}s", SpecialUse::Sent),
            ("送信済みメール", SpecialUse::Sent),
            ("Corbeille", SpecialUse::Trash),
            ("Papierkorb", SpecialUse::Trash),
            ("Deleted Items", SpecialUse::Trash),
            ("Deleted Messages", SpecialUse::Trash),
            ("Корзина", SpecialUse::Trash),
            ("Entwürfe", SpecialUse::Drafts),
            ("Brouillons", SpecialUse::Drafts),
            ("Junk E-mail", SpecialUse::Junk),
            ("Junk-E-Mail", SpecialUse::Junk),
            ("Spam", SpecialUse::Junk),
            ("İSTENMEYEN", SpecialUse::Junk),
            ("Archives", SpecialUse::Archive),
            ("Archiv", SpecialUse::Archive),
        ] {
            assert_eq!(by_name(name), Some(role), "{name}");
        }
        for name in ["", "Work", "Sent to Bob", "Inbox", "All Mail", "Important", "Outbox", "2024"] {
            assert_eq!(by_name(name), None, "{name}");
        }
    }

    #[test]
    fn every_default_means_itself_and_no_name_means_two_roles() {
        for (role, name) in SpecialUse::DEFAULTS {
            assert_eq!(by_name(name), Some(role));
        }
        let mut known = HashMap::new();
        for (role, names) in &TABLE {
            for name in *names {
                let other = known.insert(canonical(name), *role);
                assert!(other.is_none_or(|other| other == *role), "{name} means two roles");
            }
        }
    }
}
