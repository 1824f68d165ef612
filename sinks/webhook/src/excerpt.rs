//! What may be shown of an answer's body.
//!
//! A receiver's answer tells best why it refused a change, and may repeat the change while it does.
//! Row values never stand in an error, so every word that was sent is taken out again, unless it is
//! the name of a column or of the table.

use cdc_core::TableSchema;

/// So much of an answer is read.
pub(crate) const ANSWER_BYTES_MAX: usize = 4 << 10;
/// So much of it is shown.
const SHOWN_CHARACTERS_MAX: usize = 200;
/// Words are not looked for in a longer request, and then nothing is shown.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Shorter words without a digit tell nothing.
const WORD_LETTERS_MIN: usize = 3;

/// `: "…"` with the front of the answer, or nothing where there is nothing to show.
pub(crate) fn excerpt(answer: &[u8], request: &[u8], schema: &TableSchema) -> String {
    if request.len() > REQUEST_BYTES_MAX {
        return String::new();
    }
    let text = String::from_utf8_lossy(answer);
    let mut shown = String::new();
    let mut word = String::new();
    let mut rest = text.chars().take(SHOWN_CHARACTERS_MAX);
    loop {
        let next = rest.next();
        if let Some(letter) = next.filter(|letter| letter.is_alphanumeric() || *letter == '_') {
            word.push(letter);
            continue;
        }
        shown.push_str(if is_shown(&word, request, schema) { &word } else { "***" });
        word.clear();
        match next {
            Some(other) if other.is_control() => shown.push(' '),
            Some(other) => shown.push(other),
            None => break,
        }
    }
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    if shown.is_empty() { shown } else { format!(": {shown:?}") }
}

fn is_shown(word: &str, request: &[u8], schema: &TableSchema) -> bool {
    let has_digit = word.chars().any(char::is_numeric);
    if word.is_empty() || !has_digit && word.chars().count() < WORD_LETTERS_MIN {
        return true;
    }
    let is_name = schema.columns.iter().any(|column| column.name == word)
        || schema.table.name == word
        || schema.table.namespace == word;
    is_name || !contains_ignoring_case(request, word.as_bytes())
}

fn contains_ignoring_case(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len().max(1)).any(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::{Column, DataType, TableId};
    use proptest::prelude::*;

    fn schema() -> TableSchema {
        TableSchema {
            table: TableId::new("public", "users"),
            dialect: "postgres".to_owned(),
            columns: vec![Column {
                name: "email".to_owned(),
                data_type: DataType::Text,
                native_type: "text".to_owned(),
                nullable: true,
                number: None,
                missing: None,
                default: None,
            }],
            key: Vec::new(),
            number: None,
        }
    }

    #[test]
    fn words_that_were_sent_are_taken_out() {
        let request = br#"{"email":"ann@example.com","age":42,"note":"Ok"}"#;
        for (answer, expected) in [
            ("", ""),
            (" \n\t ", ""),
            ("email is missing", ": \"email is missing\""),
            ("no user 42", ": \"no user ***\""),
            ("bad value 'Ann@example.com' for email", ": \"bad value '***@***.***' for email\""),
            ("line\nbreak\u{7}", ": \"line break\""),
        ] {
            assert_eq!(excerpt(answer.as_bytes(), request, &schema()), expected, "{answer:?}");
        }
    }

    #[test]
    fn a_long_answer_is_cut_and_a_long_request_keeps_it_back() {
        let answer = "why ".repeat(500);
        assert!(excerpt(answer.as_bytes(), b"", &schema()).len() < SHOWN_CHARACTERS_MAX + 10);
        assert_eq!(excerpt(b"why", &vec![0; REQUEST_BYTES_MAX + 1], &schema()), "");
    }

    proptest! {
        #[test]
        fn no_word_of_the_request_is_shown(word in "[a-z]{3,12}", around in "[ -~]{0,20}") {
            prop_assume!(!["email", "users", "public"].contains(&word.as_str()));
            let shown = excerpt(format!("{around} {word}").as_bytes(), word.as_bytes(), &schema());
            let same = |found: &str| found.eq_ignore_ascii_case(&word);
            prop_assert!(!shown.split(|c: char| !c.is_alphanumeric() && c != '_').any(same));
        }
    }
}
