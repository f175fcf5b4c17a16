//! English abbreviations, units, currencies and capitals.

use crate::spoken::speech::{Currency, Noun, Scale, Words, noun, scale};

pub(super) const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

#[rustfmt::skip]
pub(super) const ABBREVIATIONS: Words = &[
    ("mr", "mister"), ("mrs", "missus"), ("messrs", "messers"), ("jr", "junior"), ("sr.", "senior"), ("esq.", "esquire"),
    ("ph.d", "p h d"), ("phd", "p h d"), ("m.d", "m d"),
    ("feb.", "february"), ("aug.", "august"), ("sep.", "september"), ("sept.", "september"), ("oct.", "october"),
    ("nov.", "november"), ("dec.", "december"), ("tues.", "tuesday"), ("thurs.", "thursday"),
    ("etc", "et cetera"), ("vs", "versus"), ("approx.", "approximately"), ("dept.", "department"),
    ("govt", "government"), ("inc.", "incorporated"), ("ltd", "limited"), ("corp.", "corporation"),
    ("bros.", "brothers"), ("ave.", "avenue"), ("blvd", "boulevard"), ("hwy", "highway"), ("univ.", "university"),
    ("bldg", "building"), ("misc.", "miscellaneous"), ("avg.", "average"), ("w/", "with"), ("w/o", "without"),
    ("ok", "okay"), ("o.k", "okay"), ("401(k", "four oh one k"), ("401k", "four oh one k"), ("911", "nine one one"), ("720p", "seven twenty p"),
];

#[rustfmt::skip]
pub(super) const TITLES: Words = &[
    ("ms.", "miz"), ("prof.", "professor"), ("rev.", "reverend"), ("fr.", "father"), ("gen.", "general"),
    ("col.", "colonel"), ("capt.", "captain"), ("cpt.", "captain"), ("lt.", "lieutenant"), ("sgt.", "sergeant"),
    ("cpl.", "corporal"), ("cmdr.", "commander"), ("adm.", "admiral"), ("maj.", "major"), ("gov.", "governor"),
    ("sen.", "senator"), ("rep.", "representative"), ("pres.", "president"), ("hon.", "honorable"), ("ft.", "fort"),
    ("mt.", "mount"), ("v.", "versus"),
];

#[rustfmt::skip]
pub(super) const COUNTERS: Words = &[
    ("jan.", "january"), ("mar.", "march"), ("apr.", "april"), ("jun.", "june"), ("jul.", "july"),
    ("mon.", "monday"), ("tue.", "tuesday"), ("wed.", "wednesday"), ("thu.", "thursday"), ("fri.", "friday"),
    ("sat.", "saturday"), ("sun.", "sunday"), ("vol.", "volume"), ("vols.", "volumes"), ("fig.", "figure"),
    ("figs.", "figures"), ("ch.", "chapter"), ("p.", "page"), ("pp.", "pages"), ("ext.", "extension"),
    ("tel.", "telephone"), ("apt.", "apartment"), ("est.", "established"), ("art.", "article"), ("sec.", "section"),
    ("eq.", "equation"), ("ver.", "version"),
];

#[rustfmt::skip]
pub(super) const UNITS: &[(&str, Noun)] = &[
    ("mm", noun("millimeter", "millimeters")), ("cm", noun("centimeter", "centimeters")),
    ("m", noun("meter", "meters")), ("km", noun("kilometer", "kilometers")), ("nm", noun("nanometer", "nanometers")),
    ("μm", noun("micrometer", "micrometers")), ("kms", noun("kilometer", "kilometers")),
    ("mi", noun("mile", "miles")), ("ft", noun("foot", "feet")), ("yd", noun("yard", "yards")),
    ("yds", noun("yard", "yards")), ("\"", noun("inch", "inches")), 
    ("m^2", noun("square meter", "square meters")), ("m2", noun("square meter", "square meters")),
    ("km^2", noun("square kilometer", "square kilometers")), ("km2", noun("square kilometer", "square kilometers")),
    ("cm^2", noun("square centimeter", "square centimeters")), ("m^3", noun("cubic meter", "cubic meters")),
    ("m3", noun("cubic meter", "cubic meters")), ("cm^3", noun("cubic centimeter", "cubic centimeters")),
    ("sqft", noun("square foot", "square feet")), ("ha", noun("hectare", "hectares")),
    ("μg", noun("microgram", "micrograms")), ("mg", noun("milligram", "milligrams")), ("g", noun("gram", "grams")),
    ("kg", noun("kilogram", "kilograms")), ("kgs", noun("kilogram", "kilograms")), ("t", noun("ton", "tons")),
    ("lb", noun("pound", "pounds")), ("lbs", noun("pound", "pounds")), ("oz", noun("ounce", "ounces")),
    ("ml", noun("milliliter", "milliliters")), ("mL", noun("milliliter", "milliliters")),
    ("cl", noun("centiliter", "centiliters")), ("l", noun("liter", "liters")), ("L", noun("liter", "liters")),
    ("gal", noun("gallon", "gallons")), ("km/h", noun("kilometer per hour", "kilometers per hour")),
    ("kmh", noun("kilometer per hour", "kilometers per hour")),
    ("kph", noun("kilometer per hour", "kilometers per hour")), ("mph", noun("mile per hour", "miles per hour")),
    ("m/s", noun("meter per second", "meters per second")),
    ("m/s^2", noun("meter per second squared", "meters per second squared")),
    ("mpg", noun("mile per gallon", "miles per gallon")), ("rpm", noun("r p m", "r p m")),
    ("bpm", noun("beat per minute", "beats per minute")), ("fps", noun("frame per second", "frames per second")),
    ("°C", noun("degree celsius", "degrees celsius")), ("°F", noun("degree fahrenheit", "degrees fahrenheit")),
    ("°K", noun("kelvin", "kelvin")), ("Hz", noun("hertz", "hertz")), ("kHz", noun("kilohertz", "kilohertz")),
    ("MHz", noun("megahertz", "megahertz")), ("GHz", noun("gigahertz", "gigahertz")),
    ("dB", noun("decibel", "decibels")), ("KB", noun("kilobyte", "kilobytes")),
    ("kB", noun("kilobyte", "kilobytes")), ("MB", noun("megabyte", "megabytes")),
    ("GB", noun("gigabyte", "gigabytes")), ("TB", noun("terabyte", "terabytes")),
    ("PB", noun("petabyte", "petabytes")), ("kbps", noun("kilobit per second", "kilobits per second")),
    ("Mbps", noun("megabit per second", "megabits per second")),
    ("Gbps", noun("gigabit per second", "gigabits per second")), ("W", noun("watt", "watts")),
    ("kW", noun("kilowatt", "kilowatts")), ("MW", noun("megawatt", "megawatts")),
    ("GW", noun("gigawatt", "gigawatts")), ("kWh", noun("kilowatt hour", "kilowatt hours")),
    ("V", noun("volt", "volts")), ("mAh", noun("milliamp hour", "milliamp hours")), ("hp", noun("horsepower", "horsepower")),
    ("kcal", noun("kilocalorie", "kilocalories")), ("cal", noun("calorie", "calories")),
    ("ms", noun("millisecond", "milliseconds")), ("s", noun("second", "seconds")), ("sec", noun("second", "seconds")),
    ("secs", noun("second", "seconds")), ("min", noun("minute", "minutes")), ("mins", noun("minute", "minutes")),
    ("h", noun("hour", "hours")), ("hr", noun("hour", "hours")), ("hrs", noun("hour", "hours")),
    ("yr", noun("year", "years")), ("yrs", noun("year", "years")), ("yo", noun("year old", "year old")),
    ("pt", noun("point", "points")), ("pts", noun("point", "points")), ("px", noun("pixel", "pixels")),
    ("MP", noun("megapixel", "megapixels")), ("bps", noun("basis point", "basis points")),
    ("am", noun("a m", "a m")), ("pm", noun("p m", "p m")), ("¢", noun("cent", "cents")),
    ("k", noun("k", "k")), ("K", noun("k", "k")),
];

#[rustfmt::skip]
pub(super) const SCALES: &[Scale] = &[
    scale("k", "thousand"), scale("K", "thousand"), scale("m", "million"), scale("M", "million"), scale("mm", "million"),
    scale("mn", "million"), scale("mil", "million"), scale("b", "billion"), scale("B", "billion"),
    scale("bn", "billion"), scale("bil", "billion"), scale("tn", "trillion"), scale("T", "trillion"),
    scale("hundred", "hundred"), scale("thousand", "thousand"), scale("million", "million"),
    scale("billion", "billion"), scale("trillion", "trillion"),
];

const CENT: Noun = noun("cent", "cents");

pub(super) const CURRENCIES: &[Currency] = &[
    Currency { signs: &["$", "USD"], unit: noun("dollar", "dollars"), hundredth: CENT },
    Currency { signs: &["€", "EUR"], unit: noun("euro", "euros"), hundredth: CENT },
    Currency { signs: &["£", "GBP"], unit: noun("pound", "pounds"), hundredth: noun("penny", "pence") },
    Currency { signs: &["¥", "JPY"], unit: noun("yen", "yen"), hundredth: noun("sen", "sen") },
    Currency { signs: &["CNY", "RMB"], unit: noun("yuan", "yuan"), hundredth: noun("fen", "fen") },
    Currency { signs: &["₹", "INR", "Rs", "Rs."], unit: noun("rupee", "rupees"), hundredth: noun("paisa", "paise") },
    Currency { signs: &["₽", "RUB"], unit: noun("ruble", "rubles"), hundredth: noun("kopek", "kopeks") },
    Currency { signs: &["₩", "KRW"], unit: noun("won", "won"), hundredth: noun("jeon", "jeon") },
    Currency { signs: &["₿", "BTC"], unit: noun("bitcoin", "bitcoins"), hundredth: CENT },
    Currency { signs: &["₺", "TRY"], unit: noun("lira", "lira"), hundredth: noun("kurush", "kurush") },
    Currency { signs: &["₴", "UAH"], unit: noun("hryvnia", "hryvnias"), hundredth: noun("kopiyka", "kopiykas") },
    Currency { signs: &["₪", "ILS"], unit: noun("shekel", "shekels"), hundredth: noun("agora", "agorot") },
    Currency { signs: &["R$", "BRL"], unit: noun("real", "reais"), hundredth: noun("centavo", "centavos") },
    Currency { signs: &["CHF"], unit: noun("franc", "francs"), hundredth: CENT },
    Currency { signs: &["zł", "PLN"], unit: noun("zloty", "zlotys"), hundredth: noun("grosz", "groszy") },
];

/// Short words that are read even in capitals.
#[rustfmt::skip]
pub(super) const CAPITALS: &[&str] = &[
    "AM", "AN", "AS", "AT", "BE", "BY", "DO", "GO", "HE", "IF", "IN", "IS", "ME", "MY", "NO", "OF", "ON", "OR", "SO",
    "TO", "UP", "WE", "OH", "HI", "HA", "AH", "EX", "ALL", "AND", "ANY", "ARE", "BAD", "BIG", "BUT", "BUY", "CAN",
    "CAT", "DAD", "DAY", "DID", "DOG", "END", "FAR", "FEW", "FOR", "FUN", "GET", "GOD", "GOT", "GUN", "GUY", "HAD",
    "HAS", "HER", "HEY", "HIM", "HIS", "HOT", "HOW", "ITS", "JOB", "LET", "LOT", "LOW", "MAN", "MAX", "MAY", "MEN",
    "MOM", "MRS", "NEW", "NOT", "NOW", "OFF", "OLD", "ONE", "OUR", "OUT", "OWN", "PAY", "PUT", "RED", "RUN", "SAD",
    "SAW", "SAY", "SEE", "SET", "SHE", "SIR", "SIX", "SON", "TEN", "THE", "TOO", "TOP", "TRY", "TWO", "USE",
    "WAR", "WAS", "WAY", "WHO", "WHY", "WIN", "WON", "WOW", "YES", "YET", "YOU", "MAD", "ZIP", "PIN", "SIM", "RAM",
    "ROM", "LAN", "WAN", "GIF", "DOS", "HMM", "SHH",
];

/// Longer initials that are spelled although they hold vowels.
#[rustfmt::skip]
pub(super) const INITIALS: &[&str] = &[
    "USSR", "UCLA", "ESPN", "ICBM", "IEEE", "ACLU", "AARP", "YMCA", "YWCA", "ADHD", "USDA", "USPS", "USMC", "USAF",
    "NCAA", "NAACP", "UNHCR", "ASAP", "OECD", "OSCE", "EEOC", "HDMI", "ISBN", "IPCC", 
];
