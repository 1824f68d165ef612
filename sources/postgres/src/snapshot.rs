//! The consistent first copy: every row of every captured table, as of one moment.
//!
//! ```text
//!   exported snapshot ─▶ reader: imports it, locks the tables against changes of their shape
//!                          │◀─ survey: the catalog, the publication
//!                          └─▶ COPY table by table ─▶ tuples ─▶ rows ─▶ batches
//! ```

mod batches;
pub(crate) mod failure;
mod order;
mod plan;
mod progress;
mod reader;
mod tuples;

pub(crate) use order::{bracketed, take as take_order};
pub(crate) use plan::select_list;
pub(crate) use tuples::Tuples;

use crate::{config::Config, position::Lsn, schema::Selection};
use bytes::Bytes;
use cdc_core::{Result, SourceContext, Transaction};
use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

/// What to copy, and as of when.
#[derive(Debug)]
pub struct Request<'a> {
    /// The server and the role.
    pub config: &'a Config,
    /// The tables.
    pub selection: &'a Selection,
    /// The publication whose column lists and row filters are honoured; `None` for none.
    pub publication: Option<&'a str>,
    /// The exported snapshot's name; the session that exported it must stay open meanwhile.
    pub snapshot_name: &'a str,
    /// The snapshot holds what was committed before here, and nothing else.
    pub consistent_point: Lsn,
    /// What every batch carries to be resumed from.
    pub resume: Bytes,
    /// An earlier attempt may have delivered rows: each table is emptied before it is copied.
    pub start_over: bool,
    /// Only the tables with these numbers, where not all of the selected ones are meant.
    pub only: Option<&'a BTreeSet<u32>>,
}

/// Copies all selected tables into `context.out`. Returns early without an error when it is asked
/// to stop; then the snapshot is not complete.
pub async fn run(request: Request<'_>, context: &SourceContext) -> Result<()> {
    let stopped = context.cancel.clone();
    tokio::select! {
        biased;
        () = stopped.cancelled() => Ok(()),
        outcome = copy_all(&request, context) => match outcome {
            Ok(()) | Err(Stop::Closed) => Ok(()),
            Err(Stop::Failed(error)) => Err(error),
        },
    }
}

/// Why copying ends early.
enum Stop {
    /// Nobody takes rows any more.
    Closed,
    /// Something failed.
    Failed(cdc_core::Error),
}

impl From<cdc_core::Error> for Stop {
    fn from(error: cdc_core::Error) -> Self {
        Self::Failed(error)
    }
}

async fn copy_all(request: &Request<'_>, context: &SourceContext) -> Result<(), Stop> {
    let mut reader = reader::Reader::open(request).await?;
    let survey = plan::Survey::take(request, &mut reader).await?;
    reader.refuse_rewritten(&survey).await?;
    let plans = survey.plans();
    let mut progress = progress::Progress::start(&context.status, &plans);
    let since_epoch = context.clock.now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = since_epoch.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(0));
    let transaction =
        Arc::new(Transaction { id: 0, commit_time: cdc_core::Timestamp::from_micros(micros) });
    let mut batches = batches::Batches::new(request, &context.out, transaction);
    for (index, plan) in plans.iter().enumerate() {
        if request.start_over {
            batches.truncate(&plan.schema).await?;
        }
        reader.copy(plan, &mut batches, |rows| progress.rows(index, rows)).await?;
        if !request.start_over && progress.read(index) == 0 {
            // Otherwise nothing would tell the destinations that the table exists.
            batches.truncate(&plan.schema).await?;
        }
        batches.end_table().await?;
        progress.done(index);
        tracing::info!(table = %plan.schema.table, rows = progress.read(index), "table copied");
    }
    reader.finish().await?;
    Ok(())
}
