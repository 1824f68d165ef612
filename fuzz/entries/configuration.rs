//! Both configuration files.

use cdc::config::{ConfigError, parse_pipeline, parse_platform};

/// Any text is read or refused, and what is refused can be shown.
pub(super) fn feed(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let environment = |name: &str| match name {
        "TEXT" => Some("a: [b".to_owned()),
        "NUMBER" => Some("5432".to_owned()),
        _ => None,
    };
    if let Err(error) = parse_pipeline(text, &environment) {
        show(&error);
    }
    match parse_platform(text, &environment) {
        Ok(platform) => drop(platform.file.retry.policy()),
        Err(error) => show(&error),
    }
}

fn show(error: &ConfigError) {
    assert!(!error.to_string().is_empty());
    assert!(!error.to_json().is_null());
}
