//! English: what is said for what is written.

use super::check;

#[test]
#[rustfmt::skip]
fn prices() {
    check("en", &[
        ("$3.50", "three dollars fifty cents"),
        ("$1.00", "one dollar"),
        ("$0.99", "ninety nine cents"),
        ("$1", "one dollar"),
        ("$1.5", "one point five dollars"),
        ("$2.01", "two dollars one cent"),
        ("€3,50", "three euros fifty cents"),
        ("£5m", "five million pounds"),
        ("¥500", "five hundred yen"),
        ("$5k", "five thousand dollars"),
        ("$3.5 million", "three point five | million dollars"),
        ("$3.5bn.", "three point five billion dollars"),
        ("US$20", "twenty dollars"),
        ("-$5", "minus five dollars"),
        ("£1.20", "one pound twenty pence"),
        ("$1,234.56", "one thousand two hundred and thirty four dollars fifty six cents"),
        ("$100K", "one hundred thousand dollars"),
        ("5€", "five euros"),
        ("50¢", "fifty cents"),
        ("$1-2 million", "one to two | million dollars"),
        ("$5-10", "five to ten dollars"),
        ("$5-$10", "five dollars to ten dollars"),
        ("$20/hr", "twenty dollars per hour"),
        ("$2.5-million", "two point five million dollars"),
        ("cost $3, and", "cost | three dollars | and"),
        ("$0", "zero dollars"),
        ("10 € each", "ten | euros | each"),
    ]);
}

#[test]
#[rustfmt::skip]
fn numbers() {
    check("en", &[
        ("0", "zero"),
        ("13", "thirteen"),
        ("42", "forty two"),
        ("100", "one hundred"),
        ("101", "one hundred and one"),
        ("999", "nine hundred and ninety nine"),
        ("1,234", "one thousand two hundred and thirty four"),
        ("1,001", "one thousand and one"),
        ("1,234,567", "one million two hundred and thirty four thousand five hundred and sixty seven"),
        ("1000000", "one million"),
        ("1,000,000,000,000", "one trillion"),
        ("1.234", "one point two three four"),
        ("1.234.567", "one million two hundred and thirty four thousand five hundred and sixty seven"),
        ("1,00,000", "one hundred thousand"),
        ("0.5", "zero point five"),
        (".5", "point five"),
        ("-7", "minus seven"),
        ("3.14159", "three point one four one five nine"),
        ("9,99", "nine point nine nine"),
        ("007", "zero zero seven"),
        ("12345", "twelve thousand three hundred and forty five"),
        ("5551234567", "five five five one two three four five six seven"),
        ("123456789012345678901", "one two three four five six seven eight nine zero one two three four five six seven eight nine zero one"),
        ("1e10", "one e ten"),
        ("100+", "one hundred plus"),
        ("±5", "plus minus five"),
        ("50/50", "fifty fifty"),
        ("50-50", "fifty fifty"),
        ("2+2=4", "two plus two equals four"),
        ("3×4", "three times four"),
        ("5x5", "five times five"),
    ]);
}

#[test]
#[rustfmt::skip]
fn percents_and_units() {
    check("en", &[
        ("20%", "twenty percent"),
        ("12.5%", "twelve point five percent"),
        ("20 %", "twenty | percent"),
        ("50km/h", "fifty kilometers per hour"),
        ("5 km", "five | kilometers"),
        ("1 km", "one | kilometer"),
        ("10 kg", "ten | kilograms"),
        ("100m", "one hundred meters"),
        ("5ft", "five feet"),
        ("20°C", "twenty degrees celsius"),
        ("-40°F", "minus forty degrees fahrenheit"),
        ("5'11\"", "five feet eleven"),
        ("5'11", "five feet eleven"),
        ("5m²", "five square meters"),
        ("x²", "x squared"),
        ("3x", "three times"),
        ("1.5M", "one point five million"),
        ("100k", "one hundred k"),
        ("2 million", "two | million"),
        ("4K", "four k"),
        ("1080p", "ten eighty p"),
        ("16 GB", "sixteen | gigabytes"),
        ("2.4GHz", "two point four gigahertz"),
        ("60 mph", "sixty | miles per hour"),
        ("90 °", "ninety | degrees"),
        ("1 hr", "one | hour"),
    ]);
}

#[test]
#[rustfmt::skip]
fn years_and_decades() {
    check("en", &[
        ("in 1984", "in | nineteen eighty four"),
        ("in 2005", "in | two thousand five"),
        ("2000", "two thousand"),
        ("1900", "nineteen hundred"),
        ("1905", "nineteen oh five"),
        ("2010", "twenty ten"),
        ("2024,", "twenty twenty four"),
        ("1066", "ten sixty six"),
        ("2100", "two thousand one hundred"),
        ("3000", "three thousand"),
        ("1500 meters", "fifteen hundred | meters"),
        ("the 1980s", "the | nineteen eighties"),
        ("1990's", "nineteen nineties"),
        ("’90s", "nineties"),
        ("'80s", "eighties"),
        ("20s", "twenties"),
        ("1900s", "nineteen hundreds"),
        ("mid-1990s", "mid nineteen nineties"),
        ("1914-1918", "nineteen fourteen to nineteen eighteen"),
        ("1990-95", "nineteen ninety to ninety five"),
    ]);
}

#[test]
#[rustfmt::skip]
fn ordinals_and_fractions() {
    check("en", &[
        ("1st", "first"),
        ("3rd", "third"),
        ("11th", "eleventh"),
        ("12th", "twelfth"),
        ("21st", "twenty first"),
        ("42nd", "forty second"),
        ("100th", "one hundredth"),
        ("1,000th", "one thousandth"),
        ("20th-century", "twentieth century"),
        ("1/2", "one half"),
        ("2/3", "two thirds"),
        ("3/4", "three quarters"),
        ("1/100", "one one hundredth"),
        ("24/7", "twenty four seven"),
        ("9/11", "nine eleven"),
        ("1 1/2", "one | and a half"),
        ("3 1/4", "three | and a quarter"),
        ("2½", "two and a half"),
        ("½", "one half"),
    ]);
}

#[test]
#[rustfmt::skip]
fn times_and_dates() {
    check("en", &[
        ("12:30", "twelve thirty"),
        ("5pm", "five p m"),
        ("5 p.m.", "five | p m"),
        ("12:30pm", "twelve thirty p m"),
        ("12:00 pm", "twelve | p m"),
        ("5.30pm", "five thirty p m"),
        ("10:05", "ten oh five"),
        ("9:00", "nine o'clock"),
        ("14:00", "fourteen hundred"),
        ("9:05:30", "nine oh five thirty"),
        ("7:30 a.m.", "seven thirty | a m"),
        ("2:1", "two to one"),
        ("March 3, 2024", "march | third | twenty twenty four"),
        ("May 5", "may | fifth"),
        ("3 March 2024", "third | march | twenty twenty four"),
        ("Dec. 25th", "december | twenty fifth"),
        ("Sept. 11", "september | eleventh"),
        ("3/21/2024", "march twenty first twenty twenty four"),
        ("21/03/2024", "march twenty first twenty twenty four"),
        ("2024-03-21", "march twenty first twenty twenty four"),
        ("21.3.2024", "march twenty first twenty twenty four"),
        ("12/25", "twelve twenty five"),
        ("you may 5", "you | may | five"),
    ]);
}

#[test]
#[rustfmt::skip]
fn ranges() {
    check("en", &[
        ("10-12", "ten to twelve"),
        ("10–12", "ten to twelve"),
        ("10%-20%", "ten percent to twenty percent"),
        ("10-20%", "ten to twenty percent"),
        ("5-6pm", "five to six p m"),
        ("3,000-4,000", "three thousand to four thousand"),
        ("20-year-old", "twenty year old"),
        ("9-to-5", "nine to five"),
    ]);
}

#[test]
#[rustfmt::skip]
fn abbreviations() {
    check("en", &[
        ("Dr. Smith", "doctor | smith"),
        ("Main St. is", "main | street | is"),
        ("St. Louis", "saint | louis"),
        ("Mulholland Dr. is", "mulholland | drive | is"),
        ("Mr. and Mrs. Jones", "mister | and | missus | jones"),
        ("No. 5", "number | five"),
        ("No. I said no.", "no | i | said | no"),
        ("No.1", "number one"),
        ("e.g. this", "e g | this"),
        ("i.e. that", "i e | that"),
        ("etc.", "et cetera"),
        ("vs.", "versus"),
        ("pp. 5", "pages | five"),
        ("Ph.D.", "p h d"),
        ("Messrs. Brown", "messers | brown"),
        ("approx. 5", "approximately | five"),
    ]);
}

#[test]
#[rustfmt::skip]
fn capitals() {
    check("en", &[
        ("the FBI and the BBC", "the | f b i | and | the | b b c"),
        ("UK", "u k"),
        ("UK's", "u k's"),
        ("TVs", "t vs"),
        ("CEOs", "c e os"),
        ("NASA and NATO", "nasa | and | nato"),
        ("AT&T", "a t and t"),
        ("R&B", "r and b"),
        ("U.S.A.", "u s a"),
        ("J.R.R. Tolkien", "j r r | tolkien"),
        ("OK", "okay"),
        ("IT", "i t"),
        ("I did NOT", "i | did | not"),
        ("UCLA", "u c l a"),
        ("HTML", "h t m l"),
        ("THIS IS ALL CAPS TEXT FBI", "this | is | all | caps | text | fbi"),
    ]);
}

#[test]
#[rustfmt::skip]
fn telephones() {
    check("en", &[
        ("+44 20 7946 0958", "plus four four | two zero | seven nine four six | zero nine five eight"),
        ("555-1234", "five five five one two three four"),
        ("(555) 123-4567", "five five five | one two three four five six seven"),
        ("1-800-273-8255", "one eight hundred two seven three eight two five five"),
        ("212-555-1234", "two one two five five five one two three four"),
        ("+1-202-555-0123", "plus one two zero two five five five zero one two three"),
        ("1-800-FLOWERS", "one eight hundred flowers"),
        ("020 7946 0958", "zero two zero | seven nine four six | zero nine five eight"),
        ("4111 1111 1111 1111", "four one one one | one one one one | one one one one | one one one one"),
        ("9-1-1", "nine one one"),
        ("911", "nine one one"),
        ("CA 90210", "c a | nine zero two one zero"),
    ]);
}

#[test]
#[rustfmt::skip]
fn codes() {
    check("en", &[
        ("A4", "a four"),
        ("COVID-19", "covid nineteen"),
        ("MP3", "m p three"),
        ("H2O", "h two o"),
        ("B2B", "b two b"),
        ("F-16", "f sixteen"),
        ("A320", "a three twenty"),
        ("B52", "b fifty two"),
        ("Room 101", "room | one oh one"),
        ("Flight 370", "flight | three seventy"),
        ("Route 66", "route | sixty six"),
        ("R2-D2", "r two d two"),
        ("401(k)", "four oh one k"),
        ("Q1", "q one"),
        ("v2.0", "v two point zero"),
        ("2.0.1", "two point zero point one"),
        ("10^6", "ten six"),
    ]);
}

#[test]
#[rustfmt::skip]
fn signs_and_addresses() {
    check("en", &[
        ("@", "at"),
        ("&", "and"),
        ("#5", "number five"),
        ("#winning", "hashtag winning"),
        ("@user", "at user"),
        ("A=B", "a equals b"),
        ("5 @ 10", "five | at | ten"),
        ("user@example.com", "user at example dot com"),
        ("www.example.com", "w w w dot example dot com"),
        ("https://foo.org/a-b?x=1", "foo dot org slash a dash b x equals one"),
        ("index.html", "index dot h t m l"),
    ]);
}

#[test]
#[rustfmt::skip]
fn nothing_is_said() {
    check("en", &[
        ("-", ""),
        ("—", ""),
        ("...", ""),
        ("😀", ""),
        ("♪♪", ""),
        ("™", ""),
    ]);
}

#[test]
#[rustfmt::skip]
fn roman_numerals() {
    check("en", &[
        ("Henry VIII", "henry | the eighth"),
        ("World War II, and", "world | war | two | and"),
        ("Elizabeth II's", "elizabeth | the second's"),
        ("Chapter IV", "chapter | four"),
        ("Louis XIV.", "louis | the fourteenth"),
        ("George V, king", "george | the fifth | king"),
        ("World War I was", "world | war | one | was"),
        ("Malcolm X", "malcolm | x"),
        ("Part V", "part | five"),
        ("Super Bowl LVII", "super | bowl | fifty seven"),
        ("King John, I am", "king | john | i | am"),
    ]);
}

#[test]
#[rustfmt::skip]
fn letters() {
    check("en", &[
        ("don't", "don't"),
        ("rock'n'roll", "rock'n'roll"),
        ("O’Neill", "o'neill"),
        ("well-known", "well known"),
        ("naïve café", "naïve | café"),
        ("'cause", "cause"),
        ("dogs'", "dogs"),
        ("\"hello\"", "hello"),
        ("(yes)", "yes"),
        ("don´t", "don't"),
        ("Straße", "straße"),
    ]);
}

#[test]
#[rustfmt::skip]
fn folded_forms() {
    check("en", &[
        ("１２３", "one hundred and twenty three"),
        ("٣", "three"),
        ("Ⅷ", "viii"),
        ("５％", "five percent"),
        ("5️⃣", "five"),
        ("①", "one"),
        ("１２:３０", "twelve thirty"),
        ("№5", "number five"),
        ("½", "one half"),
    ]);
}

#[test]
#[rustfmt::skip]
fn neighbours_and_rates() {
    check("en", &[
        ("Baker St., London", "baker | street | london"),
        ("4g/day", "four grams per day"),
        ("in °C and", "in | degrees celsius | and"),
        ("100s of", "hundreds | of"),
        ("123-45-6789", "one two three four five six seven eight nine"),
        ("w/ the", "with | the"),
        ("BA2490", "b a twenty four ninety"),
        ("'79", "seventy nine"),
        ("Gen. Lee", "general | lee"),
        ("the rep. said", "the | rep | said"),
        ("vol. 2", "volume | two"),
        ("Sat. is", "sat | is"),
        ("AT&T's", "a t and t's"),
        ("Q&As", "q and as"),
        ("2:00-3:30", "two o'clock to three thirty"),
        ("10½ shoes", "ten and a half | shoes"),
        ("Dec. 5-7", "december | five to seven"),
        ("the U.S.'s", "the | u s's"),
        ("June 5 Ms. Smith", "june | fifth | miz | smith"),
    ]);
}

#[test]
#[rustfmt::skip]
fn names_of_large_numbers() {
    check("en", &[
        ("21,021", "twenty one thousand and twenty one"),
        ("100,100", "one hundred thousand one hundred"),
        ("987,654,321", "nine hundred and eighty seven million six hundred and fifty four thousand three hundred and twenty one"),
        ("3,200,071,016", "three billion two hundred million seventy one thousand and sixteen"),
        ("-418,303", "minus four hundred and eighteen thousand three hundred and three"),
        ("1,000,000,000,000,000", "one quadrillion"),
        ("999,999,999,999,999,999", "nine hundred and ninety nine quadrillion nine hundred and ninety nine trillion nine hundred and ninety nine billion nine hundred and ninety nine million nine hundred and ninety nine thousand nine hundred and ninety nine"),
        ("1,000,000,000,000,000,000", "one zero zero zero zero zero zero zero zero zero zero zero zero zero zero zero zero zero zero"),
    ]);
}
