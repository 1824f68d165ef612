//! Takes hold of the slot, also when a leftover of our own still does.

use crate::{
    config::Config,
    error,
    position::Lsn,
    replication::{ReplicationClient, ReplicationStream},
    server,
};
use cdc_core::{Error, Result};
use std::time::Duration;

/// A slot that is in use is tried again this often, at this distance.
const TRIES: u32 = 6;
const TRY_DISTANCE: Duration = Duration::from_millis(500);
/// A leftover of our own is given this many tries to go by itself.
const PATIENT_TRIES: u32 = 2;

/// Starts streaming, and says which server process streams. `ours` are the server processes that
/// streamed for this pipeline before.
pub(super) async fn start_stream(
    config: &Config,
    client: &tokio_postgres::Client,
    from: Lsn,
    binary: bool,
    ours: &[Option<i32>],
) -> Result<(ReplicationStream, i32)> {
    let mut held = None;
    for attempt in 0..TRIES {
        let replication = ReplicationClient::open(config).await?;
        let backend = replication.backend();
        let publication = &config.publication_name;
        match replication.start(&config.slot_name, publication, from, binary).await {
            Ok(stream) => return Ok((stream, backend)),
            Err(refusal) if is_in_use(&refusal) => {
                let slot = server::slot(config, client).await?;
                if let Some(holder) = slot.and_then(|slot| slot.holder) {
                    let leftover = ours.contains(&Some(holder.pid))
                        && holder.application == config.application_name();
                    if leftover && attempt >= PATIENT_TRIES {
                        tracing::warn!(
                            pid = holder.pid,
                            "ending a leftover session that holds the slot"
                        );
                        server::terminate(config, client, holder.pid).await?;
                    }
                    held = Some(error::slot_in_use(&config.slot_name, &holder));
                }
                held.get_or_insert(refusal);
            }
            Err(refusal) => return Err(refusal),
        }
        tokio::time::sleep(TRY_DISTANCE).await;
    }
    match held {
        Some(refusal) => Err(refusal),
        None => Err(error::slot_missing(&config.slot_name)),
    }
}

fn is_in_use(refusal: &Error) -> bool {
    refusal.code == "CDC-1013"
}
