//! One holder of a name among all processes: the member of a consumer group that has its one partition.
//!
//! The holder commits an offset again and again. The coordinator takes a commit as a sign of life and so
//! keeps the lease for a session's time from when the commit reached it. The holder counts from when it
//! sent the commit, and less, so its own view ends first: whoever loses the coordinator, or stands
//! still, has lost the lease before another gets it.

use crate::{
    client::{Factory, With, hold},
    error,
    newest::number,
};
use cdc_core::{Error, Result, TopicPartition, transport::Lease};
use rdkafka::{
    TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult},
    types::{RDKafkaErrorCode as Code, RDKafkaRespErr},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread::Thread,
    time::Duration,
};
use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// A holder that dies is given up after this. Brokers refuse less unless they are told otherwise.
const SESSION_MAX: Duration = Duration::from_secs(6);
/// How often the member looks up from waiting for its coordinator.
const TICK: Duration = Duration::from_millis(50);
/// How often the holder shows that it lives.
const RENEWAL: Duration = Duration::from_millis(500);

/// What the coordinator has told.
#[derive(Debug, Default)]
struct Told {
    /// Is the partition this member's?
    assigned: bool,
    /// When the last commit was sent that was taken.
    confirmed: Option<Instant>,
}

struct Candidate {
    told: Mutex<Told>,
    lost: CancellationToken,
}

impl Candidate {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConsumerContext for With<Candidate> {
    fn rebalance(
        &self,
        member: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let some = list.count() > 0;
        let done = if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // Nothing is read: the partition stands for the lease.
            let held = hold(member, list);
            if some && held.is_ok() {
                *self.own.told() = Told { assigned: true, confirmed: None };
            }
            held
        } else {
            if some {
                // Before the coordinator hears that it may give the lease away.
                self.own.told().assigned = false;
                self.own.lost.cancel();
            }
            member.incremental_unassign(list)
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a rebalance did not go through");
        }
    }
}

/// Waits until this process is the only holder of the group's one partition.
pub(crate) async fn lead(factory: &Factory, of: TopicPartition, group: String) -> Result<Lease> {
    let configured = Duration::from_millis(u64::from(factory.config.session_timeout_ms));
    match compete(factory, of.clone(), group.clone(), configured.min(SESSION_MAX)).await? {
        Outcome::Held(lease) => Ok(lease),
        Outcome::SessionRefused => {
            tracing::warn!(
                group,
                "the brokers refuse a session of {SESSION_MAX:?} (group.min.session.timeout.ms): a \
                 process that dies is given up later"
            );
            match compete(factory, of, group, configured).await? {
                Outcome::Held(lease) => Ok(lease),
                Outcome::SessionRefused => Err(error::invalid_config(
                    "session_timeout_ms",
                    "is not within what the brokers allow (group.min.session.timeout.ms and \
                     group.max.session.timeout.ms)",
                )),
            }
        }
    }
}

enum Outcome {
    Held(Lease),
    /// The session is shorter or longer than the brokers allow.
    SessionRefused,
}

async fn compete(
    factory: &Factory,
    of: TopicPartition,
    group: String,
    session: Duration,
) -> Result<Outcome> {
    let mut settings = factory.consumer_settings();
    settings
        .set("group.id", &group)
        // Whoever has the partition keeps it when others join.
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session.as_millis().to_string())
        .set("heartbeat.interval.ms", (session / 12).as_millis().to_string());
    let lost = CancellationToken::new();
    let context = With {
        client: factory.context(),
        own: Candidate { told: Mutex::default(), lost: lost.clone() },
    };
    let member: BaseConsumer<With<Candidate>> =
        BaseConsumer::from_config_and_context(&settings, context)
            .map_err(|error| error::client(&error))?;
    member.subscribe(&[&of.topic]).map_err(|error| error::client(&error))?;
    let member = Arc::new(member);
    let (answer, answered) = oneshot::channel();
    let renewal = Renewal { member: Arc::downgrade(&member), of };
    let renewing = spawn("cdc-kafka-renew", move || renewal.run())?;
    let term = Term { member, renewing, group, session, lost };
    spawn("cdc-kafka-lease", move || term.run(answer))?;
    answered.await.unwrap_or_else(|_| Err(error::answer("wait for a lease", Code::Fail)))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<Thread> {
    let thread = std::thread::Builder::new().name(name.into()).spawn(run).map_err(|_| {
        error::answer("start a thread", Code::Fail).with_remedy("raise the limit of threads")
    })?;
    Ok(thread.thread().clone())
}

/// Shows the coordinator that the holder lives. A commit may wait for long, so it has its own thread.
struct Renewal {
    member: Weak<BaseConsumer<With<Candidate>>>,
    of: TopicPartition,
}

impl Renewal {
    fn run(self) {
        // Nothing holds the member between two commits, so that it leaves its group at once.
        while let Some(member) = self.member.upgrade() {
            if member.context().own.told().assigned {
                let sent = Instant::now();
                match self.commit(&member) {
                    Ok(()) => member.context().own.told().confirmed = Some(sent),
                    Err(error) => tracing::debug!(%error, "a lease was not renewed"),
                }
            }
            drop(member);
            std::thread::park_timeout(RENEWAL);
        }
    }

    fn commit(&self, member: &BaseConsumer<With<Candidate>>) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.of.topic, number(&self.of), rdkafka::Offset::Offset(0))?;
        member.commit(&list, CommitMode::Sync)
    }
}

struct Term {
    member: Arc<BaseConsumer<With<Candidate>>>,
    renewing: Thread,
    group: String,
    session: Duration,
    lost: CancellationToken,
}

/// Cancels when the thread ends, however it does.
struct Ends(CancellationToken);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Term {
    // Leaving the group is part of dropping the member, which this thread does last.
    fn run(self, answer: oneshot::Sender<Result<Outcome>>) {
        let ends = Ends(self.lost.clone());
        let Some(mut given_back) = self.wait(answer) else { return };
        while matches!(given_back.try_recv(), Err(TryRecvError::Empty)) {
            self.serve();
            if self.lost.is_cancelled() || !self.is_held() {
                tracing::warn!(group = self.group, "a lease is lost");
                break;
            }
        }
        drop(ends);
    }

    /// Waits for the lease; nothing when there is none to hold.
    fn wait(&self, answer: oneshot::Sender<Result<Outcome>>) -> Option<oneshot::Receiver<()>> {
        loop {
            if answer.is_closed() {
                return None;
            }
            if let Some(outcome) = self.serve().and_then(|error| self.refusal(&error)) {
                // Nobody may be waiting any more.
                drop(answer.send(outcome));
                return None;
            }
            if self.lost.is_cancelled() {
                let doing = format!("keep the lease {}", self.group);
                drop(answer.send(Err(error::answer(&doing, Code::AssignmentLost))));
                return None;
            }
            if self.is_held() {
                let (lease, given_back) = Lease::shared(self.lost.clone());
                tracing::info!(group = self.group, "a lease is held");
                drop(answer.send(Ok(Outcome::Held(lease))));
                return Some(given_back);
            }
        }
    }

    /// Lets the library tell what it has to.
    fn serve(&self) -> Option<KafkaError> {
        let heard = self.member.poll(TICK).and_then(std::result::Result::err);
        let told = self.member.context().own.told();
        if told.assigned && told.confirmed.is_none() {
            self.renewing.unpark();
        }
        heard
    }

    /// Has the coordinator heard so lately that it cannot have given the lease away?
    fn is_held(&self) -> bool {
        let told = self.member.context().own.told();
        let valid = self.session - self.session / 6;
        told.assigned && told.confirmed.is_some_and(|confirmed| confirmed.elapsed() < valid)
    }

    /// What waiting cannot heal.
    fn refusal(&self, error: &KafkaError) -> Option<Result<Outcome>> {
        let doing = format!("wait for the lease {}", self.group);
        let told: Error = error::request(&doing, error, &self.member.context().client.heard);
        match error.rdkafka_error_code() {
            Some(Code::InvalidSessionTimeout) => Some(Ok(Outcome::SessionRefused)),
            _ if matches!(told.code, "CDC-2103" | "CDC-2104" | "CDC-2105" | "CDC-2118") => {
                Some(Err(told))
            }
            _ => {
                tracing::debug!(group = self.group, %error, "waiting for a lease");
                None
            }
        }
    }
}
