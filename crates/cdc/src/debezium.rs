//! Debezium's connector as our files ask for it.

use crate::catalog::SourceConfig;
use crate::config::{Format, Kafka, Pipeline, Platform, Skipped};
use cdc_codec::debezium::Encoding;
use cdc_core::{Error, Origin, Result, Retry, catalog::SharedSourceConnector};
use cdc_source_debezium::OWNER;
use cdc_source_postgres::{Config, SnapshotMode};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// Debezium in place of our own capture, where the platform file asks for it.
pub(crate) fn instead(
    native: SharedSourceConnector,
    pipeline: &Pipeline,
    platform: &Platform,
) -> Result<SharedSourceConnector> {
    let (Some(connector), Some(kafka)) = (&platform.file.connector, platform.kafka()) else {
        return Ok(native);
    };
    let SourceConfig::Postgres(source) = &pipeline.source;
    let mut settings = of_source(source)?;
    settings.extend(of_format(&platform.file.format, &kafka));
    settings.extend(own([
        (OWNER, pipeline.head.pipeline_id.as_str()),
        ("topic.prefix", pipeline.head.topic_prefix.as_str()),
        ("tasks.max", "1"),
    ]));
    Ok(Arc::new(cdc_source_debezium::Connector::new(native, connector, settings)?))
}

/// What it needs to know of the database.
fn of_source(source: &Config) -> Result<BTreeMap<String, String>> {
    refuse(source)?;
    let port = source.port.to_string();
    let status = source.status_interval_seconds.saturating_mul(1000).to_string();
    let snapshot = match source.snapshot_mode {
        SnapshotMode::Initial => "initial",
        SnapshotMode::Never | SnapshotMode::NoData => "no_data",
        SnapshotMode::WhenNeeded => "when_needed",
        SnapshotMode::InitialOnly => "initial_only",
        SnapshotMode::Always => "always",
    };
    let mut settings = own([
        ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
        ("plugin.name", "pgoutput"),
        ("database.hostname", source.host.as_str()),
        ("database.port", port.as_str()),
        ("database.user", source.username.as_str()),
        ("database.password", source.password.expose()),
        ("database.dbname", source.database.as_str()),
        ("slot.name", source.slot_name.as_str()),
        ("publication.name", source.publication_name.as_str()),
        ("publication.autocreate.mode", "filtered"),
        ("snapshot.mode", snapshot),
        ("status.update.interval.ms", status.as_str()),
    ]);
    let (tables, left_out) = source.selection()?.expressions();
    let prefixes = |all: &[String]| all.iter().map(|one| expression(one)).collect::<Vec<_>>();
    for (key, expressions) in [
        ("table.include.list", tables),
        ("table.exclude.list", left_out),
        ("message.prefix.include.list", prefixes(&source.message_prefixes)),
        ("message.prefix.exclude.list", prefixes(&source.message_prefixes_excluded)),
    ] {
        if !expressions.is_empty() {
            settings.insert(key.to_owned(), expressions.join(","));
        }
    }
    settings.extend(of_tls(source));
    Ok(settings)
}

/// The files are those of the workers.
fn of_tls(source: &Config) -> BTreeMap<String, String> {
    let mut settings = own([("database.sslmode", word(&source.tls.mode).as_str())]);
    let files = [
        ("database.sslrootcert", &source.tls.ca_file),
        ("database.sslcert", &source.tls.certificate_file),
        ("database.sslkey", &source.tls.key_file),
    ];
    for (key, file) in files {
        if let Some(file) = file {
            settings.insert(key.to_owned(), file.display().to_string());
        }
    }
    settings
}

/// What records look like, by Debezium's own names.
fn of_format(format: &Format, kafka: &Kafka) -> BTreeMap<String, String> {
    let truth = |value: bool| value.to_string();
    let skipped = match format.skipped_operations {
        Skipped::Truncates => "t",
        Skipped::None => "none",
    };
    let mut settings: BTreeMap<String, String> = [
        ("decimal.handling.mode", word(&format.decimal_handling_mode)),
        ("time.precision.mode", word(&format.time_precision_mode)),
        ("binary.handling.mode", word(&format.binary_handling_mode)),
        ("interval.handling.mode", word(&format.interval_handling_mode)),
        ("hstore.handling.mode", word(&format.hstore_handling_mode)),
        ("unavailable.value.placeholder", format.unavailable_value_placeholder.clone()),
        ("schema.name.adjustment.mode", word(&format.schema_name_adjustment_mode)),
        ("field.name.adjustment.mode", word(&format.field_name_adjustment_mode)),
        ("tombstones.on.delete", truth(format.tombstones_on_delete)),
        ("skipped.operations", skipped.to_owned()),
        ("provide.transaction.metadata", truth(format.provide_transaction_metadata)),
        ("extended.headers.enabled", truth(format.extended_headers_enabled)),
        ("topic.creation.default.partitions", kafka.cluster.topic_num_partitions.to_string()),
        (
            "topic.creation.default.replication.factor",
            kafka.cluster.topic_replication_factor.to_string(),
        ),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    for (part, encoding) in [("key", format.key), ("value", format.value)] {
        settings.extend(converter(part, encoding, kafka));
    }
    settings
}

fn converter(part: &str, encoding: Encoding, kafka: &Kafka) -> BTreeMap<String, String> {
    let name = format!("{part}.converter");
    let under = |key: &str| format!("{name}.{key}");
    let registry = kafka.beside.registry();
    let mut settings = BTreeMap::new();
    if encoding == Encoding::Avro {
        settings.insert(under("schema.registry.url"), registry.url.expose().to_owned());
        if let Some(user) = &registry.username {
            let password = registry.password.as_ref().map_or("", |password| password.expose());
            settings.insert(under("basic.auth.credentials.source"), "USER_INFO".to_owned());
            settings.insert(under("basic.auth.user.info"), format!("{user}:{password}"));
        }
        settings.insert(name, "io.confluent.connect.avro.AvroConverter".to_owned());
        return settings;
    }
    let with_schemas = encoding == Encoding::JsonWithSchemas;
    settings.insert(under("schemas.enable"), with_schemas.to_string());
    settings.insert(name, "org.apache.kafka.connect.json.JsonConverter".to_owned());
    settings
}

/// What Debezium has no setting for.
fn refuse(source: &Config) -> Result<()> {
    let refused = [
        ("columns", !source.columns.is_empty()),
        ("rows", !source.rows.is_empty()),
        ("host", source.host.starts_with('/')),
    ];
    let Some((key, _)) = refused.into_iter().find(|(_, refused)| *refused) else { return Ok(()) };
    let context = format!("source.{key}: Debezium's connector has no setting for this");
    let error = Error::new("CDC-1207", Origin::Config, Retry::AfterOperator, context);
    Err(error.with_remedy(
        "leave it out, or remove the block `connector` of the platform file: cdc captures itself then",
    ))
}

/// A pattern with `*` and `?` as a regular expression.
fn expression(pattern: &str) -> String {
    let of = |c: char| match c {
        '*' => ".*".to_owned(),
        '?' => ".".to_owned(),
        c if c.is_alphanumeric() || c == '_' => c.to_string(),
        c => format!("\\{c}"),
    };
    pattern.chars().map(of).collect()
}

/// The word for a value in a configuration file.
fn word(value: &impl Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().map(str::to_owned).unwrap_or_default()
}

fn own<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{parse_pipeline, parse_platform};

    fn settings(source: &str, platform: &str) -> Result<BTreeMap<String, String>> {
        let env = |_: &str| None;
        let pipeline = format!(
            "pipeline_id: p\ntopic_prefix: shop\nsource: {{database: d, password: s3cret{source}}}\n\
             sinks: [{{sink_id: out, sink_type: file, file: {{path: x}}}}]\n"
        );
        let pipeline = parse_pipeline(&pipeline, &env).expect("a pipeline");
        let platform = format!("connector: {{}}\nkafka: {{}}\n{platform}");
        let platform = parse_platform(&platform, &env).expect("a platform");
        let SourceConfig::Postgres(source) = &pipeline.source;
        let mut settings = of_source(source)?;
        let kafka = platform.kafka().expect("on Kafka");
        settings.extend(of_format(&platform.file.format, &kafka));
        Ok(settings)
    }

    #[test]
    fn the_files_become_settings_of_debezium() {
        let source = ", tables: [public.a, 'shop.*'], snapshot_mode: never, slot_name: s, tls: {mode: verify-full}";
        let avro = "format: {value: avro, decimal_handling_mode: string, skipped_operations: none}";
        let found = settings(source, avro).expect("settings");
        for (key, value) in [
            ("table.include.list", "public[.]a,shop[.].*"),
            ("snapshot.mode", "no_data"),
            ("slot.name", "s"),
            ("database.password", "s3cret"),
            ("database.sslmode", "verify-full"),
            ("decimal.handling.mode", "string"),
            ("binary.handling.mode", "bytes"),
            ("skipped.operations", "none"),
            ("key.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("key.converter.schemas.enable", "true"),
            ("value.converter", "io.confluent.connect.avro.AvroConverter"),
            ("value.converter.schema.registry.url", "http://localhost:8081"),
        ] {
            assert_eq!(found.get(key).map(String::as_str), Some(value), "{key}");
        }
        assert!(!settings("", "").expect("settings").contains_key("table.include.list"));
    }

    #[test]
    fn what_debezium_has_no_setting_for_is_refused() {
        let error = settings(", rows: {public.a: id > 1}", "").expect_err("refused");
        assert!(error.context.contains("source.rows"), "{error}");
        let env = |_: &str| None;
        for refused in [
            "connector: {}",
            "kafka: {}\nconnector: {}\nformat: {value: protobuf}",
            "kafka: {}\nconnector: {}\nformat: {unwrap: {}}",
            "kafka: {}\nconnector: {connect_url: nowhere}",
        ] {
            assert!(parse_platform(refused, &env).is_err(), "{refused}");
        }
    }
}
