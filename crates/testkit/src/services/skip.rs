//! How a suite says that it could not run here.

use std::io::Write as _;

use super::installed;

/// The PostgreSQL majors that the suites ask for.
pub const POSTGRES_MAJORS: [u16; 3] = [15, 17, 18];

/// Every service that the suites ask for and this machine lacks, each with its reason.
#[must_use]
pub fn missing() -> Vec<String> {
    POSTGRES_MAJORS
        .iter()
        .filter_map(|major| installed::postgres(*major).err())
        .chain(installed::kafka().err())
        .map(|error| format!("{error:#}"))
        .chain(super::certificates::missing())
        .chain(super::confluent::missing())
        .chain(super::apicurio::missing())
        .chain(super::connect::missing())
        .collect()
}

/// Prints the one line by which `cargo xtask ci` counts a suite that could not run.
///
/// # Errors
/// Always when `CI` or `CDC_REQUIRE_SERVICES` is `true`: there a missing server is a failure.
pub fn skip(suite: &str, reason: &str) -> anyhow::Result<()> {
    // The handle is written to directly, because the test runner hides what `println!` writes.
    let line = format!("skipped: {suite}: {reason}\n");
    std::io::stderr().lock().write_all(line.as_bytes())?;
    anyhow::ensure!(!services_are_required(), "{suite} must run here, but: {reason}");
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the test environment, not the product's settings")]
fn services_are_required() -> bool {
    ["CI", "CDC_REQUIRE_SERVICES"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|value| value == "true" || value == "1"))
}
