//! `docs/configuration.md`, from the same comments that editors show.

use super::schema::{plain_pipeline_schema, plain_platform_schema};
use serde_json::{Map, Value};
use std::fmt::Write as _;

const INTRODUCTION: &str = "\
# Configuration

Two YAML files: `pipeline.yaml` says what to capture and where to send it, `platform.yaml` says on what
infrastructure. The second one is optional: every key of it has a default.

    cdc validate pipeline.yaml --platform-config platform.yaml

**Variables.** `${VAR}` and `${VAR:-default}` are taken from the environment, in both files; a default is used
when the variable is not set or empty. They stand in values, never in keys; what a variable holds cannot
change the structure of the file. A variable that is not set and has no default is an error. `$${` is a
literal `${`.

**Units.** Where the name of a key tells a unit, a value may be written with one: `memory_budget: 64 MiB`,
`retention_hours: 7 days`, `initial_wait_seconds: 200 ms`.

**Editors.** `cdc config schema pipeline` and `cdc config schema platform` print JSON Schemas, which
`docs/pipeline.schema.json` and `docs/platform.schema.json` hold too. Editors with YAML support take them from
a first line such as:

    # yaml-language-server: $schema=docs/pipeline.schema.json
";

/// The reference of both files as a page.
#[must_use]
pub fn reference() -> String {
    let mut out = INTRODUCTION.to_owned();
    for (title, schema) in
        [("pipeline.yaml", plain_pipeline_schema()), ("platform.yaml", plain_platform_schema())]
    {
        let page = Page { root: &schema };
        // Writing to a `String` cannot fail.
        let _written = writeln!(out, "\n## {title}\n");
        page.section(&schema, "", &mut out);
    }
    out
}

struct Page<'a> {
    root: &'a Value,
}

impl Page<'_> {
    /// A table of a block's keys, and then a section for each key that is a block itself.
    fn section(&self, block: &Value, path: &str, out: &mut String) {
        let block = self.resolved(block);
        if let (false, Some(text)) = (path.is_empty(), description(block)) {
            let _written = writeln!(out, "{text}\n");
        }
        let empty = Map::new();
        let properties = block.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required: Vec<&str> = block
            .get("required")
            .and_then(Value::as_array)
            .map(|keys| keys.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let _written = writeln!(out, "| key | value | default | meaning |\n|---|---|---|---|");
        let mut inner = Vec::new();
        for (key, schema) in properties {
            let needed = required.contains(&key.as_str());
            let _written = writeln!(out, "{}", self.row(key, schema, needed));
            let list = self.resolved(schema).get("items");
            let (nested, suffix) = match list {
                Some(items) => (self.block(items), "[]"),
                None => (self.block(schema), ""),
            };
            if let Some(nested) = nested {
                inner.push((format!("{}{key}{suffix}", prefix(path)), nested));
            }
        }
        for (path, nested) in inner {
            let _written = writeln!(out, "\n### `{path}`\n");
            self.section(nested, &path, out);
        }
    }

    fn row(&self, key: &str, schema: &Value, required: bool) -> String {
        let resolved = self.resolved(schema);
        let default = match schema.get("default").or_else(|| resolved.get("default")) {
            _ if required => "required".to_owned(),
            Some(Value::Null) | None => "–".to_owned(),
            Some(Value::String(text)) if text.is_empty() => "empty".to_owned(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(Value::Object(_)) => "–".to_owned(),
            Some(Value::Array(items)) if items.is_empty() => "empty".to_owned(),
            Some(number) => match (key, number.as_u64()) {
                (key, Some(bytes)) if key.ends_with("_bytes") || key == "memory_budget" => {
                    super::show_bytes(bytes)
                }
                _ => format!("`{number}`"),
            },
        };
        let mut meaning = description(schema).or_else(|| description(resolved)).unwrap_or_default();
        for (word, text) in self.words(schema) {
            if !text.is_empty() && !meaning.contains(&format!("`{word}`")) {
                meaning.push_str(&format!("<br>`{word}`: {text}"));
            }
        }
        let meaning = meaning.replace('|', "\\|");
        format!("| `{key}` | {} | {default} | {meaning} |", self.kind(schema).replace('|', "\\|"))
    }

    /// What a value looks like, in a word or two.
    fn kind(&self, schema: &Value) -> String {
        let words = self.words(schema);
        if !words.is_empty() {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            return words.join(", ");
        }
        let resolved = self.resolved(schema);
        let types = match resolved.get("type") {
            Some(Value::String(name)) => vec![name.as_str()],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            Some(_) | None => Vec::new(),
        };
        let named = types.iter().find(|name| **name != "null").copied();
        match named {
            Some("integer") if types.contains(&"string") => "size".to_owned(),
            Some("integer") => "whole number".to_owned(),
            Some("number") => "number".to_owned(),
            Some("boolean") => "true or false".to_owned(),
            Some("array") => "list".to_owned(),
            Some("object") if self.block(schema).is_some() => "block".to_owned(),
            Some("object") => "keys and values".to_owned(),
            Some("string") => "text".to_owned(),
            Some(_) | None => {
                let choices = resolved.get("anyOf").and_then(Value::as_array);
                let kinds: Vec<String> =
                    choices.into_iter().flatten().map(|choice| self.kind(choice)).collect();
                kinds.join(" or ")
            }
        }
    }

    /// The words that a value may be, with their meanings.
    fn words(&self, schema: &Value) -> Vec<(String, String)> {
        let resolved = self.resolved(schema);
        let list = |name| resolved.get(name).and_then(Value::as_array).into_iter().flatten();
        let plain =
            list("enum").filter_map(Value::as_str).map(|word| (word.to_owned(), String::new()));
        let told = list("oneOf").flat_map(|choice| {
            let text = description(choice).unwrap_or_default();
            let one = choice.get("const").and_then(Value::as_str).map(str::to_owned);
            let many = choice.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
            let many = many.into_iter().filter_map(|word| word.as_str().map(str::to_owned));
            one.into_iter().chain(many).map(move |word| (word, text.clone()))
        });
        plain.chain(told).collect()
    }

    /// The schema of a block of keys, if it is one.
    fn block<'s>(&'s self, schema: &'s Value) -> Option<&'s Value> {
        let resolved = self.resolved(schema);
        resolved.get("properties").is_some().then_some(resolved)
    }

    /// Follows references, also those of optional values.
    fn resolved<'s>(&'s self, schema: &'s Value) -> &'s Value {
        /// Our schemas refer to each other less deeply.
        const STEPS_MAX: usize = 8;
        let mut schema = schema;
        for _ in 0..STEPS_MAX {
            let choices = schema.get("anyOf").and_then(Value::as_array);
            let null = |choice: &&Value| choice.get("type").and_then(Value::as_str) == Some("null");
            let only = choices.and_then(|choices| {
                let mut others = choices.iter().filter(|choice| !null(choice));
                others.next().filter(|_| others.next().is_none())
            });
            let referred = schema
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|path| self.root.pointer(path.strip_prefix('#')?));
            match referred.or(only) {
                Some(inner) => schema = inner,
                None => break,
            }
        }
        schema
    }
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}.") }
}

fn description(schema: &Value) -> Option<String> {
    let text = schema.get("description")?.as_str()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}
