//! Where two JSON trees differ.

use serde_json::Value as Json;

/// One place where they do.
#[derive(Debug, PartialEq)]
pub(crate) struct Difference {
    /// Names and numbers from the root, with points between them.
    pub(crate) path: String,
    pub(crate) ours: Json,
    pub(crate) theirs: Json,
}

/// Every difference. Numbers are equal by value; fields of a schema are known by their names, and their
/// order counts.
pub(crate) fn compare(ours: &Json, theirs: &Json) -> Vec<Difference> {
    let mut found = Vec::new();
    walk(String::new(), ours, theirs, &mut found);
    found
}

fn walk(path: String, ours: &Json, theirs: &Json, found: &mut Vec<Difference>) {
    match (ours, theirs) {
        (Json::Object(one), Json::Object(other)) => {
            let missing = other.keys().filter(|key| !one.contains_key(*key));
            for key in one.keys().chain(missing) {
                let part = |side: &serde_json::Map<String, Json>| {
                    side.get(key).cloned().unwrap_or(Json::String("(absent)".to_owned()))
                };
                walk(format!("{path}.{key}"), &part(one), &part(other), found);
            }
        }
        (Json::Array(one), Json::Array(other))
            if one.len() == other.len() && !path.ends_with(".data_collections") =>
        {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                // Connect's schemas call them so, and Avro's.
                let name = one.get("field").or_else(|| one.get("name")).and_then(Json::as_str);
                let name = name.map_or_else(|| index.to_string(), str::to_owned);
                walk(format!("{path}.{name}"), one, other, found);
            }
        }
        (Json::Number(one), Json::Number(other)) if one.as_f64() == other.as_f64() => {}
        _ if ours == theirs => {}
        _ => found.push(Difference { path, ours: ours.clone(), theirs: theirs.clone() }),
    }
}
