//! Catalog queries have a limit of their own, and name what they were for when they fail.

use cdc_core::{Error, Origin, Result, Retry};
use std::time::Duration;
use tokio_postgres::error::SqlState;

/// A catalog query answers within this time or not at all.
const CATALOG_SECONDS_MAX: Duration = Duration::from_secs(60);

/// Runs a catalog query; `doing` is a verb phrase: `read the columns of the captured tables`.
pub(crate) async fn within<T>(
    doing: &str,
    query: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T> {
    match tokio::time::timeout(CATALOG_SECONDS_MAX, query).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(cause)) => Err(failed(doing, cause)),
        Err(_) => {
            let limit = CATALOG_SECONDS_MAX.as_secs();
            Err(unreadable(format!("PostgreSQL took more than {limit} s to {doing}")))
        }
    }
}

fn failed(doing: &str, cause: tokio_postgres::Error) -> Error {
    match cause.code() {
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Error::new(
            "CDC-1056",
            Origin::Source,
            Retry::AfterOperator,
            format!("the role may not {doing}"),
        )
        .with_remedy(
            "grant the role of source.username USAGE on the schema and SELECT on the table",
        )
        .with_source(cause),
        _ => unreadable(format!("cannot {doing}")).with_source(cause),
    }
}

fn unreadable(context: String) -> Error {
    Error::new("CDC-1055", Origin::Source, Retry::Backoff, context)
}
