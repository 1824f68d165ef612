//! Which crate may depend on which.

use serde_json::Value;

/// Every dependency between our crates that the architecture does not have.
pub(super) fn check(metadata: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    let packages = metadata.get("packages").and_then(Value::as_array);
    for package in packages.into_iter().flatten() {
        let name = text(package, "name");
        for dependency in array(package, "dependencies") {
            let other = text(dependency, "name");
            let ours = dependency.get("path").is_some_and(Value::is_string);
            let only_in_tests = text(dependency, "kind") == "dev";
            if ours && !is_allowed(name, other, only_in_tests) {
                let how = if only_in_tests { " in its tests" } else { "" };
                findings.push(format!("{name} must not depend on {other}{how}"));
            }
        }
        let features = package.get("features").and_then(Value::as_object);
        if features.is_some_and(|features| !features.is_empty()) && name != "cdc" {
            findings.push(format!("{name} has cargo features; only the binary may"));
        }
    }
    findings
}

// cdc → server → engine → codec → core; connectors → {codec, columnar, tls, digest} → core.
fn is_allowed(from: &str, to: &str, only_in_tests: bool) -> bool {
    if only_in_tests && to == "cdc-testkit" {
        return from != "cdc-core";
    }
    let below: &[&str] = match from {
        // Development tools, and the binary, which alone knows all connectors.
        "xtask" => return matches!(to, "cdc-testkit" | "cdc-core" | "cdc-codec"),
        // Its registry is one that other programs' serializers write to.
        "cdc-e2e" => {
            return matches!(to, "cdc-testkit" | "cdc-core" | "cdc-codec" | "cdc-registry");
        }
        "cdc" => return to != "cdc-testkit",
        "cdc-core" => &[],
        "cdc-server" => &["cdc-engine", "cdc-codec", "cdc-core"],
        "cdc-codec" | "cdc-state" | "cdc-tls" | "cdc-digest" => &["cdc-core"],
        "cdc-registry" => &["cdc-core", "cdc-tls"],
        "cdc-engine" | "cdc-testkit" | "cdc-columnar" => &["cdc-codec", "cdc-core"],
        connector if is_connector(connector) => {
            &["cdc-core", "cdc-codec", "cdc-columnar", "cdc-tls", "cdc-digest"]
        }
        _ => &[],
    };
    below.contains(&to)
}

fn is_connector(name: &str) -> bool {
    ["cdc-source-", "cdc-sink-", "cdc-transport-"].iter().any(|kind| name.starts_with(kind))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn array<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check;

    fn findings(from: &str, to: &str, kind: Option<&str>) -> Vec<String> {
        let dependency = json!({"name": to, "kind": kind, "path": "somewhere"});
        let package = json!({"name": from, "dependencies": [dependency], "features": {}});
        check(&json!({"packages": [package]}))
    }

    #[test]
    fn arrows_of_the_architecture_are_allowed() {
        for (from, to) in [
            ("cdc", "cdc-sink-file"),
            ("cdc-server", "cdc-engine"),
            ("cdc-engine", "cdc-codec"),
            ("cdc-sink-postgres", "cdc-tls"),
        ] {
            assert_eq!(findings(from, to, None), Vec::<String>::new());
        }
        assert_eq!(findings("cdc-sink-file", "cdc-testkit", Some("dev")), Vec::<String>::new());
    }

    #[test]
    fn every_other_arrow_is_found() {
        for (from, to) in [
            ("cdc-core", "cdc-codec"),
            ("cdc-engine", "cdc-sink-file"),
            ("cdc-sink-file", "cdc-engine"),
            ("cdc-sink-file", "cdc-sink-postgres"),
            ("cdc-sink-file", "cdc-testkit"),
            ("cdc", "cdc-testkit"),
        ] {
            assert_eq!(findings(from, to, None), [format!("{from} must not depend on {to}")]);
        }
    }

    #[test]
    fn features_of_a_library_are_found() {
        let package = json!({"name": "cdc-codec", "dependencies": [], "features": {"avro": []}});
        let found = check(&json!({"packages": [package]}));
        assert_eq!(found, ["cdc-codec has cargo features; only the binary may"]);
    }
}
