//! Standard output: what a command answers.

use crate::failure::{Failure, Outcome};
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};

/// Prints text and a line end.
pub(crate) fn say(text: impl AsRef<str>) -> Outcome {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_ref().as_bytes()).and_then(|()| out.write_all(b"\n"));
    written.and_then(|()| out.flush()).map_err(failed)
}

/// Prints JSON, spread over lines for people on a terminal.
pub(crate) fn say_json(value: &impl Serialize) -> Outcome {
    let text = if is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    say(text.unwrap_or_default())
}

/// Does a person look at standard output?
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

fn failed(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::OutputClosed;
    }
    let remedy = "check where the output goes: a full disk, a closed pipe";
    Failure::file("CDC-0110", "standard output cannot be written", remedy, error)
}

/// Lines up cells in columns, two spaces apart; the last column is left as it is.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let lines = rows.iter().map(|row| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let gap = width.saturating_sub(cell.chars().count()) + 2;
            line.push_str(cell);
            line.push_str(&" ".repeat(gap));
        }
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A whole number with its thousands apart: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A span of time in its two largest units: `2 h 3 min`.
pub(crate) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10 => format!("{milliseconds} ms"),
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_read_well() {
        for (number, expected) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), expected);
        }
        for (milliseconds, expected) in [
            (12, "12 ms"),
            (59_999, "59 s"),
            (61_000, "1 min 1 s"),
            (7_380_000, "2 h 3 min"),
            (180_000_000, "2 d 2 h"),
        ] {
            assert_eq!(duration(milliseconds), expected);
        }
    }

    #[test]
    fn cells_line_up() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text = table(&[row(["SINK", "STATE", "X"]), row(["ü", "running", ""])]);
        assert_eq!(text, "SINK  STATE    X\nü     running");
    }
}
