//! Reads and writes SegLST: who says what and when, a JSON list of `{speaker, start_time, end_time, words}`, as MeetEval
//! and the CHiME challenges have it.

use serde::{Deserialize, Serialize};

use super::Statement;
use crate::{
    error::{Error, Result},
    span::Span,
};

/// What a field may hold: CHiME writes numbers as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Number(f64),
    Text(String),
}

impl Value {
    fn text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }

    fn seconds(self) -> Option<f64> {
        let number = match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => text.trim().parse().ok(),
        };
        number.filter(|number: &f64| number.is_finite() && *number >= 0.0)
    }
}

#[derive(Deserialize)]
struct Row {
    session_id: Option<String>,
    speaker: Value,
    #[serde(alias = "start")]
    start_time: Value,
    #[serde(alias = "end")]
    end_time: Value,
    #[serde(alias = "text")]
    words: String,
}

#[derive(Serialize)]
struct Written<'a> {
    session_id: &'a str,
    speaker: &'a str,
    start_time: f64,
    end_time: f64,
    words: &'a str,
}

/// What is said in the recording `name`: all that the file holds, or where it holds several sessions, the one of this name.
/// `start`, `end` and `text` may stand for `start_time`, `end_time` and `words`; other fields are passed over.
///
/// # Errors
/// [`Error::Request`] for anything else than such a list, naming the entry where it is one of them.
pub fn statements_of(name: &str, json: &str) -> Result<Vec<Statement>> {
    let rows: Vec<Row> = serde_json::from_str(json).map_err(|reason| {
        Error::Request(format!("it is no SegLST, a JSON list of {{speaker, start_time, end_time, words}} ({reason})"))
    })?;
    let several = rows.windows(2).any(|two| two[0].session_id != two[1].session_id);
    if several && !rows.iter().any(|row| row.session_id.as_deref() == Some(name)) {
        return Err(Error::Request(format!("it holds several sessions and none of them is called {name}")));
    }
    let own = |(_, row): &(usize, Row)| !several || row.session_id.as_deref() == Some(name);
    rows.into_iter().enumerate().filter(own).map(|(index, row)| statement(index, row)).collect()
}

fn statement(index: usize, row: Row) -> Result<Statement> {
    let (start, end) = (row.start_time.seconds(), row.end_time.seconds());
    let (Some(start), Some(end)) = (start, end) else {
        return Err(Error::Request(format!("entry {} has a time that is no number of seconds from 0 up", index + 1)));
    };
    Ok(Statement { span: Span::new(start, end), speaker: row.speaker.text(), text: row.words })
}

/// The statements of the recording `name` as SegLST, one to a line, times to the millisecond.
pub fn render(name: &str, statements: &[Statement]) -> String {
    let row = |statement: &Statement| {
        let Statement { span, speaker, text } = statement;
        let milliseconds = |seconds: f64| (seconds * 1e3).round() / 1e3;
        let (start_time, end_time) = (milliseconds(span.start), milliseconds(span.end));
        let row = Written { session_id: name, speaker, start_time, end_time, words: text };
        serde_json::to_string(&row).unwrap_or_default()
    };
    let rows: Vec<String> = statements.iter().map(row).collect();
    format!("[\n{}\n]\n", rows.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let statement = |start, speaker: &str, text: &str| Statement {
            span: Span::new(start, start + 1.5),
            speaker: speaker.into(),
            text: text.into(),
        };
        let statements = [statement(0.25, "anna", "Say \"hello\"."), statement(3.0, "bert", "Hé.")];
        assert_eq!(statements_of("talk", &render("talk", &statements)).unwrap(), statements);
        assert_eq!(statements_of("talk", &render("talk", &[])).unwrap(), []);
    }

    #[test]
    fn numbers_as_text_and_short_names_are_read() {
        let json = r#"[{"speaker": 7, "start": "0.5", "end": 2, "text": "so", "ref": "U01"}]"#;
        let expected = Statement { span: Span::new(0.5, 2.0), speaker: "7".into(), text: "so".into() };
        assert_eq!(statements_of("talk", json).unwrap(), [expected]);
    }

    #[test]
    fn of_several_sessions_the_named_one_is_taken() {
        let row = |session: &str| {
            format!(
                r#"{{"session_id": "{session}", "speaker": "{session}", "start_time": 0, "end_time": 1, "words": "x"}}"#
            )
        };
        let json = format!("[{}, {}]", row("a"), row("b"));
        assert_eq!(statements_of("b", &json).unwrap().len(), 1);
        assert_eq!(statements_of("b", &json).unwrap()[0].speaker, "b");
        assert!(statements_of("c", &json).unwrap_err().to_string().contains("none of them is called c"));
        assert_eq!(statements_of("c", &format!("[{}]", row("a"))).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_list_of_statements_is_refused() {
        let refused = |json: &str| statements_of("talk", json).unwrap_err().to_string();
        assert!(refused("{}").starts_with("it is no SegLST"));
        assert!(refused(r#"[{"speaker": "a"}]"#).contains("start_time"));
        let bad = r#"[{"speaker": "a", "start_time": "soon", "end_time": 1, "words": "x"}]"#;
        assert_eq!(refused(bad), "entry 1 has a time that is no number of seconds from 0 up");
    }
}
