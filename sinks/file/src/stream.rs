//! The session of standard output: at least once, without a checkpoint.

use crate::{encode::Lines, error};
use async_trait::async_trait;
use cdc_core::clock::Clock;
use cdc_core::sink::Delivery;
use cdc_core::{Checkpoint, Result, Sink, SinkBatch, TableSchema, WriteError};
use std::io::{self, Write};
use std::sync::Arc;

/// Lines are passed on in pieces of about this size.
const PIECE_BYTES: usize = 64 << 10;

/// Writes lines to a stream that cannot be read back.
pub(crate) struct Session<W> {
    /// Gone for good after the first error.
    output: Option<W>,
    lines: Lines,
    clock: Arc<dyn Clock>,
}

impl<W: Write + Send + 'static> Session<W> {
    pub(crate) fn new(output: W, lines: Lines, clock: Arc<dyn Clock>) -> Self {
        Self { output: Some(output), lines, clock }
    }

    async fn pass_on(&mut self, piece: Vec<u8>) -> Result<Vec<u8>> {
        let mut output = self.output.take().ok_or_else(error::closed)?;
        let passed = tokio::task::spawn_blocking(move || {
            let written = output.write_all(&piece).and_then(|()| output.flush());
            (output, piece, written)
        });
        let (output, mut piece, written): (W, Vec<u8>, io::Result<()>) =
            passed.await.map_err(|error| error::closed().with_source(error))?;
        written.map_err(error::standard_output)?;
        self.output = Some(output);
        piece.clear();
        Ok(piece)
    }
}

#[async_trait]
impl<W: Write + Send + 'static> Sink for Session<W> {
    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }

    async fn claim(&mut self, _: u64) -> Result<Option<Checkpoint>> {
        Ok(None)
    }

    async fn prepare(&mut self, _: Option<&TableSchema>, _: &Arc<TableSchema>) -> Result<()> {
        Ok(())
    }

    async fn write(&mut self, batch: &SinkBatch) -> Result<(), WriteError> {
        let now = self.clock.now();
        let mut piece = Vec::new();
        let mut accepted = 0;
        for (index, delivered) in batch.changes.iter().enumerate() {
            let partition = batch.partition.partition;
            let refused = self.lines.append(delivered, partition, now, &mut piece).err();
            let last = index + 1 == batch.changes.len();
            if piece.len() >= PIECE_BYTES || last || refused.is_some() {
                let passed = self.pass_on(std::mem::take(&mut piece)).await;
                piece = passed.map_err(|error| WriteError { error, accepted, rejected: None })?;
                accepted = index + usize::from(refused.is_none());
            }
            if let Some(error) = refused {
                return Err(WriteError { error, accepted: index, rejected: Some(index) });
            }
        }
        Ok(())
    }

    async fn commit(&mut self, _: &Checkpoint) -> Result<()> {
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::clock::SystemClock;
    use cdc_testkit::conformance::sink::{Destination, Seen, run};
    use std::sync::Mutex;

    /// A stream that can be read back after all, and that breaks when it is told to.
    #[derive(Clone, Default)]
    struct Pipe {
        bytes: Arc<Mutex<Vec<u8>>>,
        broken: Arc<Mutex<bool>>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.bytes.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            let broken = std::mem::take(&mut *self.broken.lock().unwrap());
            if broken { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
        }
    }

    impl Pipe {
        fn session(&self) -> Session<Self> {
            Session::new(self.clone(), Lines::new("cdc", "shop"), Arc::new(SystemClock))
        }
    }

    #[async_trait]
    impl Destination for Pipe {
        async fn open(&self) -> Result<Box<dyn Sink>> {
            Ok(Box::new(self.session()))
        }

        async fn seen(&self) -> Vec<Seen> {
            let bytes = self.bytes.lock().unwrap().clone();
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines
                .map(|line| {
                    let json: serde_json::Value = serde_json::from_slice(line).unwrap();
                    let after = &json["value"]["after"];
                    Seen {
                        id: after["id"].as_i64().unwrap(),
                        sequence: after["sequence"].as_i64().unwrap(),
                        identity: json["position"].as_str().unwrap().to_owned(),
                    }
                })
                .collect()
        }

        async fn lose_next_answer(&self) -> bool {
            *self.broken.lock().unwrap() = true;
            true
        }
    }

    #[tokio::test]
    async fn standard_output_keeps_its_promise() {
        run(async || Pipe::default()).await;
    }

    #[tokio::test]
    async fn a_closed_pipe_waits_for_the_operator() {
        let pipe = Pipe::default();
        *pipe.broken.lock().unwrap() = true;
        let mut sink = pipe.session();
        let mut generator = cdc_testkit::generate::Generator::new(1);
        generator.add_table(cdc_core::TableId::new("public", "t"));
        let changes =
            cdc_testkit::generate::delivered(generator.transactions(3, 2), cdc_core::Offset(0));
        let batch = cdc_testkit::generate::batch(changes);
        let failed = sink.write(&batch).await.unwrap_err();
        assert_eq!((failed.error.code, failed.accepted), ("CDC-3208", 0));
        assert_eq!(sink.write(&batch).await.unwrap_err().error.code, "CDC-3209");
    }
}
