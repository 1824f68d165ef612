//! What is wrong with a configuration file, and how that is shown.

use serde_json::{Value, json};
use std::fmt;

/// A place in a configuration file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters to underline; at least 1.
    pub length: usize,
}

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Code with a page in `docs/errors/`.
    pub code: &'static str,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where, when it is somewhere.
    pub span: Option<Span>,
    /// What to do.
    pub remedy: Option<String>,
}

impl Diagnostic {
    /// Starts a diagnostic.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span: None, remedy: None }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// A configuration file that cannot be used: all its problems with their places.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file as the user named it.
    pub file: String,
    /// The problems in the order of their places; never empty.
    pub problems: Vec<Diagnostic>,
    /// The lines that the problems point at, with secrets masked: (line, text).
    lines: Vec<(usize, String)>,
}

impl ConfigError {
    /// Collects problems found in `text`.
    #[must_use]
    pub fn new(file: impl Into<String>, text: &str, mut problems: Vec<Diagnostic>) -> Self {
        problems.sort_by_key(|problem| problem.span.map_or((0, 0), |at| (at.line, at.column)));
        problems.dedup();
        let wanted: Vec<usize> =
            problems.iter().filter_map(|problem| problem.span.map(|at| at.line)).collect();
        let lines = (1..)
            .zip(text.lines())
            .filter(|(number, _)| wanted.contains(number))
            .map(|(number, line)| (number, masked(line)))
            .collect();
        Self { file: file.into(), problems, lines }
    }

    /// Names the file that the text came from.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = file.into();
        self
    }

    /// The problems as JSON, for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let problems = self.problems.iter().map(|problem| {
            json!({
                "code": problem.code,
                "message": problem.message,
                "file": self.file,
                "line": problem.span.map(|at| at.line),
                "column": problem.span.map(|at| at.column),
                "remedy": problem.remedy,
            })
        });
        Value::Array(problems.collect())
    }

    fn show(&self, f: &mut fmt::Formatter<'_>, problem: &Diagnostic) -> fmt::Result {
        writeln!(f, "error[{}]: {}", problem.code, problem.message)?;
        match problem.span {
            None => writeln!(f, "  --> {}", self.file)?,
            Some(at) => {
                let number = at.line.to_string();
                let margin = " ".repeat(number.len());
                writeln!(f, "{margin} --> {}:{}:{}", self.file, at.line, at.column)?;
                if let Some((_, line)) = self.lines.iter().find(|(line, _)| *line == at.line) {
                    let indent: String = line
                        .chars()
                        .take(at.column.saturating_sub(1))
                        .map(|c| if c == '\t' { '\t' } else { ' ' })
                        .collect();
                    let room = line.chars().count().saturating_sub(at.column - 1).max(1);
                    let carets = "^".repeat(at.length.clamp(1, room));
                    writeln!(f, "{margin} |")?;
                    writeln!(f, "{number} | {line}")?;
                    writeln!(f, "{margin} | {indent}{carets}")?;
                }
            }
        }
        if let Some(remedy) = &problem.remedy {
            writeln!(f, "help: {remedy}")?;
        }
        writeln!(f, "more: cdc explain {}", problem.code)
    }
}

/// All problems, each with its snippet.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            self.show(f, problem)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}

/// Words that mark the text behind them as secret, in lower case with `_` for `-`.
const SECRET_WORDS: [&str; 10] = [
    "password",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "credential",
    "authorization",
    "cookie",
    "url",
];

/// Does a key of this name hold a secret?
#[must_use]
pub(crate) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// The line without what may be secret: everything behind a secret's key, and the user part of URLs.
fn masked(line: &str) -> String {
    /// Longer lines are cut: no terminal shows them, and a file may be one line.
    const CHARS_MAX: usize = 160;
    let plain = line.to_ascii_lowercase().replace('-', "_");
    let secret = SECRET_WORDS.iter().filter_map(|word| plain.find(word)).min();
    let colon = secret.and_then(|at| plain.get(at..)?.find(':').map(|colon| at + colon));
    let shown = match colon.and_then(|colon| line.get(..=colon)) {
        Some(head) => format!("{head} ***"),
        None => mask_user_info(line),
    };
    if shown.chars().count() <= CHARS_MAX {
        return shown;
    }
    shown.chars().take(CHARS_MAX).chain("…".chars()).collect()
}

fn mask_user_info(line: &str) -> String {
    let Some((scheme, rest)) = line.split_once("://") else { return line.to_owned() };
    let end = rest.find(['/', ' ', '"', '\'']).unwrap_or(rest.len());
    let user_info = rest.get(..end).and_then(|authority| authority.rfind('@'));
    match user_info.and_then(|at| rest.get(at..)) {
        Some(host) => format!("{scheme}://***{host}"),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_secrets_in_snippets() {
        for (line, expected) in [
            ("  password: hunter2", "  password: ***"),
            ("  X-Api-Key: abc # x", "  X-Api-Key: ***"),
            ("s: {user: a, auth_token: b, port: 1}", "s: {user: a, auth_token: ***"),
            ("url: https://hooks.example/T0/secret", "url: ***"),
            ("at: https://me:pw@host/x", "at: https://***@host/x"),
            ("at: https://host/x@y", "at: https://host/x@y"),
            ("host: db", "host: db"),
        ] {
            assert_eq!(masked(line), expected);
        }
    }

    #[test]
    fn underlines_the_place() {
        let at = Span { line: 2, column: 3, length: 99 };
        let problem = Diagnostic::new("CDC-0103", "unknown key `hsot`")
            .at(at)
            .with_remedy("did you mean `host`?");
        let error = ConfigError::new("p.yaml", "source:\n  hsot: a\n", vec![problem]);
        assert_eq!(
            error.to_string(),
            "error[CDC-0103]: unknown key `hsot`\n  --> p.yaml:2:3\n  |\n2 |   hsot: a\n  |   ^^^^^^^\n\
             help: did you mean `host`?\nmore: cdc explain CDC-0103\n"
        );
    }
}
