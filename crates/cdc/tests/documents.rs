//! What is generated is fresh, and what is shown to users works.

use cdc::config::{parse_pipeline, parse_platform, pipeline_schema, platform_schema, reference};
use std::{fs, path::PathBuf};

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Compares a page with what the program makes now; writes it anew when asked to.
fn fresh(path: &str, now: &str) {
    let file = root().join(path);
    if std::env::var_os("CDC_UPDATE_DOCS").is_some() {
        fs::write(&file, now).expect("written");
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(written == now, "{path} is stale: run this test with CDC_UPDATE_DOCS=1");
}

#[test]
fn the_schemas_of_the_files_are_fresh() {
    let text = |schema| serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
    fresh("docs/pipeline.schema.json", &text(pipeline_schema()));
    fresh("docs/platform.schema.json", &text(platform_schema()));
}

#[test]
fn the_reference_is_fresh() {
    fresh("docs/configuration.md", &reference());
}

#[test]
fn every_key_of_the_reference_has_a_meaning() {
    for line in reference().lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split(" | ").collect();
        let meaning = cells.last().copied().unwrap_or_default().trim_end_matches([' ', '|']);
        assert!(cells.len() >= 4 && meaning.len() > 4, "no meaning: {line}");
    }
}

#[test]
fn every_example_is_valid() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("examples")).expect("examples") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("readable");
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        if name.starts_with("platform") {
            let platform =
                parse_platform(&text, &|_| None).unwrap_or_else(|e| panic!("{name}\n{e}"));
            assert!(platform.notices.is_empty(), "{name}: {:?}", platform.notices);
        } else {
            let pipeline =
                parse_pipeline(&text, &|_| None).unwrap_or_else(|e| panic!("{name}\n{e}"));
            pipeline.source.connector().unwrap_or_else(|e| panic!("{name}: {e}"));
            for sink in &pipeline.sinks {
                sink.config.connector().unwrap_or_else(|e| panic!("{name}: {e}"));
            }
        }
        count += 1;
    }
    assert!(count >= 7, "examples are missing");
}

#[test]
fn every_code_of_this_crate_has_a_page() {
    let mut sources = vec![root().join("crates/cdc/src"), root().join("crates/server/src")];
    let mut codes = std::collections::BTreeSet::new();
    while let Some(path) = sources.pop() {
        if path.is_dir() {
            sources.extend(fs::read_dir(path).expect("a folder").flatten().map(|e| e.path()));
            continue;
        }
        let text = fs::read_to_string(&path).expect("readable");
        for part in text.split("\"CDC-").skip(1) {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            codes.extend((digits.len() == 4 && part[4..].starts_with('"')).then_some(digits));
        }
    }
    let own = |code: &&String| code.starts_with("01") || code.starts_with("50");
    assert!(codes.iter().filter(own).count() > 20, "{codes:?}");
    for code in codes.iter().filter(own) {
        let page = root().join(format!("docs/errors/CDC-{code}.md"));
        let text = fs::read_to_string(&page).unwrap_or_else(|_| panic!("no page for {code}"));
        assert!(text.contains("## Cause") && text.contains("## Remedy"), "{code}");
    }
}
