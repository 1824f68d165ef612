//! Takes hold of the slot, also when a leftover of our own still does.

use crate::{
    config::Config,
    error::{self, Holder},
    position::{Backend, Lsn},
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
/// streamed for this pipeline before: a leftover of these is ended, and nobody else ever is.
pub(super) async fn start_stream(
    config: &Config,
    client: &tokio_postgres::Client,
    from: Lsn,
    binary: bool,
    ours: &[Option<Backend>],
) -> Result<(ReplicationStream, Option<Backend>)> {
    let mut held = None;
    for attempt in 0..TRIES {
        let replication = ReplicationClient::open(config).await?;
        let backend = server::backend(config, client, replication.backend()).await?;
        let publication = &config.publication_name;
        match replication.start(&config.slot_name, publication, from, binary).await {
            Ok(stream) => return Ok((stream, backend)),
            Err(refusal) if is_in_use(&refusal) => {
                let slot = server::slot(config, client).await?;
                if let Some(holder) = slot.and_then(|slot| slot.holder) {
                    let leftover = leftover(config, &holder, ours);
                    if let Some(backend) = leftover.filter(|_| attempt >= PATIENT_TRIES) {
                        tracing::warn!(
                            pid = backend.pid,
                            "ending a leftover session that holds the slot"
                        );
                        server::terminate(config, client, backend).await?;
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

/// The process that holds the slot, when it is one of ours.
fn leftover(config: &Config, holder: &Holder, ours: &[Option<Backend>]) -> Option<Backend> {
    let backend = Backend { pid: holder.pid, started: holder.started? };
    let known = ours.contains(&Some(backend)) && holder.application == config.application_name();
    known.then_some(backend)
}

fn is_in_use(refusal: &Error) -> bool {
    refusal.code == "CDC-1013"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_of_our_own_is_a_leftover() {
        let config = Config::new("shop");
        let holder = |pid, started, application: &str| Holder {
            pid,
            started,
            application: application.to_owned(),
            client: "local".to_owned(),
        };
        let ours = [None, Some(Backend { pid: 7, started: 100 })];
        let is_leftover = |holder: &Holder| leftover(&config, holder, &ours).is_some();
        assert!(is_leftover(&holder(7, Some(100), "cdc/cdc_slot")));
        assert!(!is_leftover(&holder(8, Some(100), "cdc/cdc_slot")));
        assert!(!is_leftover(&holder(7, Some(101), "cdc/cdc_slot")), "the number was used again");
        assert!(!is_leftover(&holder(7, None, "cdc/cdc_slot")), "another role's session");
        assert!(!is_leftover(&holder(7, Some(100), "pg_recvlogical")));
    }
}
