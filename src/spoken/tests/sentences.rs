//! English sentences full of numbers, prices, dates and abbreviations: no word stays unspoken.

use super::read;

#[rustfmt::skip]
const SENTENCES: [&str; 50] = [
    "On March 3, 2024, Dr. Smith paid $3.50 for 2 cups of coffee at 7:30 a.m.",
    "The U.S. deficit hit $1.7 trillion in FY2023, up 23% from $1.38 trillion.",
    "Call +1 (555) 123-4567 or 1-800-273-8255 between 9am and 5:30pm, Mon.-Fri.",
    "In 1984 about 1,234,567 people lived there; by 2005 it was 2.5M.",
    "He ran the 100m in 9.58s and the 200m in 19.19s on Aug. 20, 2009.",
    "Flight BA2490 leaves gate B32 at 14:05 and lands at 22:45 GMT+1.",
    "St. Patrick's Cathedral is at 460 Madison Ave., between 50th and 51st St.",
    "The iPhone 15 Pro Max has 256GB of storage and costs £1,199.99.",
    "Mix 1/2 cup of sugar with 3/4 tsp of salt and 2 1/4 cups of flour at 350°F.",
    "World War II ended in 1945, when Henry VIII's palace was 400 years old.",
    "AT&T, IBM and NASA signed a $50m, 10-year deal w/ the FBI.",
    "She's 5'11\" and weighs 140 lbs, i.e. 63.5 kg.",
    "Prices rose 5-10% in the 1970s, 12.5% in '79 and 20%+ in the early '80s.",
    "The ratio was 3:1 in Q1, 2:1 in Q2 and 50/50 by the 3rd quarter.",
    "E-mail john.doe99@example.com or visit www.example.com/help for v2.0.1.",
    "COVID-19 vaccines were 95% effective after the 2nd dose, vs. 52% after the 1st.",
    "The train does 300km/h, i.e. 186 mph, over 1,069 km.",
    "No. 5 on the list is \"99 Luftballons\" by Nena (1983).",
    "Mr. & Mrs. Jones live at 221B Baker St., London NW1 6XE.",
    "Room 101 is on the 10th floor; dial ext. 4021 or #0 for help.",
    "The S&P 500 fell 1.2% to 4,137.64, its lowest since 3/15/2020.",
    "At 6'2\", 220 lbs, No. 23 scored 37 points in Game 7.",
    "It's 24/7, 365 days a year, for $9.99/month or $99/yr.",
    "The asteroid (433 Eros) passed within 0.15 AU on Jan. 31, 2012.",
    "Louis XIV reigned from 1643 to 1715, i.e. 72 years and 110 days.",
    "€20 is about £17, ¥3,200 or $21.75 as of 2024-03-21.",
    "He's the 1st, 2nd and 3rd choice of 99.9% of the 18-24s.",
    "Take 2 x 500mg every 4-6 hrs, max. 4g/day.",
    "My P.O. Box is 1234, zip CA 90210, SSN 123-45-6789.",
    "The GDP per capita was $63,500 in 2020 & $70,249 in 2021.",
    "Section 8(a), Art. 5, para. 3 of the EU's GDPR applies @ 100%.",
    "At -40° it's the same in °C and °F, etc.",
    "The 7-Eleven on 5th & Main sells 2L Coke for $2.49.",
    "Windows 11 needs 4GB RAM, a 1GHz CPU and a 720p display.",
    "She got an A+ in CS101, a B- in MATH 202 and 3.9 GPA.",
    "The 2:30 pm show costs $12.50; kids under 12 pay 1/2.",
    "Apollo 11 landed on July 20th, 1969 at 20:17:40 UTC.",
    "Over 9,000 fans saw the 3-2 win on Sept. 9, '23.",
    "I've 1,000s of CDs, 100s of DVDs and 1 LP from 1968.",
    "Sgt. Pepper's came out in '67, the White Album in '68.",
    "It's 10 p.m. EST, 7 p.m. PST, 03:00 GMT.",
    "Version 3.11 fixed 1,500+ bugs, #4321 among them.",
    "The I-95, US-1 and Route 66 were closed for 2½ hrs.",
    "H2O boils at 100°C, 212°F or 373.15K.",
    "Prof. X owns 1/3 of Acme Inc., worth approx. $2.3bn.",
    "R2-D2 and C-3PO met in Episode IV, not in Part I.",
    "9 out of 10 dentists, i.e. 90%, use 3-in-1 paste.",
    "Mt. Everest is 8,849 m (29,032 ft) high.",
    "He earned $100k in 2010, $250K in 2015 and $1.2M in 2020.",
    "The B-52 flew at 650mph, 50,000ft up, on 9/11 at 8:46 a.m.",
];

#[test]
fn every_word_of_the_sentences_is_said_in_letters() {
    for sentence in SENTENCES {
        for (word, spoken) in sentence.split(' ').zip(read(sentence, "en")) {
            let letters = |said: &String| said.bytes().all(|b| b.is_ascii_lowercase() || b == b'\'');
            assert!(!spoken.words.is_empty(), "nothing is said for {word:?} in {sentence:?}");
            assert!(spoken.words.iter().all(letters), "{word:?} in {sentence:?} gives {:?}", spoken.words);
        }
    }
}
