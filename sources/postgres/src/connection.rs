//! Sessions with the server: one way to connect, encrypt and authenticate, two kinds of session.
//!
//! ```text
//!   socket (tcp | unix) ─▶ encryption ─▶ startup + authentication ─┬─ RawConnection   replication, COPY
//!                                                                  └─ Sql             queries
//! ```

mod raw;
mod socket;
mod sql;
mod startup;
mod tcp;
mod wire;

pub(crate) use raw::{Mode, RawConnection};
pub(crate) use sql::{Sql, connect_sql};

pub(crate) use raw::stream_end;
pub(crate) use sql::{SharedSql, bounded};

use crate::{config::Config, error};
use cdc_core::{Error, Result};
use futures::future::BoxFuture;
use socket::{Encryption, Socket};

/// Connects within the configured time, and once more without encryption where the server asks for
/// that and the operator allows it.
async fn establish<'a, T>(
    config: &'a Config,
    session: impl Fn(Socket) -> BoxFuture<'a, Result<T>>,
) -> Result<T> {
    match attempt(config, Encryption::AsConfigured, &session).await {
        Err(refusal) if wants_plain(config, &refusal) => {
            attempt(config, Encryption::Off, &session).await.map_err(|_| refusal)
        }
        outcome => outcome,
    }
}

async fn attempt<'a, T>(
    config: &'a Config,
    encryption: Encryption,
    session: &impl Fn(Socket) -> BoxFuture<'a, Result<T>>,
) -> Result<T> {
    let open = async { session(socket::connect(config, encryption).await?).await };
    match tokio::time::timeout(config.connect_timeout(), open).await {
        Ok(outcome) => outcome,
        Err(_) => Err(error::connect_timeout(config)),
    }
}

/// A line of `pg_hba.conf` may let the role in without encryption only.
fn wants_plain(config: &Config, refusal: &Error) -> bool {
    config.tls.mode == cdc_tls::Mode::Prefer
        && config.tls.allows_plain()
        && !config.is_local()
        && matches!(refusal.code, "CDC-1003" | "CDC-1105")
}
