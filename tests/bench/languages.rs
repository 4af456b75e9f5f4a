//! Words of six languages, as often as words are in real text: the n-th is n times rarer than the first.

use postern::store::sim::Dice;

/// Words that a language has here: enough that text does not repeat itself more than text does.
const WORDS: usize = 6_000;
/// A word of the common ones, in a tenth to a half of the English messages.
pub const COMMON: &str = "meeting";
/// A word that some subjects have.
pub const SUBJECT: &str = "invoice";

/// A language and its share of the mail in percent.
pub struct Language {
    pub share: u64,
    common: &'static str,
    syllables: &'static str,
    space: &'static str,
}

/// Of a household that writes to the world.
pub const LANGUAGES: [Language; 6] = [
    Language {
        share: 50,
        common: "the to and of a in is for that you it on with be this we are have as at not will from or your \
                 can by our I if please all but an was they there what so when more has out up one time about do \
                 thanks regards know which would been just meeting invoice today tomorrow week report",
        syllables: "ta re in con pro ment er ly ing est tion al or ex com per ac ver de mo st un der ble ship \
                    ough ness ive ant pre fer dis ter",
        space: " ",
    },
    Language {
        share: 20,
        common: "die der und in zu den das nicht von sie ist des sich mit dem dass er es ein ich auf so eine auch \
                 als an nach wie im für man aber aus durch wenn nur war noch werden bei hat wir über schön grüße",
        syllables: "ge ver be ung heit keit lich isch er en schaft zeug bahn haus über für mög ä ö ü sch ein aus \
                    ab vor wäh stel rich tag wort",
        space: " ",
    },
    Language {
        share: 12,
        common: "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont avec \
                 été être à où très même déjà merci",
        syllables: "é tion ment con re dé pré eau eur oir ais ent ique ance à lé ré ch ou ai on an eu",
        space: " ",
    },
    Language {
        share: 6,
        common: "de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha me \
                 si sin sobre este ya también año",
        syllables: "ción dad ar er ir mente an es pro con ra to ño sí lle que ca do",
        space: " ",
    },
    Language {
        share: 6,
        common: "и в не на я что он с как это по но они мы она так его за к у же вы бы из от то для при",
        syllables: "по пре ни сть ова ть ли ко ра ва ние про го ло ма ста ры ше",
        space: " ",
    },
    Language {
        share: 6,
        common: "の に は を た が で て と し れ さ ある いる も する から な こと として です ます ください",
        syllables: "会 議 明 日 送 り 資 料 確 認 お 願 い 東 京 都 電 話 番 号 時 間 場 所 予 定 メ ー ル",
        space: "",
    },
];

/// A language's words, the most common first.
pub struct Vocabulary {
    words: Vec<String>,
    pub space: &'static str,
}

impl Vocabulary {
    /// The same for a language every time.
    pub fn new(language: &Language) -> Self {
        let mut dice = Dice::new(language.share + language.syllables.len() as u64);
        let syllables: Vec<&str> = language.syllables.split_whitespace().collect();
        let mut words: Vec<String> = language.common.split_whitespace().map(str::to_owned).collect();
        while words.len() < WORDS {
            let count = 2 + dice.below(3);
            words.push((0..count).map(|_| syllables[dice.below(syllables.len() as u64) as usize]).collect());
        }
        Vocabulary { words, space: language.space }
    }

    /// A word by chance.
    pub fn word(&self, dice: &mut Dice) -> &str {
        let chance = dice.below(1 << 32) as f64 / (1_u64 << 32) as f64;
        self.at((WORDS as f64).powf(chance) as u64 - 1)
    }

    /// The word with this rank.
    pub fn at(&self, rank: u64) -> &str {
        &self.words[rank as usize % self.words.len()]
    }
}
