//! With which settings Debezium is recorded.

/// One recording.
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) prefix: &'static str,
    pub(super) settings: &'static [(&'static str, &'static str)],
}

impl Scene {
    /// The replication slot that it reads from.
    pub(super) fn slot(&self) -> String {
        format!("golden_{}", self.name.replace('-', "_"))
    }
}

const UNWRAP: (&str, &str) = ("transforms", "unwrap");
const UNWRAP_TYPE: (&str, &str) =
    ("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState");

/// Every setting that our formats have, at least once.
pub(super) const SCENES: &[Scene] = &[
    Scene {
        name: "defaults",
        prefix: "srv",
        settings: &[("provide.transaction.metadata", "true"), ("heartbeat.interval.ms", "200")],
    },
    Scene {
        name: "text",
        prefix: "srv",
        settings: &[
            ("decimal.handling.mode", "string"),
            ("time.precision.mode", "isostring"),
            ("binary.handling.mode", "hex"),
            ("interval.handling.mode", "string"),
            ("hstore.handling.mode", "map"),
        ],
    },
    Scene {
        name: "double",
        prefix: "srv",
        settings: &[
            ("decimal.handling.mode", "double"),
            ("time.precision.mode", "connect"),
            ("binary.handling.mode", "base64"),
        ],
    },
    Scene {
        name: "microseconds",
        prefix: "srv",
        settings: &[
            ("time.precision.mode", "microseconds"),
            ("binary.handling.mode", "base64-url-safe"),
            ("unavailable.value.placeholder", "gone"),
        ],
    },
    // The engine fails for good on timestamps that nanoseconds cannot say.
    Scene {
        name: "nanoseconds",
        prefix: "9-s_x",
        settings: &[
            ("time.precision.mode", "nanoseconds"),
            ("schema.name.adjustment.mode", "avro"),
            ("field.name.adjustment.mode", "avro"),
            ("table.exclude.list", "public.required,public.extremes,public.endless"),
        ],
    },
    Scene {
        name: "adaptive-time",
        prefix: "9-s_x",
        settings: &[
            ("time.precision.mode", "adaptive_time_microseconds"),
            ("schema.name.adjustment.mode", "avro_unicode"),
            ("field.name.adjustment.mode", "avro_unicode"),
            ("tombstones.on.delete", "false"),
            ("extended.headers.enabled", "false"),
        ],
    },
    Scene {
        name: "without-schemas",
        prefix: "srv",
        settings: &[
            ("key.converter.schemas.enable", "false"),
            ("value.converter.schemas.enable", "false"),
            ("header.converter.schemas.enable", "false"),
        ],
    },
    Scene { name: "unwrap", prefix: "srv", settings: &[UNWRAP, UNWRAP_TYPE] },
    Scene {
        name: "unwrap-rewrite",
        prefix: "srv",
        settings: &[
            UNWRAP,
            UNWRAP_TYPE,
            ("transforms.unwrap.add.fields", "op,table,source.ts_ms,lsn:position,nothing"),
            ("transforms.unwrap.add.headers", "op,source.lsn,nothing"),
            ("transforms.unwrap.delete.tombstone.handling.mode", "rewrite-with-tombstone"),
        ],
    },
    Scene {
        name: "unwrap-delete-to-tombstone",
        prefix: "srv",
        settings: &[
            UNWRAP,
            UNWRAP_TYPE,
            ("transforms.unwrap.add.fields", "source.db"),
            ("transforms.unwrap.add.fields.prefix", "meta_"),
            ("transforms.unwrap.delete.tombstone.handling.mode", "delete-to-tombstone"),
        ],
    },
    Scene {
        name: "unwrap-drop",
        prefix: "srv",
        settings: &[
            UNWRAP,
            UNWRAP_TYPE,
            ("transforms.unwrap.add.fields", "transaction.id,ts_us"),
            ("transforms.unwrap.add.headers", "lsn:position"),
            ("transforms.unwrap.add.headers.prefix", ""),
            ("transforms.unwrap.delete.tombstone.handling.mode", "drop"),
            ("provide.transaction.metadata", "true"),
        ],
    },
    Scene {
        name: "cloudevents",
        prefix: "srv",
        settings: &[("scene.cloudevents", "true"), ("provide.transaction.metadata", "true")],
    },
    Scene {
        name: "cloudevents-without-schemas",
        prefix: "srv",
        settings: &[
            ("scene.cloudevents", "true"),
            ("schemas.enable", "false"),
            ("value.converter.json.schemas.enable", "false"),
            ("value.converter.schemas.enable", "false"),
        ],
    },
];
