use crate::{append, open, read_all, record, records};
use cdc_core::{Offset, Transport};
use cdc_transport_embedded::{ByteSize, Config, EmbeddedTransport, Fsync};
use proptest::{collection::vec, prelude::*};
use std::path::Path;

/// One step of a random life.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u16>),
    Reopen,
    Read { from: prop::sample::Index, bytes_max: usize },
    Release(prop::sample::Index),
    KeepReading(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(0_u16..120, 0..6).prop_map(Step::Append),
        1 => Just(Step::Reopen),
        3 => (any::<prop::sample::Index>(), 0_usize..5000)
            .prop_map(|(from, bytes_max)| Step::Read { from, bytes_max }),
        2 => any::<prop::sample::Index>().prop_map(Step::Release),
        3 => (1_usize..5000).prop_map(Step::KeepReading),
    ]
}

/// What the log should hold: record `n` at offset `n`, up to `end`.
struct Model {
    end: u64,
    released: u64,
}

fn config(segment_bytes: u64) -> Config {
    Config {
        segment_bytes: ByteSize(segment_bytes),
        retention_bytes: ByteSize(64 << 10),
        retention_hours: 0,
        fsync: Fsync::Never,
    }
}

async fn live(dir: &Path, segment_bytes: u64, steps: Vec<Step>) {
    let mut log = open(dir, config(segment_bytes)).await;
    let mut model = Model { end: 0, released: 0 };
    let mut reader = log.read(log.partition(), Offset(0)).await.unwrap();
    let mut reader_next = 0;
    for step in steps {
        match step {
            Step::Append(sizes) => append_some(&log, &mut model, &sizes).await,
            Step::Reopen => {
                drop(log);
                log = open(dir, config(segment_bytes)).await;
                reader_next = model.released;
                reader = log.read(log.partition(), Offset(reader_next)).await.unwrap();
            }
            Step::Read { from, bytes_max } => {
                let from =
                    model.released + from.index((model.end - model.released) as usize + 1) as u64;
                check_read(&log, from, model.end, bytes_max).await;
            }
            Step::Release(share) => {
                // The reader that goes on is a consumer too.
                let most = reader_next.max(model.released);
                let before = share.index(most as usize + 1) as u64;
                log.release(log.partition(), Offset(before)).await.unwrap();
                model.released = model.released.max(before);
            }
            Step::KeepReading(bytes_max) => {
                if reader_next < model.end {
                    let batch = reader.next(bytes_max).await.unwrap();
                    for stored in batch.records {
                        assert_eq!(stored.offset.0, reader_next);
                        assert_eq!(stored.record, record(reader_next));
                        reader_next += 1;
                    }
                    assert_eq!(batch.next.0, reader_next);
                }
            }
        }
        assert_eq!(log.end(log.partition()).await.unwrap().0, model.end);
        assert!(log.start().0 <= model.released);
        let newest = model.end.checked_sub(1).map(|number| record(number).position);
        assert_eq!(log.newest(log.partition()).await.unwrap(), newest);
    }
    let rest = read_all(&log, Offset(model.released)).await.unwrap();
    assert_eq!(rest.len() as u64, model.end - model.released);
}

/// Appends one batch a size, all at once, unless retention would pause the log.
async fn append_some(log: &EmbeddedTransport, model: &mut Model, sizes: &[u16]) {
    let added: u64 = sizes.iter().map(|size| u64::from(*size)).sum();
    if (model.end + added - model.released) * 100 > 40 << 10 {
        return;
    }
    let mut receipts = Vec::new();
    for size in sizes {
        let batch = records(model.end..model.end + u64::from(*size));
        model.end += u64::from(*size);
        receipts.push((log.append(log.partition(), batch).await.unwrap(), model.end));
    }
    for (receipt, end) in receipts {
        assert_eq!(receipt.0.await.unwrap().unwrap().0, end);
    }
    append(log, Vec::new()).await;
}

async fn check_read(log: &EmbeddedTransport, from: u64, end: u64, bytes_max: usize) {
    let mut reader = log.read(log.partition(), Offset(from)).await.unwrap();
    let mut next = from;
    while next < end {
        let batch = reader.next(bytes_max).await.unwrap();
        assert!(!batch.records.is_empty());
        for stored in batch.records {
            assert_eq!((stored.offset.0, stored.record), (next, record(next)));
            next += 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn the_log_behaves_like_a_list(
        segment_bytes in prop_oneof![Just(4_u64 << 10), 4_u64 << 10..32 << 10],
        steps in vec(any_step(), 1..60),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(dir.path(), segment_bytes, steps));
    }
}
