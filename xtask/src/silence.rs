//! Ends what hangs: a run that stands still must not look like one that is slow.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::fs;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Waits until `heard` is closed. Whenever it brings nothing for longer than the limit, the programs that
/// the parent runs are ended, after `tell` was called.
pub(crate) fn end_what_hangs(
    (parent, limit): (u32, Duration),
    heard: &Receiver<()>,
    tell: impl Fn(),
) {
    loop {
        match heard.recv_timeout(limit) {
            Ok(()) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                tell();
                // Cargo itself goes on with the next suite.
                for program in children_of(parent) {
                    if let Err(error) = kill_process(program, Signal::KILL) {
                        println!("process {program:?} cannot be ended: {error}");
                    }
                }
            }
        }
    }
}

/// The programs that any thread of a process has started.
fn children_of(parent: u32) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten();
    let listed =
        threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let listed: Vec<String> = listed.collect();
    let numbers = listed.iter().flat_map(|line| line.split_whitespace());
    numbers.filter_map(|number| Pid::from_raw(number.parse().ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn only_what_the_parent_runs_is_its_own() {
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let children = children_of(std::process::id());
        let named = children.contains(&pid);
        kill_process(pid, Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(named, "{children:?}");
    }
}
