//! Consumer groups and leases of a log in memory, for several processes in one test.

use cdc_core::{
    Place, TopicPartition,
    checkpoint::Places,
    transport::{Lease, MembershipEvent},
};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// For so long does who was expelled not know it.
const UNAWARE: Duration = Duration::from_millis(150);

/// The consumers called by one name.
#[derive(Debug, Default)]
pub(super) struct Group {
    members: Vec<Member>,
    /// Those that were expelled and have not noticed.
    expelled: Vec<(Instant, Member)>,
    pub(super) offsets: Places,
}

#[derive(Debug)]
struct Member {
    /// The process.
    owner: u64,
    events: mpsc::Sender<MembershipEvent>,
    held: BTreeSet<TopicPartition>,
    leaving: Vec<(BTreeSet<TopicPartition>, oneshot::Receiver<()>)>,
    told: bool,
}

impl Member {
    fn has(&self, partition: &TopicPartition) -> bool {
        self.held.contains(partition)
            || self.leaving.iter().any(|(some, _)| some.contains(partition))
    }
}

impl Group {
    pub(super) fn join(&mut self, owner: u64, events: mpsc::Sender<MembershipEvent>) {
        let (held, leaving) = (BTreeSet::new(), Vec::new());
        self.members.push(Member { owner, events, held, leaving, told: false });
    }

    /// Takes the partitions of a member away without asking it.
    pub(super) fn expel(&mut self, number: usize) {
        if !self.members.is_empty() {
            let member = self.members.swap_remove(number % self.members.len());
            self.expelled.push((Instant::now(), member));
        }
    }

    /// Has a member of this process these partitions?
    pub(super) fn has_all(&self, owner: u64, places: &BTreeMap<TopicPartition, Place>) -> bool {
        let ours = |at: &TopicPartition| self.members.iter().any(|m| m.owner == owner && m.has(at));
        places.keys().all(ours)
    }

    /// Brings the shares closer to what they should be.
    pub(super) fn rebalance(&mut self, all: &[TopicPartition]) {
        self.expelled.retain(|(at, _)| at.elapsed() < UNAWARE);
        self.members.retain(|member| !member.events.is_closed());
        for member in &mut self.members {
            member.leaving.retain_mut(|(_, done)| {
                matches!(done.try_recv(), Err(oneshot::error::TryRecvError::Empty))
            });
        }
        let count = self.members.len();
        for index in 0..count {
            let due: BTreeSet<TopicPartition> = all
                .iter()
                .enumerate()
                .filter(|(at, _)| at % count == index)
                .map(|(_, p)| p.clone())
                .collect();
            self.revoke_beyond(index, &due);
            self.assign_free(index, &due);
        }
    }

    fn revoke_beyond(&mut self, index: usize, due: &BTreeSet<TopicPartition>) {
        let Some(member) = self.members.get_mut(index) else { return };
        let surplus: BTreeSet<TopicPartition> = member.held.difference(due).cloned().collect();
        if surplus.is_empty() {
            return;
        }
        let (done, gone) = oneshot::channel();
        let partitions = surplus.iter().cloned().collect();
        if member.events.try_send(MembershipEvent::Revoked { partitions, done }).is_ok() {
            member.held.retain(|at| due.contains(at));
            member.leaving.push((surplus, gone));
        }
    }

    fn assign_free(&mut self, index: usize, due: &BTreeSet<TopicPartition>) {
        let taken = |at: &TopicPartition| self.members.iter().any(|member| member.has(at));
        let free: Vec<TopicPartition> = due.iter().filter(|at| !taken(at)).cloned().collect();
        let Some(member) = self.members.get_mut(index) else { return };
        if free.is_empty() && member.told {
            return;
        }
        if member.events.try_send(MembershipEvent::Assigned(free.clone())).is_ok() {
            member.told = true;
            member.held.extend(free);
        }
    }
}

/// Who holds a name.
#[derive(Debug)]
pub(super) struct Holder {
    lost: CancellationToken,
    given_back: oneshot::Receiver<()>,
}

impl Holder {
    pub(super) fn new() -> (Lease, Self) {
        let lost = CancellationToken::new();
        let (lease, given_back) = Lease::shared(lost.clone());
        (lease, Self { lost, given_back })
    }

    pub(super) fn is_gone(&mut self) -> bool {
        !matches!(self.given_back.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    /// Tells the holder, a while after the name was given to somebody else.
    pub(super) async fn depose(self) {
        tokio::time::sleep(UNAWARE).await;
        self.lost.cancel();
    }
}
