//! Russian.

use crate::spoken::{
    context::Context,
    number::Number,
    speech::{
        Agreement, Currency, Decimals, Noun, PLAIN, Scale, Signs, Speech, Words, noun, scale, slavic, slavic_feminine,
    },
};

pub(super) static SPEECH: Speech = Speech {
    cardinal,
    suffixed,
    clock: |hour, minute| {
        let minute = if minute < 10 {
            format!("ноль {}", cardinal(minute, Agreement::Alone))
        } else {
            cardinal(minute, Agreement::Alone)
        };
        format!("{} {minute}", cardinal(hour, Agreement::Alone))
    },
    date: |day, month, year, _| format!("{} {} {} года", ordinal(day, "ое"), MONTHS[month - 1], ordinal(year, "ого")),
    fraction,
    mixed: |above, below| fraction(above, below).map(|said| format!("и {said}")),
    context,
    form,
    decimals: Decimals::AsParts(decimals),
    signs: Signs {
        point: "запятая",
        dot: "точка",
        minus: "минус",
        plus: "плюс",
        percent: slavic("процент", "процента", "процентов"),
        per: "в",
        to: "",
        and: "и",
        at: "собака",
        equals: "равно",
        slash: "слэш",
        dash: "дефис",
        underscore: "подчёркивание",
        number: "номер",
        hashtag: "хэштег",
        degrees: slavic("градус", "градуса", "градусов"),
        times: "на",
        fold: slavic("раз", "раза", "раз"),
        section: "параграф",
        powers: ["в квадрате", "в кубе"],
    },
    abbreviations: ABBREVIATIONS,
    counters: COUNTERS,
    units: UNITS,
    capitals: &[
        "МИД", "ГАИ", "ВУЗ", "ВАЗ", "ЗАГС", "ТАСС", "ДА", "НЕ", "НЕТ", "НО", "ВСЕ", "ТЫ", "МЫ", "ОН", "ЧТО", "КАК",
    ],
    scales: SCALES,
    currencies: CURRENCIES,
    names_hundredths: true,
    ..PLAIN
};

#[rustfmt::skip]
const SMALL: [&str; 20] = [
    "ноль", "один", "два", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять", "десять", "одиннадцать",
    "двенадцать", "тринадцать", "четырнадцать", "пятнадцать", "шестнадцать", "семнадцать", "восемнадцать",
    "девятнадцать",
];
const TENS: [&str; 10] =
    ["", "", "двадцать", "тридцать", "сорок", "пятьдесят", "шестьдесят", "семьдесят", "восемьдесят", "девяносто"];
const HUNDREDS: [&str; 10] =
    ["", "сто", "двести", "триста", "четыреста", "пятьсот", "шестьсот", "семьсот", "восемьсот", "девятьсот"];
const POWERS: [(u64, Noun); 5] = [
    (1_000_000_000_000_000, slavic("квадриллион", "квадриллиона", "квадриллионов")),
    (1_000_000_000_000, slavic("триллион", "триллиона", "триллионов")),
    (1_000_000_000, slavic("миллиард", "миллиарда", "миллиардов")),
    (1_000_000, slavic("миллион", "миллиона", "миллионов")),
    (1_000, slavic_feminine("тысяча", "тысячи", "тысяч")),
];
const MONTHS: [&str; 12] = [
    "января",
    "февраля",
    "марта",
    "апреля",
    "мая",
    "июня",
    "июля",
    "августа",
    "сентября",
    "октября",
    "ноября",
    "декабря",
];

fn cardinal(value: u64, agreement: Agreement) -> String {
    for (power, noun) in POWERS {
        if value >= power {
            let (count, rest) = (value / power, value % power);
            let name = noun.forms[plural(count)];
            // A single thousand or million at the head needs no number.
            let head = if count == 1 { name.to_owned() } else { format!("{} {name}", cardinal(count, noun.agreement)) };
            let inner = inner_one(rest);
            return if rest == 0 { head } else { format!("{head} {inner}{}", cardinal(rest, agreement)) };
        }
    }
    let tail = |rest: u64| if rest == 0 { String::new() } else { format!(" {}", cardinal(rest, agreement)) };
    match (value, agreement) {
        (1, Agreement::Feminine) => "одна".to_owned(),
        (1, Agreement::Neuter) => "одно".to_owned(),
        (2, Agreement::Feminine) => "две".to_owned(),
        (0..20, _) => SMALL[value as usize].to_owned(),
        (20..100, _) => TENS[value as usize / 10].to_owned() + &tail(value % 10),
        _ => HUNDREDS[value as usize / 100].to_owned() + &tail(value % 100),
    }
}

/// The "one" that a single power of ten needs inside of a longer number.
fn inner_one(rest: u64) -> &'static str {
    let head = POWERS.iter().find(|(power, _)| rest >= *power);
    match head {
        Some((power, noun)) if rest / power == 1 => match noun.agreement {
            Agreement::Feminine => "одна ",
            _ => "один ",
        },
        _ => "",
    }
}

/// Tenths, hundredths and thousandths behind a whole number.
fn decimals(whole: u64, fraction: &str) -> Option<String> {
    const PARTS: [[&str; 2]; 4] = [["", ""], ["десятая", "десятых"], ["сотая", "сотых"], ["тысячная", "тысячных"]];
    let parts = PARTS.get(fraction.len()).filter(|parts| !parts[0].is_empty())?;
    let count = fraction.parse().ok()?;
    let one = |value: u64, forms: [&'static str; 2]| forms[usize::from(plural(value) != 0)];
    let wholes = format!("{} {}", cardinal(whole, Agreement::Feminine), one(whole, ["целая", "целых"]));
    Some(format!("{wholes} {} {}", cardinal(count, Agreement::Feminine), one(count, *parts)))
}

/// One, few (two to four), many.
fn plural(value: u64) -> usize {
    match (value % 10, value % 100) {
        (_, 11..=14) => 2,
        (1, _) => 0,
        (2..=4, _) => 1,
        _ => 2,
    }
}

fn form(number: &Number) -> usize {
    if number.fraction.is_some() { 1 } else { number.value().map_or(2, plural) }
}

/// Ordinals of the last number word, masculine nominative without the ending.
#[rustfmt::skip]
const ORDINAL_STEMS: [(&str, &str); 37] = [
    ("ноль", "нулев"), ("один", "перв"), ("два", "втор"), ("три", "треть"), ("четыре", "четвёрт"), ("пять", "пят"),
    ("шесть", "шест"), ("семь", "седьм"), ("восемь", "восьм"), ("девять", "девят"), ("десять", "десят"),
    ("одиннадцать", "одиннадцат"), ("двенадцать", "двенадцат"), ("тринадцать", "тринадцат"),
    ("четырнадцать", "четырнадцат"), ("пятнадцать", "пятнадцат"), ("шестнадцать", "шестнадцат"),
    ("семнадцать", "семнадцат"), ("восемнадцать", "восемнадцат"), ("девятнадцать", "девятнадцат"),
    ("двадцать", "двадцат"), ("тридцать", "тридцат"), ("сорок", "сороков"), ("пятьдесят", "пятидесят"),
    ("шестьдесят", "шестидесят"), ("семьдесят", "семидесят"), ("восемьдесят", "восьмидесят"),
    ("девяносто", "девяност"), ("сто", "сот"), ("двести", "двухсот"), ("триста", "трёхсот"), ("четыреста", "четырёхсот"),
    ("пятьсот", "пятисот"), ("шестьсот", "шестисот"), ("семьсот", "семисот"), ("восемьсот", "восьмисот"),
    ("девятьсот", "девятисот"),
];
const THOUSANDS: [&str; 10] = ["", "", "двух", "трёх", "четырёх", "пяти", "шести", "семи", "восьми", "девяти"];

/// The ordinal with the ending ый (nominative), ого, ому, ым, ом, ая, ой, ую, ое, ые or ых; "ое" also serves dates.
fn ordinal(value: u64, ending: &str) -> String {
    if value >= 1_000 && value.is_multiple_of(1_000) {
        let count = value / 1_000;
        let prefix = THOUSANDS.get(count as usize).filter(|_| count > 1);
        return match prefix {
            Some(prefix) => format!("{prefix}тысячн{ending}"),
            None if count == 1 => format!("тысячн{ending}"),
            None => cardinal(value, Agreement::Alone),
        };
    }
    let said = cardinal(value, Agreement::Alone);
    let (before, last) = said.rsplit_once(' ').unwrap_or(("", &said));
    let stem = ORDINAL_STEMS.iter().find(|(word, _)| *word == last).map_or(last, |(_, stem)| *stem);
    format!("{before} {}", inflect(stem, ending)).trim_start().to_owned()
}

fn inflect(stem: &str, ending: &str) -> String {
    let stressed = ["втор", "шест", "седьм", "восьм", "сороков", "нулев"].contains(&stem);
    if stem == "треть" {
        let soft = match ending {
            "ый" => return "третий".to_owned(),
            "ого" => "его",
            "ому" => "ему",
            "ым" => "им",
            "ом" => "ем",
            "ая" => "я",
            "ой" => "ей",
            "ую" => "ю",
            "ое" => "е",
            "ые" => "и",
            _ => "их",
        };
        return format!("{stem}{soft}");
    }
    if stressed && ending == "ый" { format!("{stem}ой") } else { format!("{stem}{ending}") }
}

/// "5-й", "5-го", "90-х": the letters behind the number end its ordinal.
fn suffixed(value: u64, ending: &str) -> Option<String> {
    let full = match ending.to_lowercase().as_str() {
        "й" | "ый" | "ий" | "ой" => "ый",
        "го" | "ого" => "ого",
        "му" | "ому" => "ому",
        "м" | "ом" if ending.chars().count() == 2 => "ом",
        "ым" => "ым",
        "я" | "ая" => "ая",
        "ю" | "ую" => "ую",
        "е" | "ое" => "ое",
        "ые" => "ые",
        "х" | "ых" => "ых",
        "ти" | "и" => return Some(cardinal(value, Agreement::Alone)),
        _ => return None,
    };
    Some(ordinal(value, full))
}

/// The day of a month and the number of a year are ordinals whose case the neighbours show.
fn context(context: &Context) -> Option<String> {
    let value = context.plain_value()?;
    let next = context.next_key()?;
    if (1..=31).contains(&value) && MONTHS.contains(&next.as_str()) {
        let counted = context
            .previous_key()
            .is_some_and(|previous| ["до", "с", "от", "после", "около"].contains(&previous.as_str()));
        return Some(ordinal(value, if counted || !opens(context) { "ого" } else { "ое" }));
    }
    let ending = match next.as_str() {
        "год" => "ый",
        "году" => "ом",
        "года" | "г" if value > 1_000 => "ого",
        "годом" if value > 1_000 => "ым",
        "век" => "ый",
        "века" if value > 4 => "ого",
        "веке" => "ом",
        _ => return None,
    };
    (value > 100 || next.starts_with("век")).then(|| ordinal(value, ending))
}

/// Whether the word opens a sentence, where a date stands in the nominative.
fn opens(context: &Context) -> bool {
    context.previous().is_none_or(|previous| previous.parted)
}

fn fraction(above: u64, below: u64) -> Option<String> {
    let said = match (above, below) {
        (1, 2) => "одна вторая".to_owned(),
        _ if above == 0 || above >= below || below > 20 && below != 100 => return None,
        (1, 3) => "одна треть".to_owned(),
        (1, 4) => "одна четверть".to_owned(),
        (2, 3) => "две трети".to_owned(),
        (3, 4) => "три четверти".to_owned(),
        (1, _) => format!("одна {}", ordinal(below, "ая")),
        _ => format!("{} {}", cardinal(above, Agreement::Feminine), ordinal(below, "ых")),
    };
    Some(said)
}

#[rustfmt::skip]
const ABBREVIATIONS: Words = &[
    ("т.е", "то есть"), ("т.д", "так далее"), ("т.п", "тому подобное"), ("т.к", "так как"), ("др.", "другие"),
    ("им.", "имени"), ("ул.", "улица"), ("г-н", "господин"), ("г-жа", "госпожа"), ("проф.", "профессор"), ("руб", "рублей"),
    ("руб.", "рублей"), ("коп.", "копеек"), ("тел.", "телефон"), ("см.", "смотри"), ("напр.", "например"), ("н.э", "нашей эры"),
    ("тыс", "тысяч"), ("млн", "миллионов"), ("млрд", "миллиардов"),
];
const COUNTERS: Words = &[
    ("г.", "года"),
    ("гг.", "годов"),
    ("в.", "века"),
    ("стр.", "страница"),
    ("с.", "страница"),
    ("ст.", "статья"),
    ("гл.", "глава"),
    ("рис.", "рисунок"),
    ("д.", "дом"),
];

#[rustfmt::skip]
const UNITS: &[(&str, Noun)] = &[
    ("мм", slavic("миллиметр", "миллиметра", "миллиметров")), ("см", slavic("сантиметр", "сантиметра", "сантиметров")),
    ("м", slavic("метр", "метра", "метров")), ("км", slavic("километр", "километра", "километров")),
    ("м^2", slavic("квадратный метр", "квадратных метра", "квадратных метров")),
    ("км^2", slavic("квадратный километр", "квадратных километра", "квадратных километров")),
    ("м^3", slavic("кубический метр", "кубических метра", "кубических метров")), ("га", slavic("гектар", "гектара", "гектаров")),
    ("мг", slavic("миллиграмм", "миллиграмма", "миллиграммов")), ("г", slavic("грамм", "грамма", "граммов")),
    ("кг", slavic("килограмм", "килограмма", "килограммов")), ("т", slavic_feminine("тонна", "тонны", "тонн")),
    ("мл", slavic("миллилитр", "миллилитра", "миллилитров")), ("л", slavic("литр", "литра", "литров")),
    ("км/ч", slavic("километр в час", "километра в час", "километров в час")),
    ("м/с", slavic("метр в секунду", "метра в секунду", "метров в секунду")),
    ("°C", slavic("градус цельсия", "градуса цельсия", "градусов цельсия")),
    ("°С", slavic("градус цельсия", "градуса цельсия", "градусов цельсия")), ("Гц", slavic("герц", "герца", "герц")),
    ("кГц", slavic("килогерц", "килогерца", "килогерц")), ("МГц", slavic("мегагерц", "мегагерца", "мегагерц")),
    ("ГГц", slavic("гигагерц", "гигагерца", "гигагерц")), ("Кб", slavic("килобайт", "килобайта", "килобайт")),
    ("Мб", slavic("мегабайт", "мегабайта", "мегабайт")), ("МБ", slavic("мегабайт", "мегабайта", "мегабайт")),
    ("Гб", slavic("гигабайт", "гигабайта", "гигабайт")), ("ГБ", slavic("гигабайт", "гигабайта", "гигабайт")),
    ("Вт", slavic("ватт", "ватта", "ватт")), ("кВт", slavic("киловатт", "киловатта", "киловатт")),
    ("В", slavic("вольт", "вольта", "вольт")), 
    ("сек", slavic_feminine("секунда", "секунды", "секунд")), ("мин", slavic_feminine("минута", "минуты", "минут")),
    ("ч", slavic("час", "часа", "часов")), ("км/час", slavic("километр в час", "километра в час", "километров в час")),
];

const SCALES: &[Scale] = &[
    scale("тыс", "тысяч"),
    scale("млн", "миллионов"),
    scale("млрд", "миллиардов"),
    scale("трлн", "триллионов"),
    scale("тысяч", "тысяч"),
    scale("тысячи", "тысячи"),
    scale("миллион", "миллион"),
    scale("миллиона", "миллиона"),
    scale("миллионов", "миллионов"),
    scale("миллиард", "миллиард"),
    scale("миллиарда", "миллиарда"),
    scale("миллиардов", "миллиардов"),
];

const CENT: Noun = slavic("цент", "цента", "центов");

const CURRENCIES: &[Currency] = &[
    Currency {
        signs: &["₽", "RUB"],
        unit: slavic("рубль", "рубля", "рублей"),
        hundredth: slavic_feminine("копейка", "копейки", "копеек"),
    },
    Currency {
        signs: &["$", "USD"], unit: slavic("доллар", "доллара", "долларов"), hundredth: CENT
    },
    Currency { signs: &["€", "EUR"], unit: noun("евро", "евро"), hundredth: CENT },
    Currency {
        signs: &["£", "GBP"], unit: slavic("фунт", "фунта", "фунтов"), hundredth: noun("пенс", "пенсов")
    },
    Currency {
        signs: &["¥", "JPY"], unit: slavic_feminine("иена", "иены", "иен"), hundredth: noun("сен", "сен")
    },
    Currency {
        signs: &["₴", "UAH"],
        unit: slavic_feminine("гривна", "гривны", "гривен"),
        hundredth: slavic_feminine("копейка", "копейки", "копеек"),
    },
];
