use crate::{open, records, verify_numbered};
use cdc_core::Transport;
use cdc_transport_embedded::{ByteSize, Config};
use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
};

const DIR: &str = "EMBEDDED_LOG_CRASH_DIR";

fn config() -> Config {
    Config { segment_bytes: ByteSize(128 << 10), ..Config::default() }
}

/// The process that is killed. It prints the end offset of each receipt as it resolves.
#[tokio::test]
#[ignore = "child: started by the test below"]
async fn child_appends_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let log = open(Path::new(&dir), config()).await;
    let mut next = log.end(log.partition()).await.unwrap().0;
    let mut receipts = VecDeque::new();
    loop {
        let count = 1 + next % 700;
        receipts.push_back(log.append(log.partition(), records(next..next + count)).await.unwrap());
        next += count;
        while receipts.len() > 20 {
            let end = receipts.pop_front().unwrap().0.await.unwrap().unwrap();
            println!("acknowledged {end}");
            std::io::stdout().flush().unwrap();
        }
    }
}

/// Lets the child run until it has acknowledged so many appends, kills it, and returns the last
/// offset that it acknowledged.
fn run_and_kill(dir: &Path, appends: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::child_appends_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = 0;
    let mut seen = 0;
    while seen < appends {
        let line = lines.next().expect("the child ended by itself").unwrap();
        if let Some(end) = line.strip_prefix("acknowledged ") {
            last = end.parse().unwrap();
            seen += 1;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it printed before it died counts as well.
    for line in lines.map_while(Result::ok) {
        if let Some(end) = line.strip_prefix("acknowledged ")
            && let Ok(end) = end.parse()
        {
            last = end;
        }
    }
    last
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..12 {
        let acknowledged = run_and_kill(dir.path(), 1 + round * 7 % 40);
        let log = open(dir.path(), config()).await;
        let kept = verify_numbered(&log).await;
        assert!(kept >= acknowledged, "round {round}: {kept} of {acknowledged}");
    }
}
