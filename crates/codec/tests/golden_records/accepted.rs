//! The differences that `docs/debezium-differences.md` tells of, in its order, and no others.

use super::compare::Difference;
use serde_json::Value as Json;

/// One difference that is meant.
pub(crate) struct Accepted {
    pub(crate) name: &'static str,
    /// The rows of the document that tell of it, by what stands first in them.
    pub(crate) told: &'static [&'static str],
    /// Scene, topic and what was found.
    pub(crate) covers: fn(&str, &str, &Difference) -> bool,
}

const NOT_A_NUMBER: &str = "not a number";
const SEVERAL_DIMENSIONS: &str = "an array of several dimensions";
const OUT_OF_RANGE: &str = "does not fit 64 bits";

/// Changes that we refuse, and that Debezium sends with null or a wrong value in this place.
pub(crate) const REFUSED: [(&str, &str); 5] = [
    ("public.not_numbers", NOT_A_NUMBER),
    ("public.arrays", SEVERAL_DIMENSIONS),
    ("public.extremes", OUT_OF_RANGE),
    ("public.endless", OUT_OF_RANGE),
    ("public.types", OUT_OF_RANGE),
];

/// The rows of the document that tell of them.
pub(crate) const REFUSED_TOLD: [&str; 3] = [
    "arrays of several dimensions",
    "decimals that are not a number, `precise`",
    "times and spans beyond 64 bits of their unit",
];

/// Is this a record of a change that we refuse?
pub(crate) fn refused_by_us(scene: &str, topic: &str, record: &Json) -> bool {
    let id = &record["key"]["payload"]["id"];
    let id = id.as_i64().or_else(|| record["key"]["id"].as_i64());
    let typed = !scene.ends_with("without-schemas");
    match (topic.rsplit('.').next(), id) {
        (Some("not_numbers"), _) => typed && !matches!(scene, "text" | "double"),
        (Some("arrays"), Some(4)) => typed,
        (Some("extremes"), Some(1)) => scene != "text",
        (Some("types"), Some(3)) => scene == "nanoseconds",
        _ => false,
    }
}

fn ends_with_any(path: &str, ends: &[&str]) -> bool {
    ends.iter().any(|end| path.ends_with(end))
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

/// The second address of `["commit","own"]`.
fn own_address(sequence: &str) -> &str {
    sequence.rsplit(',').next().unwrap_or_default()
}

/// The tables of a transaction's end in any order, messages under one name.
fn tables(json: &Json) -> Vec<String> {
    let mut tables: Vec<String> =
        json.as_array().into_iter().flatten().map(Json::to_string).collect();
    for table in &mut tables {
        if table.contains("LogicalDecodingMessageId") {
            *table = r#"{"data_collection":"message","event_count":1}"#.to_owned();
        }
    }
    tables.sort();
    tables
}

pub(crate) const ACCEPTED: &[Accepted] = &[
    Accepted {
        name: "what differs from run to run",
        told: &["`source.version`, `ts_ms`, `ts_us`, `ts_ns`, header `runId`"],
        covers: |_, topic, d| {
            let envelope = [".value.payload.ts_", ".value.ts_", ".value.payload.__ts_us"];
            envelope.iter().any(|start| d.path.starts_with(start))
                && !topic.ends_with(".transaction")
                || d.path.starts_with(".headers.__debezium.context.runId")
                || ends_with_any(&d.path, &[".source.version", ".iodebeziumversion"])
        },
    },
    Accepted {
        name: "sequence",
        told: &["`source.sequence`"],
        covers: |_, _, d| {
            let (ours, theirs) = (text(&d.ours), text(&d.theirs));
            let ends = [".source.sequence", ".iodebeziumsequence", ".value.id"];
            let before = |text: &str| text.split("sequence:").next().map(str::to_owned);
            ends_with_any(&d.path, &ends)
                && own_address(ours) == own_address(theirs)
                && (!d.path.ends_with(".value.id") || before(ours) == before(theirs))
        },
    },
    Accepted {
        name: "the address of a transaction's end",
        told: &["address in the `id` of a transaction's end"],
        covers: |_, topic, d| {
            let number = |json: &Json| text(json).split(':').next().map(str::to_owned);
            topic.ends_with(".transaction")
                && d.path.ends_with(".id")
                && number(&d.ours) == number(&d.theirs)
        },
    },
    Accepted {
        name: "the tables of a transaction",
        told: &["`data_collections` of a transaction's end"],
        covers: |_, _, d| {
            d.path.ends_with(".data_collections") && tables(&d.ours) == tables(&d.theirs)
        },
    },
    Accepted {
        name: "the time of a message outside of transactions",
        told: &["`source.ts_*` of a message outside of transactions"],
        covers: |_, topic, d| topic.ends_with(".message") && d.path.contains(".source.ts_"),
    },
    Accepted {
        name: "columns of types that Debezium leaves out",
        told: &["columns of types that Debezium does not know, and arrays of them"],
        covers: |_, topic, d| {
            topic.ends_with(".unmapped")
                && (d.path.ends_with(".fields") || text(&d.theirs) == "(absent)")
        },
    },
    Accepted {
        name: "columns of type name",
        told: &["columns of type `name`"],
        covers: |_, topic, d| {
            topic.ends_with(".types") && d.path.ends_with(".nm") && d.theirs.is_null()
        },
    },
    Accepted {
        name: "24:00:00",
        told: &["`24:00:00` as text (`timetz`, `isostring`)"],
        covers: |_, _, d| text(&d.ours) == "24:00:00Z" && text(&d.theirs) == "00:00:00Z",
    },
    Accepted {
        name: "infinite timestamps as text",
        told: &["infinite `timestamp`, `isostring`"],
        covers: |scene, topic, d| {
            scene == "text"
                && topic.ends_with(".endless")
                && text(&d.ours).trim_start_matches('-') == "infinity"
        },
    },
    Accepted {
        name: "placeholders that Debezium fails to make",
        told: &[
            "placeholders of `int2[]`, `numeric`, `numeric[]`, `timestamp[]`, and of others by mode",
        ],
        covers: |_, topic, d| topic.ends_with(".large") && d.theirs.is_null(),
    },
    Accepted {
        name: "arrays that Debezium reads wrongly",
        told: &[
            "arrays of enums with a `null`, arrays of bits",
            "dates BC, `time` and `timetz` in arrays",
        ],
        covers: |_, topic, d| {
            let columns =
                [".bt", ".mo", ".d.1", ".t6.0", ".tz.0", ".i4.0", ".i4.1", ".t.0", ".t.1"];
            let schemas = [".fields.bt.", ".fields.mo.items.optional", ".fields.mo.type.1.items"];
            topic.ends_with(".arrays")
                && (ends_with_any(&d.path, &columns)
                    || schemas.iter().any(|part| d.path.contains(part)))
        },
    },
    Accepted {
        name: "not a number, without schemas",
        told: &[],
        covers: |scene, topic, d| {
            scene.ends_with("without-schemas")
                && topic.ends_with(".not_numbers")
                && d.theirs.is_null()
        },
    },
    Accepted {
        name: "the nearest double",
        told: &["decimals with more than 15 digits, `double`"],
        covers: |scene, _, d| match (d.ours.as_f64(), d.theirs.as_f64()) {
            (Some(ours), Some(theirs)) => {
                scene == "double" && ours.to_bits().abs_diff(theirs.to_bits()) == 1
            }
            _ => false,
        },
    },
    Accepted {
        name: "deletes of unwrapped rows",
        told: &["deletes of unwrapped rows, mode `tombstone`, with schemas"],
        covers: |scene, _, d| {
            scene == "unwrap"
                && d.path == ".value"
                && d.ours.is_null()
                && d.theirs["payload"].is_null()
        },
    },
];
