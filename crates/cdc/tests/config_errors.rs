//! What a user reads when a file is wrong: input and the whole message.

use cdc::config::{parse_pipeline, parse_platform};

fn env(name: &str) -> Option<String> {
    match name {
        "SLOT" => Some("shop".to_owned()),
        "SECRET_PORT" => Some("hunter2".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn pipeline_error(text: &str) -> String {
    parse_pipeline(text, &env).expect_err("the file is wrong").to_string()
}

fn platform_error(text: &str) -> String {
    parse_platform(text, &env).expect_err("the file is wrong").to_string()
}

const SINKS: &str = "sinks: [{sink_id: out, sink_type: file, file: {path: out.jsonl}}]";

/// A pipeline file with these lines under `source`.
fn with_source(lines: &str) -> String {
    format!("pipeline_id: shop\nsource:\n  database: shop\n{lines}\n{SINKS}\n")
}

#[test]
fn an_unknown_key_comes_with_the_nearest_known_one() {
    assert_eq!(
        pipeline_error(&with_source("  slot_nmae: x")),
        "error[CDC-0103]: unknown key `slot_nmae` in `source`
  --> pipeline.yaml:4:3
  |
4 |   slot_nmae: x
  |   ^^^^^^^^^
help: did you mean `slot_name`?
more: cdc explain CDC-0103
"
    );
}

#[test]
fn an_unknown_key_without_a_near_one_comes_with_all_known_ones() {
    assert_eq!(
        platform_error("retry:\n  colour: red\n"),
        "error[CDC-0103]: unknown key `colour` in `retry`
  --> platform.yaml:2:3
  |
2 |   colour: red
  |   ^^^^^^
help: known keys here: max_attempts, initial_wait_seconds, max_wait_seconds, multiplier, jitter
more: cdc explain CDC-0103
"
    );
}

#[test]
fn a_missing_variable_is_named_with_its_line_and_file() {
    assert_eq!(
        pipeline_error(&with_source("  password: ${DB_PW}")),
        "error[CDC-0106]: the environment variable `DB_PW` is not set
  --> pipeline.yaml:4:13
  |
4 |   password: ***
  |             ^^^
help: set it (export DB_PW=…) or give a default: ${DB_PW:-default}
more: cdc explain CDC-0106
"
    );
}

#[test]
fn a_platform_key_in_a_pipeline_file_is_sent_where_it_belongs() {
    let text = with_source("  port: 5432") + "kafka:\n  bootstrap_servers: k:9092\n";
    assert_eq!(
        pipeline_error(&text),
        "error[CDC-0107]: `kafka` belongs into the platform file
  --> pipeline.yaml:6:1
  |
6 | kafka:
  | ^^^^^
help: move it into platform.yaml and give that with --platform-config platform.yaml
more: cdc explain CDC-0107
"
    );
}

#[test]
fn a_value_of_the_wrong_kind_says_what_was_expected() {
    assert_eq!(
        pipeline_error(&with_source("  port: 99999")),
        "error[CDC-0104]: `source.port` must be a whole number from 0 to 65535, but it is `99999`
  --> pipeline.yaml:4:9
  |
4 |   port: 99999
  |         ^^^^^
more: cdc explain CDC-0104
"
    );
}

#[test]
fn what_a_variable_holds_is_never_shown() {
    for line in ["  port: ${SECRET_PORT}", "  port: ${NOPE:-hunter2}", "  password: [hunter2]"] {
        let message = pipeline_error(&with_source(line));
        let shown = message.replace("${NOPE:-hunter2}", "");
        assert!(!shown.contains("hunter2"), "{message}");
    }
}

#[test]
fn several_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = "pipeline_id: sh/op\nsource:\n  databse: shop\n  tables: public.orders\nsinks:\n  \
                - {sink_id: a, sink_type: webhook}\n";
    let codes: Vec<String> = parse_pipeline(text, &env)
        .expect_err("wrong")
        .problems
        .iter()
        .map(|p| format!("{} {}", p.code, p.message))
        .collect();
    assert_eq!(
        codes,
        [
            "CDC-0104 `pipeline_id` must begin with a letter or digit and hold at most 128 letters, digits, `.`, `_` and `-`",
            "CDC-0103 unknown key `databse` in `source`",
            "CDC-0104 `source.tables` must be a list, but it is `public.orders`",
            "CDC-0105 the key `webhook` is missing in `sinks[0]`",
        ]
    );
}

#[test]
fn messages_of_pipeline_files() {
    let sinks = |sinks: &str| format!("pipeline_id: p\nsource: {{database: d}}\nsinks:\n{sinks}");
    for (text, expected) in [
        (String::new(), "CDC-0105 the key `pipeline_id` is missing"),
        (format!("source: {{database: d}}\n{SINKS}"), "CDC-0105 the key `pipeline_id` is missing"),
        (format!("pipeline_id: p\n{SINKS}"), "CDC-0105 the key `source` is missing"),
        (
            format!("pipeline_id: p\nsource: {{}}\n{SINKS}"),
            "CDC-0105 the key `database` is missing in `source`",
        ),
        ("pipeline_id: p\nsource: {database: d}\n".into(), "CDC-0105 the key `sinks` is missing"),
        (
            "pipeline_id: p\nsource: {database: d}\nsinks: []\n".into(),
            "CDC-0104 `sinks` must be a list of at least one sink",
        ),
        (
            with_source("  source_type: mysql"),
            "CDC-0108 source_type `mysql` is not in this version",
        ),
        (
            with_source("  source_type: oracle"),
            "CDC-0104 source_type must be one of postgres, but it is `oracle`",
        ),
        (
            sinks("  - {sink_id: l, sink_type: iceberg, iceberg: {table_name: t}}"),
            "CDC-0108 sink_type `iceberg` is not in this version",
        ),
        (
            sinks("  - {sink_id: l, sink_type: file, webhook: {url: u}, file: {path: p}}"),
            "CDC-0109 `sinks[0]` has the block `webhook`, but its sink_type is file",
        ),
        (
            sinks(
                "  - {sink_id: a, sink_type: file, file: {path: p}}\n  - {sink_id: a, sink_type: file, file: {path: q}}",
            ),
            "CDC-0109 two sinks are called `a`",
        ),
        (
            sinks("  - {sink_type: file, file: {path: p}}"),
            "CDC-0105 the key `sink_id` is missing in `sinks[0]`",
        ),
        (
            sinks("  - {sink_id: a, file: {path: p}}"),
            "CDC-0105 the key `sink_type` is missing in `sinks[0]`",
        ),
        (
            sinks("  - {sink_id: a, sink_type: file, on_error: prak, file: {path: p}}"),
            "CDC-0104 `sinks[0].on_error` must be one of park, skip, stop, but it is `prak`",
        ),
        (
            sinks("  - {sink_id: ../x, sink_type: file, file: {path: p}}"),
            "CDC-0104 `sinks[0].sink_id` must begin with a letter or digit and hold at most 128 letters, digits, `.`, `_` and `-`",
        ),
        (
            format!("topic_prefix: 1x\npipeline_id: p\nsource: {{database: d}}\n{SINKS}"),
            "CDC-0104 `topic_prefix` must begin with a letter and hold only letters, digits, `.`, `_` and `-`",
        ),
        ("pipeline_id: [\n".into(), "CDC-0102 not valid YAML: unclosed bracket '['"),
        ("- a\n".into(), "CDC-0104 the file must be a block of keys, but it is a list"),
    ] {
        let error = parse_pipeline(&text, &env).expect_err(&text);
        let told: Vec<String> =
            error.problems.iter().map(|p| format!("{} {}", p.code, p.message)).collect();
        assert!(told.iter().any(|line| line == expected), "{text}\n{told:#?}");
    }
}

#[test]
fn messages_of_platform_files() {
    for (text, expected) in [
        ("transport_mode: kinesis", "CDC-0108 transport_mode `kinesis` is not in this version"),
        (
            "kafka: {bootstrap_servers: k}",
            "CDC-2101 `kafka.bootstrap_servers` must be `host:port`, several separated by commas",
        ),
        (
            "kafka: {bootstrap_server: 'k:9092'}",
            "CDC-0103 unknown key `bootstrap_server` in `kafka`",
        ),
        (
            "kafka: {auth_mechanism: sasl_magic}",
            "CDC-0104 `kafka.auth_mechanism` must be one of none, sasl_plain, sasl_scram_256, sasl_scram_512, sasl_iam, sasl_oauthbearer, but it is `sasl_magic`",
        ),
        (
            "kafka: {schema_registry_password: s3cret}",
            "CDC-0104 `kafka.schema_registry_password` needs `schema_registry_username` beside it",
        ),
        (
            "kafka: {schema_registry_url: 'ftp://me:s3cret@r'}",
            "CDC-0104 `kafka.schema_registry_url` cannot be used: the registry's URL must be http://HOST or https://HOST",
        ),
        (
            "format: {value: xml}",
            "CDC-0104 `format.value` must be one of json, json_with_schemas, avro, protobuf, json_schema, but it is `xml`",
        ),
        (
            "format: {decimal_handling: string}",
            "CDC-0103 unknown key `decimal_handling` in `format`",
        ),
        (
            "registry: {port: 70000}",
            "CDC-0104 `registry.port` must be a whole number from 0 to 65535, but it is `70000`",
        ),
        ("connector: {}", "CDC-0109 `connector` needs `transport_mode: kafka`"),
        (
            "registry: {enabled: false}\nrest: {stop_on_incompatible_schema: true}",
            "CDC-0109 `rest.stop_on_incompatible_schema: true` needs the schema registry",
        ),
        ("sinks: []", "CDC-0107 `sinks` belongs into the pipeline file"),
        ("memory_budget: 1 MiB", "CDC-0104 `memory_budget` must be at least 16 MiB"),
        (
            "memory_budget: lots",
            "CDC-0104 `memory_budget` must be a whole number from 0 on or a size like 64 MiB, but it is `lots`",
        ),
        ("retry: {multiplier: 0.5}", "CDC-0104 `retry`: `multiplier` must be between 1 and 100"),
        (
            "retry: {initial_wait_seconds: 5, max_wait_seconds: 1}",
            "CDC-0104 `retry`: `max_wait_seconds` must not be below `initial_wait_seconds`",
        ),
        (
            "rest: {health_port: x}",
            "CDC-0104 `rest.health_port` must be a whole number from 0 to 65535, but it is `x`",
        ),
        ("embedded: {data_dir: ''}", "CDC-0104 `embedded.data_dir` is empty"),
        ("embedded: {fsink: always}", "CDC-0103 unknown key `fsink` in `embedded`"),
        (
            "rest: {health_enabled: yes}",
            "CDC-0104 `rest.health_enabled` must be true or false, but it is `yes`",
        ),
    ] {
        told_of_platform(text, expected);
    }
}

#[test]
fn messages_of_keys_that_go_together_on_kafka() {
    for (text, expected) in [
        (
            "kafka: {offset_storage: postgres}",
            "CDC-0109 `kafka.offset_storage: postgres` needs the block `offset_storage_postgres` beside it",
        ),
        (
            "kafka: {offset_storage_postgres: {database: d}}",
            "CDC-0109 `kafka.offset_storage_postgres` has no effect without `offset_storage: postgres`",
        ),
        (
            "kafka: {offset_storage: postgres, offset_storage_postgres: {database: ''}}",
            "CDC-0104 `kafka.offset_storage_postgres.database` is empty",
        ),
        (
            "kafka: {pause_capture_lag: 10, resume_capture_lag: 10}",
            "CDC-0109 `kafka.resume_capture_lag` must be below `kafka.pause_capture_lag`",
        ),
        (
            "kafka: {resume_capture_lag: 10}",
            "CDC-0109 `kafka.resume_capture_lag` needs `pause_capture_lag` beside it",
        ),
        ("kafka: {pause_capture_lag: 0}", "CDC-0104 `kafka.pause_capture_lag` must be at least 1"),
    ] {
        told_of_platform(text, expected);
    }
}

fn told_of_platform(text: &str, expected: &str) {
    let error = parse_platform(text, &env).expect_err(text);
    let told: Vec<String> =
        error.problems.iter().map(|p| format!("{} {}", p.code, p.message)).collect();
    assert_eq!(told, [expected], "{text}");
}

#[test]
fn problems_as_json_carry_their_place() {
    let error = parse_pipeline(&with_source("  slot_nmae: x"), &env).expect_err("wrong");
    assert_eq!(
        error.in_file("p.yaml").to_json(),
        serde_json::json!([{
            "code": "CDC-0103", "message": "unknown key `slot_nmae` in `source`", "file": "p.yaml",
            "line": 4, "column": 3, "remedy": "did you mean `slot_name`?"
        }])
    );
}
