//! What the keys of both files mean.

use cdc::config::{OnError, TransportMode, parse_pipeline, parse_platform};
use cdc_codec::debezium::{BinaryMode, DecimalMode, DeleteMode, Encoding, Options, TimeMode};
use proptest::prelude::*;

fn env(name: &str) -> Option<String> {
    match name {
        "PIPELINE" => Some("shop".to_owned()),
        "PORT" => Some("6543".to_owned()),
        "EVIL" => Some("a\nsinks: []\n# ${PORT}".to_owned()),
        "NULL" => Some("null".to_owned()),
        _ => None,
    }
}

#[test]
fn a_pipeline_file_has_defaults_and_takes_variables() {
    let text = "pipeline_id: ${PIPELINE}\nsource:\n  database: ${EVIL}\n  password: ${NULL}\nsinks:\n  - sink_id: out\n    \
                sink_type: file\n    on_error: skip\n    retry: {max_attempts: ${N:-9}}\n    file: {path: '-'}\n";
    let pipeline = parse_pipeline(text, &env).expect("valid");
    assert_eq!(pipeline.head.pipeline_id, "shop");
    assert_eq!(pipeline.head.topic_prefix, "cdc");
    let sink = &pipeline.sinks[0];
    assert!(sink.head.enabled);
    assert_eq!(sink.head.on_error, Some(OnError::Skip));
    assert_eq!(sink.head.retry.max_attempts, Some(9));
    assert!(pipeline.source_keys.gives("password"));
    assert!(!pipeline.source_keys.gives("slot_name"));
}

#[test]
fn a_platform_file_has_defaults_and_takes_units() {
    let platform = parse_platform("", &env).expect("an empty file is the default");
    assert_eq!(platform.file.memory_budget, 128 << 20);
    assert_eq!(platform.file.rest.health_port, 8080);
    assert!(platform.file.rest.health_address.is_loopback());
    assert_eq!(platform.data.data_dir.to_str(), Some("./cdc-data"));
    assert!(platform.notices.is_empty());

    let text = "memory_budget: 64 MiB\nretry: {initial_wait_seconds: 200ms, max_wait_seconds: 5 min}\n\
                rest: {health_port: ${PORT}}\nembedded: {data_dir: /d, retention_hours: 2 days}\n";
    let platform = parse_platform(text, &env).expect("valid");
    assert_eq!(platform.file.memory_budget, 64 << 20);
    let policy = platform.file.retry.policy().expect("valid");
    assert_eq!(policy.initial_wait.as_millis(), 200);
    assert_eq!(policy.max_wait.as_secs(), 300);
    assert_eq!(platform.file.rest.health_port, 6543);
    assert_eq!(platform.embedded.retention_hours, 48);
}

#[test]
fn a_file_of_the_reference_platform_is_read_and_says_what_has_no_effect() {
    let text = "transport_mode: embedded\nkafka: {bootstrap_servers: 'k:9092', auth_mechanism: sasl_scram_512}\n\
                rest: {max_buffered_messages: 1000, schema_monitor_interval_seconds: 30}\n\
                wal_reader: {slot_name: s, batch_size: 100, max_retries: 0}\ndlq: {max_retries: 3, include_headers: true}\n\
                kinesis: {}\n";
    let platform = parse_platform(text, &env).expect("valid");
    assert_eq!(platform.file.transport_mode, Some(TransportMode::Embedded));
    assert_eq!(platform.file.wal_reader.slot_name.as_deref(), Some("s"));
    let keys: Vec<&str> =
        platform.notices.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(
        keys,
        [
            "rest.max_buffered_messages",
            "dlq.max_retries",
            "dlq.include_headers",
            "wal_reader.batch_size",
            "wal_reader.max_retries",
            "kafka",
            "kinesis",
        ]
    );
}

#[test]
fn a_kafka_block_makes_kafka_the_log() {
    let text = "kafka:\n  bootstrap_servers: 'a:9092,b:9092'\n  topic_num_partitions: 6\n  poll_batch_size: 50\n  \
                deser_pool_size: 4\n  commit_interval_seconds: 5\n  acks: '1'\n  \
                schema_registry_url: 'https://one:8081,https://two:8081'\n  schema_registry_token: t\n\
                registry: {port: 1}\n";
    let platform = parse_platform(text, &env).expect("valid");
    assert_eq!(platform.mode(), TransportMode::Kafka);
    let kafka = platform.kafka().expect("Kafka is the log");
    assert_eq!(kafka.cluster.topic_num_partitions, 6);
    assert_eq!(kafka.cluster.group_id, "cdc-platform");
    let registry = kafka.beside.registry();
    assert_eq!(registry.url.expose(), "https://one:8081,https://two:8081");
    assert!(registry.token.is_some() && registry.username.is_none());
    let keys: Vec<&str> =
        platform.notices.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(
        keys,
        [
            "registry",
            "kafka.poll_batch_size",
            "kafka.deser_pool_size",
            "kafka.commit_interval_seconds"
        ]
    );
    let without = parse_platform("transport_mode: kafka", &env).expect("valid");
    let kafka = without.kafka().expect("Kafka is the log");
    assert_eq!(kafka.cluster.bootstrap_servers, "localhost:9092");
    assert_eq!(kafka.beside.registry().url.expose(), "http://localhost:8081");
}

#[test]
fn formats_have_the_words_of_debezium() {
    let platform = parse_platform("", &env).expect("valid");
    let format = &platform.file.format;
    assert_eq!((format.key, format.value), (Encoding::JsonWithSchemas, Encoding::JsonWithSchemas));
    let options = Options { run_id: "r".to_owned(), ..Options::default() };
    assert_eq!(format.options("r"), options, "Debezium's defaults are ours");
    assert!(!format.needs_registry());

    let text = "format:\n  key: json\n  value: avro\n  decimal_handling_mode: string\n  \
                time_precision_mode: connect\n  binary_handling_mode: base64-url-safe\n  \
                interval_handling_mode: string\n  hstore_handling_mode: map\n  tombstones_on_delete: false\n  \
                skipped_operations: none\n  provide_transaction_metadata: true\n  \
                schema_name_adjustment_mode: avro\n  \
                unwrap: {delete_tombstone_handling_mode: rewrite, add_fields: 'op,source.lsn'}\n";
    let platform = parse_platform(text, &env).expect("valid");
    let format = &platform.file.format;
    assert_eq!((format.key, format.value), (Encoding::Json, Encoding::Avro));
    assert!(format.needs_registry());
    let options = format.options("");
    assert_eq!(options.decimals, DecimalMode::String);
    assert_eq!(options.times, TimeMode::Connect);
    assert_eq!(options.binary, BinaryMode::Base64UrlSafe);
    assert!(options.truncates && options.transaction_metadata && !options.tombstones);
    let unwrap = options.unwrap.expect("rows alone");
    assert_eq!(unwrap.deletes, DeleteMode::Rewrite);
    assert_eq!(unwrap.add_fields_prefix, "__");
    assert_eq!(String::from(unwrap.add_fields), "op,source.lsn");
}

/// Texts that look like configuration, so that more than the scanner is reached.
fn near_yaml() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "pipeline_id",
        "source",
        "sinks",
        "sink_id",
        "sink_type",
        "file",
        "path",
        "database",
        ":",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "&a ",
        "*a",
        "${",
        "${PORT}",
        "}",
        ":-",
        "$${",
        "'",
        "\"",
        "|",
        ">",
        "#",
        "!x ",
        "webhook",
        "~",
        "null",
        "1e999",
        "-",
        "retry",
        "max_attempts",
        "embedded",
        "\t",
        "ü",
        "\u{feff}",
        "? ",
        "%YAML",
        "---",
        "...",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_panics(text in prop_oneof![any::<String>(), near_yaml()]) {
        for shown in [
            parse_pipeline(&text, &env).map(|_| ()),
            parse_platform(&text, &env).map(|_| ()),
        ] {
            if let Err(error) = shown {
                prop_assert!(!error.to_string().is_empty());
                prop_assert!(!error.problems.is_empty());
            }
        }
    }
}
