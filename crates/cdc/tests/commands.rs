//! The built program, where no database is needed.

use serde_json::Value;
use std::{
    fs,
    io::Read as _,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

fn cdc(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cdc"));
    command.args(args).current_dir(folder);
    for name in ["CDC_PLATFORM_CONFIG", "CDC_DATA_DIR", "RUST_LOG", "CDC_LOG_FORMAT", "DB_PW"] {
        command.env_remove(name);
    }
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    cdc(folder, args).output().expect("the program starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with a valid pipeline file whose source nobody serves.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let pipeline = "pipeline_id: shop\nsource: {host: 127.0.0.1, port: 9, database: shop, connect_timeout_seconds: 1}\n\
                    sinks: [{sink_id: out, sink_type: file, file: {path: out.jsonl}}]\n";
    fs::write(folder.path().join("p.yaml"), pipeline).expect("written");
    fs::write(folder.path().join("off.yaml"), "rest: {health_enabled: false}\n").expect("written");
    folder
}

/// A process that is killed when the test is over.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Starts a run and waits until it has announced itself in its lock file.
fn running(folder: &Path, args: &[&str]) -> (Running, Value) {
    let mut command = cdc(folder, &[&["run", "p.yaml"], args].concat());
    let child = Running(command.stderr(Stdio::piped()).spawn().expect("the program starts"));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = fs::read_to_string(folder.join("cdc-data/shop/lock")).unwrap_or_default();
        let holder: Value = serde_json::from_str(&text).unwrap_or_default();
        let served = args.contains(&"off.yaml") || holder["http"].is_string();
        if holder["pid"] == child.0.id() && served {
            return (child, holder);
        }
        assert!(Instant::now() < deadline, "the pipeline does not start: {text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The status as `cdc status` tells it, once the running pipeline has tried its source in vain.
fn status_once_the_source_failed(folder: &Path) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let output = run(folder, &["status", "p.yaml", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let status: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        if status["source_error"].is_object() {
            return status;
        }
        assert!(Instant::now() < deadline, "the source is never said to be down: {status}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_valid_file_is_valid() {
    let folder = folder();
    let output = run(folder.path(), &["validate", "p.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "p.yaml is valid: pipeline shop, source postgres, sinks out (file)\n"
    );
    let json: Value =
        serde_json::from_str(&stdout(&run(folder.path(), &["validate", "p.yaml", "--json"])))
            .expect("JSON");
    assert_eq!(json["sinks"][0]["sink_type"], "file");
    assert!(!folder.path().join("cdc-data").exists(), "validate touches nothing");
}

#[test]
fn an_unknown_key_exits_2_and_names_file_line_and_column() {
    let folder = folder();
    let text = fs::read_to_string(folder.path().join("p.yaml")).expect("readable") + "sinsk: []\n";
    fs::write(folder.path().join("bad.yaml"), text).expect("written");
    let output = run(folder.path(), &["run", "bad.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output), "");
    assert_eq!(
        stderr(&output),
        "error[CDC-0103]: unknown key `sinsk` in the file\n --> bad.yaml:4:1\n  |\n4 | sinsk: []\n  | ^^^^^\n\
         help: did you mean `sinks`?\nmore: cdc explain CDC-0103\n"
            .replace("\n --> ", "\n  --> ")
    );
    let json: Value =
        serde_json::from_str(&stderr(&run(folder.path(), &["validate", "bad.yaml", "--json"])))
            .expect("errors are JSON too");
    assert_eq!(json["errors"][0]["line"], 4);
}

#[test]
fn a_missing_variable_exits_2_and_is_found_when_it_is_set() {
    let folder = folder();
    let text = fs::read_to_string(folder.path().join("p.yaml")).expect("readable");
    let text = text.replace("database: shop", "database: shop, password: '${DB_PW}'");
    fs::write(folder.path().join("var.yaml"), text).expect("written");
    let output = run(folder.path(), &["validate", "var.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(message.contains("`DB_PW` is not set") && message.contains("var.yaml:2:"), "{message}");
    let output = cdc(folder.path(), &["validate", "var.yaml"]).env("DB_PW", "x").output();
    assert_eq!(output.expect("started").status.code(), Some(0));
}

#[test]
fn what_a_connector_refuses_points_into_the_file() {
    let folder = folder();
    let text = fs::read_to_string(folder.path().join("p.yaml")).expect("readable");
    let text = text.replace("database: shop,", "database: shop, slot_name: 'NOT A SLOT',");
    fs::write(folder.path().join("slot.yaml"), text).expect("written");
    let output = run(folder.path(), &["validate", "slot.yaml"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("--> slot.yaml:2:"), "{}", stderr(&output));
}

#[test]
fn wrong_use_exits_2() {
    let folder = folder();
    for args in [
        &[] as &[&str],
        &["fly"],
        &["run"],
        &["run", "missing.yaml"],
        &["run", "p.yaml", "--platform-config", "missing.yaml"],
        &["run", "p.yaml", "--until"],
        &["dead-letters", "retry", "p.yaml"],
        &["dead-letters", "discard", "p.yaml", "1", "--all"],
        &["explain", "CDC-9999"],
        &["config", "schema", "both"],
    ] {
        let output = run(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}\n{}", stderr(&output));
        assert!(!stderr(&output).is_empty(), "{args:?}");
    }
}

#[test]
fn version_help_completions_schemas_and_pages_are_printed() {
    let folder = folder();
    for (args, expected) in [
        (&["--version"] as &[&str], "cdc 0.1.0"),
        (&["--help"], "dead-letters"),
        (&["completions", "bash"], "complete -F _cdc"),
        (&["completions", "zsh"], "#compdef cdc"),
        (&["config", "schema", "pipeline"], "pipeline_id"),
        (&["config", "schema", "platform"], "memory_budget"),
        (&["config", "reference"], "# Configuration"),
        (&["explain", "cdc-0103"], "# CDC-0103: an unknown key"),
        (&["explain", "0103"], "## Remedy"),
    ] {
        let output = run(folder.path(), args);
        assert_eq!(output.status.code(), Some(0), "{args:?}\n{}", stderr(&output));
        assert!(stdout(&output).contains(expected), "{args:?}");
    }
}

#[test]
fn output_that_nobody_reads_is_no_error() {
    let folder = folder();
    let mut child = cdc(folder.path(), &["config", "reference"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    drop(child.stdout.take());
    let mut told = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut told).expect("read");
    assert!(child.wait().expect("ended").success(), "{told}");
    assert_eq!(told, "");
}

#[test]
fn what_has_never_run_says_so() {
    let folder = folder();
    for args in [
        &["status", "p.yaml"] as &[&str],
        &["consume", "p.yaml"],
        &["dead-letters", "list", "p.yaml"],
    ] {
        let output = run(folder.path(), args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(stderr(&output).contains("CDC-0124"), "{args:?}\n{}", stderr(&output));
        assert!(!folder.path().join("cdc-data").exists(), "{args:?} leaves nothing behind");
    }
}

#[test]
fn health_without_a_pipeline_says_so() {
    let folder = folder();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let platform = format!("rest: {{health_port: {port}}}\n");
    fs::write(folder.path().join("f.yaml"), platform).expect("written");
    let output = run(folder.path(), &["health", "--platform-config", "f.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("CDC-0125"), "{}", stderr(&output));
}

#[test]
fn a_port_in_use_is_told_before_anything_begins() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let platform = format!("rest: {{health_port: {port}}}\n");
    fs::write(folder.path().join("f.yaml"), platform).expect("written");
    let output = run(folder.path(), &["run", "p.yaml", "--platform-config", "f.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(
        message.contains("error[CDC-5001]") && message.contains(&port.to_string()),
        "{message}"
    );
    assert!(!folder.path().join("cdc-data/shop/state.redb").exists());
}

#[test]
fn a_second_process_is_refused_and_told_the_first() {
    let folder = folder();
    let (first, _) = running(folder.path(), &["--platform-config", "off.yaml"]);
    for args in [&["run", "p.yaml"] as &[&str], &["undeploy", "p.yaml"]] {
        let output = run(folder.path(), args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let message = stderr(&output);
        assert!(message.contains("error[CDC-0120]"), "{message}");
        assert!(message.contains(&format!("process {}", first.0.id())), "{message}");
    }
    let output = run(folder.path(), &["status", "p.yaml"]);
    assert!(stderr(&output).contains("CDC-0122"), "{}", stderr(&output));
}

#[test]
fn a_running_pipeline_tells_its_state_although_its_source_is_down() {
    let folder = folder();
    fs::write(folder.path().join("f.yaml"), "rest: {health_port: 0}\n").expect("written");
    let (mut running, holder) = running(folder.path(), &["--platform-config", "f.yaml"]);
    let status = status_once_the_source_failed(folder.path());
    assert_eq!(status["running"], true);
    assert_eq!(status["pid"], holder["pid"]);
    assert_eq!(status["ready"], false);
    assert_eq!(status["sinks"][0]["sink_id"], "out");
    let text = stdout(&run(folder.path(), &["status", "p.yaml"]));
    assert!(text.starts_with("pipeline shop is not ready (process "), "{text}");

    let at = holder["http"].as_str().expect("an address");
    let port = at.rsplit(':').next().expect("a port");
    fs::write(folder.path().join("h.yaml"), format!("rest: {{health_port: {port}}}\n"))
        .expect("written");
    let health = run(folder.path(), &["health", "--platform-config", "h.yaml"]);
    assert_eq!(health.status.code(), Some(1));
    assert!(stdout(&health).starts_with("not ready\n  source: "), "{}", stdout(&health));
    let letters = run(folder.path(), &["dead-letters", "list", "p.yaml"]);
    assert_eq!(stdout(&letters), "no dead letters\n");
    let missing = run(folder.path(), &["dead-letters", "show", "p.yaml", "7"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("CDC-5004"), "{}", stderr(&missing));

    let stopped = Command::new("kill").args(["-TERM", &running.0.id().to_string()]).status();
    assert!(stopped.expect("kill runs").success());
    let mut log = String::new();
    running.0.stderr.take().expect("piped").read_to_string(&mut log).expect("read");
    assert_eq!(running.0.wait().expect("ended").code(), Some(0), "{log}");
    assert!(log.contains("stopping") && !log.contains("cdc_password"), "{log}");

    let after = run(folder.path(), &["status", "p.yaml"]);
    assert!(stdout(&after).starts_with("pipeline shop does not run"), "{}", stdout(&after));
    assert_eq!(
        stdout(&run(folder.path(), &["dead-letters", "list", "p.yaml"])),
        "no dead letters\n"
    );
}

#[test]
fn check_finds_what_is_wrong_and_exits_1() {
    let folder = folder();
    let output = run(folder.path(), &["check", "p.yaml", "--platform-config", "off.yaml"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("  ✓ the data directory") && text.contains("\n  ✗ "), "{text}");
    assert!(
        text.trim_end().lines().last().is_some_and(|line| line.starts_with("not ready to run")),
        "{text}"
    );
    assert!(!folder.path().join("cdc-data").exists(), "check changes nothing");
    let json = run(folder.path(), &["check", "p.yaml", "--json", "--platform-config", "off.yaml"]);
    let json: Value = serde_json::from_str(&stdout(&json)).expect("JSON");
    assert_eq!(json["ok"], false);
}

#[test]
fn rows_alone_on_kafka_are_refused_for_sinks_of_the_pipeline() {
    let folder = folder();
    let platform = "kafka: {bootstrap_servers: 'k:9092'}\nformat: {unwrap: {}}\n";
    fs::write(folder.path().join("k.yaml"), platform).expect("written");
    let validate =
        |pipeline| run(folder.path(), &["validate", pipeline, "--platform-config", "k.yaml"]);
    let refused = validate("p.yaml");
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    let said = stderr(&refused);
    for words in
        ["CDC-0109", "sink `out`", "`format.unwrap` of k.yaml", "p.yaml:3", "enabled: false"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    // Other consumers may read such topics, and the embedded log has rows of its own.
    let pipeline = fs::read_to_string(folder.path().join("p.yaml")).expect("read");
    let without = pipeline.replace("sink_id: out,", "sink_id: out, enabled: false,");
    fs::write(folder.path().join("without.yaml"), without).expect("written");
    assert!(validate("without.yaml").status.success(), "{}", stderr(&validate("without.yaml")));
    fs::write(folder.path().join("k.yaml"), "format: {unwrap: {}}\n").expect("written");
    assert!(validate("p.yaml").status.success(), "{}", stderr(&validate("p.yaml")));
}
