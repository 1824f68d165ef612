//! What the demo shows while it runs: one block redrawn on a terminal, lines elsewhere.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::time::Instant;

use super::pipeline::Status;

const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// Draws progress and lag.
pub(super) struct Screen {
    terminal: bool,
    drawn: usize,
    began: Instant,
    last_line: Option<Instant>,
}

impl Screen {
    /// An empty screen.
    pub(super) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { terminal, drawn: 0, began: Instant::now(), last_line: None }
    }

    /// A line that stays.
    pub(super) fn say(&mut self, what: &str) {
        self.end();
        println!("{:>5.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    /// Leaves the block as it is; what comes next goes below it.
    pub(super) fn end(&mut self) {
        self.drawn = 0;
        self.last_line = None;
    }

    /// Shows the newest numbers.
    pub(super) fn show(&mut self, status: Option<&Status>, transactions: u64, requests: u64) {
        if self.terminal {
            let block = block(status, transactions, requests);
            let mut out = String::new();
            if self.drawn > 0 {
                write!(out, "\x1b[{}A\x1b[0J", self.drawn).expect("a string takes every write");
            }
            out.push_str(&block);
            self.drawn = block.lines().count();
            print!("{out}");
            std::io::stdout().flush().ok();
        } else if self.last_line.is_none_or(|at| at.elapsed() >= LINE_INTERVAL) {
            self.last_line = Some(Instant::now());
            let elapsed = self.began.elapsed().as_secs_f64();
            println!("{elapsed:>5.1} s  {}", line(status, transactions));
        }
    }
}

fn block(status: Option<&Status>, transactions: u64, requests: u64) -> String {
    let mut text = format!("\n         shop       {transactions:>8} transactions\n");
    let Some(status) = status else {
        text.push_str("         cdc        does not run\n");
        return text;
    };
    let mut add = |line: String| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    let behind = status.source.lag_bytes.unwrap_or(0);
    add(format!("         source     {:<12} {behind:>10} bytes behind", status.source.state));
    for sink in &status.sinks {
        let seen =
            if sink.sink_id == "webhook" { format!("{requests} requests") } else { String::new() };
        add(format!(
            "         {:<10} {:<12} {:>10} delivered {} {:>7} to go {:>6} ms behind   {seen}",
            sink.sink_id,
            sink.status,
            sink.delivered,
            bar(sink.delivered, sink.lag_records),
            sink.lag_records,
            sink.lag_ms,
        ));
    }
    text
}

fn line(status: Option<&Status>, transactions: u64) -> String {
    let Some(status) = status else {
        return format!("shop {transactions} transactions; cdc does not answer");
    };
    let mut text = format!("shop {transactions} transactions; source {}", status.source.state);
    for sink in &status.sinks {
        let (delivered, to_go) = (sink.delivered, sink.lag_records);
        write!(text, "; {} {delivered} delivered, {to_go} to go", sink.sink_id)
            .expect("a string takes every write");
    }
    text
}

fn bar(done: u64, to_go: u64) -> String {
    const WIDTH: u64 = 20;
    let filled = done.saturating_mul(WIDTH).checked_div(done.saturating_add(to_go)).unwrap_or(0);
    (0..WIDTH).map(|at| if at < filled { '█' } else { '░' }).collect()
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn the_bar_is_as_full_as_the_work_is_done() {
        let filled = |done, to_go| bar(done, to_go).chars().filter(|c| *c == '█').count();
        assert_eq!([filled(0, 0), filled(0, 9), filled(5, 5), filled(9, 0)], [0, 0, 10, 20]);
    }
}
