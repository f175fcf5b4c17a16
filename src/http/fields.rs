//! Fields of a form as values of a type, with every error of the form gathered, in pydantic's words.

use std::{fmt::Display, ops::RangeInclusive};

use super::{
    failure::{Failure, FieldError},
    form::Form,
};

/// The longest piece of a caller's own text that an error repeats.
const QUOTED: usize = 40;

/// Reads typed fields. A field that is absent, empty or wrong gives `None`; [`Fields::finish`] tells all that is wrong.
#[derive(Debug)]
pub struct Fields<'a> {
    form: &'a Form,
    wrong: Vec<FieldError>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(form: &'a Form) -> Self {
        Self { form, wrong: Vec::new() }
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.raw(name).map(str::to_owned)
    }

    /// All texts under `name` and `name[]`.
    pub fn texts(&mut self, name: &str) -> Vec<String> {
        self.refuse_files(name);
        self.form.texts(name).into_iter().map(str::to_owned).collect()
    }

    /// A truth value as pydantic takes it: true/false, 1/0, yes/no, on/off, t/f, y/n in any case.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let text = self.raw(name)?;
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
            "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
            _ => {
                self.refuse(name, "Input should be a valid boolean, unable to interpret input", "bool_parsing");
                None
            }
        }
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, name: &str, bounds: RangeInclusive<i64>) -> Option<i64> {
        let text = self.raw(name)?.trim();
        // Pydantic takes 4.0 for 4.
        let whole =
            text.split_once('.').filter(|(_, rest)| !rest.is_empty() && rest.bytes().all(|digit| digit == b'0'));
        match whole.map_or(text, |(whole, _)| whole).parse() {
            Ok(number) => self.within(name, number, &bounds),
            Err(_) => {
                let message = "Input should be a valid integer, unable to parse string as an integer";
                self.refuse(name, message, "int_parsing");
                None
            }
        }
    }

    /// A finite number within bounds.
    pub fn number(&mut self, name: &str, bounds: RangeInclusive<f64>) -> Option<f64> {
        match self.raw(name)?.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => self.within(name, number, &bounds),
            Ok(_) => {
                self.refuse(name, "Input should be a finite number", "finite_number");
                None
            }
            Err(_) => {
                let message = "Input should be a valid number, unable to parse string as a number";
                self.refuse(name, message, "float_parsing");
                None
            }
        }
    }

    /// One of several words; upper and lower case are the same.
    pub fn choice<T: Clone>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.raw(name)?.trim();
        let chosen = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, value)| value.clone());
        if chosen.is_none() {
            let words: Vec<String> = choices.iter().map(|(word, _)| format!("'{word}'")).collect();
            let message = match words.as_slice() {
                [before @ .., last] if !before.is_empty() => format!("Input should be {} or {last}", before.join(", ")),
                words => format!("Input should be {}", words.concat()),
            };
            self.refuse(name, message, "literal_error");
        }
        chosen
    }

    /// Anything that a text can be read as; the error is told to the caller.
    pub fn parse<T, E: Display>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        match read(self.raw(name)?) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.refuse(name, format!("Value error, {reason}"), "value_error");
                None
            }
        }
    }

    /// Notes that a field must be there, as text or as file.
    pub fn require(&mut self, name: &str) {
        let told = self.wrong.iter().any(|wrong| wrong.field == name);
        if !told && self.form.texts(name).is_empty() && !self.form.has_file(name) && !self.form.is_misplaced(name) {
            self.refuse(name, "Field required", "missing");
        }
    }

    /// Notes an error of a field; `kind` is pydantic's name for it, `value_error` where it has none.
    pub fn refuse(&mut self, name: &str, message: impl Into<String>, kind: &'static str) {
        self.wrong.push(FieldError { place: self.form.place(), field: name.to_owned(), message: message.into(), kind });
    }

    /// Whether nothing is wrong so far.
    pub fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// All errors of the form, when there are any.
    pub fn finish(self) -> Result<(), Failure> {
        if self.wrong.is_empty() { Ok(()) } else { Err(self.failure()) }
    }

    /// The errors noted so far.
    pub(super) fn failure(self) -> Failure {
        Failure::fields(self.wrong)
    }

    fn raw(&mut self, name: &str) -> Option<&'a str> {
        self.refuse_files(name);
        self.form.text(name)
    }

    fn refuse_files(&mut self, name: &str) {
        if self.form.is_misplaced(name) {
            self.refuse(name, "Input should be a valid string, not a file", "string_type");
        }
    }

    fn within<T: PartialOrd + Display>(&mut self, name: &str, value: T, bounds: &RangeInclusive<T>) -> Option<T> {
        if value < *bounds.start() {
            let message = format!("Input should be greater than or equal to {}", bounds.start());
            self.refuse(name, message, "greater_than_equal");
            None
        } else if value > *bounds.end() {
            self.refuse(name, format!("Input should be less than or equal to {}", bounds.end()), "less_than_equal");
            None
        } else {
            Some(value)
        }
    }
}

/// A caller's own text as an error may repeat it: short, on one line.
pub fn quoted(text: &str) -> String {
    let line: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    match line.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("'{}...'", &line[..end]),
        None => format!("'{line}'"),
    }
}
