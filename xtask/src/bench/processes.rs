//! What the kernel tells about processes: whether they run, what they computed, how much memory they
//! have.

use std::collections::BTreeMap;

// The kernel counts in hundredths of a second towards user space, whatever its own clock.
const TICKS_A_SECOND: f64 = 100.0;

/// Whether the process is gone or only waits to be waited for.
pub(super) fn has_ended(process: u32) -> bool {
    stat(process).is_none_or(|stat| stat.state == "Z")
}

/// Seconds of the processor that the process used, with the children that it has waited for.
pub(super) fn cpu_seconds(process: u32) -> Option<f64> {
    Some(stat(process)?.cpu_seconds)
}

/// The same for the process with everything below it.
pub(super) fn tree_cpu_seconds(root: u32) -> f64 {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: BTreeMap<u32, Stat> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|process| Some((process, stat(process)?)))
        .collect();
    sum_below(&all, root)
}

/// The most memory that the process ever had at a time.
pub(super) fn memory_bytes_peak(process: u32) -> Option<u64> {
    memory(process, "VmHWM:")
}

/// The memory that the process has.
pub(super) fn memory_bytes(process: u32) -> Option<u64> {
    memory(process, "VmRSS:")
}

#[derive(Debug, PartialEq)]
struct Stat {
    state: String,
    parent: u32,
    cpu_seconds: f64,
}

fn stat(process: u32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The command's name may hold blanks and parentheses; what follows it does not.
    let (_, after) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    // The user's and the system's time, its own and that of its children.
    let ticks = fields.get(11..15)?.iter().map(|ticks| ticks.parse::<f64>());
    Some(Stat {
        state: (*fields.first()?).to_owned(),
        parent: fields.get(1)?.parse().ok()?,
        cpu_seconds: ticks.sum::<Result<f64, _>>().ok()? / TICKS_A_SECOND,
    })
}

fn sum_below(all: &BTreeMap<u32, Stat>, root: u32) -> f64 {
    let own = all.get(&root).map_or(0.0, |stat| stat.cpu_seconds);
    let children = all.iter().filter(|(process, stat)| stat.parent == root && **process != root);
    own + children.map(|(child, _)| sum_below(all, *child)).sum::<f64>()
}

fn memory(process: u32, name: &str) -> Option<u64> {
    parse_memory(&std::fs::read_to_string(format!("/proc/{process}/status")).ok()?, name)
}

fn parse_memory(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::{Stat, parse_memory, parse_stat, sum_below};

    #[test]
    fn times_of_a_process_and_its_children_add_up() {
        let text = "7 (a (b) c) S 3 7 7 0 -1 4194560 9 9 0 0 150 50 20 5 20 0 4 0 1 2 3\n";
        let wanted = Stat { state: "S".to_owned(), parent: 3, cpu_seconds: 2.25 };
        assert_eq!(parse_stat(text), Some(wanted));
        assert_eq!(parse_stat("7 (a) S 3"), None);
    }

    #[test]
    fn a_tree_is_everything_below_its_root() {
        let stat = |parent, cpu_seconds| Stat { state: "S".to_owned(), parent, cpu_seconds };
        let all = [(1, stat(0, 8.0)), (2, stat(1, 1.0)), (3, stat(2, 0.5)), (4, stat(1, 4.0))];
        let all = all.into_iter().collect();
        assert!((sum_below(&all, 2) - 1.5).abs() < 1e-9);
        assert!((sum_below(&all, 1) - 13.5).abs() < 1e-9);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t  1024 kB\n";
        assert_eq!(parse_memory(text, "VmHWM:"), Some(2_097_152));
        assert_eq!(parse_memory(text, "VmSwap:"), None);
    }
}
