//! Offsets of consumer groups, kept by Kafka where its users look for them.

use crate::{
    append::Appender,
    client::{Context, Factory},
    error,
    membership::Member,
    newest::number,
};
use cdc_core::{Offset, Place, Position, Result, TopicPartition};
use rdkafka::{
    TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, ConsumerGroupMetadata},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode as Code,
};
use std::{collections::BTreeMap, sync::Arc};

/// How far a group is behind in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Which partition.
    pub partition: TopicPartition,
    /// Where the group goes on; `None` before its first commit.
    pub committed: Option<Offset>,
    /// Offset after the newest record.
    pub end: Offset,
    /// How many offsets lie between the two.
    pub records: u64,
}

/// The places as the library wants them; the position goes into the commit's own text.
pub(crate) fn list_of(places: &BTreeMap<TopicPartition, Place>) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (of, place) in places {
        let mut one = list.add_partition(&of.topic, number(of));
        one.set_offset(rdkafka::Offset::Offset(place.offset.0.cast_signed()))?;
        one.set_metadata(place.position.to_string());
    }
    Ok(list)
}

fn places_of(list: &TopicPartitionList) -> BTreeMap<TopicPartition, Place> {
    let elements = list.elements();
    let committed = elements.iter().filter_map(|one| {
        let rdkafka::Offset::Offset(offset) = one.offset() else { return None };
        let offset = Offset(u64::try_from(offset).ok()?);
        // Tools that set a group's offsets leave no position; then every record counts as new.
        let position: Position = one.metadata().parse().unwrap_or_default();
        let partition = u32::try_from(one.partition()).ok()?;
        Some((TopicPartition::new(one.topic(), partition), Place { offset, position }))
    });
    committed.collect()
}

/// A client that speaks for a group without being a member.
fn outsider(factory: &Factory, group: &str) -> Result<(BaseConsumer<Context>, Context)> {
    let context = factory.context();
    let mut settings = factory.consumer_settings();
    settings.set("group.id", group);
    let client = BaseConsumer::from_config_and_context(&settings, context.clone())
        .map_err(|error| error::client(&error))?;
    Ok((client, context))
}

/// A group as a transaction names it.
pub(crate) fn name_of(factory: &Factory, group: &str) -> Result<ConsumerGroupMetadata> {
    let (client, _context) = outsider(factory, group)?;
    client.group_metadata().ok_or_else(|| error::client(&KafkaError::Canceled))
}

/// What a group has committed. Blocks.
pub(crate) fn committed(
    factory: &Factory,
    group: &str,
    of: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, Place>> {
    let (client, context) = outsider(factory, group)?;
    let mut list = TopicPartitionList::with_capacity(of.len());
    for one in of {
        list.add_partition(&one.topic, number(one));
    }
    // A new client begins with what it has to say, a token among it.
    drop(client.poll(std::time::Duration::from_millis(1)));
    let found = client.committed_offsets(list, factory.config.request_timeout());
    let doing = format!("read the offsets of the consumer group {group}");
    let found = found.map_err(|error| error::request(&doing, &error, &context.heard))?;
    Ok(places_of(&found))
}

/// Commits for a group: as its member where this process is one, else as an administrator would, which
/// the coordinator allows while the group has no members. Blocks.
pub(crate) fn commit(
    factory: &Factory,
    group: &str,
    member: Option<Arc<Member>>,
    places: &BTreeMap<TopicPartition, Place>,
) -> Result<()> {
    let committed = match member {
        Some(member) => {
            // The coordinator knows who is a member, and takes offsets of any partition from one.
            if let Some(gone) = given_away(&member, places) {
                return Err(error::not_a_member(group, &format!("{gone} is another member's")));
            }
            commit_by(&*member, places)
        }
        None => {
            let (client, _context) = outsider(factory, group)?;
            drop(client.poll(std::time::Duration::from_millis(1)));
            commit_by(&client, places)
        }
    };
    committed.map_err(|error| match error.rdkafka_error_code() {
        Some(
            Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::RebalanceInProgress
            | Code::FencedInstanceId
            | Code::AssignmentLost,
        ) => error::not_a_member(group, &error.to_string()),
        code => {
            let doing = format!("commit offsets of the consumer group {group}");
            error::answer(&doing, code.unwrap_or(Code::Fail))
        }
    })
}

/// How many members a group has. Blocks.
pub(crate) fn members(factory: &Factory, appender: &Appender, group: &str) -> Result<usize> {
    let found = appender.client().fetch_group_list(Some(group), factory.config.request_timeout());
    let doing = format!("look for members of the consumer group {group}");
    let found = found.map_err(|error| error::request(&doing, &error, &appender.heard))?;
    let of_group = found.groups().iter().find(|found| found.name() == group);
    Ok(of_group.map_or(0, |found| found.members().len()))
}

/// Takes the place of a partition back that a group has committed, where there is one. Blocks.
pub(crate) fn forget(factory: &Factory, group: &str, at: &TopicPartition) -> Result<()> {
    let nowhere = Place { offset: Offset(0), position: Position::default() };
    let found = committed(factory, group, std::slice::from_ref(at))?;
    if found.get(at).is_none_or(|place| *place == nowhere) {
        return Ok(());
    }
    commit(factory, group, None, &BTreeMap::from([(at.clone(), nowhere)]))
}

fn given_away(member: &Member, places: &BTreeMap<TopicPartition, Place>) -> Option<TopicPartition> {
    let ours = member.assignment().ok().filter(|_| !member.assignment_lost());
    let has = |of: &TopicPartition| {
        ours.as_ref().is_some_and(|ours| ours.find_partition(&of.topic, number(of)).is_some())
    };
    places.keys().find(|of| !has(of)).cloned()
}

fn commit_by<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    places: &BTreeMap<TopicPartition, Place>,
) -> Result<(), KafkaError> {
    client.commit(&list_of(places)?, CommitMode::Sync)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_as_they_went() {
        let places: BTreeMap<_, _> = (0..3)
            .map(|partition| {
                let place = Place {
                    offset: Offset(7 + u64::from(partition)),
                    position: Position::new(900, u64::from(partition)),
                };
                (TopicPartition::new("t", partition), place)
            })
            .collect();
        assert_eq!(places_of(&list_of(&places).unwrap()), places);
    }

    #[test]
    fn an_offset_set_by_a_tool_has_no_position() {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("t", 0, rdkafka::Offset::Offset(5)).unwrap();
        list.add_partition_offset("t", 1, rdkafka::Offset::Invalid).unwrap();
        let places = places_of(&list);
        let place = Place { offset: Offset(5), position: Position::default() };
        assert_eq!(places, BTreeMap::from([(TopicPartition::new("t", 0), place)]));
    }
}
